/* The API client: see client.h.
 *
 * One prepared HTTP client (net/http_profile) per server and identity carries TLS and credentials; its files are looked
 * at again at most once a second, so a rotated token is used from the next call on. A call that is refused with 401
 * waits a little more than that second and asks once more. HTTP/1.1 throughout: watches keep a connection of their own,
 * and no call waits behind a large list in the same connection. Redirects are not followed: credentials stay with the
 * server they are for. */
#include "k8s/client_priv.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define TIMEOUT_DEFAULT_MS 30000
#define RETRY_BASE_MS      500
#define RETRY_CAP_MS       30000
#define TOKEN_REREAD_MS    1200 /* a little more than http_profile keeps what it has read */

const struct k8s_resource K8S_PODS = {"", "v1", "pods"}, K8S_SERVICES = {"", "v1", "services"},
                          K8S_ENDPOINTS = {"", "v1", "endpoints"}, K8S_NODES = {"", "v1", "nodes"},
                          K8S_NAMESPACES = {"", "v1", "namespaces"}, K8S_CLAIMS = {"", "v1", "persistentvolumeclaims"},
                          K8S_SECRETS = {"", "v1", "secrets"}, K8S_CONFIGMAPS = {"", "v1", "configmaps"},
                          K8S_EVENTS = {"", "v1", "events"}, K8S_STATEFULSETS = {"apps", "v1", "statefulsets"},
                          K8S_REPLICASETS = {"apps", "v1", "replicasets"}, K8S_JOBS = {"batch", "v1", "jobs"},
                          K8S_SLICES = {"discovery.k8s.io", "v1", "endpointslices"},
                          K8S_SLICES_BETA = {"discovery.k8s.io", "v1beta1", "endpointslices"},
                          K8S_INGRESSES = {"networking.k8s.io", "v1", "ingresses"},
                          K8S_LEASES = {"coordination.k8s.io", "v1", "leases"};

static const struct verb {
    const char *name, *method, *content_type;
    bool is_write;
} VERBS[] = {
    [K8S_GET] = {"get", "GET", NULL, false},
    [K8S_LIST] = {"list", "GET", NULL, false},
    [K8S_CREATE] = {"create", "POST", "application/json", true},
    [K8S_UPDATE] = {"update", "PUT", "application/json", true},
    [K8S_PATCH_MERGE] = {"patch", "PATCH", "application/merge-patch+json", true},
    [K8S_PATCH_STRATEGIC] = {"patch", "PATCH", "application/strategic-merge-patch+json", true},
    [K8S_PATCH_JSON] = {"patch", "PATCH", "application/json-patch+json", true},
    [K8S_DELETE] = {"delete", "DELETE", "application/json", true},
};

/* --- the client */

struct k8s_client *k8s_client_new(struct loop *loop, struct http_client *http, const char *url,
                                  const struct http_client_conf *conf, const char *namespace)
{
    struct http_client_conf own = *conf;
    struct k8s_client *c = mem_calloc(1, sizeof(*c));
    own.follow_redirects = false;
    own.enable_http2 = false;
    c->refs = 1;
    c->loop = loop;
    c->http = http;
    c->profile = http_profile_new(&own);
    c->url = mem_strdup(url);
    for (size_t len = strlen(c->url); len > 0 && c->url[len - 1] == '/'; len--) {
        c->url[len - 1] = '\0';
    }
    c->namespace = mem_strdup(namespace != NULL ? namespace : "");
    c->texts = k8s_texts_new();
    return c;
}

int k8s_client_url(struct loop *loop, struct http_client *http, const char *url, const struct http_client_conf *conf,
                   struct k8s_client **ret, struct errctx *err)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return errctx_set(err, ERR_INVALID, "API server '%.200s': expected a URL that begins with https:// or http://",
                          url);
    }
    *ret = k8s_client_new(loop, http, url, conf, NULL);
    return 0;
}

struct k8s_client *k8s_client_ref(struct k8s_client *c)
{
    c->refs++;
    return c;
}

void k8s_client_unref(struct k8s_client *c)
{
    if (c == NULL || --c->refs != 0) {
        return;
    }
    http_profile_free(&c->profile);
    k8s_texts_free(&c->texts);
    free(c->url);
    free(c->namespace);
    free(c);
}

const char *k8s_client_namespace(const struct k8s_client *c)
{
    return c->namespace;
}

const char *k8s_client_url_text(const struct k8s_client *c)
{
    return c->url;
}

/* --- texts */

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static void append_encoded(struct bytes *out, const char *s)
{
    static const char HEX[] = "0123456789ABCDEF";
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
        if (plain) {
            bytes_append_char(out, (char)c);
        } else {
            bytes_append(out, (char[]){'%', HEX[c >> 4], HEX[c & 15]}, 3);
        }
    }
}

void k8s_query_add(struct bytes *url, const char *name, const char *value)
{
    if (is_set(value)) {
        bytes_append_char(url, memchr(url->base, '?', url->len) != NULL ? '&' : '?');
        bytes_append_str(url, name);
        bytes_append_char(url, '=');
        append_encoded(url, value);
    }
}

static void append_part(struct bytes *url, const char *part)
{
    if (is_set(part)) {
        bytes_append_char(url, '/');
        append_encoded(url, part);
    }
}

char *k8s_url(const struct k8s_client *c, const struct k8s_resource *r, const char *namespace, const char *name,
              const char *subresource)
{
    struct bytes url;
    bytes_init(&url, (size_t)64 << 10);
    bytes_append_str(&url, c->url);
    bytes_append_str(&url, r->group[0] != '\0' ? "/apis" : "/api");
    append_part(&url, r->group);
    append_part(&url, r->version);
    if (is_set(namespace)) {
        bytes_append_str(&url, "/namespaces");
        append_part(&url, namespace);
    }
    append_part(&url, r->plural);
    append_part(&url, name);
    append_part(&url, subresource);
    return bytes_take(&url, NULL);
}

char *k8s_what(const char *verb, const struct k8s_resource *r, const char *namespace, const char *name,
               const char *subresource)
{
    bool has_name = is_set(name), has_namespace = is_set(namespace);
    return mem_printf("%s %s%s%s%s%s%s%s%s%s", verb, r->plural, r->group[0] != '\0' ? "." : "", r->group,
                      is_set(subresource) ? "/" : "", is_set(subresource) ? subresource : "",
                      has_name ? " " : (has_namespace ? " in " : ""), has_namespace ? namespace : "",
                      has_name && has_namespace ? "/" : "", has_name ? name : "");
}

void k8s_microtime(int64_t realtime_ms, char text[K8S_MICROTIME_MAX])
{
    char ms[TIMEBASE_TEXT_MAX];
    timebase_format(realtime_ms, ms);
    size_t len = strlen(ms);
    snprintf(text, K8S_MICROTIME_MAX, "%.*s000Z", (int)(len - 1), ms);
}

int64_t k8s_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
    uint32_t random = 0;
    int64_t ms = base_ms;
    for (unsigned i = 0; i < attempt && ms < cap_ms; i++) {
        ms *= 2;
    }
    ms = ms < cap_ms ? ms : cap_ms;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
        random = (uint32_t)timebase_monotonic_us();
    }
    return ms + (int64_t)((double)ms * (random / 4294967296.0));
}

void k8s_count_request(const char *verb, const struct k8s_answer *answer)
{
    char code[16];
    snprintf(code, sizeof(code), "%d", answer->status);
    metric_add(METRIC_K8S_REQUESTS, 1, verb, answer->status != 0 ? code : err_name(answer->err.code));
}

/* --- calls */

struct k8s_call {
    struct k8s_client *client;
    enum k8s_verb verb;
    char *url, *what, *body;
    size_t body_len;
    int64_t timeout_ms;
    unsigned retries, attempt;
    bool has_asked_again; /* after a 401 */
    struct http_call *http;
    struct loop_timer *timer;
    k8s_done_fn *on_done;
    void *data;
};

static void call_free(struct k8s_call *call)
{
    loop_timer_free(&call->timer);
    k8s_client_unref(call->client);
    free(call->url);
    free(call->what);
    free(call->body);
    free(call);
}

void k8s_call_cancel(struct k8s_call *call)
{
    if (call->http != NULL) {
        http_call_cancel(call->http);
    }
    call_free(call);
}

/* How long to wait before asking again; negative when the answer stands. */
static int64_t retry_ms(struct k8s_call *call, const struct k8s_answer *a)
{
    bool is_overload = a->status == 429 || a->status >= 500;
    if (a->status == 401 && !call->has_asked_again) {
        call->has_asked_again = true;
        return TOKEN_REREAD_MS;
    }
    bool may = VERBS[call->verb].is_write
                   ? is_overload && a->retry_after_ms > 0
                   : is_overload || (a->status == 0 && (a->err.code == ERR_UNAVAILABLE || a->err.code == ERR_TIMEOUT));
    if (!may || call->attempt >= call->retries) {
        return -1;
    }
    int64_t own_ms = k8s_backoff_ms(call->attempt++, RETRY_BASE_MS, RETRY_CAP_MS);
    return a->retry_after_ms > 0 ? a->retry_after_ms + own_ms / 4 : own_ms;
}

static void on_http_done(void *data, const struct http_answer *http)
{
    struct k8s_call *call = data;
    struct k8s_judged j;
    call->http = NULL;
    k8s_judge(http, http->body, call->what, true, &j);
    k8s_count_request(VERBS[call->verb].name, &j.answer);
    int64_t wait_ms = j.answer.err.code != 0 ? retry_ms(call, &j.answer) : -1;
    if (wait_ms >= 0) {
        loop_timer_start(call->timer, wait_ms, 0);
    } else {
        call->on_done(call->data, &j.answer);
        call_free(call);
    }
    k8s_judged_done(&j);
}

static void call_start(void *data)
{
    static const char *const HEADERS[] = {"Accept: application/json", "Accept-Encoding: gzip", NULL};
    struct k8s_call *call = data;
    const struct http_request req = {
        .method = VERBS[call->verb].method,
        .url = call->url,
        .headers = HEADERS,
        .body = view_make(call->body, call->body_len),
        .content_type = VERBS[call->verb].content_type,
        .timeout_ms = call->timeout_ms,
        .profile = call->client->profile,
    };
    call->http = http_client_send(call->client->http, &req, on_http_done, call);
}

struct k8s_call *k8s_call_send(struct k8s_client *c, const struct k8s_request *req, k8s_done_fn *on_done, void *data)
{
    struct k8s_call *call = mem_calloc(1, sizeof(*call));
    struct bytes url;
    char *path = k8s_url(c, req->resource, req->namespace, req->name, req->subresource);
    bytes_init(&url, (size_t)128 << 10);
    bytes_append_str(&url, path);
    free(path);
    k8s_query_add(&url, "labelSelector", req->label_selector);
    k8s_query_add(&url, "fieldSelector", req->field_selector);
    call->client = k8s_client_ref(c);
    call->verb = req->verb;
    call->url = bytes_take(&url, NULL);
    call->what = k8s_what(VERBS[req->verb].name, req->resource, req->namespace, req->name, req->subresource);
    call->body = mem_dup(req->body.base != NULL ? req->body.base : "", req->body.len);
    call->body_len = req->body.len;
    call->timeout_ms = req->timeout_ms > 0 ? req->timeout_ms : TIMEOUT_DEFAULT_MS;
    call->retries = req->retries;
    call->on_done = on_done;
    call->data = data;
    call->timer = loop_timer_new(c->loop, call_start, call);
    call_start(call);
    return call;
}
