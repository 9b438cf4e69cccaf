/* The API of an appliance: see server.h. Reads are answered on the API thread, from the view a call brings back from
 * the control loop. */
#include "api/server.h"
#include "api/answers.h"
#include "api/samples.h"
#include "base/metrics.h"
#include "model/wire.h"

#include <stdio.h>
#include <stdlib.h>

struct api_server {
    struct api_thread *thread;
    struct samples_waits *samples; /* API thread */
    struct api_env env;
};

static const struct api_view *view_of_call(const struct api_call *c)
{
    return c->view;
}

/* ---------------------------------------------------------------- reads */

static void call_control(struct http_exchange *x, struct api_server *s, void (*on_control)(struct api_call *c),
                         void (*on_back)(struct api_call *c), char *text)
{
    api_call_control(s->thread, x, on_control, on_back, text, NULL);
}

static void finish(struct api_call *c, struct bytes *body, int rc, const char *content_type)
{
    api_finish(c->exchange, body, rc, &c->err, content_type);
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
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    int rc = answer_targets(view_of_call(c), &q, &body, &c->err);
    finish(c, &body, rc, API_JSON_TYPE);
}

static void samples_ready(struct api_call *c)
{
    const struct samples_input *in = c->input;
    struct bytes body;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    answer_samples(view_of_call(c), view_of(in->job_substring), in->count, &body);
    finish(c, &body, 0, API_JSON_TYPE);
}

static void querier_ready(struct api_call *c)
{
    struct bytes body;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    int rc = answer_querier_config(view_of_call(c), &body, &c->err);
    finish(c, &body, rc, "application/yaml");
}

static void extra_config_ready(struct api_call *c)
{
    struct bytes body, inner;
    struct json_writer w;
    bytes_init(&inner, 65536);
    json_writer_init(&w, &inner);
    json_object_begin(&w);
    json_kv_str(&w, "stopScrapeReason", view_of_call(c)->stop_reason);
    json_object_end(&w);
    bytes_init(&body, 131072);
    json_writer_init(&w, &body);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_view(&w, "json", bytes_view(&inner));
    json_object_end(&w);
    wire_success_end(&w);
    bytes_done(&inner);
    finish(c, &body, 0, API_JSON_TYPE);
}

static void why_ready(struct api_call *c)
{
    struct view hash = http_query(c->exchange, "hash", 0);
    struct why_query q = {.job = http_query(c->exchange, "job", 0), .url = http_query(c->exchange, "url", 0)};
    struct bytes body;
    int rc = 0;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    if (hash.len > 0) {
        char *digits = mem_dup(hash.base, hash.len);
        q.has_hash = wire_key_u64(digits, &q.hash);
        rc = q.has_hash ? 0 : errctx_set(&c->err, ERR_INVALID, "hash: expected a decimal number");
        free(digits);
    }
    if (rc == 0) {
        answer_why(view_of_call(c), &q, &body);
    }
    finish(c, &body, rc, API_JSON_TYPE);
}

/* One that stands by is ready to take over; one that was fenced is of no use until it is restarted. */
static void ready_known(struct api_call *c)
{
    const struct api_view *v = view_of_call(c);
    bool ready = v->discovered && (v->role == RECONCILE_ACTING || v->role == RECONCILE_STANDBY);
    char *text = mem_printf("%s\n", ready                                     ? "kvass is ready."
                                    : !v->discovered && v->blocked[0] == '\0' ? "First discovery is not done yet."
                                                                              : v->blocked);
    http_respond(c->exchange, ready ? 200 : 503, API_TEXT_TYPE, view_of(text));
    free(text);
}

#define SIMPLE_READ(name)                                                                                              \
    static void name##_ready(struct api_call *c)                                                                       \
    {                                                                                                                  \
        struct bytes body;                                                                                             \
        bytes_init(&body, API_ANSWER_BYTES_MAX);                                                                       \
        answer_##name(view_of_call(c), &body);                                                                         \
        finish(c, &body, 0, API_JSON_TYPE);                                                                            \
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

static void get_why(struct http_exchange *x, void *data)
{
    call_control(x, data, NULL, why_ready, NULL);
}

static void get_samples(struct http_exchange *x, void *data)
{
    struct api_server *s = data;
    samples_get(s->samples, s->thread, x);
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

/* ---------------------------------------------------------------- writes */

static void do_reload(struct api_call *c)
{
    struct api_server *s = c->data;
    c->err.code = s->env.reload(s->env.data, &c->err);
}

static void post_reload(struct http_exchange *x, void *data)
{
    call_control(x, data, do_reload, api_respond_reload, NULL);
}

static void do_stop_reason(struct api_call *c)
{
    struct api_server *s = c->data;
    s->env.set_stop_reason(s->env.data, c->input);
}

static void stop_reason_done(struct api_call *c)
{
    api_respond_success(c->exchange);
}

static void post_extra_config(struct http_exchange *x, void *data)
{
    struct errctx err = ERRCTX_INIT;
    json_t *root = wire_parse(http_body(x), 65536, &err);
    const char *reason = json_string_value(json_object_get(root, "stopScrapeReason"));
    if (root == NULL || (reason == NULL && json_object_get(root, "stopScrapeReason") != NULL)) {
        errctx_set(&err, ERR_INVALID, "stopScrapeReason must be a string");
        api_respond_error(x, ERR_INVALID, &err);
    } else {
        call_control(x, data, do_stop_reason, stop_reason_done, mem_strdup(reason != NULL ? reason : ""));
    }
    json_decref(root);
}

/* ---------------------------------------------------------------- life */

static const struct http_row ROWS[] = {
    {"GET", "/-/healthy", api_get_healthy},
    {"GET", "/-/ready", get_ready},
    {"POST", "/-/reload", post_reload},
    {"GET", "/metrics", api_get_metrics},
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
    {"GET", "/api/v1/why", get_why},
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

static void *take_view(void *data)
{
    struct api_server *s = data;
    return s->env.view(s->env.data);
}

static void drop_view(void *view)
{
    api_view_unref(view);
}

static void start_count(void *data, struct view job_substring, struct family_count **ret_count, size_t *ret_expected,
                        int64_t *ret_until_ms)
{
    const struct api_server *s = data;
    if (s->env.count_families != NULL) {
        s->env.count_families(s->env.data, job_substring, ret_count, ret_expected, ret_until_ms);
    }
}

static void on_closed(void *data)
{
    struct api_server *s = data;
    samples_waits_close(s->samples);
}

int api_server_new(int listen_fd, const char *web_config_file, const char *token_file, const struct api_env *env,
                   struct api_server **ret, struct errctx *err)
{
    struct api_server *s = mem_calloc(1, sizeof(*s));
    const struct api_thread_conf conf = {
        .rows = ROWS,
        .web_config_file = web_config_file,
        .token_file = token_file,
        .on_answer = on_answer,
        .on_closed = on_closed,
        .control = env->control,
        .take_view = take_view,
        .drop_view = drop_view,
        .data = s,
    };
    s->env = *env;
    s->samples = samples_waits_new(start_count, samples_ready);
    int rc = api_thread_new(listen_fd, &conf, &s->thread, err);
    if (rc != 0) {
        samples_waits_free(&s->samples);
        free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void api_server_free(struct api_server **handle, int64_t grace_ms)
{
    struct api_server *s = *handle;
    if (s == NULL) {
        return;
    }
    api_thread_free(&s->thread, grace_ms);
    samples_waits_free(&s->samples);
    invariant(loop_post(s->env.control, free, s)); /* behind the calls that still name it */
    *handle = NULL;
}
