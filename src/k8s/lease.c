/* Leader election: see lease.h. One try at a time, one call of a try at a time: GET, then POST or PUT with the
 * resourceVersion that was read; the holder leaves the GET out. What others do is seen in their record only: a record
 * that has not changed for its own duration, by our monotonic clock since we first saw it, may be taken over. A renewal
 * counts from the moment it was sent, so a slow answer never stretches the time we act. The object read is written back
 * with our fields changed, so labels and fields of others stay. */
#include "k8s/lease.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_MS    5000
#define DURATION_MAX_S     3600  /* of a record; what claims to last longer is garbage and lasts as long as ours */
#define REFUSED_MS         10000 /* a role takes a moment to come into force: so long it is asked for again */
#define UNELECTED_RETRY_MS 30000

static const struct logctx LOG = {NULL, "component", "lease"};

struct lease {
    struct lease_conf conf; /* its strings are the three below */
    char *namespace, *name, *identity;
    struct lease_listener listener;
    struct loop *loop;
    struct k8s_client *client;
    struct loop_timer *retry_timer, *deadline_timer;
    struct k8s_call *call;
    json_t *object; /* as last read or written; NULL until then */
    char *holder;
    int64_t observed_ms; /* monotonic: when the record was last seen to change */
    int64_t sent_ms;     /* of the call under way */
    int64_t renewed_ms;  /* of the last renewal that succeeded, when it was sent */
    uint64_t transitions;
    bool held, releasing;
    bool was_answered; /* the Lease was read or written once: we have the right */
    bool was_seen;     /* there was a Lease once */
    bool unelected;
    bool is_refused; /* since refused_ms: 403 and nothing else so far */
    int64_t refused_ms;
    void (*on_released)(void *data);
    void *released_data;
};

/* ---------------------------------------------------------------- the record */

static const char *spec_string(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(json_object_get(object, "spec"), key));
    return s != NULL ? s : "";
}

static int64_t spec_integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(object, "spec"), key));
}

/* Same record: nobody has renewed or taken it. */
static bool is_same_record(const json_t *a, const json_t *b)
{
    return a != NULL && b != NULL && json_equal(json_object_get(a, "spec"), json_object_get(b, "spec"));
}

static void keep_object(struct lease *l, json_t *object, int64_t seen_ms)
{
    if (!is_same_record(l->object, object)) {
        l->observed_ms = seen_ms;
    }
    json_decref(l->object);
    l->object = object;
    free(l->holder);
    l->holder = mem_strdup(spec_string(object, "holderIdentity"));
    int64_t transitions = spec_integer(object, "leaseTransitions");
    l->transitions = transitions > 0 ? (uint64_t)transitions : 0;
    l->was_seen = true;
}

static bool is_ours(const struct lease *l)
{
    return l->holder != NULL && strcmp(l->holder, l->conf.identity) == 0;
}

/* How long the record is good for after it has changed. What no holder writes is taken for our own duration, never for
 * none: its author may be alive. */
static int64_t record_duration_ms(const struct lease *l)
{
    int64_t s = spec_integer(l->object, "leaseDurationSeconds");
    return s > 0 && s <= DURATION_MAX_S ? s * 1000 : l->conf.duration_ms;
}

/* Somebody else holds it and may still be alive. */
static bool is_taken(const struct lease *l, int64_t now_ms)
{
    return l->holder != NULL && l->holder[0] != '\0' && !is_ours(l) && now_ms < l->observed_ms + record_duration_ms(l);
}

/* The record that makes us the holder, or renews it; NULL object: a Lease of our own making. */
static json_t *wished_record(const struct lease *l, bool release)
{
    char now[K8S_MICROTIME_MAX];
    k8s_microtime(timebase_realtime_ms(), now);
    json_t *object = l->object != NULL
                         ? json_deep_copy(l->object)
                         : json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", "coordination.k8s.io/v1", "kind", "Lease",
                                     "metadata", "name", l->conf.name, "namespace", l->conf.namespace);
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec)) {
        spec = json_object();
        json_object_set_new(object, "spec", spec);
    }
    bool renewal = l->object != NULL && is_ours(l);
    uint64_t transitions = l->transitions + (l->was_seen && !renewal);
    transitions = transitions <= INT32_MAX ? transitions : 0; /* the type of the API */
    json_object_set_new(spec, "holderIdentity", json_string(release ? "" : l->conf.identity));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(release ? 1 : l->conf.duration_ms / 1000));
    json_object_set_new(spec, "renewTime", json_string(now));
    if (!renewal || release) {
        json_object_set_new(spec, "acquireTime", json_string(now));
    }
    json_object_set_new(spec, "leaseTransitions", json_integer((json_int_t)transitions));
    return object;
}

/* ---------------------------------------------------------------- holding and losing */

static void lose(struct lease *l, const char *why)
{
    if (!l->held) {
        return;
    }
    l->held = false;
    loop_timer_stop(l->deadline_timer);
    metric_set(METRIC_K8S_LEASE_HELD, 0);
    log_warn(&LOG, "lease lost", "lease", l->conf.name, "why", why);
    l->listener.on_lost(l->listener.data, why);
}

static void on_deadline(void *data)
{
    lose(data, "it could not be renewed in time");
}

/* The renewal that was sent at l->sent_ms has succeeded. */
static void hold(struct lease *l, bool epoch_changed)
{
    int64_t left_ms = l->sent_ms + l->conf.renew_deadline_ms - timebase_monotonic_ms();
    bool news = !l->held || epoch_changed;
    if (left_ms <= 0) {
        lose(l, "the renewal took too long");
        return;
    }
    l->renewed_ms = l->sent_ms;
    l->held = true;
    loop_timer_start(l->deadline_timer, left_ms, 0);
    if (news) {
        metric_set(METRIC_K8S_LEASE_HELD, 1);
        log_info(&LOG, "lease held", "lease", l->conf.name, "identity", l->conf.identity, "epoch",
                 log_num((int64_t)l->transitions + 1));
        l->listener.on_held(l->listener.data, l->transitions + 1);
    }
}

/* ---------------------------------------------------------------- calls */

static void again(struct lease *l)
{
    /* Candidates spread their tries; the holder keeps its pace. */
    int64_t ms = l->unelected ? UNELECTED_RETRY_MS : l->conf.retry_ms;
    if (!l->held) {
        ms += ms * (rand() % 1200) / 1000; /* NOLINT: spreading, not secrecy */
    }
    loop_timer_start(l->retry_timer, ms, 0);
}

static void released(struct lease *l)
{
    if (l->on_released != NULL) {
        void (*done)(void *) = l->on_released;
        l->on_released = NULL;
        done(l->released_data);
    }
}

/* Refused from the start, for longer than a role needs to come into force. It may still be granted: asked now and then.
 */
static void act_unelected(struct lease *l, const struct k8s_answer *a)
{
    int64_t now_ms = timebase_monotonic_ms();
    if (!l->is_refused) {
        l->is_refused = true;
        l->refused_ms = now_ms;
    }
    if (l->unelected || l->conf.elected_only || now_ms < l->refused_ms + REFUSED_MS) {
        again(l);
        return;
    }
    log_error(&LOG, "no right to the Lease", "err", a->err.msg, "action", "act without an election", "remedy",
              "grant get, create and update on leases of coordination.k8s.io before running a second one");
    l->unelected = l->held = true;
    again(l);
    l->listener.on_held(l->listener.data, 0);
}

static void answered(struct lease *l)
{
    l->was_answered = true;
    if (l->unelected) {
        lose(l, "the Lease may be used now: there is an election");
        l->unelected = false;
    }
}

static void failed(struct lease *l, const struct k8s_answer *a)
{
    if (l->releasing) {
        log_warn(&LOG, "lease not given back", "lease", l->conf.name, "error", a->err.msg);
        released(l);
        return;
    }
    metric_add(METRIC_K8S_LEASE_FAILURES, 1);
    if (!l->unelected) {
        log_warn(&LOG, "lease", "lease", l->conf.name, "error",
                 a->err.code != 0 ? a->err.msg : "the answer is no Lease with a resourceVersion");
    }
    if (a->status == 403 && !l->was_answered) {
        act_unelected(l, a);
    } else {
        l->is_refused = false;
        again(l);
    }
}

/* The Lease of an answer, referenced; NULL when it has none or what came is no object of an API server. */
static json_t *lease_of(const struct k8s_answer *a)
{
    return k8s_json_str(a->object, "metadata.resourceVersion")[0] != '\0' ? json_incref(a->object) : NULL;
}

static void on_written(void *data, const struct k8s_answer *a)
{
    struct lease *l = data;
    l->call = NULL;
    json_t *object = lease_of(a);
    if (object == NULL) {
        /* Somebody else wrote, or the outcome is unknown: read before the next try. */
        json_decref(l->object);
        l->object = NULL;
        failed(l, a);
        return;
    }
    uint64_t transitions_before = l->transitions;
    keep_object(l, object, timebase_monotonic_ms());
    if (l->releasing) {
        log_info(&LOG, "lease given back", "lease", l->conf.name);
        released(l);
        return;
    }
    if (is_ours(l)) {
        hold(l, l->transitions != transitions_before);
    } else {
        lose(l, "another holds it");
    }
    again(l);
}

static void write_record(struct lease *l, bool release)
{
    json_t *object = wished_record(l, release);
    char *text = json_dumps(object, JSON_COMPACT);
    const struct k8s_request req = {
        .verb = l->object == NULL ? K8S_CREATE : K8S_UPDATE,
        .resource = &K8S_LEASES,
        .namespace = l->conf.namespace,
        .name = l->object == NULL ? NULL : l->conf.name,
        .body = view_of(text),
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    l->sent_ms = timebase_monotonic_ms();
    l->call = k8s_call_send(l->client, &req, on_written, l);
    free(text);
    json_decref(object);
}

static void on_read(void *data, const struct k8s_answer *a)
{
    struct lease *l = data;
    l->call = NULL;
    int64_t now_ms = timebase_monotonic_ms();
    if (a->status == 404) {
        answered(l);
        if (is_taken(l, now_ms)) {
            again(l); /* deleted under its holder, who does not know yet: it may be alive as ever */
            return;
        }
        json_decref(l->object);
        l->object = NULL;
        free(l->holder);
        l->holder = NULL; /* the count goes on: what was seen of it is kept */
        if (l->releasing) {
            released(l);
            return;
        }
        write_record(l, false);
        return;
    }
    json_t *object = lease_of(a);
    if (object == NULL) {
        failed(l, a);
        return;
    }
    answered(l);
    keep_object(l, object, now_ms);
    if (l->held && !is_ours(l)) {
        lose(l, "another holds it");
    }
    if (l->releasing && !is_ours(l)) {
        released(l);
        return;
    }
    if (is_taken(l, now_ms)) {
        again(l);
        return;
    }
    write_record(l, l->releasing);
}

static void try_get(struct lease *l)
{
    const struct k8s_request req = {
        .resource = &K8S_LEASES,
        .namespace = l->conf.namespace,
        .name = l->conf.name,
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    l->call = k8s_call_send(l->client, &req, on_read, l);
}

static void on_retry(void *data)
{
    struct lease *l = data;
    if (l->call != NULL || l->releasing) {
        return;
    }
    if (l->held && l->object != NULL && is_ours(l)) {
        write_record(l, false);
        return;
    }
    try_get(l);
}

/* ---------------------------------------------------------------- life */

struct lease *lease_new(struct loop *loop, struct k8s_client *client, const struct lease_conf *conf,
                        const struct lease_listener *listener)
{
    struct lease *l = mem_calloc(1, sizeof(*l));
    l->namespace = mem_strdup(conf->namespace);
    l->name = mem_strdup(conf->name);
    l->identity = mem_strdup(conf->identity);
    l->conf = (struct lease_conf){
        .namespace = l->namespace,
        .name = l->name,
        .identity = l->identity,
        .duration_ms = conf->duration_ms != 0 ? conf->duration_ms : 15000,
        .renew_deadline_ms = conf->renew_deadline_ms != 0 ? conf->renew_deadline_ms : 10000,
        .retry_ms = conf->retry_ms != 0 ? conf->retry_ms : 2000,
        .elected_only = conf->elected_only,
    };
    l->listener = *listener;
    l->loop = loop;
    l->client = client;
    l->retry_timer = loop_timer_new(loop, on_retry, l);
    l->deadline_timer = loop_timer_new(loop, on_deadline, l);
    metric_set(METRIC_K8S_LEASE_HELD, 0);
    loop_timer_start(l->retry_timer, 0, 0);
    return l;
}

bool lease_is_held(const struct lease *l)
{
    return l->held && (l->unelected || timebase_monotonic_ms() < l->renewed_ms + l->conf.renew_deadline_ms);
}

bool lease_is_unelected(const struct lease *l)
{
    return l->unelected;
}

uint64_t lease_epoch(const struct lease *l)
{
    return l->held && !l->unelected ? l->transitions + 1 : 0;
}

const char *lease_holder(const struct lease *l)
{
    return l->holder != NULL ? l->holder : "";
}

void lease_release(struct lease *l, void (*on_done)(void *data), void *data)
{
    bool was_ours = is_ours(l);
    l->releasing = true;
    l->held = false;
    l->on_released = on_done;
    l->released_data = data;
    metric_set(METRIC_K8S_LEASE_HELD, 0);
    loop_timer_stop(l->retry_timer);
    loop_timer_stop(l->deadline_timer);
    if (l->call != NULL) {
        k8s_call_cancel(l->call);
        l->call = NULL;
        was_ours = true; /* the call may have made it so */
    }
    if (was_ours) {
        try_get(l);
    } else {
        released(l);
    }
}

void lease_free(struct lease **handle)
{
    struct lease *l = *handle;
    if (l == NULL) {
        return;
    }
    if (l->call != NULL) {
        k8s_call_cancel(l->call);
    }
    loop_timer_free(&l->retry_timer);
    loop_timer_free(&l->deadline_timer);
    json_decref(l->object);
    free(l->holder);
    free(l->namespace);
    free(l->name);
    free(l->identity);
    free(l);
    *handle = NULL;
}
