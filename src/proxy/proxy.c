/* The proxy as the control thread sees it: see proxy.h. Probes go to the workers in turn; records of all workers are
 * read when any of them wakes the control loop. */
#include "proxy/proxy.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX         64u
#define THREADS_AUTO_MAX    4L
#define CONNECTIONS_DEFAULT 8192u

struct proxy {
    struct proxy_conf conf;
    struct proxy_events events;
    struct worker *workers;
    unsigned count, next_probe;
    struct proxy_table *table; /* newest published */
    uv_async_t wake;           /* on the control loop */
};

static void on_wake(uv_async_t *wake)
{
    struct proxy *p = wake->data;
    struct scrape_record r;
    for (unsigned i = 0; i < p->count; i++) {
        while (record_ring_pop(p->workers[i].ring, &r)) {
            metric_add(METRIC_SIDECAR_PROXY_TOTAL, r.shard != NULL);
            p->events.on_record(p->events.data, &r);
        }
    }
}

static void wake_control(void *data)
{
    struct proxy *p = data;
    uv_async_send(&p->wake);
}

static unsigned thread_count(const struct proxy_conf *conf)
{
    if (conf->threads != 0) {
        return conf->threads < THREADS_MAX ? conf->threads : THREADS_MAX;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return (unsigned)(cores < 1 ? 1 : cores < THREADS_AUTO_MAX ? cores : THREADS_AUTO_MAX);
}

int proxy_new(struct loop *control, const int *listen_fds, size_t listen_count, const struct proxy_conf *conf,
              struct proxy_table *first, const struct proxy_events *events, struct proxy **ret, struct errctx *err)
{
    struct proxy *p = mem_calloc(1, sizeof(*p));
    int rc = 0;
    p->conf = *conf;
    if (p->conf.connections_max == 0) {
        p->conf.connections_max = CONNECTIONS_DEFAULT;
    }
    p->events = *events;
    p->table = first != NULL ? proxy_table_ref(first) : NULL;
    unsigned wanted = thread_count(conf);
    p->conf.threads = wanted;
    p->workers = mem_calloc(wanted, sizeof(*p->workers));
    invariant(uv_async_init(loop_uv(control), &p->wake, on_wake) == 0);
    p->wake.data = p;
    for (unsigned i = 0; i < wanted && rc == 0; i++) {
        rc = worker_init(&p->workers[i], &p->conf, listen_fds, listen_count, first, wake_control, p, err);
        worker_start(&p->workers[i]);
        p->count++;
    }
    for (size_t i = 0; i < listen_count; i++) {
        close(listen_fds[i]);
    }
    if (rc != 0) {
        proxy_free(&p, 0);
        return rc;
    }
    *ret = p;
    return 0;
}

void proxy_publish(struct proxy *p, struct proxy_table *t)
{
    for (unsigned i = 0; i < p->count; i++) {
        worker_publish(&p->workers[i], proxy_table_ref(t));
    }
    proxy_table_unref(p->table);
    p->table = t;
}

void proxy_probe(struct proxy *p, struct proxy_table *t, const struct target *target)
{
    worker_probe(&p->workers[p->next_probe++ % p->count], t, target);
}

static void on_closed(uv_handle_t *handle)
{
    struct proxy *p = handle->data;
    free(p->workers);
    free(p);
}

void proxy_free(struct proxy **handle, int64_t grace_ms)
{
    struct proxy *p = *handle;
    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < p->count; i++) {
        worker_stop(&p->workers[i], grace_ms);
    }
    for (unsigned i = 0; i < p->count; i++) {
        worker_join(&p->workers[i]);
    }
    proxy_table_unref(p->table);
    p->count = 0;
    uv_close((uv_handle_t *)&p->wake, on_closed);
    *handle = NULL;
}
