/* The scrape proxy: worker threads with libh2o in front and libcurl behind. The control thread publishes tables, takes
 * records. */
#ifndef KVASS_PROXY_PROXY_H
#define KVASS_PROXY_PROXY_H

#include "base/loop.h"
#include "expfmt/counter.h"
#include "model/scrape_record.h"
#include "proxy/table.h"

struct proxy;

struct proxy_conf {
    unsigned threads;              /* 0 = min(cores, 4) */
    unsigned connections_max;      /* 0 = 8192 */
    unsigned host_connections_max; /* upstream, to one host and port, of all threads together; 0 = no limit */
    enum count_mode count_mode;
    double timeout_offset_ratio; /* 0.05; the deadline ends this share, 20 to 500 ms, before Prometheus' own */
    bool pass_compressed;        /* downstream gets the target's encoding instead of identity */
    bool disable_keep_alive;     /* upstream */
    bool split;                  /* targets may be parts of one */
    const char *scrape_proxy;    /* SCRAPE_PROXY; NULL = none */
    size_t body_bytes_max;       /* decoded; 0 = 1 GiB */
    size_t line_bytes_max;       /* 0 = 1 MiB */
};

struct proxy_events {
    void (*on_record)(void *data, const struct scrape_record *r); /* on the control loop; borrowed */
    void *data;
};

/* listen_fds: listening sockets (taken over), shared by all workers. control: the loop events are delivered on. first:
 * the table to begin with, referenced; without one every scrape is refused until one is published. */
int proxy_new(struct loop *control, const int *listen_fds, size_t listen_count, const struct proxy_conf *conf,
              struct proxy_table *first, const struct proxy_events *events, struct proxy **ret,
              struct errctx *err) MUST_CHECK;

/* Takes over the caller's reference; workers switch at once, running scrapes end on the table they began with. */
void proxy_publish(struct proxy *p, struct proxy_table *t);

/* Scrapes target once without a Prometheus behind it, with the job's client settings of table t, counting only. The
 * record comes with shard NULL. */
void proxy_probe(struct proxy *p, struct proxy_table *t, const struct target *target);

/* Stops accepting, lets scrapes end for at most grace_ms, joins the threads. Blocking; call it last. */
void proxy_free(struct proxy **p, int64_t grace_ms);

#endif
