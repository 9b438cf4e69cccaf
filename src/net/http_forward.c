/* The reverse proxy: see http_forward.h.
 *
 * libh2o has a proxy handler, but it reads as fast as it can into memory and cannot speak TLS settings of ours, so the
 * way up is libcurl, as in the scrape path: a paused transfer is the back-pressure. Two buffers per request take turns:
 * one that libh2o is sending, one that libcurl fills. Inside libcurl's callbacks nothing is sent or freed; they mark
 * the request dirty, and the flush sends.
 *
 * The request target goes up byte by byte as it came (CURLOPT_REQUEST_TARGET): a proxy that decodes and encodes changes
 * queries. Hop-by-hop headers end here; so do credentials when they were meant for us. libh2o tells nobody when a
 * client goes away, hence the sweep. */
#include "net/http_forward.h"

#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "net/curl_loop.h"
#include "net/http_exchange.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define SWEEP_MS           200
#define CONNECT_TIMEOUT_MS 5000L
#define CONNECTIONS_MAX    128L
#define WAITING_HIGH_BYTES ((size_t)128 << 10)
#define WAITING_LOW_BYTES  ((size_t)32 << 10)
#define WAITING_MAX_BYTES  ((size_t)8 << 20) /* never reached: a paused transfer delivers at most its own buffer */
#define HEADERS_MAX        128
#define HEAD_BYTES_MAX     ((size_t)256 << 10)

struct http_forward {
    struct curl_loop *curl;
    struct loop_timer *sweep;
    char *base_url, *prefix;
    const char *shown; /* host and port, without the credentials the URL may hold */
    struct forwarded *first, *dirty;
};

struct forward_header {
    h2o_iovec_t name, value; /* in the request's pool */
};

struct forwarded {
    h2o_generator_t generator; /* first: libh2o hands it back */
    struct http_forward *owner;
    struct exchange_env *env;
    h2o_req_t *req;
    struct forwarded *next, **at, *next_dirty;
    CURL *easy;
    struct curl_slist *request_headers;
    bool is_dirty, running, paused;          /* towards the server */
    bool complete, failed;                   /* the answer is whole; it never will be */
    bool head_sent, in_flight, done_sending; /* towards the client */
    int status;
    char reason[128];
    size_t content_length; /* SIZE_MAX: unknown */
    struct forward_header headers[HEADERS_MAX];
    size_t header_count, head_bytes;
    struct bytes waiting, sending;
    struct errctx err;
    int64_t started_us;
};

/* ---------------------------------------------------------------- ends */

static void give_back(struct forwarded *f)
{
    if (f->easy == NULL) {
        return;
    }
    if (f->running) {
        curl_loop_cancel(f->owner->curl, f->easy);
        f->running = false;
    }
    curl_loop_easy_put(f->owner->curl, f->easy);
    f->easy = NULL;
}

static void on_request_gone(void *holder)
{
    struct forwarded *f = *(struct forwarded **)holder;
    for (struct forwarded **at = &f->owner->dirty; f->is_dirty && *at != NULL; at = &(*at)->next_dirty) {
        if (*at == f) {
            *at = f->next_dirty;
            break;
        }
    }
    give_back(f);
    curl_slist_free_all(f->request_headers);
    bytes_done(&f->waiting);
    bytes_done(&f->sending);
    *f->at = f->next;
    if (f->next != NULL) {
        f->next->at = f->at;
    }
    if (f->owner->first == NULL) {
        loop_timer_stop(f->owner->sweep);
    }
    free(f);
}

static void note(const struct forwarded *f, int status)
{
    if (f->env->on_answer != NULL) {
        f->env->on_answer(f->env->data, "", "", status, (double)(timebase_monotonic_us() - f->started_us) / 1e6);
    }
}

/* ---------------------------------------------------------------- towards the client */

static const char *failure_phrase(int status)
{
    return status == 504 ? "Gateway Timeout" : "Bad Gateway";
}

static void answer_failure(struct forwarded *f, int status)
{
    h2o_req_t *req = f->req;
    struct bytes text;
    bool is_api =
        h2o_memis(req->input.path.base, req->input.path.len < 5 ? req->input.path.len : 5, H2O_STRLIT("/api/"));
    bytes_init(&text, 8192);
    if (is_api) {
        struct json_writer w;
        json_writer_init(&w, &text);
        json_object_begin(&w);
        json_kv_str(&w, "status", "error");
        json_kv_str(&w, "errorType", status == 504 ? "timeout" : "unavailable");
        json_kv_str(&w, "error", f->err.msg);
        json_object_end(&w);
    } else {
        bytes_printf(&text, "%s\n", f->err.msg);
    }
    req->res.status = status;
    req->res.reason = failure_phrase(status);
    h2o_iovec_t type = is_api ? h2o_iovec_init(H2O_STRLIT("application/json"))
                              : h2o_iovec_init(H2O_STRLIT("text/plain; charset=utf-8"));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type.base, type.len);
    h2o_iovec_t body = h2o_strdup(&req->pool, text.base, text.len);
    bytes_done(&text);
    f->done_sending = true;
    note(f, status);
    h2o_send_inline(req, body.base, body.len);
}

/* Not from inside a libcurl callback; f may be gone afterwards. */
static void fail(struct forwarded *f, int status)
{
    f->failed = true;
    give_back(f);
    if (f->done_sending) {
        return;
    }
    if (!f->head_sent) {
        answer_failure(f, status);
        return;
    }
    /* Nothing may follow what was sent, not even libh2o's own mark of a broken chunk. */
    shutdown(h2o_socket_get_fd(f->req->conn->callbacks->get_socket(f->req->conn)), SHUT_RDWR);
    if (!f->in_flight) {
        f->done_sending = true;
        h2o_send(f->req, NULL, 0, H2O_SEND_STATE_ERROR);
    }
}

static void send_on(struct forwarded *f);

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct forwarded *f = (struct forwarded *)generator;
    (void)req;
    f->in_flight = false;
    bytes_clear(&f->sending);
    if (f->failed) {
        f->done_sending = true;
        h2o_send(f->req, NULL, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    if (f->paused && f->waiting.len <= WAITING_LOW_BYTES) {
        f->paused = false;
        curl_loop_resume(f->owner->curl, f->easy);
    }
    send_on(f);
}

static bool has_no_body(const struct forwarded *f)
{
    return h2o_memis(f->req->input.method.base, f->req->input.method.len, H2O_STRLIT("HEAD")) || f->status == 204 ||
           f->status == 304;
}

static void send_head(struct forwarded *f)
{
    h2o_req_t *req = f->req;
    req->res.status = f->status;
    req->res.reason = f->reason[0] != '\0' ? h2o_strdup(&req->pool, f->reason, SIZE_MAX).base : "OK";
    req->res.content_length = f->content_length;
    if (f->content_length == SIZE_MAX && f->complete && !has_no_body(f)) {
        req->res.content_length = f->waiting.len;
    }
    for (size_t i = 0; i < f->header_count; i++) {
        const struct forward_header *h = &f->headers[i];
        h2o_add_header_by_str(&req->pool, &req->res.headers, h->name.base, h->name.len, 1, NULL, h->value.base,
                              h->value.len);
    }
    if (f->env->closing || (req->version < 0x101 && req->res.content_length == SIZE_MAX)) {
        req->http1_is_persistent = 0; /* an HTTP/1.0 client finds the end of the body by the end of the connection */
    }
    req->compress_hint = H2O_COMPRESS_HINT_DISABLE;
    f->generator.proceed = on_proceed;
    h2o_start_response(req, &f->generator);
    f->head_sent = true;
    note(f, f->status);
}

static void send_on(struct forwarded *f)
{
    if (f->in_flight || f->done_sending || f->failed || (f->waiting.len == 0 && !f->complete)) {
        return;
    }
    if (!f->head_sent) {
        send_head(f);
    }
    f->done_sending = f->complete;
    f->in_flight = true;
    if (f->waiting.len == 0) {
        h2o_send(f->req, NULL, 0, H2O_SEND_STATE_FINAL);
        return;
    }
    struct bytes swap = f->sending;
    f->sending = f->waiting;
    f->waiting = swap;
    h2o_iovec_t buf = h2o_iovec_init(f->sending.base, f->sending.len);
    h2o_send(f->req, &buf, 1, f->done_sending ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void flush_dirty(void *data)
{
    struct http_forward *owner = data;
    while (owner->dirty != NULL) {
        struct forwarded *f = owner->dirty;
        owner->dirty = f->next_dirty;
        f->is_dirty = false;
        send_on(f);
    }
}

static bool client_has_gone(const struct forwarded *f)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int fd = h2o_socket_get_fd(f->req->conn->callbacks->get_socket(f->req->conn));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_ESTABLISHED;
}

static void on_sweep(void *data)
{
    struct http_forward *owner = data;
    for (struct forwarded *f = owner->first, *next; f != NULL; f = next) {
        next = f->next;
        if (!f->in_flight && !f->done_sending && client_has_gone(f)) {
            errctx_set(&f->err, ERR_CANCELLED, "the client went away");
            fail(f, 502);
        }
    }
}

/* ---------------------------------------------------------------- libcurl's callbacks */

static bool is_hop_by_hop(const char *name, size_t len)
{
    static const char *const NAMES[] = {"connection",         "keep-alive",          "proxy-connection", "te",
                                        "proxy-authenticate", "proxy-authorization", "trailer",          "upgrade",
                                        "transfer-encoding"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (len == strlen(NAMES[i]) && strncasecmp(name, NAMES[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static void take_status_line(struct forwarded *f, const char *line, size_t len)
{
    char text[160];
    int status = 0, at = 0;
    snprintf(text, sizeof(text), "%.*s", (int)len, line);
    f->status = 0;
    f->reason[0] = '\0';
    f->header_count = 0;
    f->content_length = SIZE_MAX;
    if (sscanf(text, "%*s %3d%n", &status, &at) == 1) {
        f->status = status;
        const char *phrase = text + at + strspn(text + at, " ");
        snprintf(f->reason, sizeof(f->reason), "%.*s", (int)strcspn(phrase, "\r\n"), phrase);
    }
}

static void take_header(struct forwarded *f, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - line) : 0;
    if (name_len == 0 || f->header_count == HEADERS_MAX || is_hop_by_hop(line, name_len)) {
        return;
    }
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    if (name_len == 14 && strncasecmp(line, "content-length", 14) == 0) {
        size_t length = h2o_strtosize(value, (size_t)(end - value));
        f->content_length = length;
        return;
    }
    if (name_len == 4 && strncasecmp(line, "date", 4) == 0) {
        return; /* libh2o writes its own */
    }
    struct forward_header *h = &f->headers[f->header_count++];
    h->name = h2o_strdup(&f->req->pool, line, name_len);
    h2o_strtolower(h->name.base, h->name.len);
    h->value = h2o_strdup(&f->req->pool, value, (size_t)(end - value));
}

static size_t on_header(char *base, size_t size, size_t count, void *data)
{
    struct forwarded *f = data;
    size_t len = size * count;
    f->head_bytes += len;
    if (f->head_bytes > HEAD_BYTES_MAX) {
        errctx_set(&f->err, ERR_LIMIT, "the head of Prometheus' answer is larger than %zu bytes", HEAD_BYTES_MAX);
        return len + 1;
    }
    if (len >= 5 && strncmp(base, "HTTP/", 5) == 0) {
        take_status_line(f, base, len);
    } else if (f->waiting.len == 0 && !f->head_sent) { /* trailers are dropped */
        take_header(f, base, len);
    }
    return len;
}

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct forwarded *f = data;
    size_t len = size * count;
    bytes_append(&f->waiting, base, len);
    if (f->waiting.overflow) {
        return len + 1;
    }
    if (!f->is_dirty) {
        f->is_dirty = true;
        f->next_dirty = f->owner->dirty;
        f->owner->dirty = f;
    }
    if (f->waiting.len > WAITING_HIGH_BYTES) {
        f->paused = true;
        curl_easy_pause(f->easy, CURLPAUSE_RECV);
    }
    return len;
}

static void on_done(void *data, CURL *easy, CURLcode code)
{
    struct forwarded *f = data;
    f->running = false;
    if (code == CURLE_OK && f->status >= 200) {
        f->complete = true;
        give_back(f);
        send_on(f);
        return;
    }
    errctx_set(&f->err, ERR_UNAVAILABLE, "%s", code != CURLE_OK ? curl_loop_error(easy, code) : "no HTTP answer");
    errctx_prefix(&f->err, ERR_UNAVAILABLE, "Prometheus at %s", f->owner->shown);
    fail(f, code == CURLE_OPERATION_TIMEDOUT ? 504 : 502);
}

/* ---------------------------------------------------------------- towards the server */

static void add_line(struct forwarded *f, const char *line)
{
    struct curl_slist *longer = curl_slist_append(f->request_headers, line);
    invariant(longer != NULL);
    f->request_headers = longer;
}

/* Named in a Connection header: meant for us alone. */
static bool is_named(const h2o_req_t *req, const char *name, size_t len)
{
    for (ssize_t at = -1; (at = h2o_find_header(&req->headers, H2O_TOKEN_CONNECTION, at)) >= 0;) {
        h2o_iovec_t list = req->headers.entries[at].value;
        for (size_t from = 0; from < list.len;) {
            while (from < list.len && (list.base[from] == ',' || list.base[from] == ' ' || list.base[from] == '\t')) {
                from++;
            }
            size_t to = from;
            while (to < list.len && list.base[to] != ',' && list.base[to] != ' ' && list.base[to] != '\t') {
                to++;
            }
            if (to - from == len && strncasecmp(list.base + from, name, len) == 0) {
                return true;
            }
            from = to;
        }
    }
    return false;
}

static bool is_for_us(const struct forwarded *f, h2o_iovec_t name)
{
    static const char *const OURS[] = {"host", "content-length", "expect"};
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        if (h2o_memis(name.base, name.len, OURS[i], strlen(OURS[i]))) {
            return true;
        }
    }
    return name.len == 0 || is_hop_by_hop(name.base, name.len) || is_named(f->req, name.base, name.len) ||
           (f->env->auth != NULL && h2o_memis(name.base, name.len, H2O_STRLIT("authorization")));
}

/* Those libcurl would add by itself are switched off. */
static void set_headers(struct forwarded *f)
{
    bool has_accept = false, has_type = false;
    for (size_t i = 0; i < f->req->headers.size; i++) {
        h2o_iovec_t name = *f->req->headers.entries[i].name, value = f->req->headers.entries[i].value;
        if (is_for_us(f, name)) {
            continue;
        }
        has_accept = has_accept || h2o_memis(name.base, name.len, H2O_STRLIT("accept"));
        has_type = has_type || h2o_memis(name.base, name.len, H2O_STRLIT("content-type"));
        char *line = value.len != 0 ? mem_printf("%.*s: %.*s", (int)name.len, name.base, (int)value.len, value.base)
                                    : mem_printf("%.*s;", (int)name.len, name.base);
        add_line(f, line);
        free(line);
    }
    if (!has_accept) {
        add_line(f, "Accept:");
    }
    if (!has_type) {
        add_line(f, "Content-Type:");
    }
    add_line(f, "Expect:");
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->request_headers);
}

static void set_method(struct forwarded *f)
{
    h2o_iovec_t m = f->req->input.method;
    char method[32];
    snprintf(method, sizeof(method), "%.*s", (int)(m.len < sizeof(method) ? m.len : sizeof(method) - 1), m.base);
    bool has_body = f->req->entity.len != 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                    strcmp(method, "PATCH") == 0;
    if (has_body) {
        curl_easy_setopt(f->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->req->entity.len);
        curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, f->req->entity.len != 0 ? f->req->entity.base : "");
    }
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, has_body ? "POST" : "GET") != 0) {
        curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

/* An absolute-form target loses scheme and authority. */
static struct view origin_form(const h2o_req_t *req)
{
    struct view target = view_make(req->input.path.base, req->input.path.len);
    if (target.len != 0 && target.base[0] != '/') {
        const char *host = memmem(target.base, target.len, "://", 3);
        const char *end = target.base + target.len;
        const char *slash = host != NULL ? memchr(host + 3, '/', (size_t)(end - host - 3)) : NULL;
        return slash != NULL ? view_make(slash, (size_t)(end - slash)) : VIEW("/");
    }
    return target;
}

static void set_options(struct forwarded *f)
{
    struct view target = origin_form(f->req);
    char *full = mem_printf("%s%.*s", f->owner->prefix, VIEW_FMT(target));
    curl_easy_setopt(f->easy, CURLOPT_URL, f->owner->base_url);
    curl_easy_setopt(f->easy, CURLOPT_REQUEST_TARGET, full);
    curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_TIME, HTTP_FORWARD_SILENCE_S);
    free(full);
    set_method(f);
    set_headers(f);
}

void http_forward_begin(struct http_forward *owner, struct exchange_env *env, h2o_req_t *req)
{
    struct forwarded *f = mem_calloc(1, sizeof(*f));
    struct forwarded **holder = h2o_mem_alloc_shared(&req->pool, sizeof(*holder), on_request_gone);
    *holder = f;
    f->owner = owner;
    f->env = env;
    f->req = req;
    f->content_length = SIZE_MAX;
    f->started_us = timebase_monotonic_us();
    bytes_init(&f->waiting, WAITING_MAX_BYTES);
    bytes_init(&f->sending, WAITING_MAX_BYTES);
    if (owner->first == NULL) {
        loop_timer_start(owner->sweep, SWEEP_MS, SWEEP_MS);
    }
    f->next = owner->first;
    f->at = &owner->first;
    if (f->next != NULL) {
        f->next->at = &f->next;
    }
    owner->first = f;
    f->easy = curl_loop_easy_get(owner->curl);
    set_options(f);
    f->running = true;
    curl_loop_start(owner->curl, f->easy, on_done, f);
}

/* ---------------------------------------------------------------- life */

struct http_forward *http_forward_new(struct loop *loop, const char *base_url)
{
    struct http_forward *owner = mem_calloc(1, sizeof(*owner));
    owner->curl = curl_loop_new(loop_uv(loop), &(struct curl_loop_conf){.max_connections = CONNECTIONS_MAX});
    curl_loop_on_flush(owner->curl, flush_dirty, owner);
    owner->sweep = loop_timer_new(loop, on_sweep, owner);
    const char *authority = strstr(base_url, "://");
    const char *path = authority != NULL ? strchr(authority + 3, '/') : NULL;
    size_t len = path != NULL ? strlen(path) : 0;
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    owner->prefix = len != 0 ? mem_dup(path, len) : mem_strdup("");
    owner->base_url = path != NULL ? mem_dup(base_url, (size_t)(path - base_url)) : mem_strdup(base_url);
    authority = strstr(owner->base_url, "://");
    owner->shown = authority != NULL ? authority + 3 : owner->base_url;
    const char *at = strrchr(owner->shown, '@');
    owner->shown = at != NULL ? at + 1 : owner->shown;
    return owner;
}

void http_forward_free(struct http_forward **handle)
{
    struct http_forward *owner = *handle;
    if (owner == NULL) {
        return;
    }
    invariant(owner->first == NULL);
    loop_timer_free(&owner->sweep);
    curl_loop_free(&owner->curl);
    free(owner->base_url);
    free(owner->prefix);
    free(owner);
    *handle = NULL;
}
