/* What Go takes and libre2 does not, and the other way round.
 *
 * Both are the same design, so a light scan is enough: it only needs to know where it is (plain, class, \Q...\E). It
 * refuses \C and group names that are not ASCII words, which libre2 would take. It gives (?P<n>...), and for 3.x
 * (?<n>...), a name by number and keeps the real ones aside, since libre2 refuses a repeated name and knows no
 * (?<n>...). It bounds the nesting of groups, as Go does.
 *
 * Everything else is left for libre2 to judge; its verdicts are worded as Go's. The scan must never change the meaning
 * or the numbering of groups: it only ever changes the name of one. */
#include "relabel/pattern_syntax.h"
#include "base/utf8.h"
#include "base/vec.h"

struct scan {
    struct arena *arena;
    struct view re;
    enum prometheus_major major;
    size_t at, depth;
    struct bytes *out;
    VEC(struct view) names;
    struct errctx *err;
};

int pattern_error(struct errctx *err, const char *words, struct view about)
{
    return errctx_set(err, ERR_INVALID, "error parsing regexp: %s: `%.*s`", words, VIEW_FMT(about));
}

struct view pattern_wrapped(struct arena *arena, struct view re, enum prometheus_major major)
{
    struct view head = major >= PROMETHEUS_3 ? VIEW("^(?s:") : VIEW("^(?:");
    char *text = arena_alloc(arena, head.len + re.len + 3);
    memcpy(text, head.base, head.len);
    if (re.len != 0) {
        memcpy(text + head.len, re.base, re.len);
    }
    memcpy(text + head.len + re.len, ")$", 2);
    return view_make(text, head.len + re.len + 2);
}

static struct view rest_of(const struct scan *s, size_t at)
{
    return view_make(s->re.base + at, s->re.len - at);
}

static bool starts(const struct scan *s, struct view with)
{
    return view_has_prefix(rest_of(s, s->at), with);
}

static void copy(struct scan *s, size_t len)
{
    len = len < s->re.len - s->at ? len : s->re.len - s->at;
    bytes_append(s->out, s->re.base + s->at, len);
    s->at += len;
}

static int scan_escape(struct scan *s)
{
    if (starts(s, VIEW("\\C"))) {
        return pattern_error(s->err, "invalid escape sequence", VIEW("\\C"));
    }
    if (!starts(s, VIEW("\\Q"))) {
        copy(s, 2);
        return 0;
    }
    copy(s, 2);
    while (s->at < s->re.len && !starts(s, VIEW("\\E"))) {
        copy(s, 1);
    }
    copy(s, 2);
    return 0;
}

/* From [ to its ], or to the end when there is none. */
static void scan_class(struct scan *s)
{
    copy(s, starts(s, VIEW("[^")) ? 2 : 1);
    for (bool first = true; s->at < s->re.len; first = false) {
        char c = s->re.base[s->at];
        if (c == ']' && !first) {
            copy(s, 1);
            return;
        }
        struct view rest = rest_of(s, s->at);
        const char *posix_end = starts(s, VIEW("[:")) ? memmem(rest.base + 2, rest.len - 2, ":]", 2) : NULL;
        if (posix_end != NULL) {
            copy(s, (size_t)(posix_end - rest.base) + 2);
        } else {
            copy(s, c == '\\' ? 2 : 1);
        }
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* At "(?P<" or "(?<", head bytes long. */
static int scan_named_group(struct scan *s, size_t head)
{
    struct view rest = rest_of(s, s->at);
    const char *end = memchr(rest.base, '>', rest.len);
    if (end == NULL) {
        struct view wrapped = pattern_wrapped(s->arena, s->re, s->major);
        size_t from = wrapped.len - 2 - rest.len;
        return pattern_error(s->err, "invalid named capture", view_make(wrapped.base + from, wrapped.len - from));
    }
    struct view name = view_make(rest.base + head, (size_t)(end - rest.base) - head);
    bool is_valid = name.len != 0;
    for (size_t i = 0; i < name.len; i++) {
        is_valid = is_valid && is_word(name.base[i]);
    }
    if (!is_valid) {
        return pattern_error(s->err, "invalid named capture", view_make(rest.base, head + name.len + 1));
    }
    *vec_push(&s->names) = arena_view(s->arena, name);
    bytes_printf(s->out, "(?P<g%zu>", s->names.len);
    s->at += head + name.len + 1;
    return 0;
}

static int scan_open(struct scan *s)
{
    if (++s->depth > PATTERN_DEPTH_MAX) {
        return pattern_error(s->err, "expression nests too deeply", pattern_wrapped(s->arena, s->re, s->major));
    }
    if (starts(s, VIEW("(?P<"))) {
        return scan_named_group(s, 4);
    }
    if (starts(s, VIEW("(?<"))) {
        if (s->major < PROMETHEUS_2_53) {
            return pattern_error(s->err, "invalid or unsupported Perl syntax", VIEW("(?<"));
        }
        return scan_named_group(s, 3);
    }
    if (!starts(s, VIEW("(?"))) {
        (void)vec_push(&s->names);
    }
    copy(s, 1);
    return 0;
}

static int scan_pattern(struct scan *s)
{
    while (s->at < s->re.len) {
        int rc = 0;
        switch (s->re.base[s->at]) {
        case '\\':
            rc = scan_escape(s);
            break;
        case '[':
            scan_class(s);
            break;
        case '(':
            rc = scan_open(s);
            break;
        case ')':
            s->depth -= s->depth > 0;
            copy(s, 1);
            break;
        default:
            copy(s, 1);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int pattern_translate(struct arena *arena, struct view re, enum prometheus_major major, struct bytes *out,
                      struct pattern_names *ret, struct errctx *err)
{
    struct scan s = {.arena = arena, .re = re, .major = major, .out = out, .err = err};
    if (!utf8_is_valid(re)) {
        return pattern_error(err, "invalid UTF-8", re);
    }
    bytes_append_str(out, major >= PROMETHEUS_3 ? "^(?s:" : "^(?:");
    int rc = scan_pattern(&s);
    bytes_append_str(out, ")$");
    if (rc == 0) {
        ret->count = s.names.len;
        ret->items = arena_dup(arena, s.names.items, s.names.len * sizeof(*s.names.items));
    }
    vec_done(&s.names);
    return rc != 0 ? rc : bytes_check(out, err);
}
