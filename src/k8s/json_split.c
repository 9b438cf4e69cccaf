/* Cutting JSON: see json_split.h.
 *
 * One pass over the bytes, two states that matter: inside a string or not, and how many brackets are open. Whatever is
 * not part of an item goes to `rest`, so that a list's metadata can be parsed as the small object it is once the items
 * are taken out. A piece over the cap is skipped to its end, at no memory: it costs itself only. */
#include "k8s/json_split.h"

#include <string.h>

#define PIECE_KEPT_MAX ((size_t)1 << 20) /* memory kept from one piece to the next */

void json_split_init(struct json_split *s, enum json_split_mode mode)
{
    *s = (struct json_split){.mode = mode};
    bytes_init(&s->piece, JSON_SPLIT_PIECE_MAX);
    bytes_init(&s->rest, JSON_SPLIT_REST_MAX);
}

void json_split_done(struct json_split *s)
{
    bytes_done(&s->piece);
    bytes_done(&s->rest);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The length of the run that cannot end the string it stands in. */
static size_t string_run(struct view text)
{
    size_t n = 0;
    while (n < text.len && text.base[n] != '"' && text.base[n] != '\\') {
        n++;
    }
    return n;
}

/* Within a piece, the length of the run that opens and closes nothing. */
static size_t plain_run(struct view text)
{
    size_t n = 0;
    for (; n < text.len; n++) {
        char c = text.base[n];
        if (c == '"' || c == '{' || c == '}' || c == '[' || c == ']') {
            break;
        }
    }
    return n;
}

static void keep(struct json_split *s, const char *base, size_t len)
{
    if (s->in_piece) {
        bytes_append(&s->piece, base, len);
    } else if (s->mode == JSON_SPLIT_ITEMS) {
        bytes_append(&s->rest, base, len);
    }
    if (s->in_key) {
        size_t room = sizeof(s->key) - s->key_len, n = len < room ? len : room;
        memcpy(s->key + s->key_len, base, n);
        s->key_len += n;
    }
}

static bool is_items_key(const struct json_split *s)
{
    return s->key_len == 5 && memcmp(s->key, "items", 5) == 0;
}

/* A byte inside of a string. */
static void take_string_byte(struct json_split *s, char c)
{
    bool ends = c == '"' && !s->is_escaped;
    s->in_key = s->in_key && !ends;
    keep(s, &c, 1);
    s->is_escaped = c == '\\' && !s->is_escaped;
    s->in_string = !ends;
}

/* Keys of the top-level object, to find "items". */
static void watch_key(struct json_split *s, char c)
{
    if (s->mode != JSON_SPLIT_ITEMS || s->depth != 1) {
        return;
    }
    if (c == '"' && s->want_key) {
        s->key_len = 0;
        s->want_key = false;
    } else if (c == ',') {
        s->want_key = true;
        s->key_len = 0;
    }
}

static int piece_end(struct json_split *s, int (*on_piece)(void *data, struct view text), void *data)
{
    bool too_big = s->piece.overflow;
    int rc = on_piece(data, too_big ? view_make(NULL, 0) : bytes_view(&s->piece));
    if (s->piece.cap > PIECE_KEPT_MAX) {
        bytes_done(&s->piece);
        bytes_init(&s->piece, JSON_SPLIT_PIECE_MAX);
    }
    bytes_clear(&s->piece);
    s->in_piece = false;
    return rc;
}

static bool may_begin_piece(const struct json_split *s)
{
    return !s->in_piece &&
           (s->mode == JSON_SPLIT_EVENTS ? s->depth == 0 : s->piece_depth != 0 && s->depth == s->piece_depth);
}

static int open_bracket(struct json_split *s, char c)
{
    bool begins = may_begin_piece(s);
    if (begins) {
        s->in_piece = true;
    }
    keep(s, &c, 1);
    s->depth++;
    if (s->mode == JSON_SPLIT_ITEMS && s->depth == 1) {
        s->want_key = true;
    }
    if (s->mode == JSON_SPLIT_ITEMS && !s->in_piece && c == '[' && s->depth == 2 && is_items_key(s)) {
        s->piece_depth = 2;
    }
    return 0;
}

static int close_bracket(struct json_split *s, char c, int (*on_piece)(void *data, struct view text), void *data,
                         struct errctx *err)
{
    if (s->depth == 0) {
        return errctx_set(err, ERR_PARSE, "a closing bracket that was never opened");
    }
    if (s->depth == s->piece_depth && !s->in_piece) {
        s->piece_depth = 0;
    }
    s->depth--;
    keep(s, &c, 1);
    if (s->in_piece && s->depth == (s->mode == JSON_SPLIT_EVENTS ? 0 : s->piece_depth)) {
        return piece_end(s, on_piece, data);
    }
    s->is_done = s->mode == JSON_SPLIT_ITEMS && s->depth == 0;
    return 0;
}

/* A byte outside of strings. */
static int take_byte(struct json_split *s, char c, int (*on_piece)(void *data, struct view text), void *data,
                     struct errctx *err)
{
    if (is_blank(c) && !s->in_piece) {
        return 0;
    }
    if (s->is_done) {
        return errctx_set(err, ERR_PARSE, "text behind the end of the list");
    }
    if (may_begin_piece(s) && c != '{') {
        if (s->mode == JSON_SPLIT_ITEMS && (c == ',' || c == ']')) {
            return c == ',' ? 0 : close_bracket(s, c, on_piece, data, err);
        }
        return errctx_set(err, ERR_PARSE, "expected an object, not what begins with '%c'",
                          c >= ' ' && c <= '~' ? c : '?');
    }
    if (s->mode == JSON_SPLIT_ITEMS && s->depth == 0 && c != '{') {
        return errctx_set(err, ERR_PARSE, "expected a list, which begins with '{'");
    }
    bool is_key = c == '"' && s->mode == JSON_SPLIT_ITEMS && s->depth == 1 && s->want_key;
    watch_key(s, c);
    if (c == '{' || c == '[') {
        return open_bracket(s, c);
    }
    if (c == '}' || c == ']') {
        return close_bracket(s, c, on_piece, data, err);
    }
    keep(s, &c, 1);
    s->in_string = c == '"';
    s->in_key = is_key;
    return 0;
}

int json_split_feed(struct json_split *s, struct view text, int (*on_piece)(void *data, struct view text), void *data,
                    struct errctx *err)
{
    while (text.len != 0) {
        size_t run = s->in_string ? (s->is_escaped ? 0 : string_run(text)) : (s->in_piece ? plain_run(text) : 0);
        int rc = 0;
        if (run != 0) {
            keep(s, text.base, run);
        } else if (s->in_string) {
            take_string_byte(s, text.base[0]);
            run = 1;
        } else {
            rc = take_byte(s, text.base[0], on_piece, data, err);
            run = 1;
        }
        if (rc != 0) {
            return rc;
        }
        text = view_make(text.base + run, text.len - run);
    }
    if (s->rest.overflow) {
        return errctx_set(err, ERR_LIMIT, "the list without its items is larger than %zu bytes", JSON_SPLIT_REST_MAX);
    }
    return 0;
}

int json_split_end(const struct json_split *s, struct errctx *err)
{
    if (s->in_piece || s->depth != 0 || (s->mode == JSON_SPLIT_ITEMS && !s->is_done)) {
        return errctx_set(err, ERR_PARSE, "the answer ends in the middle of an object");
    }
    return 0;
}
