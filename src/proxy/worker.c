/* A worker thread: see worker.h. Everything in struct worker but `ring` belongs to its own thread once that runs; other
 * threads only post to its loop. */
#include "proxy/worker.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "net/http_exchange.h"
#include "proxy/route.h"
#include "proxy/scrape.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define SWEEP_MS                 100
#define REQUEST_BODY_MAX         ((size_t)65536)
#define IDLE_MS                  300000 /* Prometheus keeps its connections between scrapes of up to minutes */
#define UPSTREAM_CONNECTIONS_MAX 100000L

void worker_report(struct worker *w, const struct scrape_record *r)
{
    if (record_ring_push(w->ring, r)) {
        w->on_records(w->on_records_data);
    }
}

/* ---------------------------------------------------------------- requests */

static int refuse(h2o_req_t *req, int status, const char *why, const char *message)
{
    metric_add(METRIC_PROXY_REFUSED, 1, why);
    downstream_refuse(req, status, message);
    return 0;
}

static int on_request(h2o_req_t *req, void *data)
{
    struct worker *w = data;
    struct errctx err = ERRCTX_INIT;
    struct route route;
    const char *shard = NULL;
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET"))) {
        req->http1_is_persistent = 0;
        return refuse(req, 405, "method", "only GET of an http:// URL is proxied, CONNECT is not");
    }
    int rc = route_parse(view_make(req->input.path.base, req->input.path.len), &route, &err);
    if (rc != 0) {
        return rc == ERR_LIMIT ? refuse(req, 414, "too_long", err.msg) : refuse(req, 400, "malformed", err.msg);
    }
    if (w->table == NULL) {
        return refuse(req, 503, "starting", "no configuration is loaded yet");
    }
    const char *reason = proxy_table_stop_reason(w->table);
    if (reason[0] != '\0') {
        return refuse(req, 503, "stopped", reason);
    }
    const struct target *t = proxy_table_find(w->table, view_make(route.shard, route.shard_len),
                                              view_make(route.job, route.job_len), route.hash, &shard);
    if (t == NULL) {
        return refuse(req, 403, "not_assigned", "this target is not assigned to this shard");
    }
    if (!route_matches(&route, t->url)) {
        return refuse(req, 403, "other_url", "the URL is not the assigned target's");
    }
    scrape_begin(w, req, w->table, shard, t);
    return 0;
}

/* ---------------------------------------------------------------- time */

static void flush_dirty(void *data)
{
    struct worker *w = data;
    while (w->dirty != NULL) {
        struct scrape *s = w->dirty;
        w->dirty = s->next_dirty;
        s->is_dirty = false;
        bool paused = s->paused; /* then s outlives this */
        downstream_send(s);
        if (paused && !s->in_flight) {
            worker_again(w);
        }
    }
}

void worker_again(struct worker *w)
{
    loop_timer_start(w->again, 0, 0);
}

static void on_again(void *data)
{
    struct worker *w = data;
    for (struct scrape *s = w->scrapes, *next; s != NULL; s = next) {
        next = s->next;
        if (s->paused && !s->in_flight && s->phase == SCRAPE_FETCHING) {
            (void)upstream_resume(s);
        }
    }
    flush_dirty(w);
}

static void on_sweep(void *data)
{
    struct worker *w = data;
    int64_t now_ms = timebase_monotonic_ms();
    for (struct scrape *s = w->scrapes, *next; s != NULL; s = next) {
        next = s->next;
        scrape_sweep(s, now_ms);
    }
    if (record_ring_flush(w->ring)) {
        w->on_records(w->on_records_data);
    }
}

/* ---------------------------------------------------------------- messages */

struct message {
    struct worker *worker;
    struct proxy_table *table;
    const struct target *target; /* a probe when set */
};

static void on_message(void *data)
{
    struct message *m = data;
    struct worker *w = m->worker;
    if (m->target != NULL) {
        if (!w->ending) {
            scrape_begin(w, NULL, m->table, NULL, m->target);
        }
        proxy_table_unref(m->table);
        target_unref(m->target);
    } else {
        proxy_table_unref(w->table);
        w->table = m->table;
    }
    free(m);
}

static void post(struct worker *w, struct proxy_table *t, const struct target *target)
{
    struct message *m = mem_alloc(sizeof(*m));
    *m = (struct message){w, t, target};
    if (!loop_post(w->loop, on_message, m)) {
        proxy_table_unref(t);
        target_unref(target);
        free(m);
    }
}

void worker_publish(struct worker *w, struct proxy_table *t)
{
    post(w, t, NULL);
}

void worker_probe(struct worker *w, struct proxy_table *t, const struct target *target)
{
    post(w, proxy_table_ref(t), target_ref(target));
}

/* ---------------------------------------------------------------- life */

static int open_servers(struct worker *w, const int *listen_fds, size_t listen_count, struct errctx *err)
{
    const struct http_server_conf conf = {
        .request_bytes_max = REQUEST_BODY_MAX,
        .connections_max = w->conf->connections_max,
        .idle_ms = IDLE_MS,
    };
    w->servers = mem_calloc(listen_count + 1, sizeof(struct http_server *));
    for (size_t i = 0; i < listen_count; i++) {
        int fd = fcntl(listen_fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            return errctx_set_errno(err, errno, "dup of a listening socket");
        }
        int rc = http_server_new_raw(w->loop, fd, &conf, on_request, w, &w->servers[i], err);
        if (rc != 0) {
            return rc;
        }
        w->server_count++;
    }
    return 0;
}

int worker_init(struct worker *w, const struct proxy_conf *conf, const int *listen_fds, size_t listen_count,
                struct proxy_table *first, void (*on_records)(void *data), void *data, struct errctx *err)
{
    const struct curl_loop_conf curl_conf = {
        .max_connections = UPSTREAM_CONNECTIONS_MAX,
        .max_host_connections = (long)((conf->host_connections_max + conf->threads - 1) / conf->threads),
        .no_multiplex = true,
    };
    *w = (struct worker){.conf = conf, .on_records = on_records, .on_records_data = data};
    w->table = first != NULL ? proxy_table_ref(first) : NULL;
    w->loop = loop_new();
    w->curl = curl_loop_new(loop_uv(w->loop), &curl_conf);
    w->jobs = job_clients_new(conf->count_mode, conf->line_bytes_max, conf->split);
    w->ring = record_ring_new();
    curl_loop_on_flush(w->curl, flush_dirty, w);
    w->sweep = loop_timer_new(w->loop, on_sweep, w);
    w->again = loop_timer_new(w->loop, on_again, w);
    loop_timer_start(w->sweep, SWEEP_MS, SWEEP_MS);
    return open_servers(w, listen_fds, listen_count, err);
}

static void *thread_main(void *data)
{
    struct worker *w = data;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    loop_run(w->loop);
    return NULL;
}

void worker_start(struct worker *w)
{
    invariant(pthread_create(&w->thread, NULL, thread_main, w) == 0);
}

static void end_loop(struct worker *w)
{
    while (w->scrapes != NULL) { /* probes; requests went with their connections */
        invariant(w->scrapes->is_probe);
        scrape_free(w->scrapes);
    }
    loop_timer_free(&w->sweep);
    loop_timer_free(&w->again);
    loop_stop(w->loop);
}

static void on_server_closed(void *data)
{
    struct worker *w = data;
    if (--w->servers_open == 0) {
        end_loop(w);
    }
}

struct stop_request {
    struct worker *worker;
    int64_t grace_ms;
};

static void begin_stop(void *data)
{
    struct stop_request *q = data;
    struct worker *w = q->worker;
    w->ending = true;
    w->servers_open = w->server_count;
    for (size_t i = 0; i < w->server_count; i++) {
        http_server_close(w->servers[i], q->grace_ms, on_server_closed, w);
    }
    if (w->server_count == 0) {
        end_loop(w);
    }
    free(q);
}

void worker_stop(struct worker *w, int64_t grace_ms)
{
    struct stop_request *q = mem_alloc(sizeof(*q));
    *q = (struct stop_request){w, grace_ms};
    invariant(loop_post(w->loop, begin_stop, q));
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    proxy_table_unref(w->table);
    job_clients_free(&w->jobs);
    for (size_t i = 0; i < sizeof(w->spare_decoders) / sizeof(w->spare_decoders[0]); i++) {
        decoder_free(&w->spare_decoders[i]);
    }
    curl_loop_free(&w->curl);
    loop_free(&w->loop);
    record_ring_free(&w->ring);
    free(w->servers);
}
