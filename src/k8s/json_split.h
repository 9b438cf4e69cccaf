/* Cuts a stream of JSON into pieces that are parsed one by one: the events of a watch (objects behind each other), or
 * the items of a list (objects in the top-level array "items"). Bytes may come in any portions. Only braces, brackets
 * and strings are looked at; whether a piece is JSON is for its parser to say. */
#ifndef KVASS_K8S_JSON_SPLIT_H
#define KVASS_K8S_JSON_SPLIT_H

#include "base/bytes.h"

#define JSON_SPLIT_PIECE_MAX ((size_t)8 << 20)
#define JSON_SPLIT_REST_MAX  ((size_t)1 << 20)

enum json_split_mode { JSON_SPLIT_EVENTS, JSON_SPLIT_ITEMS };

struct json_split {
    enum json_split_mode mode;
    size_t depth, piece_depth; /* of open brackets; piece_depth: where pieces begin, 0 while none may */
    bool in_string, is_escaped, in_piece, is_done;
    bool want_key, in_key;
    char key[8];
    size_t key_len;
    struct bytes piece;
    struct bytes rest; /* ITEMS: the text without the items; an object once the end has come */
};

void json_split_init(struct json_split *s, enum json_split_mode mode);
void json_split_done(struct json_split *s);

/* on_piece: text is valid during the call; base NULL when the piece was larger than JSON_SPLIT_PIECE_MAX. Non-zero ends
 * the feed, which then returns it. ERR_PARSE when a piece is no object, ERR_LIMIT when the rest grows too large. */
int json_split_feed(struct json_split *s, struct view text, int (*on_piece)(void *data, struct view text), void *data,
                    struct errctx *err) MUST_CHECK;

/* ERR_PARSE when the stream ended within an object. */
int json_split_end(const struct json_split *s, struct errctx *err);

#endif
