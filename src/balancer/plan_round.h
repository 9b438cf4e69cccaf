/* One round of the planner while it is being made: what the plan*.c files share. Internal to the planner.
 *
 * Loads are kept per group in the two dimensions of struct need. `sum` is what the group's targets need together,
 * `fresh` the part of it not scraped there yet, `head` the head series that no departed target explains. The load a
 * placement counts on is max(sum - fresh, head) + fresh (fresh targets are not in the head yet), the load that is
 * relieved is max(sum, head) less what is already on its way out: a restarted shard, whose targets are all fresh
 * while its head is still full, must not look twice as big and shed targets. */
#ifndef KVASS_BALANCER_PLAN_ROUND_H
#define KVASS_BALANCER_PLAN_ROUND_H

#include "balancer/plan.h"
#include "balancer/plan_fit.h"
#include "base/hashmap.h"
#include "base/vec.h"

#define LIMIT_OFF      ((uint64_t)1 << 60) /* stands for "no limit" */
#define PREFETCH_AHEAD 12 /* targets fetched ahead in loops over sorted lists: they lie anywhere in memory */
#define NEED_MAX       ((uint64_t)1 << 40) /* of one target in one dimension; keeps every sum within 63 bits */
#define DEFAULT_SERIES 1000                /* of a target never measured, in a job where none was */

struct round_group {
    const struct plan_group *in;
    size_t in_index;
    uint32_t id, zone, zone_pos;
    uint64_t limit[DIM_COUNT], low[DIM_COUNT], high[DIM_COUNT];
    uint64_t sum[DIM_COUNT], outgoing[DIM_COUNT];
    uint64_t fresh, head;
    uint32_t targets; /* owned (assigned or in transfer) */
    uint32_t own;     /* of them, those that are not on every group */
    uint32_t entries; /* owner entries in any state */
    uint32_t incoming;
    bool ready;   /* takes targets */
    bool answers; /* it, or what is behind it, is alive */
    bool lost;    /* silent for longer than the grace, or taken away: its targets are placed elsewhere */
};

struct round_zone {
    const char *name;
    uint32_t *ids; /* positions of its groups */
    uint32_t count;
    struct fit_tree tree;
};

struct unplaced {
    struct need need;
    size_t target;
    uint32_t missing;
    bool held;     /* some of the groups it wants have it */
    bool failover; /* its group is lost */
    bool moving;   /* it has a place, but must leave it: counts for scaling only */
    bool tried;    /* no room was found: counts for scaling */
};

/* A vanished target that still has a place, for a new target of the same place_key. */
struct twin {
    uint64_t place_key;
    size_t target;
    bool forgotten, used;
};

struct plan_round {
    const struct plan_input *in;
    struct plan *plan;
    struct arena *arena;
    struct round_group *groups; /* by ascending id */
    uint32_t group_count, ready_count;
    struct round_zone *zones;
    uint32_t zone_count;
    struct fit_tree tree;     /* over positions in `groups` */
    struct hashmap estimates; /* job -> struct estimate */
    uint64_t base[DIM_COUNT]; /* what targets of every group take on a new one */
    struct need fresh_limit;  /* limits of a group yet to come */
    struct need *sizes;       /* the limits groups come in, largest first, each once */
    uint32_t size_count;
    uint8_t *touched; /* by target: an action of this round concerns it */
    uint32_t moves_left, failovers_left;
    bool first_fit;
    bool unread;               /* a group may own targets we know nothing of */
    size_t exploring, waiting; /* first scrape outstanding; no room found */
    size_t overflow;           /* must leave an overfull group and find no room */
    size_t held;               /* of a gang that is not complete: their places are kept for them, but not taken */
    VEC(size_t) odd;           /* targets that are not plainly at home, sorted */
    VEC(struct unplaced) unplaced;
    VEC(struct twin) twins;
    VEC(struct plan_action) actions;
    VEC(uint32_t) scratch;
};

/* plan.c */
struct round_group *round_group_find(const struct plan_round *r, uint32_t id); /* NULL when not listed */
uint32_t round_group_pos(const struct plan_round *r, const struct round_group *g);
uint32_t round_want(const struct plan_target *t); /* replicas, at least 1; PLAN_EVERY_GROUP */
struct need round_need(const struct plan_round *r, const struct plan_target *t);
void round_group_add(struct plan_round *r, struct round_group *g, const struct need *need, bool is_fresh,
                     bool everywhere);
void round_group_drop(struct plan_round *r, struct round_group *g, const struct need *need, bool is_fresh,
                      bool everywhere);
uint64_t round_group_load(const struct round_group *g, int dim);     /* that placing counts on */
uint64_t round_group_pressure(const struct round_group *g, int dim); /* that relieving counts on */
double round_group_fill(const struct round_group *g, const uint64_t load[DIM_COUNT]);
bool round_is_too_big(const struct plan_round *r, const struct need *need);
int round_target_compare(const struct plan_round *r, size_t a, size_t b); /* by job, hash */
void round_act(struct plan_round *r, enum plan_action_type type, size_t target, int64_t from, int64_t to,
               const char *reason);
void round_state(struct plan_round *r, size_t target, enum ledger_state state, const char *reason);
void round_trees_build(struct plan_round *r);

/* plan_sort.c */
struct sort_pair {
    uint64_t key, value;
};
void round_sort_pairs(struct sort_pair *items, size_t count); /* by ascending key, stable; count below 2^32 */

/* plan_groups.c */
void round_groups_init(struct plan_round *r);
const struct round_zone *round_zone_find(const struct plan_round *r,
                                         const char *name); /* NULL for "" and unknown ones */
uint64_t round_mark(uint64_t limit, double share);

/* plan_estimate.c: sizes of targets never measured */
void round_estimates_build(struct plan_round *r);
void round_estimates_done(struct plan_round *r);
struct need round_estimate(const struct plan_round *r, const char *job);

/* plan_owners.c: who owns what: forget, finish, undo, resolve doubles, list what has no owner */
void round_settle_owners(struct plan_round *r);

/* plan_place.c: what has no owner */
void round_place(struct plan_round *r);
/* The group a need goes to, as a position; -1 when there is no room. exclude: positions. */
int64_t round_find_place(struct plan_round *r, const struct need *need, const char *zone, const uint32_t *exclude,
                         size_t exclude_count, uint32_t below);

/* plan_gang.c: takes back what was placed of incomplete gangs */
void round_hold_gangs(struct plan_round *r);

/* plan_moves.c, plan_even.c */
void round_relieve(struct plan_round *r);
void round_drain_or_even_out(struct plan_round *r);

/* scale.c */
void round_scale(struct plan_round *r);

#endif
