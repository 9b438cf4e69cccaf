/* An appliance in each pod: see pod.h. Composition of the sidecar and the coordinator on one loop. The sidecar is in
 * push mode: whoever holds the Lease sends configuration and targets, to the other pods by HTTP, to its own through the
 * shard below, which takes the same two steps without a wire. Until this balancer acts it sends nothing, so standing by
 * changes nothing here. */
#include "api/pod.h"
#include "api/coordinator_impl.h"
#include "api/sidecar_impl.h"
#include "base/mem.h"
#include "base/notify.h"

#include <stdio.h>
#include <stdlib.h>

static const struct logctx LOG = {NULL, "component", "appliance"};

struct pod {
    struct options sidecar_options; /* the strings are those of the appliance's */
    char api_address[32];
    struct sidecar sc;
    struct coordinator c;
};

/* Our own Prometheus as the balancer sees it. */
struct own_shard {
    struct shard base; /* first: the handle is cast */
    struct sidecar *sc;
    struct promconf *conf; /* wished; NULL until told */
    uint64_t config_generation;
};

static struct own_shard *own_of(struct shard *s)
{
    return (struct own_shard *)s;
}

static void own_set_config(struct shard *s, struct promconf *conf, uint64_t config_generation)
{
    struct own_shard *own = own_of(s);
    promconf_unref(own->conf);
    own->conf = promconf_ref(conf);
    own->config_generation = config_generation;
}

static int send_config(struct own_shard *own, uint64_t epoch, struct errctx *err)
{
    struct sidecar *sc = own->sc;
    if (own->conf == NULL || (sc->conf != NULL && strcmp(sc->conf->hash, own->conf->hash) == 0)) {
        return 0;
    }
    struct bytes text;
    bytes_init(&text, (size_t)64 << 20);
    int rc = promconf_write_whole(own->conf, &text, err);
    if (rc == 0) {
        const struct wire_push push = {.generation = own->config_generation, .epoch = epoch, .has_epoch = true};
        rc = sidecar_take_config(sc, &push, bytes_view(&text), err);
    }
    bytes_done(&text);
    return rc;
}

static void own_set_assignment(struct shard *s, const struct assignment *items, size_t count, uint64_t generation,
                               uint64_t epoch)
{
    struct own_shard *own = own_of(s);
    struct errctx err = ERRCTX_INIT;
    const struct wire_push push = {.generation = generation, .epoch = epoch, .has_epoch = true};
    int rc = send_config(own, epoch, &err);
    rc = rc != 0 ? rc : sidecar_take_targets(own->sc, &push, items, count, &err);
    if (rc != 0) {
        log_warn(&LOG, "own shard", "shard", s->id, "err", err.msg);
    }
}

static const struct assignment *own_assignment(struct shard *s, size_t *ret_count)
{
    struct shard *local = own_of(s)->sc->shard;
    return local->ops->assignment(local, ret_count);
}

static const struct target_status *own_status(const struct shard *s, const char *job, uint64_t hash)
{
    const struct shard *local = ((const struct own_shard *)s)->sc->shard;
    return local->ops->status(local, job, hash);
}

static const struct shard_info *own_info(const struct shard *s)
{
    const struct shard *local = ((const struct own_shard *)s)->sc->shard;
    return local->ops->info(local);
}

static void own_drop_wish(struct shard *s)
{
    (void)s; /* nothing goes down but from set_assignment */
}

static void own_free(struct shard *s)
{
    promconf_unref(own_of(s)->conf);
    free(s);
}

static struct shard *make_own(void *data, const struct provider_shard *ps)
{
    static const struct shard_ops OPS = {
        .set_config = own_set_config,
        .set_assignment = own_set_assignment,
        .assignment = own_assignment,
        .status = own_status,
        .info = own_info,
        .drop_wish = own_drop_wish,
        .free = own_free,
    };
    struct pod *p = data;
    struct own_shard *own = mem_calloc(1, sizeof(*own));
    own->base =
        (struct shard){.ops = &OPS, .id = ps->id, .replica = ps->replica, .group = ps->group, .prometheus_url = ""};
    own->sc = &p->sc;
    return &own->base;
}

static void stop_own(void *data, const char *reason)
{
    struct pod *p = data;
    struct errctx err = ERRCTX_INIT;
    if (sidecar_take_stop_reason(&p->sc, reason, &err) != 0) {
        log_warn(&LOG, "stop reason", "err", err.msg);
    }
}

/* ---------------------------------------------------------------- hooks */

static void on_record(void *data, const struct scrape_record *r)
{
    struct pod *p = data;
    sidecar_on_record(&p->sc, r);
    if (p->c.reconcile != NULL) {
        reconcile_record(p->c.reconcile, r);
    }
}

static void on_reload(void *data)
{
    struct pod *p = data;
    struct errctx err = ERRCTX_INIT;
    (void)!coordinator_reload(&p->c, &err); /* it logs */
}

static void on_ended(void *data)
{
    struct pod *p = data;
    loop_stop(p->sc.d.loop);
}

static void begin_end(void *data, int signum)
{
    struct pod *p = data;
    (void)signum;
    sidecar_server_free(&p->sc.api, 0);
    coordinator_begin_end(&p->c, on_ended, p);
}

static void save(void *data)
{
    struct pod *p = data;
    sidecar_save(&p->sc);
}

static void watch(void *data)
{
    struct pod *p = data;
    sidecar_on_watch(&p->sc);
    coordinator_watch_config(&p->c);
}

static void tell_status(void *data)
{
    struct pod *p = data;
    sidecar_measure(&p->sc);
    coordinator_tell_status(&p->c);
}

/* ---------------------------------------------------------------- life */

/* The sidecar's half: it waits for pushes, and its API is where the others find it. */
static void derive_options(struct pod *p, const struct options *o)
{
    p->sidecar_options = *o;
    snprintf(p->api_address, sizeof(p->api_address), ":%d", (int)o->shard_port);
    p->sidecar_options.config_file = "";
    p->sidecar_options.web_address = p->api_address;
}

static int start(struct pod *p, struct errctx *err)
{
    const struct proxy_events records = {on_record, p};
    int rc = sidecar_start(&p->sc, &records, err);
    if (rc != 0) {
        return rc;
    }
    coordinator_attach(&p->c, &p->sc.d);
    p->c.own_id = p->sc.id;
    p->c.make_own = make_own;
    p->c.stop_own = stop_own;
    p->c.own_data = p;
    rc = coordinator_start(&p->c, err);
    p->c.d.started = rc == 0;
    return rc;
}

int pod_run(const struct options *o)
{
    static const struct daemon_hooks HOOKS = {
        .reload = on_reload, .end = begin_end, .save = save, .watch = watch, .status = tell_status};
    struct errctx err = ERRCTX_INIT;
    struct pod *p = mem_calloc(1, sizeof(*p));
    derive_options(p, o);
    sidecar_init(&p->sc, &p->sidecar_options);
    coordinator_init(&p->c, o);
    daemon_init(&p->sc.d, &p->sidecar_options, &LOG, &HOOKS, p);
    int rc = start(p, &err);
    if (rc != 0) {
        log_error(&LOG, "start", "err", err.msg, "action", "exit");
    } else {
        daemon_run(&p->sc.d);
    }
    sidecar_close(&p->sc);
    coordinator_stop(&p->c);
    sidecar_stop(&p->sc);
    free(p);
    return rc == 0 ? 0 : 1;
}
