/* The list of a provider whose shards are named by somebody else (a file, a service): checked, sorted, and compared
 * with the one before, so that a shard keeps its group when others come and go. Private to the providers. */
#ifndef KVASS_SHARD_PROVIDER_LIST_H
#define KVASS_SHARD_PROVIDER_LIST_H

#include "base/vec.h"
#include "shard/provider.h"

#define PROVIDER_SHARDS_MAX 20000
#define PROVIDER_GROUP_NONE UINT32_MAX

struct provider_list {
    VEC(struct provider_shard) items;
};

/* Adds one, health READY; texts are interned, the URL loses its trailing slashes. group PROVIDER_GROUP_NONE: chosen by
 * provider_list_finish. prometheus_url NULL: the sidecar hands what is not its own to Prometheus, so it is api_url.
 * ERR_INVALID: no id, no http:// or https:// URL, a URL or, within the replica, an id that is there already. */
int provider_list_add(struct provider_list *l, const char *id, const char *replica, unsigned group, const char *api_url,
                      const char *prometheus_url, struct provider_shard **ret, struct errctx *err) MUST_CHECK;

/* Gives groups and sorts by (replica, group). With one replica a shard keeps the group it has in `before` (NULL =
 * none), a new one takes its position or the lowest that is free; with several, which are paired by position, always
 * the position. An id that several replicas use gets its replica in front. ERR_INVALID: two of a replica in one
 * group. */
int provider_list_finish(struct provider_list *l, const struct provider_list *before, struct errctx *err) MUST_CHECK;

unsigned provider_list_groups(const struct provider_list *l); /* highest group plus one */
bool provider_list_equal(const struct provider_list *a, const struct provider_list *b);
void provider_list_done(struct provider_list *l);

#endif
