/* The round: snapshot -> plan -> apply. Owns the registry, the groups and the plan's bookkeeping; the only file of the
 * balancer that logs. Lives on the control loop; everything it calls is asynchronous. */
#ifndef KVASS_BALANCER_RECONCILE_H
#define KVASS_BALANCER_RECONCILE_H

#include "balancer/explore.h"
#include "balancer/lock.h"
#include "balancer/memory_limit.h"
#include "balancer/policy.h"
#include "balancer/registry.h"
#include "base/loop.h"
#include "shard/provider.h"
#include "shard/shard.h"

struct reconcile;

struct reconcile_conf {
    struct plan_limits limits;
    struct explore_conf explore;
    struct memory_conf memory;
    int64_t interval_ms;         /* of rounds */
    int64_t vanish_grace_ms;     /* vanished targets stay that long */
    bool dry_run;                /* plan and log, apply nothing */
    bool shards_own;             /* the shards remember who scrapes what: they are read before anything is decided */
    bool independent;            /* every replica is balanced by itself; else equal ordinals carry the same targets */
    const struct policy *policy; /* of jobs and zones; NULL = none. Outlives the round */
    uint64_t epoch;              /* the last one this store knows of; 0 = none */
};

/* What the round needs from the daemon around it. */
struct reconcile_env {
    struct loop *loop;
    struct provider *provider;
    /* Makes the object for a shard the provider lists; NULL = not now. */
    struct shard *(*make_shard)(void *data, const struct provider_shard *ps);
    /* A shard of the list has gone and was freed. */
    void (*on_shard_gone)(void *data, const char *id);
    void (*probe)(void *data, const struct target *t);
    /* True when every first discovery is done. */
    bool (*is_discovered)(void *data);
    /* What is_discovered still waits for, in words; NULL: nobody knows. */
    void (*awaits)(void *data, char *ret, size_t size);
    /* The wish or the sizes changed: save them. */
    void (*save)(void *data);
    struct lock *lock; /* NULL: always held. Its callbacks are taken by the round */
    /* A new epoch: keep it (may be NULL). */
    void (*on_epoch)(void *data, uint64_t epoch);
    void *data;
};

struct reconcile_shard {
    struct shard *shard;
    enum shard_health provider_health;
    char provider_error[256];  /* "" when none */
    int64_t starting_since_ms; /* it runs, but is not ready (WAL replay); 0 = it is not so */
    bool is_unread;            /* what it holds was not taken over yet; nothing is pushed to it */
};

/* Series that left a group stay in its head for up to three hours. */
struct left_series {
    int64_t at_ms;
    uint64_t series;
};

struct reconcile_group {
    uint32_t id;
    VEC(struct reconcile_shard) replicas;
    VEC(struct left_series) left;
    uint64_t capacity_series;
    struct memory_learner memory;
    bool limited_by_memory; /* capacity_series comes from it */
    const char *zone;       /* NULL = none */
    int64_t idle_since_ms;
    int64_t listed_ms; /* first seen in the provider's list by this process */
    int64_t last_seen_ms;
    uint64_t load_series, load_scraped; /* of the last plan */
    uint32_t targets;
    uint64_t generation; /* of the wish last pushed */
    bool dirty;          /* the wish changed since */
};

enum move_state { MOVE_RUNNING, MOVE_FINISHED, MOVE_UNDONE };

struct reconcile_move {
    int64_t started_ms, ended_ms;
    enum move_state state;
    const char *job;
    uint64_t hash;
    char *url, *reason;
    int32_t from, to;
};
#define RECONCILE_MOVES_MAX 1000

struct reconcile *reconcile_new(const struct reconcile_conf *conf, const struct reconcile_env *env);
void reconcile_free(struct reconcile **r); /* frees the shards, not the provider */

void reconcile_start(struct reconcile *r); /* the first round is made at once */
void reconcile_kick(struct reconcile *r);  /* a round soon (within half a second), not only at the next interval */

void reconcile_set_config(struct reconcile *r, struct promconf *conf); /* new generation for every shard */
uint64_t reconcile_config_generation(const struct reconcile *r);

void reconcile_take_job(struct reconcile *r, struct built_job *b); /* from discovery; emptied */
void reconcile_record(struct reconcile *r, const struct scrape_record *rec);

/* News of a target that a remote shard scrapes. */
void reconcile_status(struct reconcile *r, const struct target *t, const struct target_status *status);

/* Somebody with a larger epoch acts: nothing is decided or pushed any more, the lock is let go. why: a sentence. */
void reconcile_fence(struct reconcile *r, const char *shard_id, const char *why);

/* Discovered targets of a hash, whatever their job; borrowed. */
size_t reconcile_find_hash(const struct reconcile *r, uint64_t hash, const struct target **ret, size_t max);

/* "" while it acts, else why it does not, in words. */
const char *reconcile_blocked(const struct reconcile *r);
enum reconcile_role {
    RECONCILE_ACTING,
    RECONCILE_WAITING, /* for facts */
    RECONCILE_STANDBY, /* somebody else holds the lock */
    RECONCILE_FENCED,
};
enum reconcile_role reconcile_role(const struct reconcile *r);
uint64_t reconcile_epoch(const struct reconcile *r); /* 0 = none */

/* Saved state, before start: the target and who owned it. */
struct registry_entry *reconcile_restore(struct reconcile *r, const struct target *t);

/* Read access for the API's view and the state file. */
const struct registry *reconcile_registry(const struct reconcile *r);
const struct reconcile_group *reconcile_groups(const struct reconcile *r, size_t *ret_count);
const struct reconcile_move *reconcile_move_at(const struct reconcile *r,
                                               size_t newest_first_index); /* NULL behind the last */
const uint64_t *reconcile_ledger(const struct reconcile *r); /* LEDGER_STATE_COUNT sums, rejects included */
unsigned reconcile_wanted(const struct reconcile *r, const char **ret_reason);
uint64_t reconcile_rounds(const struct reconcile *r);

/* The shard object of that id, or NULL. */
struct shard *reconcile_shard_by_id(const struct reconcile *r, const char *id_interned);

#endif
