/* Owners from what shards hold: see rebuild.h. A target that discovery does not know (any more) is taken over as
 * vanished when its job has been discovered, and as present when it has not: a failing discovery must not look like
 * targets that went. Leaving targets are left to their shards. */
#include "balancer/rebuild.h"

static void note_unknown(const struct registry *r, struct registry_entry *e, int64_t now_ms)
{
    if (!e->discovered_now && e->vanished_ms == 0 && registry_has_job(r, e->target->job)) {
        e->vanished_ms = now_ms;
    }
}

bool rebuild_is_read(const struct reconcile_shard *rep)
{
    return rep->shard->ops->info(rep->shard)->last_seen_ms != 0;
}

size_t rebuild_adopt(struct registry *r, struct reconcile_group *group, struct reconcile_shard *rep, int64_t now_ms)
{
    size_t count, taken = 0;
    struct shard *s = rep->shard;
    const struct shard_info *info = s->ops->info(s);
    const struct assignment *items = s->ops->assignment(s, &count);
    for (size_t i = 0; i < count; i++) {
        if (items[i].state == ASSIGNMENT_LEAVING) {
            continue;
        }
        struct registry_entry *e = registry_restore(r, items[i].target);
        const struct target_status *st = s->ops->status(s, items[i].target->job, items[i].target->hash);
        enum owner_state state = items[i].state == ASSIGNMENT_IN_TRANSFER ? OWNER_IN_TRANSFER : OWNER_ASSIGNED;
        note_unknown(r, e, now_ms);
        if (st != NULL) {
            registry_status(e, st, now_ms);
        }
        if (entry_owner(e, group->id) == NULL || state == OWNER_ASSIGNED) {
            entry_set_owner(e, group->id, state, items[i].since_ms != 0 ? items[i].since_ms : now_ms);
        }
        taken++;
    }
    group->generation = info->generation > group->generation ? info->generation : group->generation;
    group->dirty = true;
    rep->is_unread = false;
    return taken;
}

void rebuild_owners(struct registry *r, struct groups *g, bool keep_unread, int64_t now_ms)
{
    registry_forget_parts(r);
    vec_foreach(e, &r->entries) {
        vec_clear(&(*e)->owners);
    }
    vec_foreach(group, &g->items) {
        vec_foreach(rep, &group->replicas) {
            if (rebuild_is_read(rep)) {
                (void)rebuild_adopt(r, group, rep, now_ms);
            }
            rep->is_unread = rep->is_unread || keep_unread;
        }
    }
    for (size_t i = r->entries.len; i-- > 0;) { /* taken over from a shard earlier, and gone there, too */
        struct registry_entry *e = r->entries.items[i];
        if (e->owners.len == 0 && e->vanished_ms != 0 && !e->discovered_now && e->discovered == NULL) {
            registry_remove(r, e);
        }
    }
}

void rebuild_states(struct registry *r, const char *why)
{
    vec_foreach(ep, &r->entries) {
        struct registry_entry *e = *ep;
        bool in_transfer = false, assigned = false;
        vec_foreach(o, &e->owners) {
            in_transfer = in_transfer || o->state == OWNER_IN_TRANSFER;
            assigned = assigned || o->state == OWNER_ASSIGNED;
        }
        e->state = e->over_limit         ? LEDGER_OVER_LIMIT
                   : e->vanished_ms != 0 ? LEDGER_LEAVING
                   : in_transfer         ? LEDGER_IN_TRANSFER
                   : assigned            ? LEDGER_ASSIGNED
                                         : LEDGER_PENDING;
        if (e->reason == NULL || strcmp(e->reason, why) != 0) {
            free(e->reason);
            e->reason = mem_strdup(why);
        }
    }
}
