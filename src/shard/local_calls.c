/* A local shard: its calls to Prometheus.
 *
 * Reload: POST /-/reload until it is acknowledged, with growing pauses; what is acknowledged is the file as it was when
 * the call began, so a change in between asks once more. Prometheus refusing a configuration (500) goes on with the old
 * one; its sentence becomes the shard's error.
 *
 * Head series: /api/v1/status/tsdb; from /metrics where that does not exist (agent mode); from our own counts where
 * neither has them. vmagent is asked for /metrics all the same: it takes any reload, and tells there that it refused
 * the file. One reading at a time, each with a deadline, so that a Prometheus that hangs costs nothing but its own row.
 */
#include "base/metrics.h"
#include "base/timebase.h"
#include "model/wire.h"
#include "shard/local_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RELOAD_BACKOFF_FIRST_MS 1000
#define RELOAD_BACKOFF_MAX_MS   30000
#define TSDB_BYTES_MAX          ((size_t)4 << 20)
#define METRICS_BYTES_MAX       ((size_t)32 << 20)

/* "name: why" of an answer that is not what was hoped for: the body's first line tells more than the status. */
static void describe_failure(const char *what, const struct http_answer *answer, char buf[256])
{
    const char *end = answer->body.len != 0 ? memchr(answer->body.base, '\n', answer->body.len) : NULL;
    size_t len = end != NULL ? (size_t)(end - answer->body.base) : answer->body.len;
    if (answer->status == 0) {
        snprintf(buf, 256, "%s: %.200s", what, answer->err.msg);
    } else {
        snprintf(buf, 256, "%s: HTTP status %d: %.*s", what, answer->status, (int)(len < 180 ? len : 180),
                 answer->body.len != 0 ? answer->body.base : "");
    }
}

/* -----------------------------------------------------------------------------------------------------------------
 * reload */

void local_calls_want_reload(struct local_shard *s)
{
    s->reload_pending = true;
    s->reload_backoff_ms = 0;
    s->next_reload_ms = 0;
}

static void append_remedy(char text[256], const char *remedy)
{
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%s", remedy);
}

static void on_reload_answer(void *data, const struct http_answer *answer)
{
    struct local_shard *s = data;
    char text[256];
    int64_t now_ms = local_now_ms(s);
    s->reload_call = NULL;
    if (answer->status == 200) {
        metric_add(METRIC_SHARD_RELOADS, 1, "success");
        s->reload_error[0] = '\0';
        s->reload_error_logged = false;
        if (s->reload_seq == s->written_seq) {
            s->reload_pending = false;
            unlink(s->pending_path);
            log_info(&s->log, "reload prometheus", "config_generation", log_num((int64_t)s->config_generation));
            local_files_reloaded(s);
        }
        local_show_error(s);
        return;
    }
    metric_add(METRIC_SHARD_RELOADS, 1, "failure");
    describe_failure("reload", answer, text);
    if (answer->status == 403) {
        append_remedy(text, "; start Prometheus with --web.enable-lifecycle");
    }
    s->reload_backoff_ms = s->reload_backoff_ms == 0 ? RELOAD_BACKOFF_FIRST_MS : s->reload_backoff_ms * 2;
    s->reload_backoff_ms = s->reload_backoff_ms > RELOAD_BACKOFF_MAX_MS ? RELOAD_BACKOFF_MAX_MS : s->reload_backoff_ms;
    s->next_reload_ms = now_ms + s->reload_backoff_ms;
    s->reload_error_logged = s->reload_error_logged && strcmp(text, s->reload_error) == 0;
    if (!s->reload_error_logged && s->info.health == SHARD_HEALTH_READY) {
        log_warn(&s->log, "reload prometheus", "err", text, "action", "try again");
        s->reload_error_logged = true;
    }
    memcpy(s->reload_error, text, sizeof(s->reload_error));
    local_show_error(s);
}

static void reload_start(struct local_shard *s)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/-/reload", s->url);
    struct http_request req = {
        .method = "POST", .url = url, .timeout_ms = s->env.reload_timeout_ms, .answer_bytes_max = 65536};
    s->reload_seq = s->written_seq;
    s->reload_call = http_client_send(s->env.http, &req, on_reload_answer, s);
}

/* ---------------------------------------------------------------------------------------------------------------
 * readings */

static void set_health(struct local_shard *s, enum shard_health health)
{
    if (health != s->info.health) {
        log_info(&s->log, "shard health", "from", shard_health_name(s->info.health), "to", shard_health_name(health),
                 "err", s->poll_error[0] != '\0' ? s->poll_error : NULL);
        s->info.health = health;
    }
}

static bool read_tsdb(struct view body, uint64_t *ret)
{
    json_t *root = wire_parse(body, TSDB_BYTES_MAX, NULL);
    const json_t *data = json_object_get(root, "data");
    const json_t *head = json_object_get(json_object_get(data, "headStats"), "numSeries");
    bool ok = head != NULL && wire_u64(head, ret);
    json_decref(root);
    return ok;
}

/* The value of a series without labels in a text exposition; name ends in a blank. */
static bool read_metric(struct view body, struct view name, uint64_t *ret)
{
    while (body.len > 0) {
        const char *end = memchr(body.base, '\n', body.len);
        size_t len = end != NULL ? (size_t)(end - body.base) : body.len;
        if (len > name.len && len < name.len + 40 && view_has_prefix(body, name)) {
            char text[48];
            snprintf(text, sizeof(text), "%.*s", (int)(len - name.len), body.base + name.len);
            double value = strtod(text, NULL);
            if (!(value >= 0 && value < 9e15)) {
                return false;
            }
            *ret = (uint64_t)value;
            return true;
        }
        body.base += len + (end != NULL);
        body.len -= len + (end != NULL);
    }
    return false;
}

static bool read_head(struct view body, uint64_t *ret)
{
    return read_metric(body, VIEW("prometheus_tsdb_head_series "), ret) ||
           read_metric(body, VIEW("prometheus_agent_active_series "), ret);
}

static uint64_t counted_series(const struct local_shard *s)
{
    uint64_t sum = 0;
    size_t it = 0;
    for (const struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        sum += e->status.series;
    }
    return sum;
}

static void poll_start(struct local_shard *s, int64_t now_ms);

/* vmagent's answer to a reload comes before it has looked at the file. */
static void take_refusal(struct local_shard *s, struct view body)
{
    static const char REFUSED[] = "vmagent refuses the file and goes on with the one before; its log says why";
    uint64_t good = 1;
    if (s->reload_pending || !read_metric(body, VIEW("vm_promscrape_config_last_reload_successful "), &good)) {
        return;
    }
    if (good == 0 && strcmp(s->reload_error, REFUSED) != 0) {
        log_warn(&s->log, "reload vmagent", "err", REFUSED);
    }
    snprintf(s->reload_error, sizeof(s->reload_error), "%s", good == 0 ? REFUSED : "");
}

/* A healthy answer without the figure: ask the next source at once. */
static void take_figure(struct local_shard *s, struct view body, int64_t now_ms)
{
    switch (s->head_source) {
    case HEAD_FROM_TSDB:
        if (!read_tsdb(body, &s->info.head_series)) {
            s->head_source = HEAD_FROM_METRICS;
            poll_start(s, now_ms);
        }
        break;
    case HEAD_FROM_METRICS:
        if (!read_head(body, &s->info.head_series)) {
            s->head_source = HEAD_FROM_COUNTS;
            s->info.head_series = counted_series(s);
        }
        break;
    case HEAD_OF_VMAGENT:
        s->info.head_series = counted_series(s);
        take_refusal(s, body);
        break;
    case HEAD_FROM_COUNTS:
    default:
        s->info.head_series = counted_series(s);
        break;
    }
}

/* Memory and head of one moment; an answer without them says nothing. */
static void on_memory(void *data, const struct http_answer *answer)
{
    struct local_shard *s = data;
    uint64_t bytes = 0, series = 0, started = 0;
    s->memory_call = NULL;
    if (answer->status == 200 && read_metric(answer->body, VIEW("process_resident_memory_bytes "), &bytes) &&
        read_metric(answer->body, VIEW("process_start_time_seconds "), &started)) {
        s->info.resident_series = read_head(answer->body, &series) ? series : s->info.head_series;
        s->info.resident_bytes = bytes;
        s->info.process_started_ms = (int64_t)started * 1000;
    }
}

static void memory_start(struct local_shard *s, int64_t now_ms)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/metrics", s->url);
    struct http_request req = {.url = url, .timeout_ms = s->env.call_timeout_ms, .answer_bytes_max = METRICS_BYTES_MAX};
    s->next_memory_ms = now_ms + s->env.memory_ms;
    s->memory_call = http_client_send(s->env.http, &req, on_memory, s);
}

static void on_poll_answer(void *data, const struct http_answer *answer)
{
    struct local_shard *s = data;
    int64_t now_ms = local_now_ms(s);
    s->poll_call = NULL;
    /* vmagent answers 400 for a path it does not have. */
    bool absent = (answer->status == 404 || answer->status == 400) && s->head_source < HEAD_FROM_COUNTS;
    if (answer->status == 200 || absent) {
        bool was_ready = s->info.health == SHARD_HEALTH_READY;
        s->poll_error[0] = '\0';
        s->info.last_seen_ms = timebase_realtime_ms();
        set_health(s, SHARD_HEALTH_READY);
        if (!was_ready) {
            s->next_reload_ms = 0;
        }
        take_figure(s, absent ? VIEW("") : answer->body, now_ms);
    } else {
        describe_failure("status", answer, s->poll_error);
        set_health(s, answer->status == 503 || s->info.last_seen_ms == 0 ? SHARD_HEALTH_STARTING
                                                                         : SHARD_HEALTH_UNREACHABLE);
    }
    local_show_error(s);
}

static void poll_start(struct local_shard *s, int64_t now_ms)
{
    static const char *const PATHS[] = {[HEAD_FROM_TSDB] = "/api/v1/status/tsdb",
                                        [HEAD_FROM_METRICS] = "/metrics",
                                        [HEAD_FROM_COUNTS] = "/-/ready",
                                        [HEAD_OF_VMAGENT] = "/metrics"};
    char url[512];
    snprintf(url, sizeof(url), "%s%s", s->url, PATHS[s->head_source]);
    struct http_request req = {.url = url,
                               .timeout_ms = s->env.call_timeout_ms,
                               .answer_bytes_max =
                                   s->head_source == HEAD_FROM_TSDB ? TSDB_BYTES_MAX : METRICS_BYTES_MAX};
    s->next_poll_ms = now_ms + (s->info.health == SHARD_HEALTH_READY || s->env.poll_ms < 1000 ? s->env.poll_ms : 1000);
    s->poll_call = http_client_send(s->env.http, &req, on_poll_answer, s);
}

void local_calls_tick(struct local_shard *s, int64_t now_ms)
{
    if (s->reload_pending && s->reload_call == NULL && now_ms >= s->next_reload_ms) {
        reload_start(s);
    }
    if (s->env.memory_ms > 0 && s->memory_call == NULL && now_ms >= s->next_memory_ms &&
        s->info.health == SHARD_HEALTH_READY) {
        memory_start(s, now_ms);
    }
    if (s->poll_call == NULL && now_ms >= s->next_poll_ms) {
        poll_start(s, now_ms);
    }
}

void local_calls_cancel(struct local_shard *s)
{
    if (s->memory_call != NULL) {
        http_call_cancel(s->memory_call);
        s->memory_call = NULL;
    }
    if (s->reload_call != NULL) {
        http_call_cancel(s->reload_call);
        s->reload_call = NULL;
    }
    if (s->poll_call != NULL) {
        http_call_cancel(s->poll_call);
        s->poll_call = NULL;
    }
}
