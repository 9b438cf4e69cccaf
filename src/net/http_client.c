/* Our own calls to other servers: see http_client.h.
 *
 * A call is a copy of the request, an easy handle and a deadline that includes waiting for a token. on_done always
 * comes from the loop, never from within http_client_send: calls that fail early wait in the queue of a zero timer.
 * Inside libcurl's callbacks nothing is cancelled or freed; the call is marked, and goes when libcurl has returned.
 * Answers are capped after decoding, heads too. Messages name method and URL without user, password and query, which
 * may be secrets. */
#include "net/http_client.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLIENT_MAGIC     0x68636c69U
#define CALL_MAGIC       0x68636c6cU
#define ANSWER_BYTES_MAX ((size_t)16 << 20)
#define HEAD_BYTES_MAX   ((size_t)256 << 10)
#define CONNECTIONS_MAX  1024L
#define URL_TEXT_MAX     200

enum call_state {
    CALL_STATE_WAITING, /* for a token */
    CALL_STATE_RUNNING, /* in libcurl */
    CALL_STATE_ENDED,   /* in the queue of the zero timer */
};

struct http_client {
    uint32_t magic;
    struct loop *loop;
    struct curl_loop *curl;
    struct http_call *calls;
    struct loop_timer *soon;
    unsigned in_callback; /* depth of libcurl callbacks */
};

struct http_call {
    uint32_t magic;
    struct http_client *client;
    struct http_call *next, **at;
    enum call_state state;
    bool cancelled;
    CURL *easy;
    struct curl_slist *headers, *own_headers; /* sent; those the caller gave */
    struct loop_timer *deadline;              /* while waiting for a token */
    char *method, *url, *body;
    char *next_url; /* of a redirect; NULL = url */
    unsigned hops;
    size_t body_len;
    int64_t deadline_ms;
    size_t answer_bytes_max, answer_bytes, head_bytes;
    bool head_ended; /* libcurl takes a head that is cut off for a whole one */
    struct bytes answer;
    struct http_profile *profile;
    const char *want_header;
    int (*on_data)(void *data, const char *base, size_t len);
    http_done_fn *on_done;
    void *data;
    struct errctx err;
};

/* --- ending */

static void call_free(struct http_call *call)
{
    *call->at = call->next;
    if (call->next != NULL) {
        call->next->at = call->at;
    }
    if (call->state == CALL_STATE_WAITING) {
        http_profile_wait_cancel(call->profile, call);
    } else if (call->state == CALL_STATE_RUNNING) {
        curl_loop_cancel(call->client->curl, call->easy);
    }
    curl_loop_easy_put(call->client->curl, call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->own_headers);
    free(call->next_url);
    loop_timer_free(&call->deadline);
    bytes_done(&call->answer);
    free(call->method);
    free(call->url);
    free(call->body);
    call->magic = 0;
    free(call);
}

static struct view call_header(const struct http_call *call)
{
    struct curl_header *h = NULL;
    bool found = call->want_header != NULL &&
                 curl_easy_header(call->easy, call->want_header, 0, CURLH_HEADER, -1, &h) == CURLHE_OK;
    return found ? view_of(h->value) : view_make(NULL, 0);
}

static void call_deliver(struct http_call *call)
{
    struct http_answer answer = {.err = call->err};
    char *type = NULL;
    if (call->cancelled) {
        call_free(call);
        return;
    }
    if (call->err.code == 0) {
        answer.status = http_call_status(call);
        answer.body = bytes_view(&call->answer);
        curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
        answer.content_type = view_of(type);
        curl_off_t retry_after_s = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
        answer.retry_after_ms = (int64_t)retry_after_s * 1000;
        answer.header = call_header(call);
    }
    call->on_done(call->data, &answer);
    call_free(call);
}

static void run_ended(void *data)
{
    struct http_client *c = data;
    for (;;) {
        struct http_call *call = c->calls;
        while (call != NULL && call->state != CALL_STATE_ENDED && !call->cancelled) {
            call = call->next;
        }
        if (call == NULL) {
            return;
        }
        call_deliver(call);
    }
}

static void call_end_soon(struct http_call *call)
{
    call->state = CALL_STATE_ENDED;
    loop_timer_start(call->client->soon, 0, 0);
}

void http_call_cancel(struct http_call *call)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    if (call->client->in_callback != 0) {
        call->cancelled = true;
        loop_timer_start(call->client->soon, 0, 0);
    } else {
        call_free(call);
    }
}

int http_call_status(const struct http_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* --- errors */

/* Scheme, host and path. */
static void url_text(const char *url, char text[URL_TEXT_MAX])
{
    size_t len = strcspn(url, "?#");
    const char *authority = strstr(url, "://");
    size_t head = authority != NULL && (size_t)(authority - url) < len ? (size_t)(authority - url) + 3 : 0;
    size_t host_end = head + strcspn(url + head, "/?#");
    size_t skip = head;
    for (size_t i = head; i < host_end; i++) {
        skip = url[i] == '@' ? i + 1 : skip;
    }
    snprintf(text, URL_TEXT_MAX, "%.*s%.*s", (int)head, url, (int)(len - skip), url + skip);
}

static int error_of(CURL *easy, CURLcode code)
{
    char *peer = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &peer);
    if (code == CURLE_UNSUPPORTED_PROTOCOL && peer != NULL && peer[0] != '\0') {
        return ERR_PARSE; /* the URL was fine, the answer is no HTTP */
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_INVALID;
    case CURLE_TOO_MANY_REDIRECTS:
        return ERR_LIMIT;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERR_PARSE;
    default:
        return ERR_UNAVAILABLE;
    }
}

static int call_prefix(struct http_call *call, int code)
{
    char text[URL_TEXT_MAX];
    url_text(call->url, text);
    return errctx_prefix(&call->err, code, "%s %s", call->method, text);
}

static void call_start(struct http_call *call);

/* GET and HEAD go where a redirect points; for other methods it is the answer. */
static bool call_follow(struct http_call *call)
{
    bool is_get = strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;
    char *url = is_get && call->profile != NULL ? http_profile_redirect(call->profile, call->easy) : NULL;
    if (url == NULL || call->cancelled) {
        free(url);
        return false;
    }
    free(call->next_url);
    call->next_url = url;
    if (++call->hops >= HTTP_REDIRECTS_MAX) {
        errctx_set(&call->err, ERR_LIMIT, "stopped after %d redirects", HTTP_REDIRECTS_MAX);
        return false;
    }
    bytes_clear(&call->answer);
    call->answer_bytes = call->head_bytes = 0;
    call->head_ended = false;
    call_start(call);
    return true;
}

static void on_curl_done(void *data, CURL *easy, CURLcode code)
{
    struct http_call *call = data;
    call->state = CALL_STATE_ENDED;
    if (code == CURLE_OK && call->err.code == 0 && !call->head_ended && call->answer_bytes == 0) {
        errctx_set(&call->err, ERR_UNAVAILABLE, "unexpected EOF in the head of the answer");
    }
    if (code == CURLE_OK && call->err.code == 0 && call_follow(call)) {
        return;
    }
    if (call->err.code != 0) { /* set where it happened, in a callback */
        call_prefix(call, call->err.code);
    } else if (code != CURLE_OK) {
        errctx_set(&call->err, error_of(easy, code), "%s", curl_loop_error(easy, code));
        call_prefix(call, call->err.code);
    }
    call_deliver(call);
}

/* --- libcurl's callbacks: a return value other than the length aborts the transfer */

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct http_call *call = data;
    size_t len = size * count;
    if (call->cancelled) {
        return len + 1;
    }
    call->answer_bytes += len;
    if (call->answer_bytes_max != 0 && call->answer_bytes > call->answer_bytes_max) {
        errctx_set(&call->err, ERR_LIMIT, "the answer is larger than %zu bytes", call->answer_bytes_max);
        return len + 1;
    }
    if (call->on_data == NULL) {
        bytes_append(&call->answer, base, len);
        return len;
    }
    if (call->profile != NULL && http_profile_follows(call->profile, http_call_status(call))) {
        return len;
    }
    call->client->in_callback++;
    int rc = len != 0 ? call->on_data(call->data, base, len) : 0;
    call->client->in_callback--;
    if (rc != 0) {
        errctx_set(&call->err, ERR_CANCELLED, "given up by the reader of the answer");
    }
    return rc != 0 || call->cancelled ? len + 1 : len;
}

static size_t on_head(char *base, size_t size, size_t count, void *data)
{
    struct http_call *call = data;
    call->head_ended = size * count <= 2 && base[0] != ' ' && base[size * count - 1] == '\n';
    call->head_bytes += size * count;
    if (call->head_bytes > HEAD_BYTES_MAX) {
        errctx_set(&call->err, ERR_LIMIT, "the head of the answer is larger than %zu bytes", HEAD_BYTES_MAX);
        return size * count + 1;
    }
    return size * count;
}

/* --- beginning */

static void add_header(struct http_call *call, const char *line)
{
    struct curl_slist *longer = curl_slist_append(call->own_headers, line);
    invariant(longer != NULL);
    call->own_headers = longer;
}

static bool has_header(const struct http_request *req, const char *name)
{
    size_t len = strlen(name);
    for (const char *const *h = req->headers; h != NULL && *h != NULL; h++) {
        if (strncasecmp(*h, name, len) == 0 && (*h)[len] == ':') {
            return true;
        }
    }
    return false;
}

static void set_headers(struct http_call *call, const struct http_request *req)
{
    for (const char *const *h = req->headers; h != NULL && *h != NULL; h++) {
        if (strncasecmp(*h, "accept-encoding:", 16) == 0) {
            curl_easy_setopt(call->easy, CURLOPT_ACCEPT_ENCODING, *h + 16 + strspn(*h + 16, " "));
        } else {
            add_header(call, *h);
        }
    }
    if (!has_header(req, "User-Agent")) {
        curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "kvass/" PACKAGE_VERSION);
    }
    if (req->body.len != 0 && req->content_type != NULL) {
        char *line = mem_printf("Content-Type: %s", req->content_type);
        add_header(call, line);
        free(line);
    } else if (!has_header(req, "Content-Type")) {
        add_header(call, "Content-Type:"); /* libcurl would claim a form */
    }
    add_header(call, "Expect:"); /* no second round trip before a body */
    if (req->no_keep_alive) {
        add_header(call, "Connection: close");
    }
}

static void set_method(struct http_call *call)
{
    CURL *e = call->easy;
    bool has_body = call->body_len != 0 || strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0;
    if (has_body) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, call->body);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
    }
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (strcmp(call->method, has_body ? "POST" : "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, call->method);
    }
}

static void set_options(struct http_call *call, const struct http_request *req)
{
    CURL *e = call->easy;
    curl_easy_setopt(e, CURLOPT_URL, call->url);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    if (req->unix_socket != NULL) {
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
    }
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, req->no_keep_alive ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, req->no_keep_alive ? 1L : 0L);
    set_method(call);
    set_headers(call, req);
}

static void on_profile_ready(void *data);

static void on_deadline(void *data)
{
    struct http_call *call = data;
    http_profile_wait_cancel(call->profile, call);
    errctx_set(&call->err, ERR_TIMEOUT, "no token came within the time of the call");
    call_prefix(call, ERR_TIMEOUT);
    call_end_soon(call);
}

static void call_wait(struct http_call *call, int64_t left_ms)
{
    call->state = CALL_STATE_WAITING;
    if (call->deadline == NULL) {
        call->deadline = loop_timer_new(call->client->loop, on_deadline, call);
        loop_timer_start(call->deadline, left_ms, 0);
    }
    http_profile_wait(call->profile, call->client->curl, on_profile_ready, call);
}

static void copy_headers(struct http_call *call)
{
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    for (const struct curl_slist *h = call->own_headers; h != NULL; h = h->next) {
        call->headers = curl_slist_append(call->headers, h->data);
    }
}

static void call_start(struct http_call *call)
{
    int64_t left_ms = call->deadline_ms - timebase_monotonic_ms();
    int rc = 0;
    copy_headers(call);
    if (left_ms <= 0) {
        rc = errctx_set(&call->err, ERR_TIMEOUT, "no time left");
    } else if (call->profile != NULL) {
        rc = http_profile_apply(call->profile, call->easy, call->next_url != NULL ? call->next_url : call->url,
                                call->next_url != NULL ? call->url : NULL, &call->headers, &call->err);
    }
    if (rc == ERR_AGAIN) {
        errctx_clear(&call->err);
        call_wait(call, left_ms);
        return;
    }
    loop_timer_free(&call->deadline);
    if (rc != 0) {
        if (call->err.code == 0) {
            errctx_set(&call->err, rc, "the client settings cannot be used");
        }
        call_prefix(call, rc);
        call_end_soon(call);
        return;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    call->state = CALL_STATE_RUNNING;
    curl_loop_start(call->client->curl, call->easy, on_curl_done, call);
}

static void on_profile_ready(void *data)
{
    struct http_call *call = data;
    call->state = CALL_STATE_ENDED; /* not waiting any more, whatever comes next */
    call_start(call);
}

struct http_call *http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done,
                                   void *data)
{
    MAGIC_CHECK(c, CLIENT_MAGIC);
    invariant(req->url != NULL && req->timeout_ms > 0);
    struct http_call *call = mem_calloc(1, sizeof(*call));
    *call = (struct http_call){
        .magic = CALL_MAGIC,
        .client = c,
        .next = c->calls,
        .at = &c->calls,
        .state = CALL_STATE_ENDED,
        .easy = curl_loop_easy_get(c->curl),
        .method = mem_strdup(req->method != NULL ? req->method : "GET"),
        .url = mem_strdup(req->url),
        .body = mem_dup(req->body.base != NULL ? req->body.base : "", req->body.len),
        .body_len = req->body.len,
        .deadline_ms = timebase_monotonic_ms() + req->timeout_ms,
        .answer_bytes_max = req->answer_bytes_max,
        .profile = req->profile,
        .want_header = req->want_header,
        .on_data = req->on_data,
        .on_done = on_done,
        .data = data,
    };
    if (call->answer_bytes_max == 0 && call->on_data == NULL) {
        call->answer_bytes_max = ANSWER_BYTES_MAX;
    }
    bytes_init(&call->answer, call->answer_bytes_max);
    if (call->next != NULL) {
        call->next->at = &call->next;
    }
    c->calls = call;
    set_options(call, req);
    call_start(call);
    return call;
}

struct http_client *http_client_new(struct loop *loop)
{
    struct http_client *c = mem_calloc(1, sizeof(*c));
    c->magic = CLIENT_MAGIC;
    c->loop = loop;
    /* No limit per host: watches keep a connection each, and what waits for one would lose its deadline. */
    c->curl = curl_loop_new(loop_uv(loop), &(struct curl_loop_conf){.max_connections = CONNECTIONS_MAX});
    c->soon = loop_timer_new(loop, run_ended, c);
    return c;
}

void http_client_free(struct http_client **handle)
{
    struct http_client *c = *handle;
    *handle = NULL;
    if (c == NULL) {
        return;
    }
    MAGIC_CHECK(c, CLIENT_MAGIC);
    invariant(c->in_callback == 0);
    while (c->calls != NULL) {
        call_free(c->calls);
    }
    loop_timer_free(&c->soon);
    curl_loop_free(&c->curl);
    c->magic = 0;
    free(c);
}
