/* The Kubernetes API server: where it is, who we are, and calls to it. Control loop only; never blocks but for reading
 * small local files.
 *
 * A call is one verb on one object or collection. Its error is a sentence with verb, resource, namespace and name:
 *     patch statefulsets.apps/scale mon/prom: 409 Conflict: the object has been modified; ...
 * and one of these codes, whatever the form of the answer (Status object, plain text, HTML):
 *     400, 422 ERR_INVALID      401, 403 ERR_UNAUTHORIZED   404 ERR_NOT_FOUND   409, 410 ERR_CONFLICT (see status)
 *     413 ERR_LIMIT             429, 5xx ERR_UNAVAILABLE    504 ERR_TIMEOUT     an answer that is no JSON ERR_PARSE
 *     and those of net/http_client.h when there is no answer.
 * A 401 reads the token again and asks once more before it is reported. */
#ifndef KVASS_K8S_CLIENT_H
#define KVASS_K8S_CLIENT_H

#include "base/bytes.h"
#include "base/loop.h"
#include "net/http_client.h"

#include <jansson.h>

struct k8s_schema; /* k8s/object.h */
struct k8s_client; /* refcounted; one per API server and identity */

#define K8S_ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

/* The service account of the pod we run in: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT, token (re-read as it
 * rotates) and ca.crt in folder (NULL = K8S_ACCOUNT_FOLDER). ERR_NOT_FOUND outside of a cluster, ERR_IO. */
int k8s_client_in_cluster(struct loop *loop, struct http_client *http, const char *folder, struct k8s_client **ret,
                          struct errctx *err) MUST_CHECK;

/* A kubeconfig file; context NULL or "" = its current-context. ERR_PARSE, ERR_INVALID with file:line:column; exec and
 * auth-provider are ERR_UNSUPPORTED. */
int k8s_client_kubeconfig(struct loop *loop, struct http_client *http, const char *path, const char *context,
                          struct k8s_client **ret, struct errctx *err) MUST_CHECK;

/* A server by URL (path prefix allowed) with its HTTP client settings. ERR_INVALID. */
int k8s_client_url(struct loop *loop, struct http_client *http, const char *url, const struct http_client_conf *conf,
                   struct k8s_client **ret, struct errctx *err) MUST_CHECK;

/* What a daemon uses for itself: the file of --kubeconfig, else of $KUBECONFIG (its first), else the service
 * account. */
int k8s_client_default(struct loop *loop, struct http_client *http, const char *kubeconfig, struct k8s_client **ret,
                       struct errctx *err) MUST_CHECK;

struct k8s_client *k8s_client_ref(struct k8s_client *c);
void k8s_client_unref(struct k8s_client *c); /* NULL is fine. Calls hold a reference */

/* Our own namespace: the service account's, or the context's; "" when there is none. */
const char *k8s_client_namespace(const struct k8s_client *c);
const char *k8s_client_url_text(const struct k8s_client *c); /* for messages */

/* --- calls */

struct k8s_resource {
    const char *group, *version, *plural; /* group "" = core */
};

extern const struct k8s_resource K8S_PODS, K8S_SERVICES, K8S_ENDPOINTS, K8S_NODES, K8S_NAMESPACES, K8S_CLAIMS,
    K8S_SECRETS, K8S_CONFIGMAPS, K8S_EVENTS, K8S_STATEFULSETS, K8S_REPLICASETS, K8S_JOBS, K8S_SLICES, K8S_SLICES_BETA,
    K8S_INGRESSES, K8S_LEASES;

enum k8s_verb {
    K8S_GET,
    K8S_LIST,   /* one page in one answer; k8s_list for whole collections */
    K8S_CREATE, /* POST to the collection */
    K8S_UPDATE, /* PUT; carry metadata.resourceVersion to be told of a conflict */
    K8S_PATCH_MERGE,
    K8S_PATCH_STRATEGIC,
    K8S_PATCH_JSON,
    K8S_DELETE, /* body: DeleteOptions or nothing */
};

struct k8s_request {
    enum k8s_verb verb;
    const struct k8s_resource *resource;
    const char *namespace;                       /* NULL or "": cluster-scoped, or all namespaces */
    const char *name, *subresource;              /* NULL when there is none; "scale", "status" */
    const char *label_selector, *field_selector; /* K8S_LIST; NULL or "" = none */
    struct view body;                            /* JSON */
    int64_t timeout_ms;                          /* 0 = 30 s */
    /* Further attempts after no answer, 429 and 5xx, with jittered back-off from 0.5 s up, or Retry-After when the
     * server says so, all within timeout_ms each. Writes are repeated only when the server told us to (Retry-After). */
    unsigned retries;
};

struct k8s_answer {
    int status;     /* 0 when there was none */
    json_t *object; /* of a good answer (2xx): borrowed, gone after the callback (json_incref keeps it). Else NULL */
    const char *reason;     /* of a Status object: "Conflict", "AlreadyExists", ...; "" otherwise */
    int64_t retry_after_ms; /* 0 when the server did not say */
    struct errctx err;      /* code 0 exactly for 2xx */
};

typedef void k8s_done_fn(void *data, const struct k8s_answer *answer);
struct k8s_call;

/* Never fails on the spot; on_done runs once from the loop. What req points to is copied. */
struct k8s_call *k8s_call_send(struct k8s_client *c, const struct k8s_request *req, k8s_done_fn *on_done, void *data);
void k8s_call_cancel(struct k8s_call *call); /* no on_done; not on itself from within on_done */

/* --- whole collections, item by item while they come in, never held as one tree */

struct k8s_list_request {
    const struct k8s_resource *resource;
    const char *namespace, *label_selector, *field_selector;
    const struct k8s_schema *schema; /* NULL = whole items; else what it names, and what items have in common */
    unsigned page;      /* items a page; 0 = 500 */
    bool from_cache;    /* resourceVersion=0: what the server has in memory, in one page, perhaps stale */
    int64_t timeout_ms; /* of a page; 0 = 60 s */
    /* Each item, borrowed. Non-zero gives up (ERR_CANCELLED). */
    int (*on_item)(void *data, json_t *item);
    /* The list begins, or begins anew because its continue token had expired: forget the items so far. May be NULL. */
    void (*on_begin)(void *data);
    /* Once. resource_version: where a watch starts, valid during the call; NULL on error. Broken items are left out
     * and counted. */
    void (*on_done)(void *data, const char *resource_version, const struct k8s_answer *answer);
    void *data;
};

struct k8s_list;
struct k8s_list *k8s_list_send(struct k8s_client *c, const struct k8s_list_request *req);
void k8s_list_cancel(struct k8s_list *l); /* no on_done; also from within on_item */

/* --- small things providers share */

/* Value at a path of object keys, "metadata.name"; NULL when absent. Keys with dots are looked up by hand. */
const json_t *k8s_json_at(const json_t *object, const char *path);
const char *k8s_json_str(const json_t *object, const char *path); /* "" when absent */
int64_t k8s_json_int(const json_t *object, const char *path, int64_t when_absent);

/* RFC 3339 with exactly six digits of microseconds, as Lease times must be. */
#define K8S_MICROTIME_MAX 40
void k8s_microtime(int64_t realtime_ms, char text[K8S_MICROTIME_MAX]);

/* Milliseconds to wait before attempt n (0, 1, ...): base_ms doubled n times up to cap_ms, times 1..2 at random. */
int64_t k8s_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms);

#endif
