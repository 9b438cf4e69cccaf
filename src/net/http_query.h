/* Pure pieces of a request target: path and query decoding. No memory but the given arena. */
#ifndef KVASS_NET_HTTP_QUERY_H
#define KVASS_NET_HTTP_QUERY_H

#include "base/arena.h"

/* Decodes %XX (and + as space when `plus`) of `in` to `out`, which has room for in.len bytes. Returns the decoded
 * length, or SIZE_MAX for a % that two hex digits do not follow. */
size_t http_percent_decode(struct view in, bool plus, char *out);

/* Cuts a raw request target in path and query (without '?'; {NULL,0} when there is none) and decodes the path. An
 * absolute-form target loses scheme and authority. False when the path is not one: no leading '/', bad escape, NUL, a
 * ".." segment. */
bool http_target_split(struct view target, struct arena *arena, struct view *ret_path, struct view *ret_query);

/* The index-th value of the parameter `name`; pairs with a bad escape do not count. False when there is none. */
bool http_query_find(struct view query, struct view name, size_t index, struct arena *arena, struct view *ret);

/* Standard base64 with padding, strict. `out` has room for in.len bytes; SIZE_MAX when it is none. */
size_t http_base64_decode(struct view in, char *out);

#endif
