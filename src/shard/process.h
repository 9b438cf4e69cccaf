/* The provider that runs shards as child processes of this host: one Prometheus per group, kept running, found again
 * after a restart of ours, started one by one and ended in order. Everything goes by process id, never by name.
 *
 * Layout, per shard, in <data_dir>/shards/shard-<ordinal>/: prometheus.yml and targets/ (written by the local shard
 * before the first start), data/ (the TSDB), prometheus.log (bounded), pid. <data_dir>/shards/wanted holds the wanted
 * number, so that a restart knows how many shards the platform is set to have. */
#ifndef KVASS_SHARD_PROCESS_H
#define KVASS_SHARD_PROCESS_H

#include "base/loop.h"
#include "net/http_client.h"
#include "shard/provider.h"

/* What prepare is told of the shard about to be started. */
struct process_shard {
    const char *id; /* interned */
    unsigned group;
    const char *dir;            /* exists */
    const char *prometheus_url; /* "http://127.0.0.1:19090" */
};

struct process_conf {
    const char *data_dir;          /* store.path; absolute */
    const char *binary;            /* NULL = "prometheus"; a path, or looked up in PATH */
    const char *const *extra_args; /* NULL-ended; NULL = none. They come last and may not repeat ours */
    const char *agent_flag; /* what asks for agent mode, "--agent"; NULL = servers. Agents store in agent/, not data/ */
    unsigned base_port;     /* port of group 0 on 127.0.0.1; 0 = 19090 */
    unsigned groups_max;    /* 0 = 100 */
    uint64_t capacity_series; /* 0 = the default limit */
    bool stop_children;       /* stop(): end the children too; false leaves them running for the next kvass to adopt */
    bool delete_data;      /* shrinking removes a shard's folder after its end (off unless asked for: guarantee 10) */
    int64_t stop_grace_ms; /* SIGTERM to SIGKILL; 0 = 75 s: flushing to a remote store may take a minute */
    int64_t backoff_first_ms, backoff_max_ms; /* 0 = 1 s, 60 s */
    int64_t stable_ms;                        /* running this long resets the back-off; 0 = 60 s */
    size_t log_bytes_max;                     /* 0 = 16 MiB */
    /* Makes the shard's prometheus.yml exist. Called before every start. ERR_AGAIN: not yet possible, ask again soon.
     */
    int (*prepare)(void *data, const struct process_shard *shard, struct errctx *err);
    void *data;
};

/* Creates the folders and adopts what runs; starts nothing before the loop turns. conf is copied, its strings too.
 * ERR_IO when data_dir cannot be used, ERR_INVALID for a port range that does not fit or an extra argument that is
 * ours. */
int process_provider_new(struct loop *loop, struct http_client *http, const struct process_conf *conf,
                         struct provider **ret, struct errctx *err) MUST_CHECK;

/* Replaces conf.stop_children, before stop(). */
void process_provider_stop_children(struct provider *p, bool stop_children);

/* The process id of a group, 0 when none runs; for the console and for tests. */
int process_provider_pid(const struct provider *p, unsigned group);

#endif
