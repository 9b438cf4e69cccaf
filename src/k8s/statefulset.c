/* StatefulSets as shards: see statefulset.h. The number of shards is what the specs say, so a pod that is missing is a
 * shard nobody hears of, not a shard less. A scale is a merge patch with the resourceVersion of the set as it was seen:
 * whoever changed the set in between makes the patch fail, and the next round decides anew on what is true then. */
#include "k8s/statefulset.h"
#include "base/intern.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "k8s/claims.h"
#include "k8s/recorder.h"
#include "k8s/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_PERIOD_MS 10000
#define ERROR_PERIOD_MS  30000
#define FAILED_PERIOD_MS 600000 /* between Events of the same failure: a refusal comes again every round */
#define PODS_DELAY_MS    100    /* a change of many pods is read once */

static const struct logctx LOG = {NULL, "component", "k8s"};

struct statefulsets;

/* One StatefulSet. */
struct member {
    struct statefulsets *owner;
    struct replica replica;
    struct k8s_watcher *watch; /* of its pods */
    VEC(struct replica_pod *) pods;
    bool pods_known, pods_stale;
    struct k8s_call *scale_call;
    unsigned scale_from, scale_to;
    bool scale_was_seen;  /* by the watch, while the call was under way */
    bool scale_is_unsure; /* the call has failed in a way that leaves it open: the watch will tell */
    bool scales_itself;   /* no right to the scale subresource (Kvass 0.3 had it not): the set itself is patched */
    char *scale_reason;
    char *failure; /* the last Event of one; NULL after a success */
    struct log_limit failure_limit;
    struct claims_sweep *sweep; /* claims of ordinals that a scale of ours removed; NULL = none */
};

struct statefulsets {
    struct provider base;
    struct statefulset_conf conf; /* its strings are the three below */
    char *namespace, *selector, *instance;
    struct loop *loop;
    struct k8s_client *client;
    struct k8s_watcher *watch;
    VEC(struct member *) members; /* sorted by name */
    bool sets_known;
    struct replica_shards listed;
    struct log_limit error_limit;
    struct loop_timer *pods_timer, *claims_timer, *stop_timer;
    void (*on_stopped)(void *data);
    void *stopped_data;
};

static struct statefulsets *of(struct provider *p)
{
    return (struct statefulsets *)p;
}

static void changed(struct statefulsets *s)
{
    if (s->base.on_change != NULL) {
        s->base.on_change(s->base.data);
    }
}

/* ---------------------------------------------------------------- pods */

static void drop_pods(struct member *m)
{
    vec_foreach(p, &m->pods) {
        free(*p);
    }
    vec_clear(&m->pods);
}

/* All of them anew: few, and a change of one is rare. */
static void read_pods(struct member *m)
{
    size_t it = 0;
    const struct k8s_object *o;
    drop_pods(m);
    while ((o = k8s_watcher_next(m->watch, &it)) != NULL) {
        struct errctx err = ERRCTX_INIT;
        struct replica_pod pod;
        if (replica_pod_read(o, m->replica.name, &pod, &err) != 0) {
            log_warn(&LOG, "pod", "error", err.msg);
            continue;
        }
        *vec_push(&m->pods) = mem_calloc(1, sizeof(pod));
        *m->pods.items[m->pods.len - 1] = pod;
    }
    m->pods_known = true;
    changed(m->owner);
}

static void on_pods_synced(void *data)
{
    read_pods(data);
}

static void on_pod(void *data, enum k8s_change change, const struct k8s_object *before, const struct k8s_object *now)
{
    (void)change;
    (void)before;
    (void)now;
    struct member *m = data;
    m->pods_stale = true;
    loop_timer_start(m->owner->pods_timer, PODS_DELAY_MS, 0);
}

static void on_pods_due(void *data)
{
    struct statefulsets *s = data;
    vec_foreach(m, &s->members) {
        if ((*m)->pods_stale) {
            (*m)->pods_stale = false;
            read_pods(*m);
        }
    }
}

static void on_watch_error(void *data, const struct k8s_answer *answer)
{
    struct statefulsets *s = data;
    uint64_t more;
    if (log_limit_pass(&s->error_limit, timebase_monotonic_ms(), ERROR_PERIOD_MS, &more)) {
        log_warn(&LOG, "watch", "error", answer->err.msg, "not_logged", log_num((int64_t)more));
    }
}

static void on_pods_error(void *data, const struct k8s_answer *answer)
{
    on_watch_error(((struct member *)data)->owner, answer);
}

static void watch_pods(struct member *m)
{
    const struct k8s_watch_spec spec = {
        .resource = &K8S_PODS,
        .namespace = m->owner->conf.namespace,
        .label_selector = m->replica.selector,
        .schema = REPLICA_POD_SCHEMA,
        .consistent = true,
    };
    const struct k8s_watch_events events = {
        .on_synced = on_pods_synced, .on_change = on_pod, .on_error = on_pods_error, .data = m};
    m->watch = k8s_watch_open(m->owner->client, &spec, &events);
}

/* ---------------------------------------------------------------- StatefulSets */

static void member_free(struct member *m)
{
    k8s_watch_close(&m->watch);
    if (m->scale_call != NULL) {
        k8s_call_cancel(m->scale_call);
    }
    claims_sweep_free(&m->sweep);
    drop_pods(m);
    vec_done(&m->pods);
    replica_done(&m->replica);
    free(m->scale_reason);
    free(m->failure);
    free(m);
}

static size_t member_index(const struct statefulsets *s, const char *name)
{
    size_t i = 0;
    while (i < s->members.len && strcmp(s->members.items[i]->replica.name, name) < 0) {
        i++;
    }
    return i;
}

static bool is_member(const struct statefulsets *s, size_t i, const char *name)
{
    return i < s->members.len && strcmp(s->members.items[i]->replica.name, name) == 0;
}

static void remove_member(struct statefulsets *s, size_t i)
{
    log_info(&LOG, "StatefulSet gone", "name", s->members.items[i]->replica.name);
    member_free(s->members.items[i]);
    vec_remove(&s->members, i);
}

static void add_member(struct statefulsets *s, size_t i, struct replica *r)
{
    struct member *m = mem_calloc(1, sizeof(*m));
    m->owner = s;
    m->replica = *r;
    (void)vec_push(&s->members);
    memmove(&s->members.items[i + 1], &s->members.items[i], (s->members.len - 1 - i) * sizeof(*s->members.items));
    s->members.items[i] = m;
    log_info(&LOG, "StatefulSet", "name", r->name, "shards", log_num(r->replicas));
    watch_pods(m);
}

static void lost_set(struct statefulsets *s, const struct k8s_object *o)
{
    char name[REPLICA_NAME_MAX];
    snprintf(name, sizeof(name), "%.*s", VIEW_FMT(k8s_object_name(o)));
    size_t i = member_index(s, name);
    if (is_member(s, i, name)) {
        remove_member(s, i);
    }
}

static void scale_done(struct member *m, unsigned from);

/* What the platform wants of a set that was there before. */
static void renew_set(struct member *m, struct replica *r)
{
    unsigned before = m->replica.replicas;
    replica_done(&m->replica);
    m->replica = *r;
    if (r->replicas == before) {
        return;
    }
    m->scale_was_seen = m->scale_was_seen || (before == m->scale_from && r->replicas == m->scale_to);
    if (m->scale_is_unsure && m->scale_was_seen) {
        scale_done(m, before);
    } else if (m->sweep != NULL) {
        claims_sweep_spare(m->sweep, r->first_ordinal + r->replicas);
    }
    m->scale_is_unsure = false;
}

/* A set of the same name that was made anew is another one: its pods are others, too. */
static void take_set(struct statefulsets *s, const struct k8s_object *o)
{
    struct errctx err = ERRCTX_INIT;
    struct replica r;
    if (replica_read(o, &r, &err) != 0) {
        log_warn(&LOG, "StatefulSet", "error", err.msg);
        return;
    }
    size_t i = member_index(s, r.name);
    if (is_member(s, i, r.name)) {
        struct replica *old = &s->members.items[i]->replica;
        if (strcmp(old->uid, r.uid) == 0 && strcmp(old->selector, r.selector) == 0) {
            renew_set(s->members.items[i], &r);
            return;
        }
        remove_member(s, i);
    }
    add_member(s, i, &r);
}

static void on_set(void *data, enum k8s_change change, const struct k8s_object *before, const struct k8s_object *now)
{
    struct statefulsets *s = data;
    if (change == K8S_DELETED) {
        lost_set(s, before);
    } else {
        take_set(s, now);
    }
    changed(s);
}

static void on_sets_synced(void *data)
{
    struct statefulsets *s = data;
    size_t it = 0;
    const struct k8s_object *o;
    while ((o = k8s_watcher_next(s->watch, &it)) != NULL) {
        take_set(s, o);
    }
    s->sets_known = true;
    if (s->members.len == 0) {
        log_warn(&LOG, "no StatefulSet found", "namespace", s->conf.namespace, "selector", s->conf.selector, "remedy",
                 "label the StatefulSets of the shards, or set shard.namespace and shard.selector");
    }
    changed(s);
}

/* ---------------------------------------------------------------- scale */

static void record(const struct member *m, bool warning, const char *reason, const char *message)
{
    const struct recorder_event e = {
        .api_version = "apps/v1",
        .kind = "StatefulSet",
        .namespace = m->owner->conf.namespace,
        .name = m->replica.name,
        .uid = m->replica.uid,
        .warning = warning,
        .reason = reason,
        .message = message,
    };
    recorder_post(m->owner->client, &e, m->owner->conf.instance);
}

static bool may_delete_claims(void *data, unsigned ordinal)
{
    const struct member *m = data;
    if (!m->pods_known || ordinal < m->replica.first_ordinal + m->replica.replicas) {
        return false;
    }
    vec_foreach(p, &m->pods) {
        if ((*p)->has_ordinal && (*p)->ordinal == ordinal) {
            return false;
        }
    }
    return m->owner->conf.may_act(m->owner->conf.data);
}

static void sweep_claims(struct member *m, unsigned from)
{
    struct statefulsets *s = m->owner;
    if (!s->conf.delete_claims || m->replica.deletes_claims) {
        return;
    }
    if (m->sweep == NULL) {
        m->sweep = claims_sweep_new(s->client, s->conf.namespace, &m->replica, may_delete_claims, m);
    }
    claims_sweep_extend(m->sweep, m->replica.first_ordinal + m->scale_to, m->replica.first_ordinal + from);
}

static void record_failure(struct member *m, const char *message)
{
    uint64_t more;
    if (m->failure == NULL || strcmp(m->failure, message) != 0) {
        free(m->failure);
        m->failure = mem_strdup(message);
        m->failure_limit = (struct log_limit){0};
    }
    if (log_limit_pass(&m->failure_limit, timebase_monotonic_ms(), FAILED_PERIOD_MS, &more)) {
        record(m, true, "ScaleFailed", message);
    }
}

/* The last scale has come true. */
static void scale_done(struct member *m, unsigned from)
{
    char message[700];
    MEM_FREE(m->failure);
    m->scale_is_unsure = false;
    metric_add(METRIC_K8S_SCALES, 1, m->scale_to > from ? "up" : "down");
    log_info(&LOG, "scaled", "name", m->replica.name, "from", log_num(from), "to", log_num(m->scale_to), "reason",
             m->scale_reason);
    snprintf(message, sizeof(message), "from %u to %u: %s", from, m->scale_to, m->scale_reason);
    record(m, false, m->scale_to > from ? "ScaledUp" : "ScaledDown", message);
    if (m->scale_to < from) {
        sweep_claims(m, from);
    } else if (m->sweep != NULL) {
        claims_sweep_spare(m->sweep, m->replica.first_ordinal + m->scale_to);
    }
}

static void send_scale(struct member *m);

static void on_scaled(void *data, const struct k8s_answer *a)
{
    struct member *m = data;
    unsigned from = m->scale_from;
    char message[700];
    m->scale_call = NULL;
    if (a->status == 403 && !m->scales_itself) {
        log_warn(&LOG, "scale", "name", m->replica.name, "err", a->err.msg, "action", "patch the StatefulSet itself");
        m->scales_itself = true;
        send_scale(m);
        return;
    }
    if (a->err.code == ERR_CONFLICT) {
        log_info(&LOG, "scale again later", "name", m->replica.name, "reason", a->err.msg);
        return;
    }
    bool is_open = a->status == 0 || a->status >= 500;
    if (a->err.code != 0 && !(is_open && m->scale_was_seen)) {
        m->scale_is_unsure = is_open;
        metric_add(METRIC_K8S_SCALES, 1, "failed");
        log_error(&LOG, "scale failed", "name", m->replica.name, "to", log_num(m->scale_to), "error", a->err.msg);
        snprintf(message, sizeof(message), "from %u to %u: %s", from, m->scale_to, a->err.msg);
        m->scales_itself = m->scales_itself && a->status != 403; /* neither way: the right to either may come */
        record_failure(m, message);
        return;
    }
    scale_done(m, from);
    if (!m->scale_was_seen) {
        m->replica.replicas = m->scale_to;
        snprintf(m->replica.resource_version, sizeof(m->replica.resource_version), "%s",
                 k8s_json_str(a->object, "metadata.resourceVersion"));
    }
    changed(m->owner);
}

static void send_scale(struct member *m)
{
    char body[256];
    snprintf(body, sizeof(body), "{\"metadata\":{\"resourceVersion\":\"%s\"},\"spec\":{\"replicas\":%u}}",
             m->replica.resource_version, m->scale_to);
    const struct k8s_request req = {
        .verb = K8S_PATCH_MERGE,
        .resource = &K8S_STATEFULSETS,
        .namespace = m->owner->conf.namespace,
        .name = m->replica.name,
        .subresource = m->scales_itself ? NULL : "scale",
        .body = view_of(body),
        .timeout_ms = 10000,
    };
    m->scale_call = k8s_call_send(m->owner->client, &req, on_scaled, m);
}

static void scale_member(struct member *m, unsigned wanted, const char *reason)
{
    if (m->scale_call != NULL || m->replica.terminating || m->replica.replicas == wanted) {
        return;
    }
    m->scale_was_seen = false;
    m->scale_from = m->replica.replicas;
    m->scale_to = wanted;
    free(m->scale_reason);
    m->scale_reason = mem_strdup(reason);
    send_scale(m);
}

static bool is_known(const struct provider *p)
{
    const struct statefulsets *s = (const struct statefulsets *)p;
    bool known = s->sets_known;
    vec_foreach(m, &s->members) {
        known = known && (*m)->pods_known;
    }
    return known;
}

static void scale(struct provider *p, unsigned wanted, const char *reason)
{
    struct statefulsets *s = of(p);
    if (s->on_stopped != NULL || !is_known(p) || wanted > REPLICA_SHARDS_MAX || !s->conf.may_act(s->conf.data)) {
        return;
    }
    vec_foreach(m, &s->members) {
        scale_member(*m, wanted, reason);
    }
}

/* ---------------------------------------------------------------- provider */

static const struct replica_pod *const *pods_of(const struct member *m)
{
    return (const struct replica_pod *const *)m->pods.items;
}

static const struct provider_shard *list(struct provider *p, size_t *ret_count)
{
    struct statefulsets *s = of(p);
    vec_clear(&s->listed.items);
    vec_foreach(m, &s->members) {
        if (!(*m)->replica.terminating) {
            replica_shards(&(*m)->replica, pods_of(*m), (*m)->pods.len, &s->conf.shard, &s->listed);
        }
    }
    *ret_count = s->listed.items.len;
    return s->listed.items.items;
}

/* The largest of the replicas: a set that somebody made smaller, or a new one, is brought up to the others. */
static unsigned desired(struct provider *p)
{
    unsigned most = 0;
    vec_foreach(m, &of(p)->members) {
        if (!(*m)->replica.terminating && (*m)->replica.replicas > most) {
            most = (*m)->replica.replicas;
        }
    }
    return most;
}

static void on_claims(void *data)
{
    struct statefulsets *s = data;
    vec_foreach(m, &s->members) {
        if ((*m)->sweep == NULL || !s->conf.may_act(s->conf.data)) {
            continue;
        }
        claims_sweep_run((*m)->sweep);
        if (claims_sweep_is_done((*m)->sweep)) {
            claims_sweep_free(&(*m)->sweep);
        }
    }
}

static void on_stop(void *data)
{
    struct statefulsets *s = data;
    s->on_stopped(s->stopped_data);
}

static void stop(struct provider *p, void (*on_stopped)(void *data), void *data)
{
    struct statefulsets *s = of(p);
    s->on_stopped = on_stopped;
    s->stopped_data = data;
    s->stop_timer = loop_timer_new(s->loop, on_stop, s);
    loop_timer_start(s->stop_timer, 0, 0);
}

static void provider_free_(struct provider *p)
{
    struct statefulsets *s = of(p);
    k8s_watch_close(&s->watch);
    vec_foreach(m, &s->members) {
        member_free(*m);
    }
    vec_done(&s->members);
    vec_done(&s->listed.items);
    loop_timer_free(&s->pods_timer);
    loop_timer_free(&s->claims_timer);
    loop_timer_free(&s->stop_timer);
    k8s_client_unref(s->client);
    free(s->namespace);
    free(s->selector);
    free(s->instance);
    free(s);
}

static const struct provider_ops OPS = {
    .scale = scale,
    .list = list,
    .desired = desired,
    .is_known = is_known,
    .stop = stop,
    .free = provider_free_,
};

struct provider *statefulset_provider_new(struct loop *loop, struct k8s_client *client,
                                          const struct statefulset_conf *conf)
{
    struct statefulsets *s = mem_calloc(1, sizeof(*s));
    s->base.ops = &OPS;
    s->conf = *conf;
    s->conf.namespace = s->namespace = mem_strdup(conf->namespace);
    s->conf.selector = s->selector = mem_strdup(conf->selector);
    s->conf.instance = s->instance = mem_strdup(conf->instance);
    s->loop = loop;
    s->client = k8s_client_ref(client);
    s->pods_timer = loop_timer_new(loop, on_pods_due, s);
    s->claims_timer = loop_timer_new(loop, on_claims, s);
    loop_timer_start(s->claims_timer, CLAIMS_PERIOD_MS, CLAIMS_PERIOD_MS);
    const struct k8s_watch_spec spec = {
        .resource = &K8S_STATEFULSETS,
        .namespace = s->conf.namespace,
        .label_selector = s->conf.selector,
        .schema = REPLICA_SET_SCHEMA,
        .consistent = true,
    };
    const struct k8s_watch_events events = {
        .on_synced = on_sets_synced, .on_change = on_set, .on_error = on_watch_error, .data = s};
    s->watch = k8s_watch_open(s->client, &spec, &events);
    return &s->base;
}
