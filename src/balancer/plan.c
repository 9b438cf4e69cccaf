/* The planner: one pass over the facts, then the phases of a round in their fixed order.
 *
 *   1. forget what is gone, finish or undo moves, resolve doubles           plan_owners.c
 *   2. relieve groups over the high mark                                    plan_moves.c
 *   3. place what has no owner                                              plan_place.c, plan_gang.c
 *   4. drain the last group, or else even out                               plan_even.c
 *   5. scale                                                                scale.c
 *
 * Draining goes before evening out: what the one empties the other would fill again. Targets plainly at home (one
 * owner, which is ready, nothing special) cost one look each; only the others are sorted and thought about, so a
 * settled system costs O(n) and a changed one O(changed log changed). Every list a decision is made from is sorted by
 * keys of its items, so the order of the input never shows. Pure: no clock, no global, no log. It must never take the
 * only scraper from a target. */
#include "balancer/plan_round.h"
#include "base/hash.h"

#include <math.h>

void plan_limits_default(struct plan_limits *l)
{
    *l = (struct plan_limits){
        .series = 0,
        .scraped = 1000000,
        .low = 0.80,
        .high = 0.85,
        .per_target_overhead = 5,
        .moves_per_round = 20,
        .min_groups = 0,
        .max_groups = 999999,
        .move_scrapes = 3,
        .failover_grace_ms = 180000,
        .max_idle_ms = 0,
        .move_cool_down_ms = 600000,
        .failover_per_round = 1000,
        .even_out_threshold = 1.3,
        .zone_imbalance = 0.15,
        .relieve = true,
        .max_parts = 1,
    };
}

const char *plan_action_name(enum plan_action_type t)
{
    switch (t) {
    case PLAN_ASSIGN:
        return "assign";
    case PLAN_MOVE_START:
        return "move_start";
    case PLAN_MOVE_FINISH:
        return "move_finish";
    case PLAN_MOVE_UNDO:
        return "move_undo";
    case PLAN_FORGET:
        return "forget";
    }
    return "unknown";
}

struct round_group *round_group_find(const struct plan_round *r, uint32_t id)
{
    if (id < r->group_count && r->groups[id].id == id) {
        return &r->groups[id];
    }
    uint32_t lo = 0, hi = r->group_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (r->groups[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < r->group_count && r->groups[lo].id == id ? &r->groups[lo] : NULL;
}

uint32_t round_group_pos(const struct plan_round *r, const struct round_group *g)
{
    return (uint32_t)(g - r->groups);
}

uint32_t round_want(const struct plan_target *t)
{
    if (t->want_replicas == PLAN_EVERY_GROUP) {
        return PLAN_EVERY_GROUP;
    }
    uint32_t want = t->want_replicas < PLAN_REPLICAS_MAX ? t->want_replicas : PLAN_REPLICAS_MAX;
    return want > 1 ? want : 1;
}

struct need round_need(const struct plan_round *r, const struct plan_target *t)
{
    if (!t->size_known) {
        return round_estimate(r, t->job);
    }
    struct need need = {{t->series, t->scraped}};
    for (int d = 0; d < DIM_COUNT; d++) {
        need.v[d] = need.v[d] > NEED_MAX ? NEED_MAX : need.v[d];
    }
    need.v[DIM_SERIES] += r->in->limits.per_target_overhead;
    return need;
}

uint64_t round_group_load(const struct round_group *g, int dim)
{
    if (dim != DIM_SERIES) {
        return g->sum[dim];
    }
    uint64_t scraped_here = g->sum[dim] - g->fresh;
    return (scraped_here > g->head ? scraped_here : g->head) + g->fresh;
}

uint64_t round_group_pressure(const struct round_group *g, int dim)
{
    uint64_t load = dim == DIM_SERIES && g->head > g->sum[dim] ? g->head : g->sum[dim];
    return load > g->outgoing[dim] ? load - g->outgoing[dim] : 0;
}

double round_group_fill(const struct round_group *g, const uint64_t load[DIM_COUNT])
{
    double fill = 0;
    bool limited = false;
    for (int d = 0; d < DIM_COUNT; d++) {
        if (g->limit[d] < LIMIT_OFF) {
            double share = (double)load[d] / (double)g->limit[d];
            fill = share > fill ? share : fill;
            limited = true;
        }
    }
    return limited ? fill : (double)load[DIM_SERIES] / 1e6;
}

static struct fit_leaf group_leaf(const struct round_group *g)
{
    struct fit_leaf leaf = {{-1, -1}, INFINITY};
    if (!g->ready) {
        return leaf;
    }
    uint64_t load[DIM_COUNT];
    for (int d = 0; d < DIM_COUNT; d++) {
        load[d] = round_group_load(g, d);
        uint64_t mark = g->own == 0 ? g->limit[d] : g->low[d];
        leaf.free[d] = (int64_t)mark - (int64_t)load[d];
    }
    leaf.fill = round_group_fill(g, load);
    return leaf;
}

static void group_refresh(struct plan_round *r, struct round_group *g)
{
    if (r->tree.nodes == NULL) {
        return;
    }
    struct fit_leaf leaf = group_leaf(g);
    fit_tree_set(&r->tree, round_group_pos(r, g), leaf);
    if (r->zones[g->zone].tree.nodes != NULL) {
        fit_tree_set(&r->zones[g->zone].tree, g->zone_pos, leaf);
    }
}

void round_trees_build(struct plan_round *r)
{
    fit_tree_init(&r->tree, r->arena, r->group_count, NULL);
    for (uint32_t z = 0; z < r->zone_count; z++) {
        if (r->zones[z].name[0] != '\0') {
            fit_tree_init(&r->zones[z].tree, r->arena, r->zones[z].count, r->zones[z].ids);
        }
    }
    for (uint32_t i = 0; i < r->group_count; i++) {
        struct fit_leaf leaf = group_leaf(&r->groups[i]);
        fit_tree_load(&r->tree, i, leaf);
        if (r->zones[r->groups[i].zone].tree.nodes != NULL) {
            fit_tree_load(&r->zones[r->groups[i].zone].tree, r->groups[i].zone_pos, leaf);
        }
    }
    fit_tree_seal(&r->tree);
    for (uint32_t z = 0; z < r->zone_count; z++) {
        if (r->zones[z].tree.nodes != NULL) {
            fit_tree_seal(&r->zones[z].tree);
        }
    }
}

void round_group_add(struct plan_round *r, struct round_group *g, const struct need *need, bool is_fresh,
                     bool everywhere)
{
    for (int d = 0; d < DIM_COUNT; d++) {
        g->sum[d] += need->v[d];
    }
    g->fresh += is_fresh ? need->v[DIM_SERIES] : 0;
    g->targets++;
    g->entries++;
    g->own += !everywhere;
    group_refresh(r, g);
}

void round_group_drop(struct plan_round *r, struct round_group *g, const struct need *need, bool is_fresh,
                      bool everywhere)
{
    invariant(g->targets > 0 && (everywhere || g->own > 0));
    for (int d = 0; d < DIM_COUNT; d++) {
        g->sum[d] -= need->v[d];
    }
    uint64_t series = need->v[DIM_SERIES];
    if (is_fresh) {
        g->fresh -= series;
    } else {
        g->head -= g->head > series ? series : g->head;
    }
    g->targets--;
    g->own -= !everywhere;
    group_refresh(r, g);
}

/* Does not fit an empty group of any size there is or would be: the comparison of the fit test, where the mark of an
 * empty group is its limit. */
bool round_is_too_big(const struct plan_round *r, const struct need *need)
{
    for (uint32_t i = 0; i < r->size_count; i++) {
        if (need->v[DIM_SERIES] + r->base[DIM_SERIES] <= r->sizes[i].v[DIM_SERIES] &&
            need->v[DIM_SCRAPED] + r->base[DIM_SCRAPED] <= r->sizes[i].v[DIM_SCRAPED]) {
            return false;
        }
    }
    return true;
}

int round_target_compare(const struct plan_round *r, size_t a, size_t b)
{
    const struct plan_target *x = &r->in->targets[a], *y = &r->in->targets[b];
    if (x->job != y->job) {
        int c = strcmp(x->job, y->job);
        if (c != 0) {
            return c;
        }
    }
    return (x->hash > y->hash) - (x->hash < y->hash);
}

void round_act(struct plan_round *r, enum plan_action_type type, size_t target, int64_t from, int64_t to,
               const char *reason)
{
    const struct plan_target *t = &r->in->targets[target];
    r->touched[target] = 1;
    *vec_push(&r->actions) = (struct plan_action){type, t->job, t->hash, (int32_t)from, (int32_t)to, reason};
}

void round_state(struct plan_round *r, size_t target, enum ledger_state state, const char *reason)
{
    r->plan->target_states[target] = state;
    r->plan->target_reasons[target] = reason;
}

/* ---- the one look at every target ---- */

/* Adds what the target brings to its groups; false when there is something to think about. */
static bool target_count(struct plan_round *r, const struct plan_target *t, const struct need *need)
{
    bool plain = !t->gone && !t->vanished && t->want_replicas <= 1 && t->owner_count == 1;
    for (uint32_t i = 0; i < t->owner_count; i++) {
        const struct plan_owner *o = &t->owners[i];
        struct round_group *g = round_group_find(r, o->group);
        if (g == NULL) {
            plain = false;
            continue;
        }
        plain = plain && g->ready && o->state == OWNER_ASSIGNED;
        if (o->state == OWNER_LEAVING) {
            g->entries++;
            continue;
        }
        round_group_add(r, g, need, o->scrapes == 0, t->want_replicas == PLAN_EVERY_GROUP);
    }
    return plain && !round_is_too_big(r, need);
}

/* ---- sorting what is not plainly at home ---- */

struct job_rank {
    const char *job;
    uint32_t rank;
};

static bool rank_equal(const void *entry, const void *key)
{
    const struct job_rank *e = entry;
    return strcmp(e->job, key) == 0;
}

static int rank_compare(const void *a, const void *b)
{
    const struct job_rank *const *x = a, *const *y = b;
    return strcmp((*x)->job, (*y)->job);
}

/* job -> its rank; the entries live in the arena. */
static void ranks_build(struct plan_round *r, struct hashmap *ranks)
{
    VEC(struct job_rank *) list = {0};
    hashmap_init(ranks, rank_equal);
    const char *last = NULL;
    vec_foreach(index, &r->odd) {
        const char *job = r->in->targets[*index].job;
        if (job == last) {
            continue;
        }
        last = job;
        uint64_t hash = hash_view(view_of(job));
        if (hashmap_get(ranks, hash, job) == NULL) {
            struct job_rank *e = arena_alloc(r->arena, sizeof(*e));
            e->job = job;
            hashmap_add(ranks, hash, e);
            *vec_push(&list) = e;
        }
    }
    if (list.len > 1) {
        qsort(list.items, list.len, sizeof(*list.items), rank_compare);
    }
    for (size_t i = 0; i < list.len; i++) {
        list.items[i]->rank = (uint32_t)i;
    }
    vec_done(&list);
}

/* By job and hash: by hash first, then, keeping that order, by the rank of the job's name, which travels in the upper
 * half of the value. */
static void odd_sort(struct plan_round *r)
{
    if (r->odd.len < 2) {
        return;
    }
    struct hashmap ranks;
    struct sort_pair *pairs = mem_alloc(r->odd.len * sizeof(*pairs));
    const char *last = NULL;
    uint64_t rank = 0;
    invariant(r->in->target_count < UINT32_MAX);
    ranks_build(r, &ranks);
    for (size_t i = 0; i < r->odd.len; i++) {
        const struct plan_target *t = &r->in->targets[r->odd.items[i]];
        if (t->job != last) {
            const struct job_rank *e = hashmap_get(&ranks, hash_view(view_of(t->job)), t->job);
            last = t->job;
            rank = e->rank;
        }
        pairs[i] = (struct sort_pair){t->hash, rank << 32 | r->odd.items[i]};
    }
    round_sort_pairs(pairs, r->odd.len);
    for (size_t i = 0; i < r->odd.len; i++) {
        pairs[i].key = pairs[i].value >> 32;
    }
    round_sort_pairs(pairs, r->odd.len);
    for (size_t i = 0; i < r->odd.len; i++) {
        r->odd.items[i] = pairs[i].value & UINT32_MAX;
    }
    free(pairs);
    hashmap_done(&ranks);
}

static void targets_scan(struct plan_round *r)
{
    for (size_t i = 0; i < r->in->target_count; i++) {
        const struct plan_target *t = &r->in->targets[i];
        struct need need = round_need(r, t);
        if (target_count(r, t, &need)) {
            r->plan->target_states[i] = LEDGER_ASSIGNED;
        } else {
            *vec_push(&r->odd) = i;
        }
    }
    odd_sort(r);
}

/* What targets of every group take of a group yet to come. */
static void base_init(struct plan_round *r)
{
    for (size_t i = 0; i < r->in->target_count; i++) {
        const struct plan_target *t = &r->in->targets[i];
        if (t->want_replicas == PLAN_EVERY_GROUP && !t->gone) {
            struct need need = round_need(r, t);
            r->base[DIM_SERIES] += need.v[DIM_SERIES];
            r->base[DIM_SCRAPED] += need.v[DIM_SCRAPED];
        }
    }
}

/* ---- results ---- */

static void results_write(struct plan_round *r)
{
    struct plan *p = r->plan;
    p->action_count = r->actions.len;
    p->actions = r->actions.items;
    r->actions.items = NULL;
    for (size_t i = 0; i < r->in->target_count; i++) {
        p->ledger[p->target_states[i]]++;
    }
    p->loads = arena_alloc(r->arena, ((size_t)r->group_count + 1) * sizeof(*p->loads));
    for (uint32_t i = 0; i < r->group_count; i++) {
        const struct round_group *g = &r->groups[i];
        p->loads[g->in_index] = (struct plan_group_load){
            .id = g->id,
            .series = round_group_load(g, DIM_SERIES),
            .scraped = round_group_load(g, DIM_SCRAPED),
            .targets = g->targets,
        };
    }
}

static void round_done(struct plan_round *r)
{
    round_estimates_done(r);
    vec_done(&r->odd);
    vec_done(&r->unplaced);
    vec_done(&r->twins);
    vec_done(&r->actions);
    vec_done(&r->scratch);
}

struct plan *plan_build(const struct plan_input *in)
{
    struct arena *arena = arena_new();
    struct plan *p = arena_alloc(arena, sizeof(*p));
    p->arena = arena;
    p->target_states = arena_alloc(arena, (in->target_count + 1) * sizeof(*p->target_states));
    p->target_reasons = arena_alloc(arena, (in->target_count + 1) * sizeof(*p->target_reasons));
    struct plan_round r = {
        .in = in,
        .plan = p,
        .arena = arena,
        .touched = arena_alloc(arena, in->target_count + 1),
        .moves_left = in->limits.moves_per_round,
        .failovers_left = in->limits.failover_per_round,
        .first_fit = in->limits.max_idle_ms > 0,
    };
    round_groups_init(&r);
    round_estimates_build(&r);
    base_init(&r);
    targets_scan(&r);
    round_settle_owners(&r);
    round_trees_build(&r);
    round_relieve(&r);
    round_place(&r);
    round_hold_gangs(&r);
    round_drain_or_even_out(&r);
    round_scale(&r);
    results_write(&r);
    round_done(&r);
    return p;
}

void plan_free(struct plan **p)
{
    if (*p != NULL) {
        struct arena *arena = (*p)->arena;
        free((*p)->actions);
        *p = NULL;
        arena_free(&arena);
    }
}
