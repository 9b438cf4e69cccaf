/* Moving what has a place: here off a group over its high mark; plan_even.c has the
 * other reasons.
 *
 * A target is moved only when it is at home in the plain sense (one assigned owner per wanted replica, no move under
 * way, no action in this round), measured, not vanished, and not moved within the cool-down; and only where it fits
 * below the low mark, so that no move makes another one necessary. A target larger than the low mark is never moved:
 * it would be alone on any group. Which targets leave: in descending size what does not overshoot, then the smallest
 * that ends it, so that few move. */
#include "balancer/plan_moves.h"

/* ---- what may move ---- */

bool round_is_movable(const struct plan_round *r, size_t index)
{
    const struct plan_target *t = &r->in->targets[index];
    uint32_t assigned = 0;
    for (uint32_t i = 0; i < t->owner_count; i++) {
        if (t->owners[i].state == OWNER_IN_TRANSFER) {
            return false;
        }
        const struct round_group *owner = round_group_find(r, t->owners[i].group);
        bool is_there = owner != NULL ? !owner->lost : t->owners[i].group < r->in->desired_groups;
        assigned += t->owners[i].state == OWNER_ASSIGNED && is_there;
    }
    bool cools = t->last_move_ms != 0 && r->in->now_ms - t->last_move_ms < r->in->limits.move_cool_down_ms;
    return !cools && !t->pinned && !t->gone && !t->vanished && r->touched[index] == 0 && assigned == round_want(t);
}

static bool is_within(const struct need *need, const uint64_t mark[DIM_COUNT])
{
    return need->v[DIM_SERIES] <= mark[DIM_SERIES] && need->v[DIM_SCRAPED] <= mark[DIM_SCRAPED];
}

struct candidates *round_candidates(struct plan_round *r, const uint8_t *wanted, bool everything)
{
    struct candidates *lists = arena_alloc(r->arena, ((size_t)r->group_count + 1) * sizeof(*lists));
    for (size_t i = 0; i < r->in->target_count; i++) {
        const struct plan_target *t = &r->in->targets[i];
        for (uint32_t k = 0; k < t->owner_count; k++) {
            const struct round_group *g = round_group_find(r, t->owners[k].group);
            if (g == NULL || !wanted[round_group_pos(r, g)] || t->owners[k].state != OWNER_ASSIGNED || t->gone ||
                t->vanished) {
                continue;
            }
            struct need need = round_need(r, t);
            bool useful = t->size_known && is_within(&need, g->low) && round_is_movable(r, i);
            if (everything ? t->want_replicas != PLAN_EVERY_GROUP : useful) {
                *vec_push(&lists[round_group_pos(r, g)]) = (struct candidate){need, i, false};
            }
        }
    }
    return lists;
}

void round_candidates_free(const struct plan_round *r, struct candidates *lists)
{
    for (uint32_t i = 0; i < r->group_count; i++) {
        vec_done(&lists[i]);
    }
}

struct order {
    const struct plan_round *r;
    int dim;
};

static int candidate_compare(const void *a, const void *b, void *data)
{
    const struct candidate *x = a, *y = b;
    const struct order *o = data;
    if (x->need.v[o->dim] != y->need.v[o->dim]) {
        return x->need.v[o->dim] > y->need.v[o->dim] ? -1 : 1;
    }
    return round_target_compare(o->r, x->target, y->target);
}

void round_candidates_sort(const struct plan_round *r, struct candidates *list, int dim)
{
    struct order order = {r, dim};
    if (list->len > 1) {
        qsort_r(list->items, list->len, sizeof(*list->items), candidate_compare, &order);
    }
}

void round_list_owners(struct plan_round *r, const struct plan_target *t)
{
    vec_clear(&r->scratch);
    for (uint32_t i = 0; i < t->owner_count; i++) {
        const struct round_group *g = round_group_find(r, t->owners[i].group);
        if (g != NULL && t->owners[i].state != OWNER_LEAVING) {
            *vec_push(&r->scratch) = round_group_pos(r, g);
        }
    }
    for (uint32_t i = 0; t->is_part && i < r->group_count; i++) {
        if (r->groups[i].in->whole_only) {
            *vec_push(&r->scratch) = i;
        }
    }
}

void round_move_begin(struct plan_round *r, struct round_group *from, struct round_group *to, struct candidate *c,
                      const char *reason)
{
    round_act(r, PLAN_MOVE_START, c->target, from->id, to->id, reason);
    round_state(r, c->target, LEDGER_IN_TRANSFER, reason);
    for (int d = 0; d < DIM_COUNT; d++) {
        from->outgoing[d] += c->need.v[d];
    }
    c->taken = true;
    r->moves_left--;
}

/* ---- relieve ---- */

static uint64_t excess_of(const struct round_group *g, int dim)
{
    uint64_t pressure = round_group_pressure(g, dim);
    return pressure > g->low[dim] ? pressure - g->low[dim] : 0;
}

static void relieve_one(struct plan_round *r, struct round_group *g, struct candidate *c)
{
    const struct plan_target *t = &r->in->targets[c->target];
    if (r->touched[c->target] != 0) {
        return; /* its other replica moves in this round */
    }
    round_list_owners(r, t);
    int64_t pos = round_find_place(r, &c->need, t->zone, r->scratch.items, r->scratch.len, UINT32_MAX);
    if (pos >= 0) {
        round_group_add(r, &r->groups[pos], &c->need, true, false);
        round_move_begin(r, g, &r->groups[pos], c, "its shard is over the high mark");
    }
}

/* What has to leave and finds no room: a reason to scale, when it is the targets and not an old head that fill the
 * group. */
static void note_overflow(struct plan_round *r, const struct round_group *g, struct candidates *list, int dim)
{
    uint64_t active = g->sum[dim] > g->outgoing[dim] ? g->sum[dim] - g->outgoing[dim] : 0;
    uint64_t excess = active > g->high[dim] ? active - g->low[dim] : 0;
    for (size_t i = list->len; i-- > 0 && excess > 0;) {
        struct candidate *c = &list->items[i];
        if (!c->taken && c->need.v[dim] > 0) {
            struct unplaced *u = vec_push(&r->unplaced);
            r->overflow++;
            *u = (struct unplaced){.need = c->need, .target = c->target, .missing = 1, .moving = true};
            excess -= c->need.v[dim] < excess ? c->need.v[dim] : excess;
        }
    }
}

static void relieve_group(struct plan_round *r, struct round_group *g, struct candidates *list)
{
    for (int dim = 0; dim < DIM_COUNT; dim++) {
        if (round_group_pressure(g, dim) <= g->high[dim] || g->own < 2) {
            continue;
        }
        round_candidates_sort(r, list, dim);
        for (size_t i = 0; i < list->len && r->moves_left > 0; i++) {
            struct candidate *c = &list->items[i];
            if (!c->taken && c->need.v[dim] > 0 && c->need.v[dim] <= excess_of(g, dim)) {
                relieve_one(r, g, c);
            }
        }
        for (size_t i = list->len; i-- > 0 && r->moves_left > 0 && excess_of(g, dim) > 0;) {
            struct candidate *c = &list->items[i];
            if (!c->taken && c->need.v[dim] >= excess_of(g, dim)) {
                relieve_one(r, g, c);
            }
        }
        if (r->moves_left > 0) {
            note_overflow(r, g, list, dim);
        }
    }
}

struct hot {
    double fill;
    uint32_t pos;
};

static int hot_compare(const void *a, const void *b)
{
    const struct hot *x = a, *y = b;
    if (x->fill < y->fill || x->fill > y->fill) {
        return x->fill > y->fill ? -1 : 1;
    }
    return (x->pos > y->pos) - (x->pos < y->pos);
}

double round_pressure_fill(const struct round_group *g)
{
    uint64_t load[DIM_COUNT] = {round_group_pressure(g, DIM_SERIES), round_group_pressure(g, DIM_SCRAPED)};
    return round_group_fill(g, load);
}

void round_relieve(struct plan_round *r)
{
    if (!r->in->limits.relieve) {
        return;
    }
    uint8_t *wanted = arena_alloc(r->arena, (size_t)r->group_count + 1);
    struct hot *hot = arena_alloc(r->arena, ((size_t)r->group_count + 1) * sizeof(*hot));
    size_t len = 0;
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct round_group *g = &r->groups[i];
        if (g->ready && (round_group_pressure(g, DIM_SERIES) > g->high[DIM_SERIES] ||
                         round_group_pressure(g, DIM_SCRAPED) > g->high[DIM_SCRAPED])) {
            wanted[i] = 1;
            hot[len++] = (struct hot){round_pressure_fill(g), i};
        }
    }
    if (len == 0) {
        return;
    }
    qsort(hot, len, sizeof(*hot), hot_compare);
    struct candidates *lists = round_candidates(r, wanted, false);
    for (size_t i = 0; i < len; i++) {
        relieve_group(r, &r->groups[hot[i].pos], &lists[hot[i].pos]);
    }
    round_candidates_free(r, lists);
}
