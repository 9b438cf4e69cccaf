/* Freezes what is known into a plan_input: copies numbers, borrows names; valid while the arena lives. */
#ifndef KVASS_BALANCER_SNAPSHOT_H
#define KVASS_BALANCER_SNAPSHOT_H

#include "balancer/reconcile.h"

struct snapshot_source {
    const struct registry *registry;
    const struct explore *explore;
    struct reconcile_group *groups; /* sorted by id */
    size_t group_count;
    uint32_t group_base; /* subtracted from ids; owners of other ids below or from the next stride on are left out */
    const struct policy *policy;
    struct plan_limits limits;
    int64_t now_ms, vanish_grace_ms;
    unsigned desired_groups;
    bool complete;
};

/* ret->targets[i] is ret_entries[i] (in the arena); entries over their job's target_limit, and those that their parts
 * stand for, are left out. Groups come in the order given. */
void snapshot_build(struct arena *arena, const struct snapshot_source *src, struct plan_input *ret,
                    struct registry_entry ***ret_entries);

/* Health and proof of a target on a group (may be NULL): the least of its replicas that know the target. */
void snapshot_owner(const struct reconcile_group *g, const struct registry_entry *e, struct plan_owner *ret);

/* The health of a group: ready when one of its replicas is. */
enum shard_health snapshot_group_health(const struct reconcile_group *g);

/* The most parts of one target that all replicas of a group can take; 1: whole targets only. One that has never
 * answered is not reckoned with. */
uint32_t snapshot_group_parts(const struct reconcile_group *g);

#endif
