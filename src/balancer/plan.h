/* The balancer's decision: facts in, plan out. plan_build is a pure function of its input; the JSON forms
 * (plan_json.h) are what `kvass plan` reads and writes. Order of input arrays never matters. */
#ifndef KVASS_BALANCER_PLAN_H
#define KVASS_BALANCER_PLAN_H

#include "base/arena.h"
#include "model/ledger.h"
#include "model/shard_info.h"
#include "model/status.h"

enum owner_state { OWNER_ASSIGNED, OWNER_IN_TRANSFER, OWNER_LEAVING };

struct plan_owner {
    uint32_t group; /* group id = ordinal */
    enum owner_state state;
    enum target_health health;
    uint32_t scrapes, good_scrapes; /* since this group loaded the assignment */
    int64_t since_ms;
};

/* Of a target that is to take over from something that runs. */
struct plan_take_over {
    uint64_t gang;    /* placed with all others of its job and gang, or not at all */
    bool is_optional; /* nothing is lost when it finds no room: no group is asked for it */
    bool follows;     /* `group` has as many of its series already, of what it takes over from */
    uint32_t group;
    uint64_t series, scraped;
};

struct plan_target {
    const char *job; /* interned */
    uint64_t hash, place_key;
    uint64_t series, scraped; /* last known; 0 and !size_known when never scraped */
    bool size_known;          /* false: an estimate is made (job median, else a default) */
    bool explored;            /* probing is over: it may be placed (with its size, or its estimate after failures) */
    bool gone;                /* vanished from discovery; grace over: forget it */
    bool vanished;            /* vanished from discovery, grace running: keep, do not move */
    enum target_health health;
    int64_t interval_ms;
    int64_t last_move_ms;                   /* 0 = never; cool-down */
    uint32_t want_replicas;                 /* groups that shall scrape it; 0 = 1; PLAN_EVERY_GROUP = all */
    const char *zone;                       /* "" = none */
    bool is_part;                           /* of a split target: not for groups that take whole targets only */
    bool pinned;                            /* not to be moved now */
    const struct plan_take_over *take_over; /* NULL: as good as all */
    struct plan_owner *owners;
    uint32_t owner_count;
};
#define PLAN_EVERY_GROUP  UINT32_MAX
#define PLAN_REPLICAS_MAX 100 /* of one target, otherwise; the search grows with its cube */

struct plan_group {
    uint32_t id;
    enum shard_health health;
    uint64_t capacity_series, capacity_scraped; /* 0 = the default of limits */
    uint64_t head_series;                       /* of its Prometheus (largest replica) */
    uint64_t left_series;  /* series of targets that left it within 3 h: still in the head, not load */
    int64_t last_seen_ms;  /* last good answer */
    int64_t idle_since_ms; /* 0 = not idle */
    bool whole_only;       /* takes no parts of split targets */
    const char *zone;
};

struct plan_limits {
    uint64_t series, scraped;     /* per group; 0 = off */
    double low, high;             /* 0.80, 0.85 */
    uint32_t per_target_overhead; /* Prometheus' own series per target: 5, or 8 with extra metrics */
    uint32_t moves_per_round;
    uint32_t min_groups, max_groups;
    uint32_t move_scrapes; /* good scrapes that prove a move; 1 is used for intervals over 2 min */
    int64_t failover_grace_ms, max_idle_ms, move_cool_down_ms; /* max_idle 0 = never scale down */
    uint32_t failover_per_round;
    double even_out_threshold; /* max/mean above which loads are evened out; 0 = off */
    double zone_imbalance;     /* by how much of its limit a target's zone may be fuller before another one is taken */
    bool relieve;              /* !--shard.disable-alleviate */
    uint32_t max_parts;        /* a target too big for a group is split into; 1 = never. Nothing to the plan: split.h */
};

struct plan_input {
    int64_t now_ms;
    struct plan_limits limits;
    struct plan_group *groups;
    size_t group_count;
    struct plan_target *targets;
    size_t target_count;
    uint32_t desired_groups; /* what the platform is set to have */
    bool complete; /* all first discoveries done and all shards read: scaling down and forgetting are allowed */
};

enum plan_action_type { PLAN_ASSIGN, PLAN_MOVE_START, PLAN_MOVE_FINISH, PLAN_MOVE_UNDO, PLAN_FORGET };

const char *plan_action_name(enum plan_action_type t); /* "assign", "move_start", ... */

struct plan_action {
    enum plan_action_type type;
    const char *job;
    uint64_t hash;
    int32_t from, to;   /* group ids; -1 = none */
    const char *reason; /* a sentence, in the plan's arena or static */
};

struct plan_group_load {
    uint32_t id;
    uint64_t series, scraped; /* load as planned on, after the plan */
    uint32_t targets;
};

struct plan {
    struct arena *arena;
    struct plan_action *actions; /* NULL when there are none */
    size_t action_count;
    uint32_t wanted_groups;
    const char *wanted_reason;
    uint64_t ledger[LEDGER_STATE_COUNT]; /* of plan_input's targets, after the plan */
    enum ledger_state *target_states;    /* parallel to plan_input.targets as given */
    const char **target_reasons;         /* why it is where it is, in words; parallel; may hold NULL */
    struct plan_group_load *loads;       /* parallel to plan_input.groups as given */
};

struct plan *plan_build(const struct plan_input *in);
void plan_free(struct plan **p);

void plan_limits_default(struct plan_limits *l);

#endif
