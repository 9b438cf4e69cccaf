/* StatefulSets and pods: see replica.h. Every field is optional in the JSON of the API server: an absent number is
 * zero, an absent list empty. Shards come from spec.replicas, never from the pods that a list happens to hold: a pod
 * that is not there yet, or not any more, is a shard nobody has heard of, not a shard less. */
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

#define COPY(place, view_) copy_text((place), sizeof(place), (view_))

static void copy_text(char *place, size_t size, struct view text)
{
    snprintf(place, size, "%.*s", VIEW_FMT(text));
}

static char *dup_text(struct view text)
{
    char *s = mem_calloc(1, text.len + 1);
    memcpy(s, text.base, text.len);
    return s;
}

/* ---------------------------------------------------------------- selectors */

static void append_values(struct bytes *out, struct k8s_value values)
{
    struct k8s_iter it = k8s_iter(values);
    bytes_append_str(out, " (");
    for (bool first = true; k8s_next(&it); first = false) {
        bytes_append_str(out, first ? "" : ",");
        bytes_append_view(out, k8s_text(it.value));
    }
    bytes_append_str(out, ")");
}

static int append_expression(struct bytes *out, struct k8s_value e, struct errctx *err)
{
    struct view key = k8s_text(k8s_get(e, "key")), op = k8s_text(k8s_get(e, "operator"));
    bool in = view_is(op, "In"), absent = view_is(op, "DoesNotExist");
    bytes_append_str(out, bytes_view(out).len > 0 ? "," : "");
    if (in || view_is(op, "NotIn")) {
        bytes_append_view(out, key);
        bytes_append_str(out, in ? " in" : " notin");
        append_values(out, k8s_get(e, "values"));
        return 0;
    }
    if (absent || view_is(op, "Exists")) {
        bytes_append_str(out, absent ? "!" : "");
        bytes_append_view(out, key);
        return 0;
    }
    return errctx_set(err, ERR_INVALID, "selector operator '%.*s' is not known", VIEW_FMT(op));
}

static void append_labels(struct bytes *out, struct k8s_value labels)
{
    struct k8s_iter it = k8s_iter(labels);
    while (k8s_next(&it)) {
        bytes_append_str(out, bytes_view(out).len > 0 ? "," : "");
        bytes_append_view(out, it.key);
        bytes_append_str(out, "=");
        bytes_append_view(out, k8s_text(it.value));
    }
}

static int read_selector(struct k8s_value selector, struct replica *r, struct errctx *err)
{
    int rc = 0;
    struct bytes text;
    bytes_init(&text, SELECTOR_BYTES_MAX);
    append_labels(&text, k8s_get(selector, "matchLabels"));
    r->match_labels = dup_text(bytes_view(&text));
    struct k8s_iter it = k8s_iter(k8s_get(selector, "matchExpressions"));
    while (rc == 0 && k8s_next(&it)) {
        rc = append_expression(&text, it.value, err);
    }
    if (rc == 0 && (bytes_view(&text).len == 0 || bytes_check(&text, NULL) != 0)) {
        rc = errctx_set(err, ERR_INVALID, "its selector is empty or too long");
    }
    r->selector = dup_text(bytes_view(&text));
    bytes_done(&text);
    return rc;
}

/* ---------------------------------------------------------------- StatefulSet */

const char REPLICA_SET_SCHEMA[] =
    "metadata(uid! resourceVersion! deletionTimestamp!) spec(replicas ordinals(start) selector "
    "volumeClaimTemplates(metadata(name)) persistentVolumeClaimRetentionPolicy(whenScaled))";

static unsigned small_number(struct view text, unsigned dflt)
{
    char digits[24];
    if (text.len == 0 || text.len >= sizeof(digits)) {
        return text.len == 0 ? dflt : REPLICA_SHARDS_MAX + 1;
    }
    COPY(digits, text);
    long long n = strtoll(digits, NULL, 10);
    return n < 0 ? 0 : n > REPLICA_SHARDS_MAX ? REPLICA_SHARDS_MAX + 1 : (unsigned)n;
}

int replica_read(const struct k8s_object *object, struct replica *ret, struct errctx *err)
{
    struct k8s_value root = k8s_object_root(object), spec = k8s_get(root, "spec");
    struct replica r = {
        .terminating = k8s_has(k8s_at(root, "metadata.deletionTimestamp")),
        .replicas = small_number(k8s_text_at(spec, "replicas"), 1), /* the server's own default */
        .first_ordinal = small_number(k8s_text_at(spec, "ordinals.start"), 0),
        .deletes_claims = view_is(k8s_text_at(spec, "persistentVolumeClaimRetentionPolicy.whenScaled"), "Delete"),
    };
    char name[REPLICA_NAME_MAX];
    COPY(name, k8s_object_name(object));
    COPY(r.uid, k8s_text_at(root, "metadata.uid"));
    COPY(r.resource_version, k8s_text_at(root, "metadata.resourceVersion"));
    if (name[0] == '\0' || r.uid[0] == '\0') {
        return errctx_set(err, ERR_INVALID, "a StatefulSet without name or uid");
    }
    r.name = intern(name);
    int rc = read_selector(k8s_get(spec, "selector"), &r, err);
    if (rc == 0 && (r.replicas > REPLICA_SHARDS_MAX || r.first_ordinal > REPLICA_SHARDS_MAX)) {
        rc = errctx_set(err, ERR_INVALID, "more than %d shards", REPLICA_SHARDS_MAX);
    }
    if (rc != 0) {
        replica_done(&r);
        return errctx_prefix(err, rc, "StatefulSet %s", name);
    }
    struct k8s_iter it = k8s_iter(k8s_get(spec, "volumeClaimTemplates"));
    while (k8s_next(&it) && r.claims.len < CLAIMS_MAX) {
        *vec_push(&r.claims) = dup_text(k8s_text_at(it.value, "metadata.name"));
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

const char REPLICA_POD_SCHEMA[] =
    "metadata(uid! deletionTimestamp! ownerReferences(uid controller)) status(phase podIP! reason "
    "conditions(type status reason) containerStatuses(state(waiting(reason))) "
    "initContainerStatuses(state(waiting(reason))))";

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

static struct view owner_of(struct k8s_value root)
{
    struct k8s_iter it = k8s_iter(k8s_at(root, "metadata.ownerReferences"));
    while (k8s_next(&it)) {
        if (view_is(k8s_text_at(it.value, "controller"), "true")) {
            return k8s_text_at(it.value, "uid");
        }
    }
    return VIEW("");
}

/* What keeps it from running, as the platform says. */
static struct view trouble_of(struct k8s_value status)
{
    static const char *const LISTS[] = {"initContainerStatuses", "containerStatuses"};
    for (size_t k = 0; k < 2; k++) {
        struct k8s_iter it = k8s_iter(k8s_get(status, LISTS[k]));
        while (k8s_next(&it)) {
            struct view reason = k8s_text_at(it.value, "state.waiting.reason");
            if (reason.len > 0) {
                return reason;
            }
        }
    }
    struct k8s_iter it = k8s_iter(k8s_get(status, "conditions"));
    while (k8s_next(&it)) {
        if (view_is(k8s_text_at(it.value, "type"), "PodScheduled") &&
            view_is(k8s_text_at(it.value, "status"), "False")) {
            return k8s_text_at(it.value, "reason");
        }
    }
    return k8s_text_at(status, "reason");
}

int replica_pod_read(const struct k8s_object *object, const char *set, struct replica_pod *ret, struct errctx *err)
{
    struct k8s_value root = k8s_object_root(object), status = k8s_get(root, "status");
    struct replica_pod p = {
        .running = view_is(k8s_text_at(status, "phase"), "Running"),
        .terminating = k8s_has(k8s_at(root, "metadata.deletionTimestamp")),
    };
    char ip[REPLICA_WORD_MAX];
    struct in6_addr probe;
    COPY(p.name, k8s_object_name(object));
    COPY(p.uid, k8s_text_at(root, "metadata.uid"));
    COPY(p.owner_uid, owner_of(root));
    COPY(p.trouble, trouble_of(status));
    COPY(ip, k8s_text_at(status, "podIP"));
    if (p.name[0] == '\0' || p.uid[0] == '\0') {
        return errctx_set(err, ERR_INVALID, "a pod without name or uid");
    }
    if (inet_pton(AF_INET, ip, &probe) == 1 || inet_pton(AF_INET6, ip, &probe) == 1) {
        memcpy(p.ip, ip, sizeof(p.ip));
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
        /* Running: whether it is of use is what its sidecar says, which answers while Prometheus still replays its WAL.
         */
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
            .prometheus_url = "",
            .capacity_series = conf->capacity_series,
        };
        describe(by_ordinal[i], conf, s);
    }
    free(by_ordinal);
}
