/* What relieving, draining and evening out share. Internal to the planner. */
#ifndef KVASS_BALANCER_PLAN_MOVES_H
#define KVASS_BALANCER_PLAN_MOVES_H

#include "balancer/plan_round.h"

/* Something on a group that may leave it. */
struct candidate {
    struct need need;
    size_t target;
    bool taken;
};

struct candidates {
    struct candidate *items;
    size_t len, cap;
};

/* At home in the plain sense, not vanished, not touched in this round, not cooling down. */
bool round_is_movable(const struct plan_round *r, size_t target);

/* What is on the groups flagged in `wanted` (by position), one list per position. everything: whatever has to leave
 * for the group to be empty; otherwise what is movable, measured and not larger than the low mark. To be freed by
 * round_candidates_free. */
struct candidates *round_candidates(struct plan_round *r, const uint8_t *wanted, bool everything);
void round_candidates_free(const struct plan_round *r, struct candidates *lists);
void round_candidates_sort(const struct plan_round *r, struct candidates *list, int dim); /* largest first */

/* Into r->scratch: positions of the groups it may not go to, for they have it (in any state but leaving), or take no
 * parts of targets. */
void round_list_owners(struct plan_round *r, const struct plan_target *t);

/* Records the move; the load was added to `to` before. */
void round_move_begin(struct plan_round *r, struct round_group *from, struct round_group *to, struct candidate *c,
                      const char *reason);

double round_pressure_fill(const struct round_group *g);

#endif
