/* The shard groups of the round: which shards exist, what each group is wished to scrape. Private to the balancer. */
#ifndef KVASS_BALANCER_GROUPS_H
#define KVASS_BALANCER_GROUPS_H

#include "balancer/reconcile.h"

/* Mirrored: shards of one ordinal form a group whatever their replica; its id is the ordinal. Independent: every
 * replica has groups of its own, with ids from replica number * GROUPS_STRIDE on, and is planned by itself. */
#define GROUPS_STRIDE (1u << 20)

struct groups {
    VEC(struct reconcile_group) items; /* sorted by id */
    struct memory_learner fleet;       /* the mean of those that have learnt: for groups that have not */
    bool independent;
    VEC(const char *) replicas; /* interned names by number, in order of their first listing; independent only */
};

/* The groups of a replica number: positions in items. */
void groups_range(const struct groups *g, size_t replica, size_t *ret_first, size_t *ret_count);

struct groups_env {
    struct provider *provider;
    struct shard *(*make_shard)(void *data, const struct provider_shard *ps);
    void (*on_shard_gone)(void *data, const char *id);
    void *data;
    struct promconf *conf; /* given to new shards; may be NULL */
    uint64_t config_generation;
    bool shards_own; /* new shards are unread: nothing is pushed to them before they were adopted */
};

void groups_done(struct groups *g);
struct reconcile_group *groups_find(const struct groups *g, uint32_t id); /* NULL when absent */
struct reconcile_group *groups_get(struct groups *g, uint32_t id);        /* made when absent */

/* Follows the provider's list: makes objects for new shards, frees those of vanished ones. A group that has no shard
 * any more stays (its health is then unknown) while keep(data, id) says that somebody owns something there. True when
 * anything changed. */
bool groups_sync(struct groups *g, const struct groups_env *env, bool (*keep)(void *data, uint32_t id),
                 void *keep_data);

/* The limit of each group from the memory its shards take, never above the one it has, limit_series where it has none.
 * After groups_sync, which sets the limits anew. */
void groups_learn_memory(struct groups *g, const struct memory_conf *conf, uint64_t limit_series, int64_t now_ms);

/* The limit of a group that does not exist yet. */
uint64_t groups_memory_series(const struct groups *g, const struct memory_conf *conf, uint64_t limit_series);

/* The wishes of all groups, from one walk over the registry: ret[i] belongs to g->items.items[i], sorted by (job,
 * hash), targets borrowed. only_dirty leaves the others empty. */
struct wish {
    VEC(struct assignment) items;
};
struct wish *groups_wishes(const struct groups *g, const struct registry *r, bool only_dirty);
void groups_wishes_free(struct wish **wishes, const struct groups *g);

/* Pushes the wish to every replica of each dirty group whose objects exist. */
void groups_push(struct groups *g, const struct registry *r, uint64_t epoch);

/* What an operator watches of each shard, as metrics. limit_series: of groups without a capacity of their own;
 * vanished: some shard may be gone, so that the old series are dropped first. */
void groups_export(const struct groups *g, uint64_t limit_series, bool vanished);

#endif
