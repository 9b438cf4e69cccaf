/* A request from head to answer: see http_server.h and http_exchange.h.
 *
 * The exchange lives on the heap, beside libh2o's request: libh2o may drop the request while the handler still works,
 * the handler may not know. A shared object in the request's pool tells the exchange when that happens, and everything
 * handlers see is a copy in the exchange's arena. Nothing is ever sent from a freed request, and no zero-length buffer
 * is sent at all (libh2o on libuv aborts on one over TLS). */
#include "net/http_exchange.h"

#include "base/arena.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "net/http_query.h"

#include <stdlib.h>

#define EXCHANGE_MAGIC  0x78636867U
#define ERROR_BYTES_MAX 4096
#define GZIP_BYTES_MIN  512

struct answer_header {
    struct answer_header *next;
    const char *name, *value;
};

struct http_exchange {
    uint32_t magic;
    struct exchange_env *env; /* NULL when detached */
    h2o_req_t *req;           /* NULL when libh2o dropped it */
    struct request_link *link;
    struct http_exchange *next, **at;
    struct arena *arena;
    const struct http_row *row;
    const char *method;
    struct view path, query, body;
    bool is_head;
    int64_t begin_us;
    struct answer_header *headers, **headers_last;
};

/* In the pool of libh2o's request. */
struct request_link {
    struct http_exchange *x;
};

static void on_request_gone(void *p)
{
    struct request_link *link = p;
    if (link->x != NULL) {
        link->x->req = NULL;
        link->x->link = NULL;
    }
}

static void list_add(struct exchange_list *list, struct http_exchange *x)
{
    x->next = list->first;
    x->at = &list->first;
    if (x->next != NULL) {
        x->next->at = &x->next;
    }
    list->first = x;
}

static void list_remove(struct http_exchange *x)
{
    if (x->at != NULL) {
        *x->at = x->next;
        if (x->next != NULL) {
            x->next->at = x->at;
        }
        x->at = NULL;
    }
}

static void exchange_free(struct http_exchange *x)
{
    list_remove(x);
    if (x->link != NULL) {
        x->link->x = NULL;
    }
    x->magic = 0;
    arena_free(&x->arena);
    free(x);
}

/* --- sending */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Request Entity Too Large"},
        {414, "Request URI Too Long"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].status == status) {
            return rows[i].reason;
        }
    }
    return status < 400 ? "OK" : "Error";
}

static void add_header(h2o_req_t *req, const char *name, const char *value)
{
    h2o_iovec_t n = h2o_strdup(&req->pool, name, strlen(name)), v = h2o_strdup(&req->pool, value, strlen(value));
    h2o_strtolower(n.base, n.len);
    h2o_add_header_by_str(&req->pool, &req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void send_answer(struct http_exchange *x, int status, const char *content_type, struct view content)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_req_t *req = x->req;
    req->res.status = status;
    req->res.reason = reason_of(status);
    const struct web_header *fixed = NULL;
    size_t fixed_count = x->env != NULL && x->env->auth != NULL ? http_auth_headers(x->env->auth, &fixed) : 0;
    for (size_t i = 0; i < fixed_count; i++) {
        add_header(req, fixed[i].name, fixed[i].value);
    }
    for (const struct answer_header *h = x->headers; h != NULL; h = h->next) {
        add_header(req, h->name, h->value);
    }
    if (status_has_body(status)) {
        req->res.content_length = content.len;
        if (content_type != NULL) {
            add_header(req, "content-type", content_type);
        }
    }
    if (x->env == NULL || x->env->closing) {
        req->http1_is_persistent = 0;
    }
    req->compress_hint = content.len >= GZIP_BYTES_MIN ? H2O_COMPRESS_HINT_ENABLE : H2O_COMPRESS_HINT_DISABLE;
    h2o_start_response(req, &generator);
    if (x->is_head || content.len == 0 || !status_has_body(status)) {
        h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
    } else {
        h2o_iovec_t buf = h2o_strdup(&req->pool, content.base, content.len);
        h2o_send(req, &buf, 1, H2O_SEND_STATE_FINAL);
    }
}

static void note_answer(const struct http_exchange *x, int status)
{
    if (x->env != NULL && x->env->on_answer != NULL) {
        double seconds = (double)(timebase_monotonic_us() - x->begin_us) / 1e6;
        x->env->on_answer(x->env->data, x->row != NULL ? x->row->path : "", x->row != NULL ? x->row->method : "",
                          status, seconds);
    }
}

void http_respond(struct http_exchange *x, int status, const char *content_type, struct view content)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    invariant(status >= 200 && status <= 599);
    note_answer(x, status);
    if (x->req != NULL) {
        x->link->x = NULL; /* the answer may end the request at once */
        x->link = NULL;
        send_answer(x, status, content_type, content);
    }
    exchange_free(x);
}

void http_respond_header(struct http_exchange *x, const char *name, const char *value)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    struct answer_header *h = arena_alloc(x->arena, sizeof(*h));
    h->name = arena_strdup(x->arena, name);
    char *clean = arena_strdup(x->arena, value);
    for (char *c = clean; *c != '\0'; c++) {
        *c = *c == '\r' || *c == '\n' ? ' ' : *c;
    }
    h->value = clean;
    *x->headers_last = h;
    x->headers_last = &h->next;
}

void http_respond_error(struct http_exchange *x, int status, const char *type, const char *message)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    struct bytes text;
    bytes_init(&text, ERROR_BYTES_MAX * 8);
    if (view_has_prefix(x->path, VIEW("/api/"))) {
        struct json_writer w;
        json_writer_init(&w, &text);
        json_object_begin(&w);
        json_kv_str(&w, "status", "error");
        json_kv_str(&w, "errorType", type);
        json_kv_view(&w, "error", view_make(message, strnlen(message, ERROR_BYTES_MAX)));
        json_object_end(&w);
        http_respond(x, status, "application/json", bytes_view(&text));
    } else {
        bytes_printf(&text, "%.*s\n", ERROR_BYTES_MAX, message);
        http_respond(x, status, "text/plain; charset=utf-8", bytes_view(&text));
    }
    bytes_done(&text);
}

/* --- what a handler sees */

const char *http_method(const struct http_exchange *x)
{
    return x->method;
}

struct view http_path(const struct http_exchange *x)
{
    return x->path;
}

struct view http_body(const struct http_exchange *x)
{
    return x->body;
}

static struct view header_of(const h2o_req_t *req, const char *name)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);
    if (at < 0) {
        return view_make(NULL, 0);
    }
    h2o_iovec_t v = req->headers.entries[at].value;
    return view_make(v.base, v.len);
}

struct view http_header(struct http_exchange *x, const char *lower_case_name)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    struct view v = x->req != NULL ? header_of(x->req, lower_case_name) : view_make(NULL, 0);
    return v.base != NULL ? arena_view(x->arena, v) : v;
}

struct view http_query(struct http_exchange *x, const char *name, size_t index)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    struct view value = {NULL, 0};
    (void)!http_query_find(x->query, view_of(name), index, x->arena, &value);
    return value;
}

/* --- rows */

static struct view trim_slash(struct view path)
{
    while (path.len > 1 && path.base[path.len - 1] == '/') {
        path.len--;
    }
    return path;
}

static bool row_has_path(const struct http_row *row, struct view path)
{
    struct view pattern = view_of(row->path);
    if (view_has_suffix(pattern, VIEW("/*"))) {
        pattern.len--;
        return path.len > pattern.len && view_has_prefix(path, pattern);
    }
    return view_equal(trim_slash(pattern), trim_slash(path));
}

static bool row_has_method(const struct http_row *row, struct view method)
{
    return view_is(method, row->method) || (strcmp(row->method, "GET") == 0 && view_is(method, "HEAD")) ||
           (strcmp(row->method, "POST") == 0 && view_is(method, "PUT"));
}

/* The request leaves the exchange, which has done its part. */
static void forward(struct http_exchange *x)
{
    struct exchange_env *env = x->env;
    h2o_req_t *req = x->req;
    exchange_free(x);
    if (req != NULL) { /* else its client went away while the credentials were judged */
        http_forward_begin(env->forward, env, req);
    }
}

static void dispatch(struct http_exchange *x)
{
    const char *allowed = NULL;
    for (const struct http_row *row = x->env->rows; row->path != NULL; row++) {
        if (!row_has_path(row, x->path)) {
            continue;
        }
        if (row_has_method(row, view_of(x->method))) {
            x->row = row;
            row->handler(x, x->env->data);
            return;
        }
        allowed = allowed == NULL ? row->method : arena_printf(x->arena, "%s, %s", allowed, row->method);
    }
    if (allowed != NULL) {
        http_respond_header(x, "allow", allowed);
        http_respond_error(x, 405, "method_not_allowed", arena_printf(x->arena, "this path takes %s only", allowed));
    } else if (x->env->forward != NULL) {
        forward(x);
    } else {
        http_respond_error(x, 404, "not_found", "no such path");
    }
}

static void on_verdict(void *data, enum http_verdict verdict)
{
    struct http_exchange *x = data;
    if (x->env == NULL) { /* the server closed meanwhile */
        exchange_free(x);
        return;
    }
    switch (verdict) {
    case HTTP_VERDICT_ALLOW:
        dispatch(x);
        break;
    case HTTP_VERDICT_DENY:
        if (http_auth_wants_bearer(x->env->auth)) {
            http_respond_header(x, "www-authenticate", "Bearer");
        }
        if (http_auth_wants_basic(x->env->auth)) {
            http_respond_header(x, "www-authenticate", "Basic");
        }
        http_respond_error(x, 401, "unauthorized", "Unauthorized");
        break;
    case HTTP_VERDICT_BROKEN:
        http_respond_error(x, 500, "internal", "the web configuration cannot be used at the moment; see the log");
        break;
    case HTTP_VERDICT_PENDING:
        break;
    }
}

/* --- beginning */

static size_t head_bytes(const h2o_req_t *req)
{
    size_t sum = req->input.path.len;
    for (size_t i = 0; i < req->headers.size; i++) {
        sum += req->headers.entries[i].name->len + req->headers.entries[i].value.len + 4;
    }
    return sum;
}

static struct http_exchange *exchange_new(struct exchange_env *env, h2o_req_t *req)
{
    struct http_exchange *x = mem_calloc(1, sizeof(*x));
    x->magic = EXCHANGE_MAGIC;
    x->env = env;
    x->req = req;
    x->arena = arena_new();
    x->headers_last = &x->headers;
    x->begin_us = timebase_monotonic_us();
    x->link = h2o_mem_alloc_shared(&req->pool, sizeof(*x->link), on_request_gone);
    x->link->x = x;
    x->path = VIEW("/");
    x->method = arena_dup(x->arena, req->input.method.base, req->input.method.len);
    x->is_head = strcmp(x->method, "HEAD") == 0;
    list_add(&env->open, x);
    return x;
}

static bool is_health(const struct http_exchange *x)
{
    struct view path = trim_slash(x->path);
    return (strcmp(x->method, "GET") == 0 || x->is_head) && (view_is(path, "/-/healthy") || view_is(path, "/-/ready"));
}

void exchange_begin(struct exchange_env *env, h2o_req_t *req)
{
    struct http_exchange *x = exchange_new(env, req);
    struct view target = view_make(req->input.path.base, req->input.path.len);
    if (target.len > HTTP_TARGET_BYTES_MAX) {
        http_respond_error(x, 414, "bad_data", "request target too long");
        return;
    }
    if (x->method[0] == '\0' || strcmp(x->method, "CONNECT") == 0 || view_is(target, "*")) {
        req->http1_is_persistent = 0;
        http_respond_error(x, 405, "method_not_allowed", "method not allowed");
        return;
    }
    struct view query;
    if (!http_target_split(target, x->arena, &x->path, &query)) {
        http_respond_error(x, 400, "bad_data", "bad request target");
        return;
    }
    if (head_bytes(req) > HTTP_HEAD_BYTES_MAX) {
        http_respond_error(x, 431, "bad_data", "request head too large");
        return;
    }
    if (req->entity.len > env->body_bytes_max) {
        http_respond_error(x, 413, "too_large", "request body too large");
        return;
    }
    x->query = query.base != NULL ? arena_view(x->arena, query) : query;
    if (req->entity.base != NULL && req->entity.len != 0) {
        x->body = arena_view(x->arena, view_make(req->entity.base, req->entity.len));
    }
    enum http_verdict verdict = HTTP_VERDICT_ALLOW;
    if (env->auth != NULL && !(env->open_health && is_health(x))) {
        verdict = http_auth_check(env->auth, header_of(req, "authorization"), on_verdict, x);
    }
    on_verdict(x, verdict);
}

void exchange_detach_all(struct exchange_env *env)
{
    while (env->open.first != NULL) {
        struct http_exchange *x = env->open.first;
        list_remove(x);
        note_answer(x, 503);
        if (x->req != NULL) {
            x->link->x = NULL;
            x->link = NULL;
            send_answer(x, 503, "text/plain; charset=utf-8", VIEW("the server is shutting down\n"));
            x->req = NULL;
        }
        x->env = NULL;
    }
}
