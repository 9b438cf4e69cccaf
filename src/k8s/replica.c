/* StatefulSets and pods: see replica.h. Every field is optional in the JSON of the API server: an absent number is zero, an absent
 * list empty. Shards come from spec.replicas, never from the pods that a list happens to hold: a pod that is not there yet, or not
 * any more, is a shard nobody has heard of, not a shard less. */
#include "k8s/replica.h"
#include "base/bytes.h"
#include "base/intern.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELECTOR_BYTES_MAX 16384
#define CLAIMS_MAX         32

static const json_t *at(const json_t *object, const char *a, const char *b)
{
    return json_object_get(json_object_get(object, a), b);
}

static const char *text_of(const json_t *value)
{
    const char *s = json_string_value(value);
    return s != NULL ? s : "";
}

#define COPY(place, value) snprintf((place), sizeof(place), "%s", (value))

/* ---------------------------------------------------------------- selectors */

static void append_values(struct bytes *out, const json_t *values)
{
    size_t i;
    json_t *v;
    bytes_append_str(out, " (");
    json_array_foreach(values, i, v)
    {
        bytes_append_str(out, i > 0 ? "," : "");
        bytes_append_str(out, text_of(v));
    }
    bytes_append_str(out, ")");
}

static int append_expression(struct bytes *out, const json_t *e, struct errctx *err)
{
    const char *key = text_of(json_object_get(e, "key")), *op = text_of(json_object_get(e, "operator"));
    const json_t *values = json_object_get(e, "values");
    bool in = strcmp(op, "In") == 0, not_in = strcmp(op, "NotIn") == 0;
    if (in || not_in) {
        bytes_append_str(out, key);
        bytes_append_str(out, in ? " in" : " notin");
        append_values(out, values);
        return 0;
    }
    if (strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) {
        bytes_append_str(out, op[0] == 'D' ? "!" : "");
        bytes_append_str(out, key);
        return 0;
    }
    return errctx_set(err, ERR_INVALID, "selector operator '%s' is not known", op);
}

static void append_labels(struct bytes *out, const json_t *labels)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)labels, key, v)
    {
        bytes_append_str(out, bytes_view(out).len > 0 ? "," : "");
        bytes_append_str(out, key);
        bytes_append_str(out, "=");
        bytes_append_str(out, text_of(v));
    }
}

static int read_selector(const json_t *selector, struct replica *r, struct errctx *err)
{
    size_t i;
    json_t *e;
    int rc = 0;
    struct bytes text;
    bytes_init(&text, SELECTOR_BYTES_MAX);
    append_labels(&text, json_object_get(selector, "matchLabels"));
    r->match_labels = mem_strdup(bytes_view(&text).base);
    json_array_foreach(json_object_get(selector, "matchExpressions"), i, e)
    {
        bytes_append_str(&text, bytes_view(&text).len > 0 ? "," : "");
        if (rc == 0) {
            rc = append_expression(&text, e, err);
        }
    }
    if (rc == 0 && (bytes_view(&text).len == 0 || bytes_check(&text, NULL) != 0)) {
        rc = errctx_set(err, ERR_INVALID, "its selector is empty or too long");
    }
    r->selector = mem_strdup(bytes_view(&text).base);
    bytes_done(&text);
    return rc;
}

/* ---------------------------------------------------------------- StatefulSet */

static unsigned small_number(const json_t *value, unsigned dflt)
{
    if (!json_is_integer(value)) {
        return dflt;
    }
    json_int_t n = json_integer_value(value);
    return n < 0 ? 0 : n > REPLICA_SHARDS_MAX ? REPLICA_SHARDS_MAX + 1 : (unsigned)n;
}

int replica_read(const json_t *object, struct replica *ret, struct errctx *err)
{
    const json_t *spec = json_object_get(object, "spec");
    const json_t *retention = json_object_get(spec, "persistentVolumeClaimRetentionPolicy");
    const char *name = text_of(at(object, "metadata", "name")), *uid = text_of(at(object, "metadata", "uid"));
    if (name[0] == '\0' || uid[0] == '\0') {
        return errctx_set(err, ERR_INVALID, "a StatefulSet without name or uid");
    }
    struct replica r = {
        .name = intern(name),
        .terminating = at(object, "metadata", "deletionTimestamp") != NULL,
        .replicas = small_number(json_object_get(spec, "replicas"), 1), /* the server's own default */
        .first_ordinal = small_number(at(spec, "ordinals", "start"), 0),
        .deletes_claims = strcmp(text_of(json_object_get(retention, "whenScaled")), "Delete") == 0,
    };
    COPY(r.uid, uid);
    COPY(r.resource_version, text_of(at(object, "metadata", "resourceVersion")));
    int rc = read_selector(json_object_get(spec, "selector"), &r, err);
    if (rc == 0 && (r.replicas > REPLICA_SHARDS_MAX || r.first_ordinal > REPLICA_SHARDS_MAX)) {
        rc = errctx_set(err, ERR_INVALID, "more than %d shards", REPLICA_SHARDS_MAX);
    }
    if (rc != 0) {
        replica_done(&r);
        return errctx_prefix(err, rc, "StatefulSet %s", name);
    }
    size_t i;
    json_t *claim;
    json_array_foreach(json_object_get(spec, "volumeClaimTemplates"), i, claim)
    {
        if (i < CLAIMS_MAX) {
            *vec_push(&r.claims) = mem_strdup(text_of(at(claim, "metadata", "name")));
        }
    }
    *ret = r;
    return 0;
}

void replica_done(struct replica *r)
{
    vec_foreach(c, &r->claims) {
        free(*c);
    }
    vec_done(&r->claims);
    free(r->selector);
    free(r->match_labels);
}

/* ---------------------------------------------------------------- pods */

bool replica_ordinal(const char *set, const char *name, unsigned *ret)
{
    size_t n = strlen(set);
    if (strncmp(set, name, n) != 0 || name[n] != '-') {
        return false;
    }
    const char *digits = name + n + 1;
    size_t len = strspn(digits, "0123456789");
    if (len == 0 || len > 6 || digits[len] != '\0' || (digits[0] == '0' && len > 1)) {
        return false;
    }
    *ret = (unsigned)strtoul(digits, NULL, 10);
    return true;
}

static const char *owner_of(const json_t *object)
{
    size_t i;
    json_t *o;
    json_array_foreach(at(object, "metadata", "ownerReferences"), i, o)
    {
        if (json_is_true(json_object_get(o, "controller"))) {
            return text_of(json_object_get(o, "uid"));
        }
    }
    return "";
}

/* What keeps it from running, as the platform says. */
static const char *trouble_of(const json_t *status)
{
    static const char *const LISTS[] = {"initContainerStatuses", "containerStatuses"};
    size_t i;
    json_t *x;
    for (size_t k = 0; k < 2; k++) {
        json_array_foreach(json_object_get(status, LISTS[k]), i, x)
        {
            const char *reason = text_of(json_object_get(at(x, "state", "waiting"), "reason"));
            if (reason[0] != '\0') {
                return reason;
            }
        }
    }
    json_array_foreach(json_object_get(status, "conditions"), i, x)
    {
        if (strcmp(text_of(json_object_get(x, "type")), "PodScheduled") == 0 &&
            strcmp(text_of(json_object_get(x, "status")), "False") == 0) {
            return text_of(json_object_get(x, "reason"));
        }
    }
    return text_of(json_object_get(status, "reason"));
}

int replica_pod_read(const json_t *object, const char *set, struct replica_pod *ret, struct errctx *err)
{
    const json_t *status = json_object_get(object, "status");
    struct replica_pod p = {
        .running = strcmp(text_of(json_object_get(status, "phase")), "Running") == 0,
        .terminating = at(object, "metadata", "deletionTimestamp") != NULL,
    };
    COPY(p.name, text_of(at(object, "metadata", "name")));
    COPY(p.uid, text_of(at(object, "metadata", "uid")));
    COPY(p.owner_uid, owner_of(object));
    COPY(p.trouble, trouble_of(status));
    if (p.name[0] == '\0' || p.uid[0] == '\0') {
        return errctx_set(err, ERR_INVALID, "a pod without name or uid");
    }
    const char *ip = text_of(json_object_get(status, "podIP"));
    struct in6_addr probe;
    if (inet_pton(AF_INET, ip, &probe) == 1 || inet_pton(AF_INET6, ip, &probe) == 1) {
        COPY(p.ip, ip);
    }
    p.has_ordinal = replica_ordinal(set, p.name, &p.ordinal);
    *ret = p;
    return 0;
}

/* ---------------------------------------------------------------- shards */

static const char *url_of(const char *ip, unsigned port)
{
    char text[128];
    snprintf(text, sizeof(text), strchr(ip, ':') != NULL ? "http://[%s]:%u" : "http://%s:%u", ip, port);
    return intern(text);
}

static void describe(const struct replica_pod *pod, const struct replica_conf *conf, struct provider_shard *s)
{
    s->health = SHARD_HEALTH_UNREACHABLE;
    if (pod == NULL) {
        snprintf(s->error, sizeof(s->error), "the pod does not exist");
        return;
    }
    if (pod->ip[0] != '\0') {
        s->api_url = url_of(pod->ip, conf->api_port);
        s->prometheus_url = url_of(pod->ip, conf->prometheus_port);
    }
    if (pod->terminating) {
        snprintf(s->error, sizeof(s->error), "the pod is terminating");
    } else if (!pod->running || pod->ip[0] == '\0') {
        snprintf(s->error, sizeof(s->error), "the pod does not run%s%.100s", pod->trouble[0] != '\0' ? ": " : "",
                 pod->trouble);
    } else {
        /* Running: whether it is of use is what its sidecar says, which answers while Prometheus still replays its WAL. */
        s->health = SHARD_HEALTH_READY;
    }
}

void replica_shards(const struct replica *r, const struct replica_pod *const *pods, size_t pod_count,
                    const struct replica_conf *conf, struct replica_shards *out)
{
    const struct replica_pod **by_ordinal = mem_calloc(r->replicas + 1, sizeof(*by_ordinal));
    for (size_t i = 0; i < pod_count; i++) {
        const struct replica_pod *p = pods[i];
        if (strcmp(p->owner_uid, r->uid) == 0 && p->has_ordinal && p->ordinal >= r->first_ordinal &&
            p->ordinal - r->first_ordinal < r->replicas) {
            by_ordinal[p->ordinal - r->first_ordinal] = p;
        }
    }
    for (unsigned i = 0; i < r->replicas; i++) {
        char id[320];
        snprintf(id, sizeof(id), "%.253s-%u", r->name, r->first_ordinal + i);
        struct provider_shard *s = vec_push(&out->items);
        *s = (struct provider_shard){
            .id = intern(id),
            .replica = r->name,
            .group = i,
            .api_url = "", /* no address yet */
            .prometheus_url = "",
            .capacity_series = conf->capacity_series,
        };
        describe(by_ordinal[i], conf, s);
    }
    free(by_ordinal);
}
