/* Inside of a local shard, shared by local.c (assignment), local_files.c (what is on disk) and local_calls.c
 * (Prometheus). */
#ifndef KVASS_SHARD_LOCAL_PRIV_H
#define KVASS_SHARD_LOCAL_PRIV_H

#include "base/hashmap.h"
#include "base/log.h"
#include "base/vec.h"
#include "shard/local.h"

#define LOCAL_MAGIC 0x6c6f6361u

struct local_entry {
    struct assignment a;
    struct target_status status;
    int64_t loaded_ms; /* realtime of the write that brought it here; older scrapes prove nothing */
    int64_t left_ms;   /* monotonic: Prometheus was told that it is gone; 0 = not told yet */
};

/* A job of the configuration, or one that was: kept with an empty list until its series have got their stale markers.
 */
struct local_job {
    const struct job_conf *conf;
    struct promconf *owner; /* referenced while the job is retired; NULL otherwise */
    char *path;             /* of its target file */
    bool dirty;             /* the file may differ from what it has to be */
    int64_t retired_ms;     /* monotonic: Prometheus knows that it is empty; 0 = not yet */
};

struct local_shard {
    struct shard base; /* first: the handle is cast */
    uint32_t magic;
    struct local_env env;
    char *dir, *target_dir, *config_path, *pending_path, *url;
    struct logctx log;
    struct loop_timer *timer;

    struct hashmap entries;      /* struct local_entry by (job, hash) */
    VEC(struct assignment) view; /* of entries, sorted by job name and hash; borrowed targets */
    bool view_stale;
    size_t active, leaving;

    struct promconf *conf;
    bool assigned; /* an assignment is known: before that, an empty list would be a guess */
    bool restored; /* from durable state, and not published yet */
    uint64_t config_generation, generation, epoch; /* desired */
    VEC(struct local_job) jobs;
    size_t retired;

    bool config_dirty;    /* prometheus.yml may differ from what it has to be */
    uint64_t written_seq; /* counts changes of prometheus.yml */
    char write_error[256];
    int64_t next_write_ms; /* after a failure */

    bool reload_pending;
    uint64_t reload_seq; /* written_seq when the running reload began */
    struct http_call *reload_call;
    int64_t next_reload_ms, reload_backoff_ms;
    char reload_error[256];
    bool reload_error_logged; /* not while Prometheus is not up: that is said otherwise */

    struct http_call *poll_call;
    int64_t next_poll_ms;
    struct http_call *memory_call;
    int64_t next_memory_ms;
    enum { HEAD_FROM_TSDB, HEAD_FROM_METRICS, HEAD_FROM_COUNTS, HEAD_OF_VMAGENT } head_source;
    char poll_error[256];

    struct shard_info info;
};

int64_t local_now_ms(const struct local_shard *s);
struct local_entry *local_find(const struct local_shard *s, const char *job, uint64_t hash);
const struct assignment *local_view(struct local_shard *s, size_t *ret_count);

/* Composes info.error from the three places errors come from. */
void local_show_error(struct local_shard *s);

/* What is written and loaded is what is wanted: the acknowledged generations follow. */
void local_acknowledge(struct local_shard *s);

/* Marks the moment from which Prometheus knows that the leaving targets of job (NULL = all) are gone. */
void local_mark_left(struct local_shard *s, const char *job);

/* Its targets leave at once: the configuration has no such job any more. */
void local_leave_job(struct local_shard *s, const char *job);

/* local_files.c */
void local_files_set_config(struct local_shard *s, struct promconf *conf); /* takes a reference */
void local_files_job_changed(struct local_shard *s, const char *job);
void local_files_all_changed(struct local_shard *s);
void local_files_flush(struct local_shard *s);
void local_files_retire_due(struct local_shard *s, int64_t now_ms);
void local_files_reloaded(struct local_shard *s); /* Prometheus runs what is on disk */
void local_files_done(struct local_shard *s);

/* local_calls.c */
void local_calls_tick(struct local_shard *s, int64_t now_ms);
void local_calls_want_reload(struct local_shard *s);
void local_calls_cancel(struct local_shard *s);

#endif
