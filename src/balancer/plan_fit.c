/* The fit tree: every inner node holds, per dimension, the most room below it and the lowest fill below it.
 *
 * With one dimension in force a descent never turns back. With two, the most series and the most scraped samples of a
 * subtree may belong to different groups, so a search may visit a subtree in vain; that costs time, never a wrong
 * answer. The answers depend on positions and numbers only, never on the order in which leaves were set. */
#include "balancer/plan_fit.h"

#include "base/invariant.h"

#include <math.h>

static const struct fit_leaf NO_ROOM = {{-1, -1}, INFINITY};

static struct fit_leaf combine(const struct fit_leaf *a, const struct fit_leaf *b)
{
    struct fit_leaf out;
    for (int d = 0; d < DIM_COUNT; d++) {
        out.free[d] = a->free[d] > b->free[d] ? a->free[d] : b->free[d];
    }
    out.fill = a->fill < b->fill ? a->fill : b->fill;
    return out;
}

void fit_tree_init(struct fit_tree *t, struct arena *arena, uint32_t count, const uint32_t *ids)
{
    t->count = count;
    t->size = 1;
    while (t->size < count) {
        t->size *= 2;
    }
    t->ids = ids;
    t->nodes = arena_alloc(arena, (size_t)t->size * 2 * sizeof(*t->nodes));
    for (uint32_t i = 0; i < t->size * 2; i++) {
        t->nodes[i] = NO_ROOM;
    }
}

void fit_tree_load(struct fit_tree *t, uint32_t pos, struct fit_leaf leaf)
{
    invariant(pos < t->count);
    t->nodes[t->size + pos] = leaf;
}

void fit_tree_seal(struct fit_tree *t)
{
    for (uint32_t i = t->size - 1; i > 0; i--) {
        t->nodes[i] = combine(&t->nodes[2 * i], &t->nodes[2 * i + 1]);
    }
}

void fit_tree_set(struct fit_tree *t, uint32_t pos, struct fit_leaf leaf)
{
    fit_tree_load(t, pos, leaf);
    for (uint32_t i = (t->size + pos) / 2; i > 0; i /= 2) {
        t->nodes[i] = combine(&t->nodes[2 * i], &t->nodes[2 * i + 1]);
    }
}

static bool has_room(const struct fit_leaf *n, const struct need *need)
{
    return n->free[DIM_SERIES] >= (int64_t)need->v[DIM_SERIES] &&
           n->free[DIM_SCRAPED] >= (int64_t)need->v[DIM_SCRAPED];
}

static uint32_t leaf_id(const struct fit_tree *t, uint32_t node)
{
    uint32_t pos = node - t->size;
    return t->ids != NULL ? t->ids[pos] : pos;
}

static bool is_excluded(const struct fit_exclude *ex, uint32_t id)
{
    if (id >= ex->below) {
        return true;
    }
    for (size_t i = 0; i < ex->count; i++) {
        if (ex->ids[i] == id) {
            return true;
        }
    }
    return false;
}

static int64_t first_below(const struct fit_tree *t, uint32_t node, const struct need *need,
                           const struct fit_exclude *ex)
{
    if (!has_room(&t->nodes[node], need)) {
        return -1;
    }
    if (node >= t->size) {
        uint32_t id = leaf_id(t, node);
        return is_excluded(ex, id) ? -1 : (int64_t)id;
    }
    int64_t left = first_below(t, 2 * node, need, ex);
    return left >= 0 ? left : first_below(t, 2 * node + 1, need, ex);
}

int64_t fit_tree_first(const struct fit_tree *t, const struct need *need, const struct fit_exclude *ex)
{
    return t->count == 0 ? -1 : first_below(t, 1, need, ex);
}

struct best {
    double fill;
    int64_t id;
};

/* first: the lowest position below `node`, `width` how many; what ties with the best found and lies behind it is not
 * visited. */
static void emptiest_below(const struct fit_tree *t, uint32_t node, uint32_t first, uint32_t width,
                           const struct need *need, const struct fit_exclude *ex, struct best *best)
{
    const struct fit_leaf *n = &t->nodes[node];
    if (first >= t->count || !has_room(n, need) || n->fill > best->fill) {
        return;
    }
    int64_t first_id = leaf_id(t, t->size + first);
    if (n->fill >= best->fill && best->id >= 0 && first_id > best->id) {
        return;
    }
    if (width == 1) {
        if (!is_excluded(ex, (uint32_t)first_id)) {
            *best = (struct best){n->fill, first_id};
        }
        return;
    }
    uint32_t half = width / 2;
    if (t->nodes[2 * node + 1].fill < t->nodes[2 * node].fill) {
        emptiest_below(t, 2 * node + 1, first + half, half, need, ex, best);
        emptiest_below(t, 2 * node, first, half, need, ex, best);
    } else {
        emptiest_below(t, 2 * node, first, half, need, ex, best);
        emptiest_below(t, 2 * node + 1, first + half, half, need, ex, best);
    }
}

int64_t fit_tree_emptiest(const struct fit_tree *t, const struct need *need, const struct fit_exclude *ex)
{
    struct best best = {INFINITY, -1};
    if (t->count > 0) {
        emptiest_below(t, 1, 0, t->size, need, ex, &best);
    }
    return best.id;
}
