/* Where a need fits: a tournament tree over positions (shard groups in order of their ordinal) that answers "the
 * first with room" and "the emptiest with room" in O(log n) in the usual case. Internal to the planner. */
#ifndef KVASS_BALANCER_PLAN_FIT_H
#define KVASS_BALANCER_PLAN_FIT_H

#include "base/arena.h"

#include <stdint.h>

enum { DIM_SERIES, DIM_SCRAPED, DIM_COUNT };

struct need {
    uint64_t v[DIM_COUNT];
};

struct fit_leaf {
    int64_t free[DIM_COUNT]; /* up to the mark; negative: nothing fits */
    double fill;             /* share of the limit in use; orders "emptiest" */
};

struct fit_tree {
    struct fit_leaf *nodes; /* 1-based heap order; leaves from `size` on */
    uint32_t size, count;
    const uint32_t *ids; /* what a position is called in answers and exclusions; NULL = the position itself */
};

/* What may not be the answer. */
struct fit_exclude {
    const uint32_t *ids;
    size_t count;
    uint32_t below; /* only answers below it; UINT32_MAX = no bound */
};

/* `count` positions where nothing fits. ids (may be NULL) is borrowed. */
void fit_tree_init(struct fit_tree *t, struct arena *arena, uint32_t count, const uint32_t *ids);
void fit_tree_set(struct fit_tree *t, uint32_t pos, struct fit_leaf leaf);

/* Sets without updating the inner nodes: for loading many; fit_tree_seal makes them right. */
void fit_tree_load(struct fit_tree *t, uint32_t pos, struct fit_leaf leaf);
void fit_tree_seal(struct fit_tree *t);

/* -1 when it fits nowhere. Ties go to the lower position. */
int64_t fit_tree_first(const struct fit_tree *t, const struct need *need, const struct fit_exclude *ex);
int64_t fit_tree_emptiest(const struct fit_tree *t, const struct need *need, const struct fit_exclude *ex);

#endif
