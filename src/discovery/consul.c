/* consul_sd_configs: services and their instances from a Consul agent, by blocking queries.
 *
 * A watch is one such query that is asked again and again with the index of the last answer, so that it returns when
 * something changed: one of the catalog (unless the services are named and no tag is asked for), one of each wanted
 * service. The datacenter is asked of the agent first when the item names none. Between two queries of a watch lies
 * refresh_interval at least, after a failure a growing pause. A service that left the catalog ends with an empty group.
 *
 * The first answer of everything that was known at the start ends the initial discovery, so that a restart never sees
 * half of the services as all of them. A failure keeps the last good groups. */
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "discovery/consul_conf.h"
#include "discovery/consul_read.h"
#include "discovery/sd_api.h"

#include <stdlib.h>

#define SERVICES_MAX   10000
#define WAIT_MS        (2 * 60 * 1000)
#define TIMEOUT_MS     (WAIT_MS + 15 * 1000)
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   (15 * 1000)
#define BURST          64 /* watches that begin at once; the next ones BURST_PAUSE_MS later */
#define BURST_PAUSE_MS 50

struct watch {
    struct discoverer *owner;
    char *service; /* NULL: the catalog, or the agent's own datacenter */
    struct loop_timer *timer;
    struct http_call *call;
    uint64_t index;
    int64_t started_ms, retry_ms;
    bool has_answered;
    unsigned seen_in; /* number of the catalog answer that listed it last */
    void (*on_body)(struct watch *w, const struct http_answer *answer);
};

struct discoverer {
    struct loop *loop;
    struct discovery_sink sink;
    struct consul_conf conf;
    struct sd_api *api;
    char *job;
    struct watch *catalog; /* also while it asks for the datacenter; NULL when services are named and no tags */
    struct hashmap watches;
    size_t unanswered; /* watches that never had a good answer, the catalog included */
    size_t begun;      /* in this burst */
    unsigned catalog_answers;
};

/* --- one watch */

static void ask(void *data);

static struct watch *watch_new(struct discoverer *d, const char *service,
                               void (*on_body)(struct watch *w, const struct http_answer *answer))
{
    struct watch *w = mem_calloc(1, sizeof(*w));
    w->owner = d;
    w->service = service != NULL ? mem_strdup(service) : NULL;
    w->on_body = on_body;
    w->timer = loop_timer_new(d->loop, ask, w);
    d->unanswered++;
    loop_timer_start(w->timer, (int64_t)(d->begun++ / BURST) * BURST_PAUSE_MS, 0);
    return w;
}

static void watch_free(struct watch *w)
{
    if (w == NULL) {
        return;
    }
    w->owner->unanswered -= !w->has_answered;
    if (w->call != NULL) {
        http_call_cancel(w->call);
    }
    loop_timer_free(&w->timer);
    free(w->service);
    free(w);
}

static void watch_again(struct watch *w, int64_t pause_ms)
{
    int64_t due_ms = w->started_ms + w->owner->conf.refresh_ms - timebase_monotonic_ms();
    loop_timer_start(w->timer, due_ms > pause_ms ? due_ms : pause_ms, 0);
}

static void watch_failed(struct watch *w, struct errctx *err)
{
    int64_t next_ms = w->retry_ms * 2 < RETRY_MAX_MS ? w->retry_ms * 2 : RETRY_MAX_MS;
    w->retry_ms = w->retry_ms == 0 ? RETRY_FIRST_MS : next_ms;
    uint64_t spread = w->service != NULL ? hash_view(view_of(w->service)) : 0;
    watch_again(w, w->retry_ms + (int64_t)(spread % (uint64_t)w->retry_ms)); /* not all services at one moment */
    if (w->service != NULL) {
        errctx_prefix(err, err->code, "service %s", w->service);
    }
    w->owner->sink.on_error(w->owner->sink.data, err);
}

static void watch_succeeded(struct watch *w)
{
    w->owner->unanswered -= !w->has_answered;
    w->has_answered = true;
    w->retry_ms = 0;
    watch_again(w, 0);
    if (w->owner->unanswered == 0) {
        w->owner->sink.on_ok(w->owner->sink.data);
    }
}

static void on_answer(void *data, const struct http_answer *answer)
{
    struct watch *w = data;
    struct errctx err = ERRCTX_INIT;
    w->call = NULL;
    if (sd_api_check(w->owner->api, answer, &err) != 0) {
        watch_failed(w, &err);
    } else {
        w->on_body(w, answer);
    }
}

static void ask(void *data)
{
    struct watch *w = data;
    struct discoverer *d = w->owner;
    char *path = d->conf.datacenter == NULL ? mem_strdup("/v1/agent/self")
                 : w->service == NULL       ? consul_catalog_path(&d->conf, w->index, WAIT_MS)
                                            : consul_health_path(&d->conf, w->service, w->index, WAIT_MS);
    d->begun = 0;
    w->started_ms = timebase_monotonic_ms();
    w->call = sd_api_get(d->api, path, TIMEOUT_MS, on_answer, w);
    free(path);
}

/* --- what the answers say */

static void on_instances(struct watch *w, const struct http_answer *answer)
{
    struct discoverer *d = w->owner;
    const struct consul_instances of = {w->service, d->conf.datacenter, d->conf.tag_separator};
    struct errctx err = ERRCTX_INIT;
    struct target_group *group;
    size_t skipped;
    uint64_t index = w->index;
    if (consul_index_step(answer->header, &index)) {
        if (consul_read_instances(&of, answer->body, &group, &skipped, &err) != 0) {
            watch_failed(w, &err);
            return;
        }
        if (skipped != 0) {
            metric_add(METRIC_DISCOVERY_ENTRIES_SKIPPED, (double)skipped, d->job, CONSUL_KEY);
        }
        d->sink.on_groups(d->sink.data, &group, 1);
        target_group_unref(group);
    }
    w->index = index;
    watch_succeeded(w);
}

static void watch_service(struct discoverer *d, const char *name)
{
    hashmap_add(&d->watches, hash_view(view_of(name)), watch_new(d, name, on_instances));
}

static void on_service(void *data, const char *name, bool is_wanted)
{
    struct discoverer *d = data;
    struct watch *w = hashmap_get(&d->watches, hash_view(view_of(name)), name);
    if (w == NULL && is_wanted && d->watches.len < SERVICES_MAX) {
        watch_service(d, name);
        w = hashmap_get(&d->watches, hash_view(view_of(name)), name);
    } else if (w == NULL && is_wanted) {
        metric_add(METRIC_DISCOVERY_ENTRIES_SKIPPED, 1, d->job, CONSUL_KEY);
    }
    if (w != NULL) {
        w->seen_in = d->catalog_answers;
    }
}

static void end_service(struct discoverer *d, const char *name)
{
    struct target_group *gone = target_group_new(name, NULL, NULL, 0);
    struct watch *w = hashmap_remove(&d->watches, hash_view(view_of(name)), name);
    d->sink.on_groups(d->sink.data, &gone, 1);
    target_group_unref(gone);
    watch_free(w);
}

static void end_unseen(struct discoverer *d)
{
    VEC(char *) names = {0};
    size_t it = 0;
    for (struct watch *w; (w = hashmap_next(&d->watches, &it)) != NULL;) {
        if (w->seen_in != d->catalog_answers) {
            *vec_push(&names) = w->service;
        }
    }
    for (size_t i = 0; i < names.len; i++) {
        end_service(d, names.items[i]);
    }
    vec_done(&names);
}

static void on_catalog(struct watch *w, const struct http_answer *answer)
{
    struct discoverer *d = w->owner;
    struct errctx err = ERRCTX_INIT;
    uint64_t index = w->index;
    if (consul_index_step(answer->header, &index)) {
        d->catalog_answers++;
        if (consul_read_services(&d->conf.wanted, answer->body, on_service, d, &err) != 0) {
            watch_failed(w, &err);
            return;
        }
        end_unseen(d);
    }
    w->index = index;
    watch_succeeded(w);
}

static void watch_all(struct discoverer *d)
{
    for (size_t i = 0; i < d->conf.wanted.name_count; i++) {
        const char *name = d->conf.wanted.names[i];
        if (hashmap_get(&d->watches, hash_view(view_of(name)), name) == NULL) {
            watch_service(d, name);
        }
    }
}

/* The watch that asked for the datacenter becomes that of the catalog, or ends. */
static void on_datacenter(struct watch *w, const struct http_answer *answer)
{
    struct discoverer *d = w->owner;
    struct errctx err = ERRCTX_INIT;
    if (consul_read_datacenter(answer->body, d->conf.arena, &d->conf.datacenter, &err) != 0) {
        watch_failed(w, &err);
        return;
    }
    if (consul_needs_catalog(&d->conf)) {
        w->on_body = on_catalog;
        loop_timer_start(w->timer, 0, 0);
        return;
    }
    d->catalog = NULL;
    watch_all(d);
    watch_free(w);
}

/* --- life */

static bool service_equal(const void *entry, const void *key)
{
    return strcmp(((const struct watch *)entry)->service, key) == 0;
}

static void stop(struct discoverer *d)
{
    size_t it = 0;
    for (struct watch *w; (w = hashmap_next(&d->watches, &it)) != NULL;) {
        watch_free(w);
    }
    watch_free(d->catalog);
    hashmap_done(&d->watches);
    sd_api_free(&d->api);
    consul_conf_done(&d->conf);
    free(d->job);
    free(d);
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    struct consul_conf parsed;
    int rc = consul_conf_read(env, file, conf, &parsed, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    d->loop = env->loop;
    d->sink = *sink;
    d->conf = parsed;
    d->job = mem_strdup(env->job);
    const struct sd_api_conf api = {.base_url = parsed.base_url,
                                    .unix_socket = parsed.unix_socket,
                                    .headers = parsed.headers,
                                    .want_header = "X-Consul-Index"};
    d->api = sd_api_new(env, &parsed.http, &api);
    hashmap_init(&d->watches, service_equal);
    if (parsed.datacenter == NULL) {
        d->catalog = watch_new(d, NULL, on_datacenter);
    } else if (consul_needs_catalog(&parsed)) {
        d->catalog = watch_new(d, NULL, on_catalog);
    } else {
        watch_all(d);
    }
    *ret = d;
    return 0;
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    const struct discovery_env env = {.base_dir = base_dir, .major = major};
    struct consul_conf parsed;
    int rc = consul_conf_read(&env, file, conf, &parsed, err);
    if (rc == 0) {
        consul_conf_done(&parsed);
    }
    return rc;
}

const struct mechanism mechanism_consul = {.key = CONSUL_KEY, .start = start, .stop = stop, .check = check};
