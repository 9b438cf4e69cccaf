/* Everything that was discovered, and what the balancer wants done with it: one entry per (job, hash). Written by the
 * control thread alone; the plan reads a frozen copy (snapshot.h), the API a published view. */
#ifndef KVASS_BALANCER_REGISTRY_H
#define KVASS_BALANCER_REGISTRY_H

#include "balancer/plan.h"
#include "balancer/split.h"
#include "base/hashmap.h"
#include "base/vec.h"
#include "discovery/target_build.h"
#include "model/assignment.h"

/* The wish that a group scrapes a target. OWNER_LEAVING never occurs here: shards serve leaving targets on their own.
 */
struct owner {
    uint32_t group;
    enum owner_state state;
    int64_t since_ms;
};

/* The last decision made about a target. */
struct entry_decision {
    int64_t at_ms; /* 0 = none by this process */
    enum plan_action_type type;
    int32_t from, to; /* groups; -1 = none */
    char *reason;
};

/* What is kept of a discovered target that is too large for one group, or split. */
struct giant {
    struct split split;
    bool is_found;                      /* made for parts that were found on shards: the state is to follow from them */
    VEC(struct registry_entry *) parts; /* of the running and the coming generation */
};

/* A part of a split target is an entry of its own, not a discovered one: it lives with its whole, or, restored from a
 * shard or a file, until its whole is found (an orphan). */
struct registry_entry {
    struct target *target;
    struct labels *discovered; /* may be NULL before the first discovery after a restart */
    bool discovered_now;       /* in the last result of its job */
    bool replaced;       /* the target under this hash changed (restored without its job's params): push it again */
    bool over_limit;     /* target_limit of its job exceeded */
    int64_t vanished_ms; /* when it was missing first; 0 = it is there */
    uint64_t series, scraped; /* mean of the last three good scrapes; last good scrape */
    uint64_t history[3];
    uint32_t history_len;
    bool size_known;
    enum target_health health;
    int64_t last_scrape_ms, last_duration_us, last_move_ms;
    char *error; /* of the last scrape or probe; NULL when fine */
    VEC(struct owner) owners;
    enum ledger_state state; /* after the last plan */
    char *reason;            /* why, in words; may be NULL */
    struct entry_decision decision;
    struct giant *giant;          /* NULL: as good as all */
    struct registry_entry *whole; /* of a part; NULL: none, or an orphan */
    uint32_t mark;                /* scratch of registry_take_job */
    size_t index;                 /* in registry.entries */
};

/* A discovered target that is none: dropped, invalid, duplicate. */
struct registry_reject {
    enum ledger_state state;
    struct labels *discovered;
    char *error;
};

struct registry_job {
    const char *job;
    VEC(struct registry_reject) rejects;
    uint64_t counts[LEDGER_STATE_COUNT]; /* of rejects, those beyond keep_dropped_targets included */
};

struct registry {
    struct hashmap by_key;
    VEC(struct registry_entry *) entries;
    VEC(struct registry_job *) jobs;
    VEC(struct registry_entry *) giants; /* those with a giant */
    size_t part_count, orphan_count;     /* orphans are counted in both */
    uint32_t mark;
};

void registry_init(struct registry *r);
void registry_done(struct registry *r);

struct registry_entry *registry_find(const struct registry *r, const char *job, uint64_t hash);

/* Takes a job's newly built targets (b is emptied). Entries missing in it begin to vanish at now_ms; a new entry at the
 * place of a vanished one (same job and URL: a label edit) inherits its size and its owners' group. *ret_added counts
 * new ones. */
void registry_take_job(struct registry *r, struct built_job *b, int64_t now_ms, size_t *ret_added);

/* Adds what the rejects of all jobs are to the ledger. */
void registry_add_rejects(const struct registry *r, uint64_t ledger[LEDGER_STATE_COUNT]);

/* An entry from saved state or a shard's own list; no effect when it exists. Referenced. */
struct registry_entry *registry_restore(struct registry *r, const struct target *t);

void registry_remove(struct registry *r, struct registry_entry *e);

/* Folds what a shard tells of a target into the entry; older news than it has is left alone. A time behind now_ms, of a
 * clock that is ahead, counts as now: else nothing would be news until the others' clocks are there. */
void registry_status(struct registry_entry *e, const struct target_status *status, int64_t now_ms);

/* Discovery has told the targets of this job at least once. */
bool registry_has_job(const struct registry *r, const char *job);

/* Targets of a hash over all jobs. */
size_t registry_find_hash(const struct registry *r, uint64_t hash, const struct target **ret, size_t max);

/* Folds a finished scrape or probe into the entry it belongs to; NULL when there is none. */
struct registry_entry *registry_record(struct registry *r, const struct scrape_record *rec);

/* registry_parts.c: split targets. */

struct giant *registry_giant(struct registry *r, struct registry_entry *e); /* made when there is none */
void registry_giant_end(struct registry *r, struct registry_entry *e); /* it has no parts any more; no effect without */

/* Part `part` of a generation of e, which has a giant; made when it is not there, with its share of the size. NULL when
 * another target has its hash. */
struct registry_entry *registry_part(struct registry *r, struct registry_entry *e, uint32_t part, uint32_t parts);

/* The part has as much of the size of e as every other. */
void registry_share_size(const struct registry_entry *e, struct registry_entry *part);

/* A known part becomes one of e. */
void registry_attach(struct registry *r, struct registry_entry *e, struct registry_entry *part);

/* Removes all parts and all giants: what the shards hold tells anew. */
void registry_forget_parts(struct registry *r);

/* Called by the registry when an entry of either kind comes or goes. */
void registry_note_part(struct registry *r, struct registry_entry *e);
void registry_unlink(struct registry *r, struct registry_entry *e);

/* The entry may be given to groups: the target is not over its job's limit, nor scraped by its parts instead. */
bool entry_is_planned(const struct registry_entry *e);

struct owner *entry_owner(struct registry_entry *e, uint32_t group); /* NULL when it has none there */
void entry_set_owner(struct registry_entry *e, uint32_t group, enum owner_state state, int64_t now_ms);
void entry_drop_owner(struct registry_entry *e, uint32_t group);

#endif
