/* Inside of a remote shard, shared by remote.c (wish and entries), remote_calls.c (what is called when) and
 * remote_read.c (what answers mean). */
#ifndef KVASS_SHARD_REMOTE_PRIV_H
#define KVASS_SHARD_REMOTE_PRIV_H

#include "base/hashmap.h"
#include "base/vec.h"
#include "shard/remote.h"

#include <jansson.h>

#define REMOTE_MAGIC           0x72656d6fu
#define REMOTE_CONFIG_AGAIN_MS 30000

/* One target that is wished to be there, or is there. Entries of one hash and several jobs are chained: the wire knows
 * hashes only. */
struct remote_entry {
    struct remote_entry *same;
    struct target *target;           /* NULL: only its hash is known */
    uint64_t hash, since_generation; /* wished since; a status of an older assignment proves nothing */
    uint64_t series, scraped;
    int64_t since_ms, last_scrape_ms, duration_us;
    char *error; /* NULL when none */
    uint32_t scrapes, good_scrapes;
    enum target_health health;
    enum assignment_state wish_state, held_state;
    bool is_wished, is_held, has_status, is_seen;
    bool is_dropped; /* an assignment without it was made: what it is told of it now is of the time before */
};

enum remote_step {
    REMOTE_STEP_NONE,
    REMOTE_STEP_INFO,    /* a reading: runtimeinfo, */
    REMOTE_STEP_TARGETS, /* what it holds with labels (the first time only), */
    REMOTE_STEP_STATUS,  /* statuses, */
    REMOTE_STEP_EXTRA,   /* whether scraping is stopped (now and then), */
    REMOTE_STEP_VERSION, /* its Prometheus' version (now and then) */
    REMOTE_STEP_CONFIG,  /* pushes */
    REMOTE_STEP_ASSIGN,
    REMOTE_STEP_STOP,
};

/* Something to push: repeated with back-off until it is through. */
struct remote_push {
    bool is_due;
    int64_t next_ms, backoff_ms;
    char error[200];
};

struct remote_shard {
    struct shard base; /* first: the handle is cast */
    uint32_t magic;
    struct remote_env env;
    struct loop_timer *timer;
    struct remote_ticket ticket;
    struct http_call *call;
    bool is_answering;            /* an answer is being taken: what that brings about must not start the next call */
    enum remote_step step, chain; /* of the call under way; what the reading goes on with */

    struct hashmap entries; /* struct remote_entry by hash */
    VEC(struct assignment) view;
    VEC(struct remote_entry *) doomed; /* scratch */
    struct target_status scratch;
    size_t unknown; /* held, target not known */

    bool is_read;  /* one reading was complete */
    bool has_wish; /* a set_assignment since the start or the last drop_wish */
    uint64_t wish_generation, pushed_generation, acked_generation, status_generation, epoch;
    struct remote_push assign, config, stop;
    unsigned mismatches; /* readings in a row that did not show what was acknowledged */

    struct promconf *conf;
    uint64_t config_generation, pushed_config_generation;
    char config_known[65]; /* the ConfigHash that means `conf` here; "" = not learnt */
    char config_hash[65];  /* of which config_known was said in an earlier life; "" = of none */
    bool config_learn;     /* the next reading tells it */
    bool config_refused;   /* it has a file of its own: what it runs is accepted */

    char *stop_reason, *stop_found; /* wished; as last read, NULL = not read */
    int64_t next_extra_ms;
    char version[PROMETHEUS_VERSION_MAX]; /* "" = not told */
    bool version_answered;
    int64_t next_version_ms;

    int64_t next_read_ms;
    unsigned failures; /* readings in a row */
    char read_error[200], shard_error[200];
    struct shard_info info;
};

int64_t remote_now_ms(const struct remote_shard *s);
struct remote_entry *remote_find(const struct remote_shard *s, const char *job, uint64_t hash);
struct remote_entry *remote_find_hash(const struct remote_shard *s, uint64_t hash); /* head of the chain */
struct remote_entry *remote_add(struct remote_shard *s, const struct target *t, uint64_t hash);
void remote_drop_unused(struct remote_shard *s); /* neither wished nor held */
void remote_resolve(struct remote_shard *s);     /* finds targets of hashes */
void remote_show_error(struct remote_shard *s);
bool remote_config_in_sync(const struct remote_shard *s);

/* remote_read.c: 0, or the answer was refused and nothing taken from it */
int remote_read_info(struct remote_shard *s, const json_t *data, struct errctx *err) MUST_CHECK;
int remote_read_targets(struct remote_shard *s, const json_t *data, bool *ret_has_labels,
                        struct errctx *err) MUST_CHECK;
int remote_read_statuses(struct remote_shard *s, const json_t *data, struct errctx *err) MUST_CHECK;
int remote_read_extra(struct remote_shard *s, const json_t *data, struct errctx *err) MUST_CHECK;
/* status: of the answer; what the Prometheus behind the shard cannot say now is asked for again. */
void remote_read_version(struct remote_shard *s, const json_t *data, int status);

/* remote_calls.c */
void remote_calls_go(struct remote_shard *s); /* starts what is due, or the timer */
void remote_calls_cancel(struct remote_shard *s);
void remote_push_want(struct remote_push *p);

#endif
