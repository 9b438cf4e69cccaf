/* Who owns what: forgets what is gone, ends moves that are proven, undoes those that cannot be, resolves targets with
 * too many owners, and lists those with too few.
 *
 * An owner counts while its group is listed and not lost. A group below the platform's number that is not listed is a
 * missing answer, not a missing group (guarantee 2): it keeps its targets. Nothing is ever taken from a group before as
 * many others as the target wants have proved themselves by good scrapes of their own; when the group that gives up
 * sees the target down as well, attempts are proof enough, or a dead target could never be moved. The plan changes
 * the wish; a group that is silent learns it when it is back. */
#include "balancer/plan_round.h"

#define LONG_INTERVAL_MS  120000
#define HOPELESS_ATTEMPTS 10 /* of a destination that never gets what the source still gets */

struct owned {
    const struct plan_owner *owner;
    struct round_group *group; /* NULL: silent, not listed */
    bool proven;
};

/* The owners of one target, sorted out. */
struct ownership {
    size_t target;
    const struct plan_target *t;
    struct need need;
    uint32_t want, proof;
    VEC(struct owned) assigned, transfers, lost; /* lost: of a lost group, in any of the two states */
};

static void drop_owner(struct plan_round *r, const struct ownership *os, const struct owned *o)
{
    if (o->group != NULL) {
        round_group_drop(r, o->group, &os->need, o->owner->scrapes == 0, os->t->want_replicas == PLAN_EVERY_GROUP);
    }
}

static bool is_answering(const struct owned *o)
{
    return o->group != NULL && o->group->answers;
}

static void ownership_sort(struct plan_round *r, struct ownership *os)
{
    for (uint32_t i = 0; i < os->t->owner_count; i++) {
        const struct plan_owner *o = &os->t->owners[i];
        struct round_group *g = round_group_find(r, o->group);
        if (o->state == OWNER_LEAVING || (g == NULL && o->group >= r->in->desired_groups)) {
            continue;
        }
        struct owned owned = {o, g, o->good_scrapes >= os->proof};
        if (g != NULL && g->lost) {
            *vec_push(&os->lost) = owned;
        } else if (o->state == OWNER_IN_TRANSFER) {
            *vec_push(&os->transfers) = owned;
        } else {
            *vec_push(&os->assigned) = owned;
        }
    }
}

/* Whom to keep: those that can be reached first, then the proven, the longest proven, the lowest ordinal. */
static int keep_compare(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    bool x_ready = x->group != NULL && x->group->ready, y_ready = y->group != NULL && y->group->ready;
    if (x_ready != y_ready) {
        return x_ready ? -1 : 1;
    }
    if (x->proven != y->proven) {
        return x->proven ? -1 : 1;
    }
    if (x->owner->good_scrapes != y->owner->good_scrapes) {
        return x->owner->good_scrapes > y->owner->good_scrapes ? -1 : 1;
    }
    return (x->owner->group > y->owner->group) - (x->owner->group < y->owner->group);
}

static int group_order(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    return (x->owner->group > y->owner->group) - (x->owner->group < y->owner->group);
}

static void owned_sort(struct owned *items, size_t len, int (*compare)(const void *a, const void *b))
{
    if (len > 1) {
        qsort(items, len, sizeof(*items), compare);
    }
}

/* May the `leaver` go, given those who stay? */
static bool is_proven_without(const struct ownership *os, const struct owned *leaver)
{
    for (uint32_t i = 0; i < os->want; i++) {
        const struct owned *o = &os->assigned.items[i];
        bool as_good = leaver->owner->health == TARGET_HEALTH_DOWN && o->owner->scrapes >= os->proof;
        if (o->group == NULL || !o->group->ready || (!o->proven && !as_good)) {
            return false;
        }
    }
    return true;
}

static void undo_moves(struct plan_round *r, struct ownership *os)
{
    int64_t to = -1;
    for (size_t i = os->lost.len; i-- > 0;) {
        to = os->lost.items[i].owner->state == OWNER_ASSIGNED ? (int64_t)os->lost.items[i].owner->group : to;
    }
    size_t missing = os->want - os->assigned.len;
    for (size_t i = 0; i < os->transfers.len && missing > 0; i++, missing--) {
        const struct owned *o = &os->transfers.items[i];
        round_act(r, PLAN_MOVE_UNDO, os->target, o->owner->group, to, "the destination of the move is gone");
        if (is_answering(o)) {
            round_state(r, os->target, LEDGER_ASSIGNED, "its move was undone: the destination is gone");
        } else {
            round_state(r, os->target, LEDGER_UNREACHABLE,
                        "its shard does not answer, and the destination of its move is gone");
        }
    }
}

/* A destination that never gets what the source still gets: somebody has to give up. */
static bool undo_hopeless(struct plan_round *r, struct ownership *os)
{
    for (size_t d = 0; d < os->assigned.len; d++) {
        const struct owned *to = &os->assigned.items[d];
        if (to->owner->good_scrapes > 0 || to->owner->scrapes < HOPELESS_ATTEMPTS) {
            continue;
        }
        for (size_t s = 0; s < os->transfers.len; s++) {
            const struct owned *from = &os->transfers.items[s];
            if (from->owner->health == TARGET_HEALTH_UP && is_answering(from)) {
                round_act(r, PLAN_MOVE_UNDO, os->target, from->owner->group, to->owner->group,
                          "the destination cannot scrape what the source can");
                drop_owner(r, os, to);
                round_state(r, os->target, LEDGER_ASSIGNED,
                            "its move was undone: the destination could not scrape it");
                return true;
            }
        }
    }
    return false;
}

static void note_outgoing(const struct ownership *os, const struct owned *o)
{
    if (o->group != NULL) {
        for (int d = 0; d < DIM_COUNT; d++) {
            o->group->outgoing[d] += os->need.v[d];
        }
    }
}

/* Moves under way and doubles: whoever is not among the `want` best goes when those have proved themselves. */
static void end_surplus(struct plan_round *r, struct ownership *os)
{
    bool is_move = os->transfers.len > 0;
    owned_sort(os->assigned.items, os->assigned.len, keep_compare);
    for (size_t i = 0; i < os->assigned.len; i++) {
        if (os->assigned.items[i].group != NULL) {
            os->assigned.items[i].group->incoming += is_move;
        }
    }
    for (size_t i = os->want; i < os->assigned.len; i++) {
        *vec_push(&os->transfers) = os->assigned.items[i];
    }
    if (is_move && undo_hopeless(r, os)) {
        return;
    }
    round_state(r, os->target, LEDGER_IN_TRANSFER,
                is_move ? "waits for good scrapes by the destination"
                        : "two shards have it; one ends when the other is proven");
    bool all_ended = true;
    for (size_t i = 0; i < os->transfers.len; i++) {
        const struct owned *o = &os->transfers.items[i];
        if (!is_proven_without(os, o)) {
            note_outgoing(os, o);
            all_ended = false;
            continue;
        }
        round_act(r, PLAN_MOVE_FINISH, os->target, o->owner->group, os->assigned.items[0].owner->group,
                  o->owner->state == OWNER_IN_TRANSFER ? "the destination has proved itself"
                                                       : "another shard has it and is proven");
        drop_owner(r, os, o);
    }
    if (all_ended) {
        round_state(r, os->target, LEDGER_ASSIGNED, NULL);
    }
}

/* Failed over and proven elsewhere: the lost group is not to go on when it is back. */
static void end_lost(struct plan_round *r, struct ownership *os)
{
    for (size_t i = 0; i < os->lost.len; i++) {
        const struct owned *o = &os->lost.items[i];
        if (is_proven_without(os, o)) {
            round_act(r, PLAN_MOVE_FINISH, os->target, o->owner->group, os->assigned.items[0].owner->group,
                      "its shard was lost, and another one is proven");
            drop_owner(r, os, o);
        }
    }
}

static void note_missing(struct plan_round *r, struct ownership *os)
{
    size_t have = os->assigned.len + os->transfers.len;
    if (have >= os->want) {
        return;
    }
    struct unplaced *u = vec_push(&r->unplaced);
    u->need = os->need;
    u->target = os->target;
    u->missing = (uint32_t)(os->want - have);
    u->failover = os->lost.len > 0;
    u->held = have > 0;
}

static void state_of_owned(struct plan_round *r, const struct ownership *os)
{
    bool any_answers = false, any_ready = false;
    for (size_t i = 0; i < os->assigned.len; i++) {
        any_answers = any_answers || is_answering(&os->assigned.items[i]);
        any_ready = any_ready || (os->assigned.items[i].group != NULL && os->assigned.items[i].group->ready);
    }
    if (any_ready) {
        round_state(r, os->target, LEDGER_ASSIGNED, NULL);
    } else if (any_answers) {
        round_state(r, os->target, LEDGER_ASSIGNED, "its shard is starting");
    } else {
        round_state(r, os->target, LEDGER_UNREACHABLE,
                    "its shard does not answer; it keeps the target for the grace period");
    }
}

static void forget(struct plan_round *r, struct ownership *os)
{
    round_act(r, PLAN_FORGET, os->target, -1, -1, "gone from discovery for longer than the grace");
    round_state(r, os->target, LEDGER_LEAVING, "gone from discovery for longer than the grace");
    for (uint32_t i = 0; i < os->t->owner_count; i++) {
        const struct plan_owner *o = &os->t->owners[i];
        struct owned owned = {o, round_group_find(r, o->group), false};
        if (o->state != OWNER_LEAVING) {
            drop_owner(r, os, &owned);
        }
    }
}

/* On every group: what is listed and ready shall have it; nothing is ever surplus. */
static void settle_everywhere(struct plan_round *r, struct ownership *os)
{
    for (size_t i = 0; i < os->transfers.len; i++) {
        round_act(r, PLAN_MOVE_UNDO, os->target, os->transfers.items[i].owner->group, -1,
                  "it belongs on every shard");
        *vec_push(&os->assigned) = os->transfers.items[i];
    }
    state_of_owned(r, os);
    struct unplaced *u = vec_push(&r->unplaced);
    u->need = os->need;
    u->target = os->target;
    u->missing = PLAN_EVERY_GROUP;
    u->held = os->assigned.len > 0;
}

static void settle_present(struct plan_round *r, struct ownership *os)
{
    owned_sort(os->transfers.items, os->transfers.len, group_order);
    owned_sort(os->lost.items, os->lost.len, group_order);
    if (os->t->want_replicas == PLAN_EVERY_GROUP) {
        settle_everywhere(r, os);
        return;
    }
    state_of_owned(r, os);
    if (os->transfers.len > 0 && os->assigned.len < os->want) {
        undo_moves(r, os);
    } else if (os->transfers.len > 0 || os->assigned.len > os->want) {
        end_surplus(r, os);
    } else if (os->lost.len > 0 && os->assigned.len >= os->want) {
        owned_sort(os->assigned.items, os->assigned.len, keep_compare);
        end_lost(r, os);
    }
    if (os->assigned.len + os->transfers.len > 0 && round_is_too_big(r, &os->need)) {
        round_state(r, os->target, LEDGER_TOO_BIG, "it has outgrown an empty shard; its shard keeps scraping it");
    }
    note_missing(r, os);
}

static void settle_target(struct plan_round *r, struct ownership *os)
{
    const struct plan_target *t = os->t;
    ownership_sort(r, os);
    if (t->gone || t->vanished) {
        bool forgotten = t->gone && r->in->complete;
        if (os->assigned.len > 0) {
            *vec_push(&r->twins) = (struct twin){t->place_key, os->target, forgotten, false};
        }
        if (forgotten) {
            forget(r, os);
        } else {
            round_state(r, os->target, LEDGER_LEAVING, "vanished from discovery; kept for the grace period");
        }
        return;
    }
    settle_present(r, os);
}

static int twin_compare(const void *a, const void *b, void *data)
{
    const struct twin *x = a, *y = b;
    if (x->place_key != y->place_key) {
        return x->place_key < y->place_key ? -1 : 1;
    }
    return round_target_compare(data, x->target, y->target);
}

void round_settle_owners(struct plan_round *r)
{
    struct ownership os = {0};
    vec_reserve(&r->unplaced, r->odd.len);
    vec_foreach(index, &r->odd) {
        const struct plan_target *t = &r->in->targets[*index];
        if (index + PREFETCH_AHEAD < r->odd.items + r->odd.len) {
            __builtin_prefetch(&r->in->targets[index[PREFETCH_AHEAD]]);
            __builtin_prefetch(&r->in->targets[index[PREFETCH_AHEAD]].want_replicas);
        }
        os.target = *index;
        os.t = t;
        os.need = round_need(r, t);
        os.want = round_want(t);
        os.proof =
            t->interval_ms > LONG_INTERVAL_MS || r->in->limits.move_scrapes == 0 ? 1 : r->in->limits.move_scrapes;
        vec_clear(&os.lost);
        vec_clear(&os.assigned);
        vec_clear(&os.transfers);
        settle_target(r, &os);
    }
    vec_done(&os.assigned);
    vec_done(&os.transfers);
    vec_done(&os.lost);
    if (r->twins.len > 0) {
        qsort_r(r->twins.items, r->twins.len, sizeof(struct twin), twin_compare, r);
    }
}
