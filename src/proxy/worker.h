/* One worker thread of the proxy: its loop, its libh2o server, its libcurl multi, its prepared jobs. Private to the
 * room. */
#ifndef KVASS_PROXY_WORKER_H
#define KVASS_PROXY_WORKER_H

#include "net/http_server.h"
#include "proxy/job_client.h"
#include "proxy/proxy.h"
#include "proxy/records.h"

#include <pthread.h>

struct scrape;

struct worker {
    struct loop *loop;
    struct curl_loop *curl;
    struct http_server **servers; /* one per listener */
    size_t server_count, servers_open;
    struct job_clients *jobs;
    struct proxy_table *table; /* newest published; NULL before the first */
    struct record_ring *ring;
    struct loop_timer *sweep, *again;
    struct scrape *scrapes;            /* every one under way */
    struct scrape *dirty;              /* have something to send on after this batch of socket events */
    struct decoder *spare_decoders[2]; /* by content_encoding - 1 */
    const struct proxy_conf *conf;
    void (*on_records)(void *data); /* any thread: wakes the consumer of `ring` */
    void *on_records_data;
    bool ending;
    pthread_t thread;
};

/* Makes everything but the thread; listen_fds are duplicated. */
int worker_init(struct worker *w, const struct proxy_conf *conf, const int *listen_fds, size_t listen_count,
                struct proxy_table *first, void (*on_records)(void *data), void *data, struct errctx *err) MUST_CHECK;
void worker_start(struct worker *w);

/* From any thread. */
void worker_publish(struct worker *w, struct proxy_table *t);                            /* takes the reference */
void worker_probe(struct worker *w, struct proxy_table *t, const struct target *target); /* referenced here */

/* Ends the listeners, waits for scrapes at most grace_ms, joins the thread, frees what worker_init made. */
void worker_stop(struct worker *w, int64_t grace_ms);
void worker_join(struct worker *w);

/* On the worker's thread: paused scrapes that wait for nobody but themselves go on after what else has happened. */
void worker_again(struct worker *w);

/* On the worker's thread: a scrape ended. */
void worker_report(struct worker *w, const struct scrape_record *r);

#endif
