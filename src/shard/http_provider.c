/* Shards of an external service: see http_provider.h and docs/shard-http.md. One call at a time: a PUT when the number
 * wanted differs from the number the service is set to have, else a GET every poll_ms. The number is the service's own
 * word ("wanted"), never a count of what it happens to list: a shard that is missing there is unknown, not gone. An
 * answer is taken whole or not at all. */
#include "shard/http_provider.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "shard/http_shards.h"

#include <stdio.h>

#define AGAIN_MS     200
#define LOG_EVERY_MS 60000

static const struct logctx LOG = {NULL, "component", "shard-service"};

struct http_provider {
    struct provider base; /* first: the handle is cast */
    struct loop *loop;
    struct http_client *http;
    struct http_provider_conf conf;
    char *url;
    struct loop_timer *timer;
    struct http_call *call;
    bool is_put, is_known;
    bool must_list; /* after a PUT the list is looked at before the next one */
    struct provider_list list;
    unsigned desired; /* as the service says */
    int64_t asked;    /* the number of the last scale; -1 = none */
    char *reason;
    struct log_limit failures;
};

static struct http_provider *http_of(const struct provider *p)
{
    return (struct http_provider *)(uintptr_t)p;
}

/* ---------------------------------------------------------------- calls */

static int read_answer(const struct http_answer *a, const struct provider_list *before, struct provider_list *ret,
                       unsigned *ret_desired, struct errctx *err)
{
    if (a->err.code != 0) {
        return errctx_set(err, a->err.code, "%s", a->err.msg);
    }
    return a->status == 200 ? http_shards_read(a->body, before, ret, ret_desired, err)
                            : errctx_set(err, ERR_UNAVAILABLE, "status %d", a->status);
}

static void go(struct http_provider *p);

static void failed(struct http_provider *p, const char *what, const char *message)
{
    uint64_t suppressed;
    if (log_limit_pass(&p->failures, timebase_monotonic_ms(), LOG_EVERY_MS, &suppressed)) {
        log_warn(&LOG, what, "url", p->url, "err", message, "action", "the last good list stays");
    }
    metric_add(METRIC_SHARD_SERVICE_FAILURES, 1);
    loop_timer_start(p->timer, p->conf.poll_ms, 0);
}

static void on_listed(struct http_provider *p, const struct http_answer *a)
{
    struct errctx err = ERRCTX_INIT;
    struct provider_list fresh;
    unsigned desired;
    p->must_list = false;
    if (read_answer(a, &p->list, &fresh, &desired, &err) != 0) {
        failed(p, "list shards", err.msg);
        return;
    }
    bool changed = !p->is_known || desired != p->desired || !provider_list_equal(&p->list, &fresh);
    provider_list_done(&p->list);
    p->list = fresh;
    p->desired = desired;
    p->is_known = true;
    loop_timer_start(p->timer, p->conf.poll_ms, 0);
    if (changed && p->base.on_change != NULL) {
        p->base.on_change(p->base.data);
    }
}

static void on_done(void *data, const struct http_answer *a)
{
    struct http_provider *p = data;
    p->call = NULL;
    if (!p->is_put) {
        on_listed(p, a);
    } else if (a->err.code != 0 || a->status < 200 || a->status > 299) {
        char text[64];
        snprintf(text, sizeof(text), "status %d", a->status);
        failed(p, "scale", a->err.code != 0 ? a->err.msg : text);
    } else {
        p->must_list = true; /* it tells what came of it */
        loop_timer_start(p->timer, AGAIN_MS, 0);
    }
}

static void put_wanted(struct json_writer *w, const struct http_provider *p)
{
    json_object_begin(w);
    json_kv_u64(w, "wanted", (uint64_t)p->asked);
    json_kv_str(w, "reason", p->reason != NULL ? p->reason : "");
    json_object_end(w);
}

static void go(struct http_provider *p)
{
    struct bytes body;
    struct json_writer w;
    if (p->call != NULL) {
        return;
    }
    p->is_put = p->is_known && p->asked >= 0 && (unsigned)p->asked != p->desired;
    bytes_init(&body, 65536);
    json_writer_init(&w, &body);
    if (p->is_put) {
        put_wanted(&w, p);
    }
    const struct http_request req = {
        .method = p->is_put ? "PUT" : "GET",
        .url = p->url,
        .body = bytes_view(&body),
        .content_type = "application/json",
        .timeout_ms = p->conf.call_timeout_ms,
        .answer_bytes_max = HTTP_SHARDS_BYTES_MAX,
        .profile = p->conf.profile,
    };
    if (p->is_put) {
        log_info(&LOG, "scale", "from", log_num(p->desired), "to", log_num(p->asked), "reason", p->reason);
        p->asked = -1; /* said once; the next round repeats it as long as the list shows another number */
    }
    p->call = http_client_send(p->http, &req, on_done, p);
    bytes_done(&body);
}

static void on_timer(void *data)
{
    go(data);
}

/* ---------------------------------------------------------------- the provider */

static void http_scale(struct provider *base, unsigned wanted_groups, const char *reason)
{
    struct http_provider *p = http_of(base);
    if (!p->is_known || wanted_groups == p->desired || p->must_list || p->call != NULL) {
        return; /* called again every round */
    }
    p->asked = wanted_groups;
    free(p->reason);
    p->reason = mem_strdup(reason != NULL ? reason : "");
    go(p);
}

static const struct provider_shard *http_list(struct provider *p, size_t *ret_count)
{
    *ret_count = http_of(p)->list.items.len;
    return http_of(p)->list.items.items;
}

static unsigned http_desired(struct provider *p)
{
    return http_of(p)->desired;
}

static bool http_is_known(const struct provider *p)
{
    return http_of(p)->is_known;
}

static void http_stop(struct provider *base, void (*on_stopped)(void *data), void *data)
{
    struct http_provider *p = http_of(base);
    loop_timer_stop(p->timer);
    if (p->call != NULL) {
        http_call_cancel(p->call);
        p->call = NULL;
    }
    on_stopped(data);
}

static void http_free(struct provider *base)
{
    struct http_provider *p = http_of(base);
    if (p->call != NULL) {
        http_call_cancel(p->call);
    }
    loop_timer_free(&p->timer);
    provider_list_done(&p->list);
    free(p->url);
    free(p->reason);
    free(p);
}

struct provider *http_provider_new(struct loop *loop, struct http_client *http, const struct http_provider_conf *conf)
{
    static const struct provider_ops OPS = {
        .scale = http_scale,
        .list = http_list,
        .desired = http_desired,
        .is_known = http_is_known,
        .stop = http_stop,
        .free = http_free,
    };
    struct http_provider *p = mem_calloc(1, sizeof(*p));
    p->base.ops = &OPS;
    p->loop = loop;
    p->http = http;
    p->conf = *conf;
    p->conf.poll_ms = conf->poll_ms > 0 ? conf->poll_ms : 10000;
    p->conf.call_timeout_ms = conf->call_timeout_ms > 0 ? conf->call_timeout_ms : 10000;
    p->url = mem_strdup(conf->url);
    p->asked = -1;
    p->timer = loop_timer_new(loop, on_timer, p);
    loop_timer_start(p->timer, 0, 0);
    return &p->base;
}
