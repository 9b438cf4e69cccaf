/* The API's thread: see api_thread.h. A call outlives its server when the control loop is slow: it then finds no loop
 * to come back to, and goes silently, for http_server_close has answered its client by then. */
#include "api/api_thread.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "model/wire.h"
#include "net/http_forward.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct api_thread {
    struct api_thread_conf conf;
    struct loop *loop;
    struct http_server *http;
    struct http_forward *forward;
    pthread_t thread;
};

/* ---------------------------------------------------------------- answers */

void api_respond_error(struct http_exchange *x, int rc, const struct errctx *err)
{
    static const struct {
        int code, status;
        const char *type;
    } ROWS[] = {
        {ERR_INVALID, 400, "bad_data"},    {ERR_PARSE, 400, "bad_data"},  {ERR_CONFLICT, 409, "conflict"},
        {ERR_NOT_FOUND, 404, "not_found"}, {ERR_LIMIT, 413, "too_large"},
    };
    struct bytes body;
    struct json_writer w;
    int status = 503;
    const char *type = "internal";
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (ROWS[i].code == rc) {
            status = ROWS[i].status;
            type = ROWS[i].type;
        }
    }
    bytes_init(&body, 65536);
    json_writer_init(&w, &body);
    wire_error(&w, type, err->msg);
    http_respond(x, status, API_JSON_TYPE, bytes_view(&body));
    bytes_done(&body);
}

void api_finish(struct http_exchange *x, struct bytes *body, int rc, struct errctx *err, const char *content_type)
{
    if (rc == 0) {
        rc = bytes_check(body, err);
    }
    if (rc == 0) {
        http_respond(x, 200, content_type, bytes_view(body));
    } else {
        api_respond_error(x, rc, err);
    }
    bytes_done(body);
}

void api_respond_success(struct http_exchange *x)
{
    struct bytes body;
    struct json_writer w;
    bytes_init(&body, 1024);
    json_writer_init(&w, &body);
    wire_success_empty(&w);
    http_respond(x, 200, API_JSON_TYPE, bytes_view(&body));
    bytes_done(&body);
}

void api_respond_reload(struct api_call *c)
{
    if (c->err.code == 0) {
        http_respond(c->exchange, 200, API_TEXT_TYPE, VIEW(""));
        return;
    }
    char *text = mem_printf("failed to reload config: %s\n", c->err.msg);
    http_respond(c->exchange, 500, API_TEXT_TYPE, view_of(text));
    free(text);
}

void api_get_metrics(struct http_exchange *x, void *data)
{
    struct bytes body;
    (void)data;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    metrics_write(&body);
    http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", bytes_view(&body));
    bytes_done(&body);
}

void api_get_healthy(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond(x, 200, API_TEXT_TYPE, VIEW("kvass is healthy.\n"));
}

/* ---------------------------------------------------------------- there and back */

static void call_free(struct api_call *c)
{
    if (c->view != NULL) {
        c->thread->conf.drop_view(c->view);
    }
    if (c->input != NULL) {
        (c->free_input != NULL ? c->free_input : free)(c->input);
    }
    free(c);
}

static void come_back(void *data)
{
    struct api_call *c = data;
    c->on_back(c);
    call_free(c);
}

static void at_control(void *data)
{
    struct api_call *c = data;
    if (c->thread->loop == NULL) { /* the server has ended meanwhile, and answered: this only frees the exchange */
        http_respond(c->exchange, 503, NULL, VIEW(""));
        call_free(c);
        return;
    }
    if (c->on_control != NULL) {
        c->on_control(c);
    }
    c->view = c->thread->conf.take_view(c->data);
    invariant(loop_post(c->thread->loop, come_back, c)); /* the loop ends while this one waits in api_thread_free */
}

void api_call_control(struct api_thread *t, struct http_exchange *x, void (*on_control)(struct api_call *c),
                      void (*on_back)(struct api_call *c), void *input, void (*free_input)(void *input))
{
    struct api_call *c = mem_calloc(1, sizeof(*c));
    *c = (struct api_call){
        .thread = t,
        .exchange = x,
        .data = t->conf.data,
        .on_control = on_control,
        .on_back = on_back,
        .input = input,
        .free_input = free_input,
    };
    if (!loop_post(t->conf.control, at_control, c)) {
        errctx_set(&c->err, ERR_UNAVAILABLE, "shutting down");
        api_respond_error(x, ERR_UNAVAILABLE, &c->err);
        call_free(c);
    }
}

/* ---------------------------------------------------------------- life */

static void *thread_main(void *data)
{
    struct api_thread *t = data;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    loop_run(t->loop);
    return NULL;
}

int api_thread_new(int listen_fd, const struct api_thread_conf *conf, struct api_thread **ret, struct errctx *err)
{
    struct api_thread *t = mem_calloc(1, sizeof(*t));
    t->conf = *conf;
    t->loop = loop_new();
    t->forward = conf->make_forward != NULL ? conf->make_forward(t->loop, conf->data) : NULL;
    const struct http_server_conf http = {
        .request_bytes_max = API_REQUEST_BYTES_MAX,
        .web_config_file = conf->web_config_file,
        .token_file = conf->token_file,
        .open_health = true,
        .forward = t->forward,
        .on_answer = conf->on_answer,
    };
    *ret = t; /* handlers may come before we return */
    int rc = http_server_new(t->loop, listen_fd, &http, conf->rows, conf->data, &t->http, err);
    if (rc != 0) {
        *ret = NULL;
        http_forward_free(&t->forward);
        loop_free(&t->loop);
        free(t);
        return rc;
    }
    invariant(pthread_create(&t->thread, NULL, thread_main, t) == 0);
    return 0;
}

static void on_closed(void *data)
{
    struct api_thread *t = data;
    if (t->conf.on_closed != NULL) {
        t->conf.on_closed(t->conf.data);
    }
    http_forward_free(&t->forward);
    loop_stop(t->loop);
}

struct close_request {
    struct api_thread *thread;
    int64_t grace_ms;
};

static void begin_close(void *data)
{
    struct close_request *q = data;
    http_server_close(q->thread->http, q->grace_ms, on_closed, q->thread);
}

struct loop *api_thread_loop(struct api_thread *t)
{
    return t->loop;
}

void api_thread_free(struct api_thread **handle, int64_t grace_ms)
{
    struct api_thread *t = *handle;
    if (t == NULL) {
        return;
    }
    struct close_request q = {t, grace_ms};
    loop_post(t->loop, begin_close, &q);
    pthread_join(t->thread, NULL);
    loop_free(&t->loop);
    /* Calls may still wait in the control loop's mailbox: t goes behind the last of them. */
    invariant(loop_post(t->conf.control, free, t));
    *handle = NULL;
}
