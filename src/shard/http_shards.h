/* What a shard service answers: which shards there are, and how many groups it is set to have. Private to the http
 * provider. */
#ifndef KVASS_SHARD_HTTP_SHARDS_H
#define KVASS_SHARD_HTTP_SHARDS_H

#include "base/view.h"
#include "shard/provider_list.h"

#define HTTP_SHARDS_BYTES_MAX ((size_t)16 << 20)

/* before: the list that is in force, so that shards keep their groups. Fills ret (the caller's to end) and ret_desired,
 * or neither: ERR_PARSE, ERR_INVALID, ERR_LIMIT. */
int http_shards_read(struct view body, const struct provider_list *before, struct provider_list *ret,
                     unsigned *ret_desired, struct errctx *err) MUST_CHECK;

#endif
