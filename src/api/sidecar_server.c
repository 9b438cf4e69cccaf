/* The sidecar's API: see sidecar_server.h. Bodies are read here, on the API thread, so that a large or hostile one
 * costs the scrapes nothing; what is good then travels to the control loop. */
#include "api/sidecar_server.h"
#include "api/samples.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "net/http_forward.h"

#include <stdio.h>
#include <stdlib.h>

#define NEW_JOBS_MAX       10000 /* names of jobs stay in memory for ever: strangers may add so many */
#define EXTRA_CONFIG_BYTES 65536

struct sidecar_server {
    struct api_thread *thread;
    struct sidecar_env env;
    size_t new_jobs;               /* API thread */
    struct samples_waits *samples; /* API thread */
};

/* What a POST brings to the control loop. */
struct input {
    struct wire_push push;
    struct assignment *items;
    size_t count;
    json_t *root; /* text lies in it */
    struct view text;
    char *reason;
};

static void free_input(void *data)
{
    struct input *in = data;
    if (in->items != NULL) {
        wire_targets_free(in->items, in->count);
    }
    json_decref(in->root);
    free(in->reason);
    free(in);
}

static struct sidecar_server *server_of(const struct api_call *c)
{
    return c->data;
}

/* ---------------------------------------------------------------- reads */

#define SIMPLE_READ(name)                                                                                              \
    static void name##_ready(struct api_call *c)                                                                       \
    {                                                                                                                  \
        struct bytes body;                                                                                             \
        bytes_init(&body, API_ANSWER_BYTES_MAX);                                                                       \
        sidecar_answer_##name(c->view, &body);                                                                         \
        api_finish(c->exchange, &body, 0, &c->err, API_JSON_TYPE);                                                     \
    }                                                                                                                  \
    static void get_##name(struct http_exchange *x, void *data)                                                        \
    {                                                                                                                  \
        struct sidecar_server *s = data;                                                                               \
        api_call_control(s->thread, x, NULL, name##_ready, NULL, NULL);                                                \
    }

SIMPLE_READ(runtimeinfo)
SIMPLE_READ(statuses)
SIMPLE_READ(targets)
SIMPLE_READ(extra_config)

/* Statuses (as Kvass 0.3), or with full=true the assignment itself. */
static void get_targets_or_statuses(struct http_exchange *x, void *data)
{
    if (view_is(http_query(x, "full", 0), "true")) {
        get_targets(x, data);
    } else {
        get_statuses(x, data);
    }
}

static void samples_ready(struct api_call *c)
{
    const struct samples_input *in = c->input;
    struct bytes body;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    sidecar_answer_samples(c->view, view_of(in->job_substring), in->count, &body);
    api_finish(c->exchange, &body, 0, &c->err, API_JSON_TYPE);
}

static void get_samples(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    samples_get(s->samples, s->thread, x);
}

static void config_ready(struct api_call *c)
{
    struct bytes body;
    bytes_init(&body, API_ANSWER_BYTES_MAX);
    int rc = sidecar_answer_config(c->view, &body, &c->err);
    api_finish(c->exchange, &body, rc, &c->err, API_JSON_TYPE);
}

static void get_config(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    api_call_control(s->thread, x, NULL, config_ready, NULL, NULL);
}

static void ready_known(struct api_call *c)
{
    const struct sidecar_view *v = c->view;
    http_respond(c->exchange, v->conf != NULL ? 200 : 503, API_TEXT_TYPE,
                 v->conf != NULL ? VIEW("kvass is ready.\n") : VIEW("There is no configuration yet.\n"));
}

static void get_ready(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    api_call_control(s->thread, x, NULL, ready_known, NULL, NULL);
}

/* ---------------------------------------------------------------- writes */

static void write_done(struct api_call *c)
{
    if (c->err.code == 0) {
        api_respond_success(c->exchange);
    } else {
        api_respond_error(c->exchange, c->err.code, &c->err);
    }
}

/* rc of a call becomes the call's error, whatever code the message first had. */
static void note_result(struct api_call *c, int rc)
{
    c->err.code = rc;
}

static json_t *parse_body(struct http_exchange *x, size_t max, struct errctx *err)
{
    json_t *root = wire_parse(http_body(x), max, err);
    if (root == NULL) {
        api_respond_error(x, err->code, err);
    }
    return root;
}

static void do_targets(struct api_call *c)
{
    const struct sidecar_env *env = &server_of(c)->env;
    const struct input *in = c->input;
    note_result(c, env->take_targets(env->data, &in->push, in->items, in->count, &c->err));
}

static int read_targets(struct sidecar_server *s, const json_t *root, struct input *in, struct errctx *err)
{
    size_t fresh = wire_count_new_jobs(root);
    if (s->new_jobs + fresh > NEW_JOBS_MAX) {
        return errctx_set(err, ERR_LIMIT, "Targets: more than %d names of jobs were never seen before", NEW_JOBS_MAX);
    }
    s->new_jobs += fresh;
    return wire_read_targets(root, &in->items, &in->count, err);
}

static void post_targets(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    struct errctx err = ERRCTX_INIT;
    json_t *root = parse_body(x, API_REQUEST_BYTES_MAX, &err);
    if (root == NULL) {
        return;
    }
    struct input *in = mem_calloc(1, sizeof(*in));
    int rc = wire_read_push(root, http_header(x, "x-kvass-epoch"), &in->push, &err);
    rc = rc == 0 ? read_targets(s, root, in, &err) : rc;
    json_decref(root);
    if (rc != 0) {
        metric_add(METRIC_SIDECAR_TARGETS_UPDATED, 1, "false");
        api_respond_error(x, rc, &err);
        free_input(in);
    } else {
        api_call_control(s->thread, x, do_targets, write_done, in, free_input);
    }
}

static void do_config(struct api_call *c)
{
    const struct sidecar_env *env = &server_of(c)->env;
    const struct input *in = c->input;
    note_result(c, env->take_config(env->data, &in->push, in->text, &c->err));
}

static void post_config(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    struct errctx err = ERRCTX_INIT;
    json_t *root = parse_body(x, API_REQUEST_BYTES_MAX, &err);
    if (root == NULL) {
        return;
    }
    struct input *in = mem_calloc(1, sizeof(*in));
    in->root = root;
    int rc = wire_read_push(root, http_header(x, "x-kvass-epoch"), &in->push, &err);
    rc = rc == 0 ? wire_read_raw_config(root, &in->text, &err) : rc;
    if (rc != 0) {
        api_respond_error(x, rc, &err);
        free_input(in);
    } else {
        api_call_control(s->thread, x, do_config, write_done, in, free_input);
    }
}

static void do_stop_reason(struct api_call *c)
{
    const struct sidecar_env *env = &server_of(c)->env;
    const struct input *in = c->input;
    note_result(c, env->take_stop_reason(env->data, in->reason, &c->err));
}

static void post_extra_config(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    struct errctx err = ERRCTX_INIT;
    json_t *root = parse_body(x, EXTRA_CONFIG_BYTES, &err);
    if (root == NULL) {
        return;
    }
    struct input *in = mem_calloc(1, sizeof(*in));
    int rc = wire_read_stop_reason(root, &in->reason, &err);
    json_decref(root);
    if (rc != 0) {
        api_respond_error(x, rc, &err);
        free_input(in);
    } else {
        api_call_control(s->thread, x, do_stop_reason, write_done, in, free_input);
    }
}

static void do_reload(struct api_call *c)
{
    const struct sidecar_env *env = &server_of(c)->env;
    note_result(c, env->reload(env->data, &c->err));
}

static void post_reload(struct http_exchange *x, void *data)
{
    struct sidecar_server *s = data;
    api_call_control(s->thread, x, do_reload, api_respond_reload, NULL, NULL);
}

/* ---------------------------------------------------------------- life */

static const struct http_row ROWS[] = {
    {"GET", "/-/healthy", api_get_healthy},
    {"GET", "/-/ready", get_ready},
    {"POST", "/-/reload", post_reload},
    {"GET", "/metrics", api_get_metrics},
    {"GET", "/api/v1/shard/runtimeinfo", get_runtimeinfo},
    {"GET", "/api/v1/shard/targets/status", get_statuses},
    {"GET", "/api/v1/shard/targets", get_targets_or_statuses},
    {"POST", "/api/v1/shard/targets", post_targets},
    {"GET", "/api/v1/shard/samples", get_samples},
    {"GET", "/api/v1/status/config", get_config},
    {"POST", "/api/v1/status/config", post_config},
    {"GET", "/api/v1/status/extra_config", get_extra_config},
    {"POST", "/api/v1/status/extra_config", post_extra_config},
    {NULL, NULL, NULL},
};

static void on_answer(void *data, const char *row_path, const char *row_method, int status, double seconds)
{
    char code[16];
    (void)data;
    snprintf(code, sizeof(code), "%d", status);
    metric_cell_observe(metric_cell(METRIC_SIDECAR_HTTP_REQUEST_DURATION_SECONDS,
                                    row_path[0] != '\0' ? row_path : "prometheus",
                                    row_method[0] != '\0' ? row_method : "any", code),
                        seconds);
}

static struct http_forward *make_forward(struct loop *loop, void *data)
{
    const struct sidecar_server *s = data;
    return http_forward_new(loop, s->env.prometheus_url);
}

static void *take_view(void *data)
{
    const struct sidecar_server *s = data;
    return s->env.view(s->env.data);
}

static void drop_view(void *view)
{
    sidecar_view_unref(view);
}

static void start_count(void *data, struct view job_substring, struct family_count **ret_count, size_t *ret_expected,
                        int64_t *ret_until_ms)
{
    const struct sidecar_server *s = data;
    s->env.count_families(s->env.data, job_substring, ret_count, ret_expected, ret_until_ms);
}

static void on_closed(void *data)
{
    struct sidecar_server *s = data;
    samples_waits_close(s->samples);
}

int sidecar_server_new(int listen_fd, const char *web_config_file, const char *token_file,
                       const struct sidecar_env *env, struct sidecar_server **ret, struct errctx *err)
{
    struct sidecar_server *s = mem_calloc(1, sizeof(*s));
    const struct api_thread_conf conf = {
        .rows = ROWS,
        .web_config_file = web_config_file,
        .token_file = token_file,
        .make_forward = make_forward,
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

void sidecar_server_free(struct sidecar_server **handle, int64_t grace_ms)
{
    struct sidecar_server *s = *handle;
    if (s == NULL) {
        return;
    }
    api_thread_free(&s->thread, grace_ms);
    samples_waits_free(&s->samples);
    invariant(loop_post(s->env.control, free, s)); /* behind the calls that still name it */
    *handle = NULL;
}
