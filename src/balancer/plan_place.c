/* Placing what has no owner: the largest first, so that the small ones fill the gaps.
 *
 * With scale-down on, the first group by ordinal with room is taken, so that the last ones stay empty and can go;
 * otherwise the one that is emptiest by share of its limit. The mark a group is filled to is the low mark, except
 * that an empty group takes any target up to its limit: a giant must live somewhere, and what does not even fit so is
 * too big for good. A zone is preferred as long as its best group is not much fuller than the best of all (first fit:
 * as long as it has room). A target with the place_key of a vanished one takes over its groups, unexplored even, and
 * the old one is forgotten at once: it is the same endpoint under new labels. */
#include "balancer/plan_moves.h"

#include <math.h>

int64_t round_find_place(struct plan_round *r, const struct need *need, const char *zone, const uint32_t *exclude,
                         size_t exclude_count, uint32_t below)
{
    struct fit_exclude ex = {exclude, exclude_count, below};
    const struct round_zone *z = round_zone_find(r, zone);
    if (r->first_fit) {
        int64_t near = z != NULL ? fit_tree_first(&z->tree, need, &ex) : -1;
        return near >= 0 ? near : fit_tree_first(&r->tree, need, &ex);
    }
    int64_t any = fit_tree_emptiest(&r->tree, need, &ex);
    int64_t near = z != NULL && any >= 0 ? fit_tree_emptiest(&z->tree, need, &ex) : -1;
    if (near < 0) {
        return any;
    }
    const struct fit_leaf *leaves = r->tree.nodes + r->tree.size;
    return leaves[near].fill - leaves[any].fill <= r->in->limits.zone_imbalance ? near : any;
}

static bool scratch_has(const struct plan_round *r, uint32_t pos)
{
    for (size_t i = 0; i < r->scratch.len; i++) {
        if (r->scratch.items[i] == pos) {
            return true;
        }
    }
    return false;
}

static void assign(struct plan_round *r, struct unplaced *u, uint32_t pos, const char *reason)
{
    struct round_group *g = &r->groups[pos];
    bool everywhere = r->in->targets[u->target].want_replicas == PLAN_EVERY_GROUP;
    round_act(r, PLAN_ASSIGN, u->target, -1, g->id, reason);
    round_group_add(r, g, &u->need, true, everywhere);
    *vec_push(&r->scratch) = pos;
    u->missing -= u->missing == PLAN_EVERY_GROUP ? 0 : 1;
    u->held = true;
    if (r->plan->target_states[u->target] != LEDGER_IN_TRANSFER) {
        round_state(r, u->target, LEDGER_ASSIGNED, NULL);
    }
}

static void note_unplaced(struct plan_round *r, struct unplaced *u)
{
    if (!u->held && round_is_too_big(r, &u->need)) {
        round_state(r, u->target, LEDGER_TOO_BIG,
                    arena_printf(r->arena, "%llu series (%llu scraped) do not fit an empty shard of %llu (%llu)",
                                 (unsigned long long)u->need.v[DIM_SERIES], (unsigned long long)u->need.v[DIM_SCRAPED],
                                 (unsigned long long)r->sizes[0].v[DIM_SERIES],
                                 (unsigned long long)r->sizes[0].v[DIM_SCRAPED]));
        return;
    }
    const struct plan_take_over *to = r->in->targets[u->target].take_over;
    u->tried = to == NULL || !to->is_optional;
    r->waiting += u->tried;
    if (u->held) {
        r->plan->target_reasons[u->target] = "waits for room for its other replicas";
    } else if (u->failover) {
        round_state(r, u->target, LEDGER_UNREACHABLE, "its shard is lost and no other has room yet");
    } else {
        round_state(r, u->target, LEDGER_PENDING,
                    r->ready_count == 0 ? "no shard is ready" : "no shard has room below the low mark");
    }
}

/* Places what is missing; r->scratch holds the positions it may not go to. */
static void place_missing(struct plan_round *r, struct unplaced *u)
{
    const struct plan_target *t = &r->in->targets[u->target];
    const char *reason = u->failover    ? "its shard is lost: placed elsewhere"
                         : r->first_fit ? "first shard with room"
                                        : "emptiest shard";
    while (u->missing > 0) {
        int64_t pos = round_find_place(r, &u->need, t->zone, r->scratch.items, r->scratch.len, UINT32_MAX);
        if (pos < 0) {
            note_unplaced(r, u);
            return;
        }
        assign(r, u, (uint32_t)pos, reason);
    }
    r->failovers_left -= u->failover && r->failovers_left > 0;
}

/* ---- affinity ---- */

static struct twin *twin_find(struct plan_round *r, const struct plan_target *t)
{
    size_t lo = 0, hi = r->twins.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->twins.items[mid].place_key < t->place_key) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < r->twins.len && r->twins.items[lo].place_key == t->place_key; lo++) {
        if (!r->twins.items[lo].used && strcmp(r->in->targets[r->twins.items[lo].target].job, t->job) == 0) {
            return &r->twins.items[lo];
        }
    }
    return NULL;
}

/* Between the marks a group keeps what it had: up to the high mark, and never refused when it needs no more than its
 * twin. */
static bool fits_for_twin(const struct round_group *g, const struct need *need, const struct need *twin,
                          bool is_counted)
{
    for (int d = 0; d < DIM_COUNT; d++) {
        uint64_t load = round_group_load(g, d), credit = is_counted ? twin->v[d] : 0;
        load -= credit < load ? credit : load;
        if (need->v[d] > twin->v[d] && load + need->v[d] > g->high[d]) {
            return false;
        }
    }
    return true;
}

/* The ready group with the lowest ordinal above `after` that has the old target; NULL when there is none. */
static struct round_group *next_group(const struct plan_round *r, const struct plan_target *old, int64_t after)
{
    struct round_group *next = NULL;
    for (uint32_t i = 0; i < old->owner_count; i++) {
        struct round_group *g = round_group_find(r, old->owners[i].group);
        if (g != NULL && g->ready && old->owners[i].state == OWNER_ASSIGNED && g->id > after &&
            (next == NULL || g->id < next->id)) {
            next = g;
        }
    }
    return next;
}

/* The endpoint is there, under new labels: there is nothing to wait for, and scraping it under both would double its
 * series. */
static void forget_twin(struct plan_round *r, struct twin *twin)
{
    const struct plan_target *old = &r->in->targets[twin->target];
    struct need need = round_need(r, old);
    round_act(r, PLAN_FORGET, twin->target, -1, -1, "its endpoint goes on under new labels");
    for (uint32_t i = 0; i < old->owner_count; i++) {
        struct round_group *g = round_group_find(r, old->owners[i].group);
        if (g != NULL && old->owners[i].state != OWNER_LEAVING) {
            round_group_drop(r, g, &need, old->owners[i].scrapes == 0, old->want_replicas == PLAN_EVERY_GROUP);
        }
    }
    twin->forgotten = true;
}

static void place_by_twin(struct plan_round *r, struct unplaced *u, struct twin *twin)
{
    const struct plan_target *t = &r->in->targets[u->target], *old = &r->in->targets[twin->target];
    struct need old_need = round_need(r, old);
    if (!t->size_known) {
        u->need = old_need;
    }
    bool any = false;
    twin->used = true;
    round_list_owners(r, t);
    int64_t after = -1;
    for (struct round_group *g; u->missing > 0 && (g = next_group(r, old, after)) != NULL;) {
        after = g->id;
        if (!scratch_has(r, round_group_pos(r, g)) && fits_for_twin(g, &u->need, &old_need, !twin->forgotten)) {
            if (!twin->forgotten) {
                forget_twin(r, twin);
            }
            assign(r, u, round_group_pos(r, g), "same endpoint as a vanished target: keeps its shard");
            any = true;
        }
    }
    if (any) {
        place_missing(r, u);
    }
}

/* ---- what takes over from a part of itself ---- */

/* Where its series are in the head already it needs only what is more of it, and keeps their history. */
static void place_following(struct plan_round *r, struct unplaced *u)
{
    const struct plan_target *t = &r->in->targets[u->target];
    const uint64_t has[DIM_COUNT] = {t->take_over->series, t->take_over->scraped};
    struct round_group *g = round_group_find(r, t->take_over->group);
    struct need more = u->need;
    round_list_owners(r, t);
    if (g == NULL || !g->ready || g->lost || scratch_has(r, round_group_pos(r, g))) {
        return;
    }
    for (int d = 0; d < DIM_COUNT; d++) {
        more.v[d] -= has[d] < more.v[d] ? has[d] : more.v[d];
        uint64_t overhead = d == DIM_SERIES ? r->in->limits.per_target_overhead : 0;
        if (more.v[d] > overhead && round_group_load(g, d) + more.v[d] > g->low[d]) {
            return;
        }
    }
    u->need = more;
    assign(r, u, round_group_pos(r, g), "what it takes over from is there");
}

/* ---- everything else ---- */

static void place_everywhere(struct plan_round *r, struct unplaced *u)
{
    const struct plan_target *t = &r->in->targets[u->target];
    round_list_owners(r, t);
    uint8_t *has = arena_alloc(r->arena, (size_t)r->group_count + 1);
    for (size_t i = 0; i < r->scratch.len; i++) {
        has[r->scratch.items[i]] = 1;
    }
    bool full = false;
    for (uint32_t pos = 0; pos < r->group_count; pos++) {
        struct round_group *g = &r->groups[pos];
        if (has[pos] || !g->ready) {
            continue;
        }
        bool fits = round_group_load(g, DIM_SERIES) + u->need.v[DIM_SERIES] <= g->limit[DIM_SERIES] &&
                    round_group_load(g, DIM_SCRAPED) + u->need.v[DIM_SCRAPED] <= g->limit[DIM_SCRAPED];
        if (fits) {
            assign(r, u, pos, "belongs on every shard");
        }
        full = full || !fits;
    }
    if (!u->held) {
        round_state(r, u->target, LEDGER_PENDING, full ? "no shard has room below its limit" : "no shard is ready");
    } else if (full) {
        r->plan->target_reasons[u->target] = "some shards have no room for it";
    }
}

/* False when it must wait for reasons that are not room. */
static bool may_place(struct plan_round *r, const struct unplaced *u)
{
    const struct plan_target *t = &r->in->targets[u->target];
    if (t->owner_count == 0 && !t->explored && !t->size_known) {
        round_state(r, u->target, LEDGER_EXPLORING, "its first scrape is outstanding");
        r->exploring++;
        return false;
    }
    if (r->unread && t->owner_count == 0) {
        round_state(r, u->target, LEDGER_PENDING, "a shard that may have it has not been read yet");
        return false;
    }
    if (u->failover && r->failovers_left == 0) {
        r->plan->target_reasons[u->target] = "its shard is lost; fail-over is rate limited";
        return false;
    }
    return true;
}

static void place_one(struct plan_round *r, struct unplaced *u)
{
    if (!may_place(r, u)) {
        return;
    }
    if (u->missing == PLAN_EVERY_GROUP) {
        place_everywhere(r, u);
        return;
    }
    round_list_owners(r, &r->in->targets[u->target]);
    place_missing(r, u);
}

/* Ascending keys put those for every group first, then the largest by share of the limit; the bits of a double that
 * is not negative order as it does. What is equal stays by job and hash, as the list is. */
static uint64_t size_key(const struct plan_round *r, const struct unplaced *u)
{
    double weight = 0;
    uint64_t bits;
    for (int d = 0; d < DIM_COUNT; d++) {
        double share = (double)u->need.v[d] / (double)r->fresh_limit.v[d];
        weight = share > weight ? share : weight;
    }
    weight = u->missing == PLAN_EVERY_GROUP ? (double)INFINITY : weight;
    memcpy(&bits, &weight, sizeof(bits));
    return ~bits;
}

static void sort_by_size(struct plan_round *r)
{
    size_t count = r->unplaced.len;
    struct sort_pair *pairs = mem_alloc(count * sizeof(*pairs));
    struct unplaced *sorted = mem_alloc(count * sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (struct sort_pair){size_key(r, &r->unplaced.items[i]), i};
    }
    round_sort_pairs(pairs, count);
    for (size_t i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count) {
            __builtin_prefetch(&r->unplaced.items[pairs[i + PREFETCH_AHEAD].value]);
        }
        sorted[i] = r->unplaced.items[pairs[i].value];
    }
    free(pairs);
    free(r->unplaced.items);
    r->unplaced.items = sorted;
    r->unplaced.cap = count;
}

void round_place(struct plan_round *r)
{
    vec_foreach(u, &r->unplaced) {
        const struct plan_take_over *to = r->in->targets[u->target].take_over;
        if (to != NULL && to->follows && !u->moving && u->missing == 1 && may_place(r, u)) {
            place_following(r, u);
        }
    }
    if (r->twins.len > 0) {
        vec_foreach(u, &r->unplaced) {
            const struct plan_target *t = &r->in->targets[u->target];
            bool has_none = u->moving || u->missing == PLAN_EVERY_GROUP || t->take_over != NULL;
            struct twin *twin = has_none ? NULL : twin_find(r, t);
            if (twin != NULL) {
                place_by_twin(r, u, twin);
            }
        }
    }
    if (r->unplaced.len > 1) {
        sort_by_size(r);
    }
    vec_reserve(&r->actions, r->actions.len + r->unplaced.len);
    for (size_t i = 0; i < r->unplaced.len; i++) {
        struct unplaced *u = &r->unplaced.items[i];
        if (i + PREFETCH_AHEAD < r->unplaced.len) {
            __builtin_prefetch(&r->in->targets[u[PREFETCH_AHEAD].target]);
            __builtin_prefetch(&r->in->targets[u[PREFETCH_AHEAD].target].want_replicas);
            __builtin_prefetch(&r->plan->target_states[u[PREFETCH_AHEAD].target]);
            __builtin_prefetch(&r->plan->target_reasons[u[PREFETCH_AHEAD].target], 1);
        }
        if (!u->moving && !u->tried && u->missing > 0) {
            place_one(r, u);
        }
    }
}
