/* How many groups there shall be.
 *
 * Up: what found no room (and what must leave an overfull group and found none) is packed into what exists and comes,
 * then into new groups, all filled to the low mark; the new groups used are what is missing. Existing groups count
 * here by what their targets need, not by their heads: a head that has not been cut yet passes by itself, a shard
 * started for it would stay. Except for a gang: what it is to relieve has outgrown its shards, and a head is cut after
 * hours. A round asks for at most twice as many, or ten more, whichever is larger. Down: by one,
 * only the last ordinal, only when it is empty and idle for long enough and nothing at all is unknown. The floor
 * raises the number, it never lowers it; the ceiling stops growth, it never shrinks. */
#include "balancer/plan_moves.h"

#include <math.h>

struct bin {
    uint64_t limit[DIM_COUNT], low[DIM_COUNT], load[DIM_COUNT];
    bool is_open, is_empty;
};

struct bins {
    struct bin *items;
    uint32_t count, listed, coming; /* [0, listed) exist, the next `coming` are on their way, the rest would be new */
    struct fit_tree tree;
};

static struct fit_leaf bin_leaf(const struct bin *b)
{
    struct fit_leaf leaf = {{-1, -1}, INFINITY};
    for (int d = 0; d < DIM_COUNT && b->is_open; d++) {
        leaf.free[d] = (int64_t)(b->is_empty ? b->limit[d] : b->low[d]) - (int64_t)b->load[d];
    }
    return leaf;
}

static bool is_gang_waiting(const struct plan_round *r)
{
    vec_foreach(u, &r->unplaced) {
        if (u->tried && r->in->targets[u->target].take_over != NULL) {
            return true;
        }
    }
    return false;
}

/* One without targets that does not answer yet (a pod that is being scheduled, pulls its image, waits for its volume)
 * is on its way until the grace is over: it never is a reason for yet another one. */
static struct bin bin_of_group(const struct round_group *g, bool with_head)
{
    struct bin b = {.is_open = (g->answers || g->own == 0) && !g->lost, .is_empty = g->own == 0};
    for (int d = 0; d < DIM_COUNT; d++) {
        b.limit[d] = g->limit[d];
        b.low[d] = g->low[d];
        b.load[d] = with_head ? round_group_load(g, d) : g->sum[d];
    }
    return b;
}

static struct bin bin_of_new(const struct plan_round *r)
{
    struct bin b = {.is_open = true, .is_empty = true};
    for (int d = 0; d < DIM_COUNT; d++) {
        b.limit[d] = r->fresh_limit.v[d];
        b.low[d] = round_mark(b.limit[d], r->in->limits.low);
        b.load[d] = r->base[d];
    }
    return b;
}

/* The most groups this round may ask for. */
static uint32_t step_bound(const struct plan_input *in)
{
    uint64_t desired = in->desired_groups;
    uint64_t bound = desired * 2 > desired + 10 ? desired * 2 : desired + 10;
    uint64_t most = in->limits.max_groups != 0 ? in->limits.max_groups : UINT32_MAX;
    bound = bound > most ? most : bound;
    bound = bound < desired ? desired : bound;
    return bound > INT32_MAX ? INT32_MAX : (uint32_t)bound;
}

static struct bins bins_make(struct plan_round *r, uint32_t bound)
{
    struct bins bins = {.listed = r->group_count};
    uint32_t below = 0;
    bool with_heads = is_gang_waiting(r);
    for (uint32_t i = 0; i < r->group_count; i++) {
        below += r->groups[i].id < r->in->desired_groups;
    }
    bins.coming = r->in->desired_groups - below;
    bins.count = bins.listed + bins.coming + (bound - r->in->desired_groups);
    bins.items = arena_alloc(r->arena, ((size_t)bins.count + 1) * sizeof(*bins.items));
    fit_tree_init(&bins.tree, r->arena, bins.count, NULL);
    for (uint32_t i = 0; i < bins.count; i++) {
        bins.items[i] = i < bins.listed ? bin_of_group(&r->groups[i], with_heads) : bin_of_new(r);
        fit_tree_load(&bins.tree, i, bin_leaf(&bins.items[i]));
    }
    fit_tree_seal(&bins.tree);
    return bins;
}

static int64_t bins_put(struct plan_round *r, struct bins *bins, const struct need *need)
{
    struct fit_exclude ex = {r->scratch.items, r->scratch.len, UINT32_MAX};
    int64_t pos = fit_tree_first(&bins->tree, need, &ex);
    if (pos >= 0) {
        struct bin *b = &bins->items[pos];
        for (int d = 0; d < DIM_COUNT; d++) {
            b->load[d] += need->v[d];
        }
        b->is_empty = false;
        fit_tree_set(&bins->tree, (uint32_t)pos, bin_leaf(b));
        *vec_push(&r->scratch) = (uint32_t)pos;
    }
    return pos;
}

/* Groups needed for what has no room; `bound` when even that many would not do. */
static uint32_t groups_needed(struct plan_round *r, uint32_t bound)
{
    struct bins bins = bins_make(r, bound);
    uint32_t have = bins.listed + bins.coming, needed = r->in->desired_groups;
    vec_foreach(u, &r->unplaced) {
        if (!u->tried && !u->moving) {
            continue;
        }
        round_list_owners(r, &r->in->targets[u->target]);
        for (uint32_t k = 0; k < u->missing; k++) {
            int64_t pos = bins_put(r, &bins, &u->need);
            if (pos < 0) {
                return bound;
            }
            uint32_t wanted = pos >= have ? r->in->desired_groups + (uint32_t)pos - have + 1 : 0;
            needed = wanted > needed ? wanted : needed;
        }
    }
    return needed;
}

/* ---- down ---- */

static bool may_shrink(const struct plan_round *r)
{
    const struct plan_input *in = r->in;
    if (in->limits.max_idle_ms <= 0 || !in->complete || in->desired_groups == 0 ||
        in->desired_groups <= in->limits.min_groups) {
        return false;
    }
    if (r->waiting > 0 || r->exploring > 0 || r->overflow > 0) {
        return false;
    }
    for (uint32_t i = 0; i < in->desired_groups; i++) {
        if (i >= r->group_count || r->groups[i].id != i || !r->groups[i].ready) {
            return false;
        }
    }
    const struct round_group *last = &r->groups[in->desired_groups - 1];
    return r->group_count == in->desired_groups && last->entries == 0 && last->in->idle_since_ms > 0 &&
           in->now_ms - last->in->idle_since_ms >= in->limits.max_idle_ms;
}

/* ---- in words ---- */

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* ret_shards: how many the load would fill to the low mark. */
static const char *need_in_words(struct plan_round *r, uint32_t wanted, double *ret_shards)
{
    uint64_t total[DIM_COUNT] = {0};
    for (uint32_t i = 0; i < r->group_count; i++) {
        for (int d = 0; d < DIM_COUNT; d++) {
            total[d] +=
                r->groups[i].sum[d] - (r->groups[i].outgoing[d] < r->groups[i].sum[d] ? r->groups[i].outgoing[d] : 0);
        }
    }
    vec_foreach(u, &r->unplaced) {
        for (int d = 0; d < DIM_COUNT && u->tried; d++) {
            total[d] += u->need.v[d] * u->missing;
        }
    }
    int dim = DIM_SERIES;
    double shards[DIM_COUNT];
    for (int d = 0; d < DIM_COUNT; d++) {
        uint64_t low = round_mark(r->fresh_limit.v[d], r->in->limits.low);
        shards[d] = r->fresh_limit.v[d] >= LIMIT_OFF || low == 0 ? 0 : (double)total[d] / (double)low;
        dim = shards[d] > shards[dim] ? d : dim;
    }
    *ret_shards = shards[dim];
    if (r->fresh_limit.v[dim] >= LIMIT_OFF) {
        return arena_printf(r->arena, "%u shard%s: no limit is set", wanted, plural(wanted));
    }
    return arena_printf(r->arena, "%u shard%s: %llu %s need %.1f shards at the low mark %.2f of %llu", wanted,
                        plural(wanted), (unsigned long long)total[dim],
                        dim == DIM_SERIES ? "series" : "scraped samples", shards[dim], r->in->limits.low,
                        (unsigned long long)r->fresh_limit.v[dim]);
}

static const char *why_not_fewer(const struct plan_round *r)
{
    const struct plan_input *in = r->in;
    if (in->limits.max_idle_ms <= 0) {
        return "there are no fewer because scaling down is off";
    }
    if (!in->complete || r->ready_count < in->desired_groups) {
        return "none is taken away while something is unknown";
    }
    return "the last one is taken away when it has been empty and idle for long enough";
}

static const char *wanted_in_words(struct plan_round *r, uint32_t wanted, uint32_t needed, uint32_t bound)
{
    double shards;
    const char *words = need_in_words(r, wanted, &shards);
    const struct plan_limits *l = &r->in->limits;
    if (wanted < r->in->desired_groups) {
        return arena_printf(r->arena, "%s; the last one was idle for long enough", words);
    }
    if (needed > r->in->desired_groups && needed == bound) {
        return arena_printf(r->arena, "%s; %zu target%s wait for room, growth is bounded to %u in this round", words,
                            r->waiting, plural(r->waiting), bound);
    }
    if (r->waiting > 0 && wanted == r->in->desired_groups && bound == wanted) {
        return arena_printf(r->arena, "%s; %zu target%s wait for room, but %u is the most allowed", words, r->waiting,
                            plural(r->waiting), bound);
    }
    if (wanted == l->min_groups && wanted > needed) {
        return arena_printf(r->arena, "%s; %u is the floor", words, wanted);
    }
    if (r->waiting > 0) {
        return arena_printf(r->arena, "%s; %zu target%s wait for room", words, r->waiting, plural(r->waiting));
    }
    bool is_more = wanted > 1 && wanted == r->in->desired_groups && shards <= (double)(wanted - 1);
    return is_more ? arena_printf(r->arena, "%s; %s", words, why_not_fewer(r)) : words;
}

void round_scale(struct plan_round *r)
{
    const struct plan_input *in = r->in;
    uint32_t bound = step_bound(in);
    bool lacks = r->waiting > 0 || r->overflow > 0;
    uint32_t needed = lacks ? groups_needed(r, bound) : in->desired_groups;
    uint32_t wanted = needed > in->limits.min_groups ? needed : in->limits.min_groups;
    if (wanted == in->desired_groups && may_shrink(r)) {
        wanted--;
    }
    r->plan->wanted_groups = wanted;
    r->plan->wanted_reason = wanted_in_words(r, wanted, needed, bound);
}
