/* Streams: see stream.h.
 *
 * Compression is offered for lists only: servers compress streamed lists of a watch in several gzip members, which
 * libcurl refuses. The body of an error answer is not JSON of ours: it is collected, up to a cap, and judged as text.
 * A stream may be cancelled from its own on_piece; it goes once libcurl's callback has returned. Watches are silent for
 * minutes; one whose answer has not even begun is given up much sooner. */
#include "k8s/stream.h"

#include "base/mem.h"

#include <stdlib.h>

#define ERROR_BODY_MAX ((size_t)64 << 10)
#define HEAD_MS        30000 /* servers send the head of a watch at once, whether there are events or not */

struct k8s_stream {
    struct k8s_client *client;
    struct http_call *http;
    struct loop_timer *head_timer; /* NULL for lists, which have a time limit as a whole */
    struct json_split split;
    struct bytes error_body;
    struct errctx err; /* from the split */
    char *what;
    const char *verb;
    int (*on_piece)(void *data, struct view text);
    void (*on_done)(void *data, const struct k8s_answer *answer, struct view rest);
    void *data;
    bool in_feed, is_cancelled;
};

static void stream_free(struct k8s_stream *s)
{
    loop_timer_free(&s->head_timer);
    k8s_client_unref(s->client);
    json_split_done(&s->split);
    bytes_done(&s->error_body);
    free(s->what);
    free(s);
}

void k8s_stream_cancel(struct k8s_stream *s)
{
    http_call_cancel(s->http);
    if (s->in_feed) {
        s->is_cancelled = true;
    } else {
        stream_free(s);
    }
}

static int on_piece(void *data, struct view text)
{
    struct k8s_stream *s = data;
    int rc = s->on_piece(s->data, text);
    return s->is_cancelled ? ERR_CANCELLED : rc;
}

static int on_data(void *data, const char *base, size_t len)
{
    struct k8s_stream *s = data;
    int status = http_call_status(s->http);
    if (status < 200 || status >= 300) {
        bytes_append(&s->error_body, base, len);
        if (s->error_body.overflow) {
            s->error_body.overflow = false;
        }
        return 0;
    }
    s->in_feed = true;
    int rc = json_split_feed(&s->split, view_make(base, len), on_piece, s, &s->err);
    s->in_feed = false;
    if (s->is_cancelled) {
        stream_free(s);
        return ERR_CANCELLED;
    }
    return rc;
}

static void on_done(void *data, const struct http_answer *http)
{
    struct k8s_stream *s = data;
    struct k8s_judged j;
    struct errctx own = s->err;
    k8s_judge(http, bytes_view(&s->error_body), s->what, false, &j);
    if (own.code == 0 && j.answer.err.code == 0) {
        json_split_end(&s->split, &own);
    }
    if (own.code != 0) {
        errctx_clear(&j.answer.err);
        (void)errctx_set(&j.answer.err, own.code, "%s: %s", s->what, own.msg);
    }
    k8s_count_request(s->verb, &j.answer);
    s->on_done(s->data, &j.answer, bytes_view(&s->split.rest));
    k8s_judged_done(&j);
    stream_free(s);
}

static void on_head_due(void *data)
{
    struct k8s_stream *s = data;
    if (http_call_status(s->http) != 0) {
        return;
    }
    struct http_answer none = {.err = ERRCTX_INIT};
    (void)errctx_set(&none.err, ERR_TIMEOUT, "no answer began within %d s", HEAD_MS / 1000);
    http_call_cancel(s->http);
    on_done(s, &none);
}

struct k8s_stream *k8s_stream_send(struct k8s_client *c, const struct k8s_stream_request *req)
{
    static const char *const LIST_HEADERS[] = {"Accept: application/json", "Accept-Encoding: gzip", NULL};
    static const char *const WATCH_HEADERS[] = {"Accept: application/json", NULL};
    struct k8s_stream *s = mem_calloc(1, sizeof(*s));
    s->client = k8s_client_ref(c);
    json_split_init(&s->split, req->mode);
    bytes_init(&s->error_body, ERROR_BODY_MAX);
    s->what = mem_strdup(req->what);
    s->verb = req->verb;
    s->on_piece = req->on_piece;
    s->on_done = req->on_done;
    s->data = req->data;
    const struct http_request http = {
        .url = req->url,
        .headers = req->mode == JSON_SPLIT_ITEMS ? LIST_HEADERS : WATCH_HEADERS,
        .timeout_ms = req->timeout_ms,
        .profile = c->profile,
        .on_data = on_data,
    };
    s->http = http_client_send(c->http, &http, on_done, s);
    if (req->mode == JSON_SPLIT_EVENTS) {
        s->head_timer = loop_timer_new(c->loop, on_head_due, s);
        loop_timer_start(s->head_timer, HEAD_MS, 0);
    }
    return s;
}
