/* Replacement templates.
 *
 * Go's rules, to the letter: `$$` is a dollar; a name is the longest run of letters, digits and underscores of any
 * script, in braces or not; a number without leading zero is a group; a group or name that does not exist is empty; a
 * dollar that starts none of these stays. A name given to several groups means the first of them that took part.
 * Templates are cut into pieces when the rules are compiled, so that expanding is copying. */
#include "relabel/template.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "relabel/re2_shim.h"

struct piece {
    struct view literal;
    size_t *groups; /* NULL for a literal */
    size_t group_count;
};

struct template
{
    struct piece *items;
    size_t count, groups_needed;
};

struct build {
    struct arena *arena;
    const struct pattern *pattern;
    VEC(struct piece) pieces;
    size_t groups_needed;
};

static size_t word_char_len(struct view rest)
{
    unsigned char c = rest.len != 0 ? (unsigned char)rest.base[0] : 0;
    if (c < 0x80) {
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
    size_t len = utf8_sequence_len(rest.base, rest.len);
    return len != 0 && re2_shim_is_word(view_make(rest.base, len)) ? len : 0;
}

static struct view skip(struct view v, size_t len)
{
    return view_make(v.base + len, v.len - len);
}

/* A reference behind a dollar: its name, and how many bytes it takes; 0 when there is none. */
static size_t reference_len(struct view rest, struct view *ret_name)
{
    size_t brace = rest.len != 0 && rest.base[0] == '{', len = 0;
    rest = skip(rest, brace);
    for (size_t step; (step = word_char_len(skip(rest, len))) != 0;) {
        len += step;
    }
    if (len == 0 || (brace && (len == rest.len || rest.base[len] != '}'))) {
        return 0;
    }
    *ret_name = view_make(rest.base, len);
    return len + 2 * brace;
}

static bool number_of(struct view name, size_t *ret)
{
    size_t n = 0;
    if (name.len > 1 && name.base[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.base[i] < '0' || name.base[i] > '9' || n >= 100000000) {
            return false;
        }
        n = n * 10 + (size_t)(name.base[i] - '0');
    }
    *ret = n;
    return true;
}

static void add_literal(struct build *b, struct view v)
{
    if (v.len != 0) {
        vec_push(&b->pieces)->literal = v;
    }
}

static void add_group(struct build *b, struct piece *piece, size_t group)
{
    piece->groups[piece->group_count++] = group;
    b->groups_needed = group + 1 > b->groups_needed ? group + 1 : b->groups_needed;
}

/* References to nothing leave no piece. */
static void add_reference(struct build *b, struct view name)
{
    size_t number, group_count = pattern_group_count(b->pattern);
    struct piece piece = {.groups = arena_alloc(b->arena, (group_count + 1) * sizeof(size_t))};
    if (number_of(name, &number)) {
        if (number <= group_count) {
            add_group(b, &piece, number);
        }
    } else {
        for (size_t i = 1; i <= group_count; i++) {
            if (view_equal(pattern_group_name(b->pattern, i), name)) {
                add_group(b, &piece, i);
            }
        }
    }
    if (piece.group_count != 0) {
        *vec_push(&b->pieces) = piece;
    }
}

static void build_pieces(struct build *b, struct view text)
{
    size_t from = 0, at = 0;
    while (at < text.len) {
        struct view name, rest = skip(text, at + 1);
        if (text.base[at] != '$') {
            at++;
            continue;
        }
        if (rest.len != 0 && rest.base[0] == '$') {
            add_literal(b, view_make(text.base + from, at + 1 - from));
            from = at = at + 2;
            continue;
        }
        size_t len = reference_len(rest, &name);
        if (len != 0) {
            add_literal(b, view_make(text.base + from, at - from));
            add_reference(b, name);
            from = at + 1 + len;
        }
        at += 1 + len;
    }
    add_literal(b, view_make(text.base + from, text.len - from));
}

struct template *template_compile(struct arena *arena, struct view text, const struct pattern *p)
{
    struct build b = {.arena = arena, .pattern = p};
    struct template *t = arena_alloc(arena, sizeof(*t));
    build_pieces(&b, arena_view(arena, text));
    t->count = b.pieces.len;
    t->items = arena_dup(arena, b.pieces.items, b.pieces.len * sizeof(*b.pieces.items));
    t->groups_needed = b.groups_needed;
    vec_done(&b.pieces);
    return t;
}

bool template_is_literal(const struct template *t)
{
    return t->groups_needed == 0;
}

size_t template_groups_needed(const struct template *t)
{
    return t->groups_needed;
}

static struct view piece_text(const struct piece *piece, const struct view *groups)
{
    if (piece->groups == NULL) {
        return piece->literal;
    }
    for (size_t i = 0; i < piece->group_count; i++) {
        if (groups[piece->groups[i]].base != NULL) {
            return groups[piece->groups[i]];
        }
    }
    return VIEW("");
}

struct view template_expand(const struct template *t, const struct view *groups, struct arena *arena, size_t max_bytes)
{
    size_t len = 0, at = 0;
    if (t->count == 0) {
        return VIEW("");
    }
    for (size_t i = 0; i < t->count; i++) {
        len += piece_text(&t->items[i], groups).len;
    }
    if (len > max_bytes) {
        return view_make(NULL, 0);
    }
    if (t->count == 1) {
        return piece_text(&t->items[0], groups);
    }
    char *out = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < t->count; i++) {
        struct view part = piece_text(&t->items[i], groups);
        if (part.len != 0) {
            memcpy(out + at, part.base, part.len);
        }
        at += part.len;
    }
    return view_make(out, len);
}
