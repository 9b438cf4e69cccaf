/* A shard on this host: files for its Prometheus, statuses from our own proxy, reloads and head figures by HTTP.
 *
 * <dir>/prometheus.yml and <dir>/targets/<job>.json (file form) are written here; the proxy table is not ours: whenever
 * the set of targets that may be scraped changes, env.publish is called and has to publish the table of all local
 * shards, from shard->ops->assignment of each, before it returns. On adding this happens before the files name the
 * target; on removing the target stays in `assignment` as LEAVING until Prometheus has certainly let go of it. */
#ifndef KVASS_SHARD_LOCAL_H
#define KVASS_SHARD_LOCAL_H

#include "base/loop.h"
#include "configgen/render.h"
#include "model/scrape_record.h"
#include "net/http_client.h"
#include "shard/shard.h"

#include <sys/types.h>

struct local_env {
    struct loop *loop;
    struct http_client *http;
    const char *proxy_url; /* goes into every job */
    enum target_form form;
    bool drop_rules, self_monitor;
    enum render_server server; /* who scrapes */
    bool skip_head_series;     /* --shard.fetch-head-series=false: the sum of counted series is the head */
    unsigned parts_max;        /* --split.max-parts; over 1, targets may be parts */
    gid_t gid;                 /* group of the files; (gid_t)-1 = leave it */
    const char *config_path;   /* the generated file; NULL = <dir>/prometheus.yml. With one, dir is not ours alone */
    const char *pending_path;  /* marks a reload that is owed; NULL = <dir>/reload.pending */
    int64_t memory_ms;         /* between two readings of Prometheus' memory; 0 = never */
    int64_t poll_ms;           /* between two readings of the head; 0 = 10 s */
    int64_t call_timeout_ms;   /* 0 = 5 s */
    int64_t reload_timeout_ms; /* 0 = 60 s: Prometheus answers when the reload is through */
    int64_t leave_ms;          /* served after leaving the file, besides two intervals; 0 = 30 s */
    void (*publish)(void *data);
    void *data;
    int64_t (*now_ms)(void *data); /* monotonic; NULL = the real clock */
};

/* env is copied, the strings in it are borrowed for the shard's life. dir is made when missing. The shard polls by a
 * timer of its own from the next turn of the loop on. */
struct shard *local_shard_new(const struct local_env *env, const char *id, const char *replica, unsigned group,
                              const char *dir, const char *prometheus_url);

/* The assignment as durable state remembers it, LEAVING targets and proofs included; before the first set_config. They
 * are served for a while yet, as if they had left now. Targets are referenced. The caller publishes. */
void local_shard_restore(struct shard *s, const struct assignment *items, const struct target_status *statuses,
                         size_t count, uint64_t generation, uint64_t epoch);

/* Files as they have to be, now. ERR_AGAIN while there is no configuration or no assignment yet; else what the last
 * attempt to write met. For the moment before a Prometheus is started. */
int local_shard_prepare(struct shard *s, struct errctx *err) MUST_CHECK;

/* A finished scrape of this shard; others than its own targets' are ignored. */
void local_shard_record(struct shard *s, const struct scrape_record *r);

struct state_shard;

/* local_shard_restore from what state.h read; from may be NULL: nothing was assigned. */
void local_shard_restore_state(struct shard *s, const struct state_shard *from, uint64_t generation, uint64_t epoch);

/* What its Prometheus says it is, for `info`; "" = it answers and is none that has a version. */
void local_shard_set_version(struct shard *s, const char *version);

/* Its Prometheus is reached elsewhere from now on. Setting shard->prometheus_url does the same, at the next tick. */
void local_shard_set_url(struct shard *s, const char *prometheus_url);

/* Writes the files again if they differ, and asks Prometheus to reload whether or not they did. */
void local_shard_refresh(struct shard *s);

/* What the timer does every second: retries, reloads, readings, and the end of what is leaving. For tests with a clock
 * of their own. */
void local_shard_tick(struct shard *s);

/* One call per target, LEAVING included; for durable state. */
void local_shard_each(struct shard *s,
                      void (*each)(void *data, const struct assignment *a, const struct target_status *status),
                      void *data);

#endif
