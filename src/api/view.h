/* The published view: what the API thread may know. Built on the control thread, immutable, refcounted; targets and
 * label sets are shared, everything else copied into the view's arena. */
#ifndef KVASS_API_VIEW_H
#define KVASS_API_VIEW_H

#include "balancer/reconcile.h"

#define VIEW_OWNERS_MAX 8

struct view_decision {
    int64_t at_ms; /* 0 = none by this process */
    enum plan_action_type type;
    const char *from, *to, *reason; /* shard ids, "" = none */
};

struct view_part {
    const struct target *target; /* referenced */
    bool is_coming;              /* is to take over from what runs */
    enum ledger_state state;
    enum target_health health;
    uint64_t series, scraped;
    const char *error, *reason; /* "" when none */
    const char *shards[VIEW_OWNERS_MAX];
    unsigned shard_count;
};

struct view_target {
    const char *job;
    const struct target *target;     /* NULL for dropped, invalid and duplicate ones */
    const struct labels *discovered; /* may be NULL */
    enum ledger_state state;
    enum target_health health;
    int64_t last_scrape_ms, last_duration_us;
    uint64_t series, scraped;
    bool size_known;
    const char *error, *reason; /* "" when none */
    int64_t last_move_ms;
    struct view_decision decision;
    const char *shards[VIEW_OWNERS_MAX]; /* ids of the shards that own it, the first is not in transfer */
    unsigned shard_count;
    struct view_part *parts; /* of a split target, by generation and number */
    unsigned part_count;
};

/* Dropped, invalid and duplicate ones of a job, those beyond keep_dropped_targets included. */
struct view_rejects {
    const char *job;
    uint64_t count;
};

struct view_shard {
    const char *id, *replica, *prometheus_url, *error;
    unsigned group;
    enum shard_health health;
    struct shard_info info;
    uint64_t load_series, load_scraped, limit_series, limit_scraped;
    double bytes_per_series; /* learnt; 0 = not */
    bool limited_by_memory;  /* limit_series comes from it */
    uint32_t targets, in_transfer, leaving;
    uint32_t estimated; /* of the targets: not measured yet, the load holds an estimate */
};

struct view_move {
    int64_t started_ms, ended_ms;
    enum move_state state;
    const char *job, *url, *reason, *from, *to;
    uint64_t hash;
};

struct api_view {
    _Atomic unsigned refs;
    struct arena *arena;
    int64_t built_ms;
    struct promconf *conf;
    uint64_t config_generation;
    struct view_target *targets; /* good ones first, sorted by (job, hash); then the others */
    size_t target_count, good_count;
    struct view_rejects *rejects; /* of every job that had targets */
    size_t reject_job_count;
    struct view_shard *shards;
    size_t shard_count;
    struct view_move *moves; /* newest first */
    size_t move_count;
    uint64_t ledger[LEDGER_STATE_COUNT];
    enum reconcile_role role;
    const char *blocked; /* why it does not act; "" = it does */
    uint64_t epoch;
    struct plan_limits limits;
    unsigned wanted;
    const char *wanted_reason;
    uint64_t rounds;
    bool discovered; /* all first discoveries done */
    const char *stop_reason;
    const char *version_mixture;   /* "" when all shards follow the same Prometheus' rules */
    const char *rules;             /* whose are in force */
    const char *last_reload_error; /* "" when the running configuration is the file's */
    const char *last_reload_diff;  /* what the last reload changed, in words */
};

struct view_source {
    const struct reconcile *reconcile;
    struct promconf *conf;
    struct plan_limits limits;
    bool discovered;
    const char *stop_reason, *last_reload_error, *last_reload_diff, *version_mixture, *rules;
    int64_t now_ms;
};

struct api_view *api_view_build(const struct view_source *src);
struct api_view *api_view_ref(struct api_view *v);
void api_view_unref(struct api_view *v);

#endif
