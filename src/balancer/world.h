/* A simulated system on a virtual clock: targets that grow, vanish and fail, shards that start, fall silent and come
 * back, and the real planner in between. `kvass simulate` and the replay tests drive it through scenario.h. No clock,
 * no I/O, no randomness. */
#ifndef KVASS_BALANCER_WORLD_H
#define KVASS_BALANCER_WORLD_H

#include "balancer/split.h"
#include "base/vec.h"

struct world_owner {
    uint32_t shard;
    enum owner_state state;
    enum target_health health; /* as that shard sees the target */
    int64_t since_ms;
    uint32_t scrapes, good_scrapes;
    uint64_t in_head; /* series this entry has in the shard's head: its most within head_ms */
    int64_t peak_ms;  /* since when */
    bool dropped;     /* taken from the wish; the shard could not be told yet and goes on */
};

struct world_target {
    const char *job;
    uint32_t index; /* within its job */
    uint64_t hash, place_key, series, scraped, known_series, known_scraped;
    double growth_per_hour;                                   /* share; 0.1 = 10 % */
    int64_t interval_ms, found_ms, vanished_ms, last_move_ms; /* vanished_ms 0 = discovered */
    uint32_t want_replicas;
    const char *zone;
    bool down, explored, size_known, forgotten;
    bool is_giant;              /* split is in force */
    bool had_parts;             /* some may be there still, forgotten but not told to their shards */
    bool is_found;              /* the coordinator restarted: the state of splitting is to follow from the parts */
    struct split split;         /* of a giant */
    uint32_t part, parts;       /* a part of how many; parts 0: a target of its own */
    struct world_target *whole; /* of a part, while it is there */
    enum ledger_state state;    /* after the last round */
    const char *reason;         /* of the last plan; valid until the next round */
    VEC(struct world_owner) owners;
};

enum world_shard_mode {
    WORLD_SHARD_ALIVE,
    WORLD_SHARD_CRASHED,     /* neither scrapes nor answers */
    WORLD_SHARD_PARTITIONED, /* scrapes, but does not answer */
    WORLD_SHARD_MISSING,     /* crashed, and not in the platform's list either */
};

struct world_left {
    int64_t at_ms;
    uint64_t series;
};

struct world_shard {
    uint32_t id;
    enum world_shard_mode mode;
    int64_t ready_at_ms, last_seen_ms, idle_since_ms;
    uint64_t extra_head, capacity_series, capacity_scraped;
    const char *zone;
    bool read;                         /* the coordinator has heard of it since its start */
    uint64_t active, scraped, in_head; /* of its targets, at the last step */
    VEC(struct world_left) left;
};

/* Sums since the start (or world_reset_figures). */
struct world_figures {
    uint64_t rounds, assigns, moves, finished, undone, forgotten;
    double overload_seconds; /* shard-seconds with more active series than the limit */
    double unowned_seconds;  /* target-seconds, discovered and measured, scraped by nobody */
    double double_seconds;   /* target-seconds scraped by more shards than wanted */
    uint32_t shards_max;
};

struct world_conf {
    struct plan_limits limits;
    int64_t round_ms, start_ms, explore_ms, vanish_grace_ms,
        head_ms; /* head_ms: how long departed series stay in the head */
};

struct world {
    struct world_conf conf;
    int64_t now_ms, read_from_ms;
    uint32_t desired;
    bool discovered; /* every first discovery is done */
    VEC(struct world_target *) targets;
    VEC(struct world_shard *) shards;      /* by id */
    struct plan *plan;                     /* of the last round; NULL before the first */
    VEC(size_t) plan_targets;              /* plan's target i is targets[plan_targets[i]] */
    uint64_t ledger[LEDGER_STATE_COUNT];   /* of the last round; split targets count once, by their parts */
    uint32_t unowned, doubled, overloaded; /* at the last step */
    struct world_figures figures;
};

void world_conf_default(struct world_conf *conf);
void world_init(struct world *w, const struct world_conf *conf);
void world_done(struct world *w);

/* Adds one target of a job (interned); its hash and place_key follow from job, index and generation (a label edit is
 * the same place under the next generation). */
struct world_target *world_add_target(struct world *w, const char *job, uint32_t index, uint32_t generation,
                                      uint64_t series);
struct world_target *world_find_target(const struct world *w, const char *job,
                                       uint32_t index); /* the discovered one first; or NULL */

/* Sets the number of shards as the platform would: new ones start, the highest end at once. */
void world_set_shards(struct world *w, uint32_t count, bool at_once);
struct world_shard *world_find_shard(const struct world *w, uint32_t id); /* or NULL */
void world_set_mode(struct world *w, struct world_shard *s, enum world_shard_mode mode);

/* The coordinator forgets all it knows but what the shards that answer can tell; it reads them read_after_ms later.
 */
void world_restart_coordinator(struct world *w, int64_t read_after_ms);

/* One round: time passes (scrapes, growth, starts), then facts are frozen, a plan is made and applied. */
void world_step(struct world *w);
void world_reset_figures(struct world *w);

/* world_split.c: what reconcile_split.c does with a registry. */
void world_split(struct world *w);        /* before the plan */
void world_split_states(struct world *w); /* after it; the ledger, too */
size_t world_count_discovered(const struct world *w); /* targets; parts were not discovered */
void world_split_restart(struct world *w);
uint64_t world_split_shared(const struct world *w, const struct world_target *t, uint32_t shard); /* series that what
                                                                  it is to take over from has in that shard already */
void world_split_freeze(const struct world *w, struct arena *arena, const struct world_target *t,
                        struct plan_target *ret);
bool world_is_planned(const struct world_target *t); /* not scraped by its parts instead */

/* world.c */
bool world_is_answering(const struct world *w, const struct world_shard *s);
bool world_is_complete(const struct world *w);
void world_forget_target(struct world *w, struct world_target *t);

/* Freezes the facts as world_step does, without a step. */
void world_snapshot(struct world *w, struct arena *arena, struct plan_input *ret);

#endif
