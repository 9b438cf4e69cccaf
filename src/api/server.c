/* API thread: see server.h. A call that needs the control loop is an api_call that goes there and comes back; the
 * answer is formatted here, on the API thread, from the view it brings. */
#include "api/server.h"
#include "api/answers.h"
#include "base/log.h"
#include "base/metrics.h"
#include "model/wire.h"

#include <pthread.h>
#include <stdio.h>

#define ANSWER_BYTES_MAX  ((size_t)1 << 31)
#define REQUEST_BYTES_MAX ((size_t)64 << 20)
#define JSON_TYPE         "application/json"
#define TEXT_TYPE         "text/plain; charset=utf-8"

struct api_server {
    struct loop *loop;
    struct http_server *http;
    struct api_env env;
    pthread_t thread;
};

struct api_call {
    struct api_server *server;
    struct http_exchange *exchange;
    void (*on_control)(struct api_call *c); /* optional: what to do there, before the view is taken */
    void (*on_view)(struct api_call *c);    /* on the API thread: answer */
    char *text;
    struct api_view *view;
    struct errctx err;
};

/* ---------------------------------------------------------------- there and back */

static void respond_json(struct http_exchange *x, int status, const struct bytes *body)
{
    http_respond(x, status, JSON_TYPE, bytes_view(body));
}

static void respond_error(struct http_exchange *x, int status, const char *type, const char *message)
{
    struct bytes body;
    struct json_writer w;
    bytes_init(&body, 65536);
    json_writer_init(&w, &body);
    wire_error(&w, type, message);
    respond_json(x, status, &body);
    bytes_done(&body);
}

static void call_free(struct api_call *c)
{
    api_view_unref(c->view);
    free(c->text);
    free(c);
}

static void come_back(void *data)
{
    struct api_call *c = data;
    c->on_view(c);
    call_free(c);
}

static void at_control(void *data)
{
    struct api_call *c = data;
    if (c->server->loop == NULL) { /* the server has ended meanwhile, and the exchange with it */
        call_free(c);
        return;
    }
    if (c->on_control != NULL) {
        c->on_control(c);
    }
    c->view = c->server->env.view(c->server->env.data);
    if (!loop_post(c->server->loop, come_back, c)) {
        call_free(c);
    }
}

static void call_control(struct http_exchange *x, struct api_server *s, void (*on_control)(struct api_call *c),
                         void (*on_view)(struct api_call *c), char *text)
{
    struct api_call *c = mem_calloc(1, sizeof(*c));
    *c = (struct api_call){.server = s, .exchange = x, .on_control = on_control, .on_view = on_view, .text = text};
    if (!loop_post(s->env.control, at_control, c)) {
        respond_error(x, 503, "unavailable", "shutting down");
        call_free(c);
    }
}

/* ---------------------------------------------------------------- reads */

static void finish(struct api_call *c, struct bytes *body, int rc, const char *content_type)
{
    if (rc == 0) {
        rc = bytes_check(body, &c->err);
    }
    if (rc == 0) {
        http_respond(c->exchange, 200, content_type, bytes_view(body));
    } else {
        respond_error(c->exchange, rc == ERR_INVALID || rc == ERR_PARSE ? 400 : 503,
                      rc == ERR_INVALID || rc == ERR_PARSE ? "bad_data" : "internal", c->err.msg);
    }
    bytes_done(body);
}

static void read_target_query(struct http_exchange *x, struct target_query *q)
{
    *q = (struct target_query){.state = http_query(x, "state", 0), .scrape_pool = http_query(x, "scrapePool", 0)};
    struct view v;
    while (q->job_count < TARGET_QUERY_JOBS_MAX && (v = http_query(x, "job", q->job_count)).base != NULL) {
        q->jobs[q->job_count++] = v;
    }
    while (q->health_count < 3 && (v = http_query(x, "health", q->health_count)).base != NULL) {
        q->health[q->health_count++] = v;
    }
    v = http_query(x, "statistics", 0);
    q->statistics_only = view_is(v, "only");
    q->statistics_with = view_is(v, "with");
}

static void targets_ready(struct api_call *c)
{
    struct target_query q;
    struct bytes body;
    read_target_query(c->exchange, &q);
    bytes_init(&body, ANSWER_BYTES_MAX);
    int rc = answer_targets(c->view, &q, &body, &c->err);
    finish(c, &body, rc, JSON_TYPE);
}

static void samples_ready(struct api_call *c)
{
    struct bytes body;
    bytes_init(&body, ANSWER_BYTES_MAX);
    answer_samples(c->view, http_query(c->exchange, "job", 0), &body);
    finish(c, &body, 0, JSON_TYPE);
}

static void querier_ready(struct api_call *c)
{
    struct bytes body;
    bytes_init(&body, ANSWER_BYTES_MAX);
    int rc = answer_querier_config(c->view, &body, &c->err);
    finish(c, &body, rc, "application/yaml");
}

static void extra_config_ready(struct api_call *c)
{
    struct bytes body, inner;
    struct json_writer w;
    bytes_init(&inner, 65536);
    json_writer_init(&w, &inner);
    json_object_begin(&w);
    json_kv_str(&w, "stopScrapeReason", c->view->stop_reason);
    json_object_end(&w);
    bytes_init(&body, 131072);
    json_writer_init(&w, &body);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_view(&w, "json", bytes_view(&inner));
    json_object_end(&w);
    wire_success_end(&w);
    bytes_done(&inner);
    finish(c, &body, 0, JSON_TYPE);
}

static void ready_known(struct api_call *c)
{
    bool ready = c->view->discovered;
    http_respond(c->exchange, ready ? 200 : 503, TEXT_TYPE,
                 ready ? VIEW("kvass is ready.\n") : VIEW("First discovery is not done yet.\n"));
}

#define SIMPLE_READ(name)                                                                                              \
    static void name##_ready(struct api_call *c)                                                                       \
    {                                                                                                                  \
        struct bytes body;                                                                                             \
        bytes_init(&body, ANSWER_BYTES_MAX);                                                                           \
        answer_##name(c->view, &body);                                                                                 \
        finish(c, &body, 0, JSON_TYPE);                                                                                \
    }                                                                                                                  \
    static void get_##name(struct http_exchange *x, void *data)                                                        \
    {                                                                                                                  \
        call_control(x, data, NULL, name##_ready, NULL);                                                               \
    }

SIMPLE_READ(runtimeinfo)
SIMPLE_READ(config)
SIMPLE_READ(shards)
SIMPLE_READ(moves)
SIMPLE_READ(ledger)
SIMPLE_READ(reload)

static void get_targets(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, targets_ready, NULL);
}

static void get_samples(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, samples_ready, NULL);
}

static void get_querier(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, querier_ready, NULL);
}

static void get_extra_config(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, extra_config_ready, NULL);
}

static void get_ready(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, ready_known, NULL);
}

static void get_healthy(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond(x, 200, TEXT_TYPE, VIEW("kvass is healthy.\n"));
}

static void get_metrics(struct http_exchange *x, void *data)
{
    struct bytes body;
    (void)data;
    bytes_init(&body, ANSWER_BYTES_MAX);
    metrics_write(&body);
    http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", bytes_view(&body));
    bytes_done(&body);
}

/* ---------------------------------------------------------------- writes */

static void do_reload(struct api_call *c)
{
    c->err.code = c->server->env.reload(c->server->env.data, &c->err);
}

/* Prometheus' words on failure, so that reloader side cars understand us. */
static void reload_done(struct api_call *c)
{
    if (c->err.code == 0) {
        http_respond(c->exchange, 200, TEXT_TYPE, VIEW(""));
        return;
    }
    char *text = mem_printf("failed to reload config: %s\n", c->err.msg);
    http_respond(c->exchange, 500, TEXT_TYPE, view_of(text));
    free(text);
}

static void post_reload(struct http_exchange *x, void *data)
{
    call_control(x, data, do_reload, reload_done, NULL);
}

static void do_stop_reason(struct api_call *c)
{
    c->server->env.set_stop_reason(c->server->env.data, c->text);
}

static void stop_reason_done(struct api_call *c)
{
    struct bytes body;
    struct json_writer w;
    bytes_init(&body, 1024);
    json_writer_init(&w, &body);
    json_object_begin(&w);
    json_kv_str(&w, "status", "success");
    json_object_end(&w);
    finish(c, &body, 0, JSON_TYPE);
}

static void post_extra_config(struct http_exchange *x, void *data)
{
    struct errctx err = ERRCTX_INIT;
    json_t *root = wire_parse(http_body(x), 65536, &err);
    const char *reason = json_string_value(json_object_get(root, "stopScrapeReason"));
    if (root == NULL || (reason == NULL && json_object_get(root, "stopScrapeReason") != NULL)) {
        respond_error(x, 400, "bad_data", root == NULL ? err.msg : "stopScrapeReason must be a string");
    } else {
        call_control(x, data, do_stop_reason, stop_reason_done, mem_strdup(reason != NULL ? reason : ""));
    }
    json_decref(root);
}

/* ---------------------------------------------------------------- life */

static const struct http_row ROWS[] = {
    {"GET", "/-/healthy", get_healthy},
    {"GET", "/-/ready", get_ready},
    {"POST", "/-/reload", post_reload},
    {"GET", "/metrics", get_metrics},
    {"GET", "/api/v1/targets", get_targets},
    {"GET", "/api/v1/runtimeinfo", get_runtimeinfo},
    {"GET", "/api/v1/samples", get_samples},
    {"GET", "/api/v1/status/config", get_config},
    {"GET", "/api/v1/status/extra_config", get_extra_config},
    {"POST", "/api/v1/status/extra_config", post_extra_config},
    {"GET", "/api/v1/status/reload", get_reload},
    {"GET", "/api/v1/querier/config", get_querier},
    {"GET", "/api/v1/shards", get_shards},
    {"GET", "/api/v1/moves", get_moves},
    {"GET", "/api/v1/ledger", get_ledger},
    {NULL, NULL, NULL},
};

static void on_answer(void *data, const char *row_path, const char *row_method, int status, double seconds)
{
    char code[16];
    (void)data;
    snprintf(code, sizeof(code), "%d", status);
    metric_cell_observe(metric_cell(METRIC_COORDINATOR_HTTP_REQUEST_DURATION_SECONDS,
                                    row_path != NULL ? row_path : "other", row_method != NULL ? row_method : "other",
                                    code),
                        seconds);
}

static void *thread_main(void *data)
{
    struct api_server *s = data;
    loop_run(s->loop);
    return NULL;
}

int api_server_new(int listen_fd, const char *web_config_file, const char *token_file, const struct api_env *env,
                   struct api_server **ret, struct errctx *err)
{
    struct api_server *s = mem_calloc(1, sizeof(*s));
    const struct http_server_conf conf = {
        .request_bytes_max = REQUEST_BYTES_MAX,
        .web_config_file = web_config_file,
        .token_file = token_file,
        .on_answer = on_answer,
    };
    s->env = *env;
    s->loop = loop_new();
    int rc = http_server_new(s->loop, listen_fd, &conf, ROWS, s, &s->http, err);
    if (rc != 0) {
        loop_free(&s->loop);
        free(s);
        return rc;
    }
    invariant(pthread_create(&s->thread, NULL, thread_main, s) == 0);
    *ret = s;
    return 0;
}

static void on_closed(void *data)
{
    struct api_server *s = data;
    loop_stop(s->loop);
}

struct close_request {
    struct api_server *server;
    int64_t grace_ms;
};

static void begin_close(void *data)
{
    struct close_request *q = data;
    http_server_close(q->server->http, q->grace_ms, on_closed, q->server);
}

void api_server_free(struct api_server **handle, int64_t grace_ms)
{
    struct api_server *s = *handle;
    if (s == NULL) {
        return;
    }
    struct close_request q = {s, grace_ms};
    loop_post(s->loop, begin_close, &q);
    pthread_join(s->thread, NULL);
    loop_free(&s->loop);
    /* Calls may still wait in the control loop's mailbox: s goes behind the last of them. */
    invariant(loop_post(s->env.control, free, s));
    *handle = NULL;
}
