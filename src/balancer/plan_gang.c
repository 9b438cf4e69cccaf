/* Gangs: targets that are placed together or not at all. The parts that are to take over from a running generation are
 * one: handing out some of them, while others find no room, would scrape their series twice for as long as that lasts.
 * What a round placed of an incomplete gang is taken back; the places stay reckoned as taken for the rest of the round,
 * so that nothing else goes there and what is missing beyond them is asked for. Members placed in an earlier round
 * stay: they are never taken from their groups here. */
#include "balancer/plan_round.h"

static bool is_held_back(const struct unplaced *members, size_t count, const struct plan_input *in,
                         const struct plan_target *t)
{
    for (size_t i = 0; i < count; i++) {
        const struct plan_target *m = &in->targets[members[i].target];
        if (m->take_over->gang == t->take_over->gang && strcmp(m->job, t->job) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_action_of(const struct plan_action *a, const struct plan_target *t)
{
    return a->type == PLAN_ASSIGN && a->hash == t->hash && strcmp(a->job, t->job) == 0;
}

/* Some group that is not lost had it before this round. */
static bool is_owned(const struct plan_round *r, const struct plan_target *t)
{
    for (uint32_t i = 0; i < t->owner_count; i++) {
        const struct round_group *g = round_group_find(r, t->owners[i].group);
        bool is_there = g != NULL ? !g->lost : t->owners[i].group < r->in->desired_groups;
        if (is_there && t->owners[i].state != OWNER_LEAVING) {
            return true;
        }
    }
    return false;
}

static void take_back(struct plan_round *r, const struct unplaced *u)
{
    const struct plan_target *t = &r->in->targets[u->target];
    size_t kept = 0;
    for (size_t i = 0; i < r->actions.len; i++) {
        if (!is_action_of(&r->actions.items[i], t)) {
            r->actions.items[kept++] = r->actions.items[i];
        }
    }
    r->held += r->actions.len - kept;
    r->actions.len = kept;
    if (r->plan->target_states[u->target] == LEDGER_ASSIGNED && !is_owned(r, t)) {
        round_state(r, u->target, u->failover ? LEDGER_UNREACHABLE : LEDGER_PENDING,
                    "has room, waits until the other parts have, too");
    }
}

void round_hold_gangs(struct plan_round *r)
{
    VEC(struct unplaced) missing = {0};
    vec_foreach(u, &r->unplaced) {
        if (r->in->targets[u->target].take_over != NULL && !u->moving && u->missing > 0) {
            *vec_push(&missing) = *u;
        }
    }
    vec_foreach(u, &r->unplaced) {
        const struct plan_target *t = &r->in->targets[u->target];
        if (missing.len > 0 && t->take_over != NULL && is_held_back(missing.items, missing.len, r->in, t)) {
            take_back(r, u);
        }
    }
    vec_done(&missing);
}
