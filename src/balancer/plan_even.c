/* Draining and evening out: the two reasons to move what is not too much for its shard.
 *
 * Draining: when everything on the last group fits below the low mark in those before it, it is moved there, so that
 * the group falls idle and can go. It is all or nothing: a group that would be left half full is not touched. Nothing
 * is drained while anything is unknown: a group that is not ready, a target not measured yet or without room.
 *
 * Evening out: when the fullest group is over the threshold times the mean, it gives to the emptiest, if that lowers
 * the fuller of the two by a tenth. The fuller of the pair falls with every exchange, so this ends; and it leaves
 * alone what draining empties. */
#include "balancer/plan_moves.h"

#define EVEN_OUT_GAIN  0.10
#define EVEN_OUT_FLOOR 0.10 /* of the limit: below it unevenness harms nobody */

/* ---- drain ---- */

/* The position of the highest group with targets of its own; -1 = none. */
static int64_t last_used(const struct plan_round *r)
{
    for (uint32_t i = r->group_count; i-- > 0;) {
        if (r->groups[i].own > 0) {
            return i;
        }
    }
    return -1;
}

static bool may_drain(const struct plan_round *r, int64_t last)
{
    const struct plan_input *in = r->in;
    uint32_t floor = in->limits.min_groups > 1 ? in->limits.min_groups : 1;
    bool quiet =
        r->waiting == 0 && r->exploring == 0 && r->overflow == 0 && in->complete && r->ready_count == r->group_count;
    return in->limits.max_idle_ms > 0 && quiet && r->group_count >= in->desired_groups && last >= (int64_t)floor &&
           r->groups[last].incoming == 0;
}

static bool has_total_room(const struct plan_round *r, int64_t last)
{
    uint64_t room[DIM_COUNT] = {0};
    for (int64_t i = 0; i < last; i++) {
        for (int d = 0; d < DIM_COUNT; d++) {
            uint64_t load = round_group_load(&r->groups[i], d);
            uint64_t mark = r->groups[i].own == 0 ? r->groups[i].limit[d] : r->groups[i].low[d];
            room[d] += mark > load ? mark - load : 0;
        }
    }
    const struct round_group *g = &r->groups[last];
    for (int d = 0; d < DIM_COUNT; d++) {
        uint64_t stays = g->outgoing[d] + r->base[d];
        if (g->sum[d] > stays && g->sum[d] - stays > room[d]) {
            return false;
        }
    }
    return true;
}

static void unplace(struct plan_round *r, uint32_t pos, const struct need *need)
{
    round_group_drop(r, &r->groups[pos], need, true, false);
    r->groups[pos].entries--;
}

/* Places all of the list below `last`; the positions go to `to`. All or nothing. */
static bool place_all(struct plan_round *r, const struct candidates *list, uint32_t last, uint32_t *to)
{
    for (size_t i = 0; i < list->len; i++) {
        const struct plan_target *t = &r->in->targets[list->items[i].target];
        round_list_owners(r, t);
        int64_t pos = round_find_place(r, &list->items[i].need, t->zone, r->scratch.items, r->scratch.len, last);
        if (pos < 0) {
            while (i-- > 0) {
                unplace(r, to[i], &list->items[i].need);
            }
            return false;
        }
        to[i] = (uint32_t)pos;
        round_group_add(r, &r->groups[pos], &list->items[i].need, true, false);
    }
    return true;
}

/* True when the last group can be emptied (and as much of it as the budget allows is on its way). */
static bool drain_last(struct plan_round *r, int64_t last)
{
    if (!may_drain(r, last) || !has_total_room(r, last)) {
        return false;
    }
    uint8_t *wanted = arena_alloc(r->arena, (size_t)r->group_count + 1);
    wanted[last] = 1;
    struct candidates *lists = round_candidates(r, wanted, true);
    struct candidates *list = &lists[last];
    round_candidates_sort(r, list, DIM_SERIES);
    uint32_t *to = arena_alloc(r->arena, (list->len + 1) * sizeof(*to));
    bool fits = place_all(r, list, (uint32_t)last, to);
    for (size_t i = 0; fits && i < list->len; i++) {
        struct candidate *c = &list->items[i];
        if (r->moves_left > 0 && round_is_movable(r, c->target)) {
            round_move_begin(r, &r->groups[last], &r->groups[to[i]], c, "everything on the last shard fits elsewhere");
        } else {
            unplace(r, to[i], &c->need);
        }
    }
    round_candidates_free(r, lists);
    return fits;
}

/* ---- even out ---- */

struct pair {
    struct round_group *full, *empty;
    uint64_t full_load[DIM_COUNT], empty_load[DIM_COUNT];
};

/* Would the exchange leave the full one at least as full as the empty one, and the empty one below the low mark? */
static bool pair_take(struct pair *p, const struct need *need)
{
    uint64_t full[DIM_COUNT], empty[DIM_COUNT];
    for (int d = 0; d < DIM_COUNT; d++) {
        full[d] = p->full_load[d] - (need->v[d] < p->full_load[d] ? need->v[d] : p->full_load[d]);
        empty[d] = p->empty_load[d] + need->v[d];
        if (empty[d] > p->empty->low[d]) {
            return false;
        }
    }
    if (round_group_fill(p->empty, empty) > round_group_fill(p->full, full)) {
        return false;
    }
    memcpy(p->full_load, full, sizeof(full));
    memcpy(p->empty_load, empty, sizeof(empty));
    return true;
}

static bool is_owner(struct plan_round *r, const struct plan_target *t, const struct round_group *g)
{
    round_list_owners(r, t);
    for (size_t i = 0; i < r->scratch.len; i++) {
        if (r->scratch.items[i] == round_group_pos(r, g)) {
            return true;
        }
    }
    return false;
}

/* Moves from the fullest to the emptiest when that gains enough; false when it does not. */
static bool even_pair(struct plan_round *r, struct round_group *full, struct round_group *empty,
                      struct candidates *list)
{
    struct pair p = {.full = full, .empty = empty};
    for (int d = 0; d < DIM_COUNT; d++) {
        p.full_load[d] = round_group_pressure(full, d);
        p.empty_load[d] = round_group_load(empty, d);
    }
    double before = round_group_fill(full, p.full_load);
    size_t *chosen = mem_calloc(list->len + 1, sizeof(*chosen));
    size_t count = 0;
    for (size_t i = 0; i < list->len; i++) {
        const struct candidate *c = &list->items[i];
        if (r->touched[c->target] == 0 && !is_owner(r, &r->in->targets[c->target], empty) && pair_take(&p, &c->need)) {
            chosen[count++] = i;
        }
    }
    bool gains = count > 0 && round_group_fill(full, p.full_load) <= before * (1 - EVEN_OUT_GAIN);
    for (size_t i = 0; gains && i < count && r->moves_left > 0; i++) {
        struct candidate *c = &list->items[chosen[i]];
        round_group_add(r, empty, &c->need, true, false);
        round_move_begin(r, full, empty, c, "loads are uneven: from the fullest shard to the emptiest");
    }
    free(chosen);
    return gains;
}

/* Positions of the fullest group not in `done` and of the emptiest, among the first `count`; the mean is over the
 * ready ones. */
static bool find_extremes(const struct plan_round *r, uint32_t count, const uint8_t *done, uint32_t *ret_full,
                          uint32_t *ret_empty, double *ret_mean)
{
    double most = -1, least = -1, total = 0;
    uint32_t ready = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct round_group *g = &r->groups[i];
        if (!g->ready) {
            continue;
        }
        uint64_t load[DIM_COUNT] = {round_group_load(g, DIM_SERIES), round_group_load(g, DIM_SCRAPED)};
        double fill = round_group_fill(g, load), pressure = round_pressure_fill(g);
        total += pressure;
        ready++;
        if (least < 0 || fill < least) {
            least = fill;
            *ret_empty = i;
        }
        if (!done[i] && pressure > most) {
            most = pressure;
            *ret_full = i;
        }
    }
    *ret_mean = ready > 0 ? total / ready : 0;
    return ready > 1 && most > EVEN_OUT_FLOOR && most > *ret_mean * r->in->limits.even_out_threshold &&
           *ret_full != *ret_empty;
}

static void even_out(struct plan_round *r, uint32_t count)
{
    uint8_t *done = arena_alloc(r->arena, (size_t)r->group_count + 1), *wanted = NULL;
    struct candidates *lists = NULL;
    uint32_t full = 0, empty = 0;
    double mean = 0;
    while (r->moves_left > 0 && find_extremes(r, count, done, &full, &empty, &mean)) {
        if (lists == NULL) {
            wanted = arena_alloc(r->arena, (size_t)r->group_count + 1);
            for (uint32_t i = 0; i < count; i++) {
                wanted[i] = round_pressure_fill(&r->groups[i]) > mean * r->in->limits.even_out_threshold;
            }
            lists = round_candidates(r, wanted, false);
            for (uint32_t i = 0; i < count; i++) {
                round_candidates_sort(r, &lists[i], DIM_SERIES);
            }
        }
        if (!even_pair(r, &r->groups[full], &r->groups[empty], &lists[full])) {
            done[full] = 1;
        }
    }
    if (lists != NULL) {
        round_candidates_free(r, lists);
    }
}

void round_drain_or_even_out(struct plan_round *r)
{
    int64_t last = last_used(r);
    if (last < 0 || r->moves_left == 0 || drain_last(r, last) || r->in->limits.even_out_threshold <= 0) {
        return;
    }
    uint32_t count = r->group_count;
    if (r->first_fit) {
        uint32_t used = (uint32_t)last + 1, floor = r->in->limits.min_groups;
        count = used > floor ? used : floor < r->group_count ? floor : r->group_count;
    }
    if (r->held == 0) { /* what is kept free for a gang is not load yet */
        even_out(r, count);
    }
}
