/* Towards Prometheus: blocks of bytes out through libh2o, one h2o_send in flight, never an empty one.
 *
 * A failure before the head was sent is an answer with a status; the reason phrase carries the cause, because
 * Prometheus shows exactly that in lastError. Later the connection is broken: Prometheus must see a failed scrape, not
 * a short one. */
#include "base/mem.h"
#include "proxy/scrape.h"

#include <stdio.h>
#include <sys/socket.h>

static const char *status_phrase(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 405:
        return "Method Not Allowed";
    case 414:
        return "URI Too Long";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

/* Printable ASCII only: a reason phrase must not smuggle anything. */
static char *clean_phrase(h2o_mem_pool_t *pool, const char *phrase, const char *message)
{
    char text[SCRAPE_ERROR_MAX + 64];
    int n = snprintf(text, sizeof(text), "%s%s%s", phrase, *message != '\0' ? ": " : "", message);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            text[i] = '?';
        }
    }
    return h2o_strdup(pool, text, len).base;
}

static void answer_error(h2o_req_t *req, int status, const char *phrase, const char *message)
{
    static h2o_generator_t generator = {NULL, NULL};
    char *reason = clean_phrase(&req->pool, phrase, message);
    bool has_body =
        status != 204 && status != 304 && !h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
    req->res.status = status;
    req->res.reason = reason;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("text/plain; charset=utf-8"));
    size_t len = strlen(reason);
    h2o_iovec_t body = {h2o_mem_alloc_pool(&req->pool, len + 1), len + 1};
    memcpy(body.base, reason, len);
    body.base[len] = '\n';
    req->res.content_length = has_body ? body.len : 0;
    if (!has_body) {
        req->http1_is_persistent = 0; /* such an answer ends with its head, whatever the head says */
    }
    h2o_start_response(req, &generator);
    h2o_send(req, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}

void downstream_refuse(h2o_req_t *req, int status, const char *message)
{
    answer_error(req, status, status_phrase(status), message);
}

/* ---------------------------------------------------------------- blocks */

static void queue_append(struct block_queue *q, const char *base, size_t len)
{
    while (len > 0) {
        if (q->last == NULL || q->last->len == BLOCK_BYTES) {
            struct block *b = mem_alloc(sizeof(*b));
            b->next = NULL;
            b->len = 0;
            if (q->last != NULL) {
                q->last->next = b;
            } else {
                q->first = b;
            }
            q->last = b;
        }
        size_t room = BLOCK_BYTES - q->last->len, n = len < room ? len : room;
        memcpy(q->last->data + q->last->len, base, n);
        q->last->len += n;
        q->bytes += n;
        base += n;
        len -= n;
    }
}

static void queue_free(struct block_queue *q)
{
    while (q->first != NULL) {
        struct block *b = q->first;
        q->first = b->next;
        free(b);
    }
    *q = (struct block_queue){0};
}

/* Moves at most SEND_BLOCKS blocks from the front of `from`. */
static void queue_take(struct block_queue *from, struct block_queue *to)
{
    for (int i = 0; i < SEND_BLOCKS && from->first != NULL; i++) {
        struct block *b = from->first;
        from->first = b->next;
        from->bytes -= b->len;
        b->next = NULL;
        if (to->last != NULL) {
            to->last->next = b;
        } else {
            to->first = b;
        }
        to->last = b;
        to->bytes += b->len;
    }
    if (from->first == NULL) {
        from->last = NULL;
    }
}

void downstream_append(struct scrape *s, const char *base, size_t len)
{
    if (s->req != NULL) {
        queue_append(&s->waiting, base, len);
    }
}

void downstream_free(struct scrape *s)
{
    queue_free(&s->waiting);
    queue_free(&s->sending);
}

/* ---------------------------------------------------------------- sending */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct scrape *s = (struct scrape *)generator;
    (void)req;
    s->in_flight = false;
    queue_free(&s->sending);
    if (s->phase == SCRAPE_FAILED) {
        downstream_fail(s);
        return;
    }
    if (upstream_resume(s)) {
        downstream_send(s);
    }
}

static void send_head(struct scrape *s)
{
    h2o_req_t *req = s->req;
    bool known = s->phase == SCRAPE_COMPLETE;
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = known ? s->waiting.bytes : SIZE_MAX;
    if (s->head.content_type[0] != '\0') {
        h2o_iovec_t type = h2o_strdup(&req->pool, s->head.content_type, SIZE_MAX);
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type.base, type.len);
    }
    if (s->pass_compressed && s->head.content_encoding[0] != '\0') {
        h2o_iovec_t encoding = h2o_strdup(&req->pool, s->head.content_encoding, SIZE_MAX);
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_ENCODING, NULL, encoding.base, encoding.len);
    }
    if (!known && req->version < 0x101) {
        req->http1_is_persistent = 0; /* an HTTP/1.0 client finds the end of the body by the end of the connection */
    }
    s->generator.proceed = on_proceed;
    h2o_start_response(req, &s->generator);
    s->head_sent = true;
}

void downstream_send(struct scrape *s)
{
    bool complete = s->phase == SCRAPE_COMPLETE;
    if (s->req == NULL || s->in_flight || s->done_sending || s->phase == SCRAPE_FAILED) {
        return;
    }
    if (!s->head_sent) {
        if (!complete && s->waiting.bytes < HOLD_BYTES) {
            return;
        }
        send_head(s);
    }
    if (s->waiting.bytes == 0 && !complete) {
        return;
    }
    h2o_iovec_t bufs[SEND_BLOCKS];
    size_t count = 0;
    queue_take(&s->waiting, &s->sending);
    for (struct block *b = s->sending.first; b != NULL; b = b->next) {
        bufs[count++] = h2o_iovec_init(b->data, b->len);
    }
    bool last = complete && s->waiting.bytes == 0;
    s->in_flight = true;
    s->done_sending = last;
    h2o_send(s->req, bufs, count, last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

void downstream_fail(struct scrape *s)
{
    h2o_req_t *req = s->req;
    if (req == NULL || s->done_sending) {
        return;
    }
    if (!s->head_sent) {
        s->done_sending = true;
        if (s->head.status != 0 && s->head.status != 200 && s->fail_status == s->head.status) {
            answer_error(req, s->head.status, s->head.reason[0] != '\0' ? s->head.reason : "Error", "");
        } else {
            answer_error(req, s->fail_status, status_phrase(s->fail_status), s->err.msg);
        }
    } else {
        /* Nothing may follow what was sent, not even libh2o's own mark of a broken chunk: every write fails from here
         * on, and libh2o disposes of the request. */
        shutdown(h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn)), SHUT_RDWR);
        if (!s->in_flight) {
            s->done_sending = true;
            h2o_send(req, NULL, 0, H2O_SEND_STATE_ERROR);
        }
    }
}
