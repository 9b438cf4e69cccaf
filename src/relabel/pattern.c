/* Anchored patterns.
 *
 * Most rules use (.*), .+, foo, foo|bar or foo.*: for these a comparison does what the engine would, several times
 * faster (bench/bench_relabel), and a literal alternation of thousands of names costs a binary search instead of a
 * large automaton. There are two fast forms.
 *
 * Alternation: literals only, perhaps all in one group.
 *
 * Wildcards: literals with greedy .* or .+ between them, each perhaps a group. Right to left, every literal is taken at
 * its last possible place, which is exactly the leftmost-greedy split.
 *
 * Whatever does not fit one of them to the letter goes to libre2. The fast forms must never differ from it: the unit
 * test and the fuzzer run both and compare. */
#include "relabel/pattern.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "relabel/pattern_syntax.h"
#include "relabel/re2_shim.h"
#include "relabel/template.h"

#include <stdlib.h>

#define WILDCARDS_MAX 16

enum pattern_form { PATTERN_FORM_ENGINE, PATTERN_FORM_ALTERNATION, PATTERN_FORM_WILDCARDS };

struct wildcard {
    size_t min;   /* 0 for *, 1 for + */
    size_t group; /* 0 = not captured */
};

struct pattern {
    enum pattern_form form;
    bool dot_matches_newline;
    struct pattern_names names;
    struct re2_shim *re;
    struct view *literals; /* alternation: sorted; wildcards: wild_count + 1, around them */
    size_t literal_count;
    struct wildcard wild[WILDCARDS_MAX];
    size_t wild_count;
};

struct reader {
    struct view re;
    size_t at;
    char *chars; /* unescaped literals pile up here */
    size_t chars_len;
};

static bool at_end(const struct reader *r)
{
    return r->at == r->re.len;
}

static bool take(struct reader *r, struct view token)
{
    if (!view_has_prefix(view_make(r->re.base + r->at, r->re.len - r->at), token)) {
        return false;
    }
    r->at += token.len;
    return true;
}

static bool is_quantifier_next(const struct reader *r)
{
    return !at_end(r) && memchr("*+?{", r->re.base[r->at], 4) != NULL;
}

static bool is_punctuation(char c)
{
    return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* One character that stands for itself. */
static bool take_char(struct reader *r)
{
    char c = r->re.base[r->at];
    if (c == '\\' && r->at + 1 < r->re.len && is_punctuation(r->re.base[r->at + 1])) {
        r->at++;
        c = r->re.base[r->at];
    } else if (c == '\n' || memchr("\\.+*?()|[]{}^$", c, 14) != NULL) {
        return false;
    }
    r->at++;
    r->chars[r->chars_len++] = c;
    return !is_quantifier_next(r);
}

static int compare_views(const void *a, const void *b)
{
    return view_compare(*(const struct view *)a, *(const struct view *)b);
}

static void literal_add(struct pattern *p, const struct reader *r, size_t from)
{
    p->literals[p->literal_count++] = view_make(r->chars + from, r->chars_len - from);
}

static bool parse_alternation(struct pattern *p, struct reader *r)
{
    bool is_grouped = take(r, VIEW("(?:"));
    size_t from = 0;
    if (!is_grouped && p->names.count == 1 && p->names.items[0].len == 0) {
        is_grouped = take(r, VIEW("("));
    }
    bool is_captured = is_grouped && r->at == 1;
    if (p->names.count != (is_captured ? 1 : 0)) {
        return false;
    }
    while (!at_end(r)) {
        if (is_grouped && r->at + 1 == r->re.len) {
            break;
        }
        if (take(r, VIEW("|"))) {
            literal_add(p, r, from);
            from = r->chars_len;
        } else if (!take_char(r)) {
            return false;
        }
    }
    if (is_grouped && !take(r, VIEW(")"))) {
        return false;
    }
    literal_add(p, r, from);
    qsort(p->literals, p->literal_count, sizeof(*p->literals), compare_views);
    p->form = PATTERN_FORM_ALTERNATION;
    return at_end(r);
}

static bool take_wildcard(struct reader *r, struct wildcard *ret)
{
    static const struct {
        struct view text;
        size_t min;
        bool is_captured;
    } TOKENS[] = {
        {{".*", 2}, 0, false},  {{".+", 2}, 1, false},     {{"(.*)", 4}, 0, true},
        {{"(.+)", 4}, 1, true}, {{"(?:.*)", 6}, 0, false}, {{"(?:.+)", 6}, 1, false},
    };
    for (size_t i = 0; i < sizeof(TOKENS) / sizeof(TOKENS[0]); i++) {
        if (take(r, TOKENS[i].text)) {
            *ret = (struct wildcard){TOKENS[i].min, TOKENS[i].is_captured};
            return true;
        }
    }
    return false;
}

static bool parse_wildcards(struct pattern *p, struct reader *r)
{
    size_t from = 0, groups = 0;
    while (!at_end(r)) {
        struct wildcard w;
        if (!take_wildcard(r, &w)) {
            if (!take_char(r)) {
                return false;
            }
            continue;
        }
        bool is_adjacent = p->wild_count > 0 && from == r->chars_len;
        if (is_adjacent || p->wild_count == WILDCARDS_MAX || is_quantifier_next(r)) {
            return false;
        }
        literal_add(p, r, from);
        from = r->chars_len;
        w.group = w.group != 0 ? ++groups : 0;
        p->wild[p->wild_count++] = w;
    }
    literal_add(p, r, from);
    p->form = PATTERN_FORM_WILDCARDS;
    return p->wild_count > 0 && groups == p->names.count;
}

static bool parse_fast(struct arena *arena, struct pattern *p, struct view re)
{
    size_t literals_max = 1;
    for (size_t i = 0; i < re.len; i++) {
        literals_max += re.base[i] == '|' || re.base[i] == '.';
    }
    struct reader r = {.re = re, .chars = arena_alloc(arena, re.len + 1)};
    p->literals = arena_alloc(arena, literals_max * sizeof(*p->literals));
    if (parse_alternation(p, &r)) {
        return true;
    }
    r.at = r.chars_len = p->literal_count = 0;
    if (parse_wildcards(p, &r)) {
        return true;
    }
    p->form = PATTERN_FORM_ENGINE;
    return false;
}

static int compile_engine(struct arena *arena, struct pattern *p, struct view re, enum prometheus_major major,
                          struct view translated, struct errctx *err)
{
    const char *words;
    char *about;
    p->re = re2_shim_new(translated, PATTERN_MEMORY_MAX, &words, &about);
    if (p->re != NULL) {
        return 0;
    }
    bool is_whole = strstr(words, " )") != NULL || strstr(words, "large") != NULL;
    int rc = pattern_error(err, words, is_whole ? pattern_wrapped(arena, re, major) : view_of(about));
    free(about);
    return rc;
}

int pattern_compile(struct arena *arena, struct view re, enum prometheus_major major, bool allow_fast,
                    struct pattern **ret, struct errctx *err)
{
    if (re.len > PATTERN_BYTES_MAX) {
        return errctx_set(err, ERR_LIMIT, "regex of %zu bytes; at most %zu are accepted", re.len, PATTERN_BYTES_MAX);
    }
    struct bytes translated;
    struct pattern *p = arena_alloc(arena, sizeof(*p));
    bytes_init(&translated, PATTERN_BYTES_MAX * 3);
    p->dot_matches_newline = major >= PROMETHEUS_3;
    int rc = pattern_translate(arena, re, major, &translated, &p->names, err);
    if (rc == 0 && !(allow_fast && parse_fast(arena, p, re))) {
        rc = compile_engine(arena, p, re, major, bytes_view(&translated), err);
    }
    bytes_done(&translated);
    if (rc == 0) {
        *ret = p;
    }
    return rc;
}

void pattern_free(struct pattern *p)
{
    if (p != NULL) {
        re2_shim_free(p->re);
        p->re = NULL;
    }
}

bool pattern_is_fast(const struct pattern *p)
{
    return p->form != PATTERN_FORM_ENGINE;
}

size_t pattern_group_count(const struct pattern *p)
{
    return p->names.count;
}

struct view pattern_group_name(const struct pattern *p, size_t group)
{
    return p->names.items[group - 1];
}

static void groups_fill(struct view *groups, size_t count, struct view whole)
{
    for (size_t i = 0; i < count; i++) {
        groups[i] = i == 0 ? whole : view_make(NULL, 0);
    }
}

static bool match_alternation(const struct pattern *p, struct view text, struct view *groups, size_t count)
{
    if (p->literal_count == 1 ? !view_equal(p->literals[0], text)
                              : bsearch(&text, p->literals, p->literal_count, sizeof(text), compare_views) == NULL) {
        return false;
    }
    groups_fill(groups, count, text);
    if (count > 1 && p->names.count == 1) {
        groups[1] = text;
    }
    return true;
}

/* Last place of needle that ends at or before `end`; SIZE_MAX when there is none at or behind `from`. */
static size_t find_last(struct view text, size_t from, size_t end, struct view needle)
{
    while (end >= needle.len && end - needle.len >= from) {
        size_t last = end - needle.len;
        const char *hit = memrchr(text.base + from, needle.base[0], last - from + 1);
        if (hit == NULL) {
            return SIZE_MAX;
        }
        size_t at = (size_t)(hit - text.base);
        if (memcmp(hit, needle.base, needle.len) == 0) {
            return at;
        }
        end = at + needle.len - 1;
    }
    return SIZE_MAX;
}

static bool match_wildcards(const struct pattern *p, struct view text, struct view *groups, size_t count)
{
    size_t n = p->wild_count, start = p->literals[0].len;
    if (text.len < start + p->literals[n].len || !view_has_prefix(text, p->literals[0]) ||
        !view_has_suffix(text, p->literals[n])) {
        return false;
    }
    if (!p->dot_matches_newline && text.len != 0 && memchr(text.base, '\n', text.len) != NULL) {
        return false;
    }
    groups_fill(groups, count, text);
    size_t end = text.len - p->literals[n].len;
    for (size_t i = n; i-- > 0;) {
        const struct wildcard *w = &p->wild[i];
        size_t at = start, begin = start;
        if (end - start < w->min) {
            return false;
        }
        if (i > 0) {
            at = find_last(text, start, end - w->min, p->literals[i]);
            begin = at + p->literals[i].len;
        }
        if (at == SIZE_MAX) {
            return false;
        }
        if (w->group != 0 && w->group < count) {
            groups[w->group] = view_make(text.base + begin, end - begin);
        }
        end = at;
    }
    return true;
}

/* Offset in text of an offset in its repaired copy, where each invalid byte has become three. */
static size_t offset_back(struct view text, size_t repaired_offset)
{
    size_t at = 0;
    for (size_t seen = 0; seen < repaired_offset && at < text.len;) {
        size_t step = utf8_sequence_len(text.base + at, text.len - at);
        seen += step != 0 ? step : 3;
        at += step != 0 ? step : 1;
    }
    return at;
}

/* Go reads every byte that is no UTF-8 as U+FFFD; libre2 would match nothing there. */
static bool match_repaired(const struct pattern *p, struct view text, struct view *groups, size_t count)
{
    char *copy = mem_alloc(text.len * 3);
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        size_t step = utf8_sequence_len(text.base + at, text.len - at);
        memcpy(copy + len, step != 0 ? text.base + at : "\xef\xbf\xbd", step != 0 ? step : 3);
        len += step != 0 ? step : 3;
        at += step != 0 ? step : 1;
    }
    bool is_match = re2_shim_match(p->re, view_make(copy, len), 0, groups, (int)count);
    for (size_t i = 0; is_match && i < count; i++) {
        if (groups[i].base != NULL) {
            size_t from = (size_t)(groups[i].base - copy), to = from + groups[i].len;
            size_t begin = offset_back(text, from);
            groups[i] = view_make(text.base + begin, offset_back(text, to) - begin);
        }
    }
    free(copy);
    return is_match;
}

bool pattern_match(const struct pattern *p, struct view text, struct view *groups, size_t count)
{
    switch (p->form) {
    case PATTERN_FORM_ALTERNATION:
        return match_alternation(p, text, groups, count);
    case PATTERN_FORM_WILDCARDS:
        return match_wildcards(p, text, groups, count);
    case PATTERN_FORM_ENGINE:
        break;
    }
    if (!utf8_is_valid(text)) {
        return match_repaired(p, text, groups, count);
    }
    return re2_shim_match(p->re, text, 0, groups, (int)count);
}

/* Only a pattern with unbalanced parentheses, such as a)|(?:b, matches less than the whole text. */
static struct view replace_parts(const struct pattern *p, const struct template *t, struct view text,
                                 struct view *groups, size_t count, struct arena *arena, size_t max_bytes)
{
    struct bytes out;
    size_t copied = 0, search = 0;
    bytes_init(&out, max_bytes);
    while (search <= text.len && re2_shim_match(p->re, text, search, groups, (int)count)) {
        size_t from = (size_t)(groups[0].base - text.base), to = from + groups[0].len;
        bytes_append(&out, text.base + copied, from - copied);
        if (to > copied || from == 0) {
            bytes_append_view(&out, template_expand(t, groups, arena, max_bytes));
        }
        copied = to;
        size_t step = search < text.len ? utf8_sequence_len(text.base + search, text.len - search) : 1;
        search = search + step > to ? search + step : to;
    }
    bytes_append(&out, text.base + copied, text.len - copied);
    struct view made = out.overflow ? view_make(NULL, 0) : arena_view(arena, bytes_view(&out));
    bytes_done(&out);
    return made;
}

struct view pattern_replace_all(const struct pattern *p, const struct template *t, struct view text,
                                struct arena *arena, size_t max_bytes)
{
    size_t needed = template_groups_needed(t), count = needed > 1 ? needed : 1;
    struct view on_stack[16], *groups = on_stack;
    if (count > 16) {
        groups = arena_alloc(arena, count * sizeof(*groups));
    }
    if (text.base == NULL) {
        text.base = "";
    }
    if (!pattern_match(p, text, groups, count)) {
        return view_make(NULL, 0);
    }
    if (groups[0].len == text.len || pattern_is_fast(p) || !utf8_is_valid(text)) {
        return template_expand(t, groups, arena, max_bytes);
    }
    return replace_parts(p, t, text, groups, count, arena, max_bytes);
}
