/* The life of a scrape: see scrape.h. One record goes to the control thread per scrape that ended by itself; a client
 * that went away says nothing about the target, so it leaves only a metric. */
#include "proxy/scrape.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "proxy/family_count.h"

#include <math.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define CLIENT_CHECK_AFTER_MS 200
#define OFFSET_MIN_MS         20.0
#define OFFSET_MAX_MS         500.0
#define LATE_MS               1000 /* an answer that is still not read so long after the deadline is cut */

/* ---------------------------------------------------------------- report */

static void report(struct scrape *s)
{
    const struct errctx *err = s->err.code != 0 ? &s->err : &s->count_err;
    const struct counter_result *whole = scrape_part_whole(s);
    struct scrape_record r = {
        .shard = s->shard,
        .job = s->target->job,
        .hash = s->target->hash,
        .generation = proxy_table_generation(s->table),
        .started_ms = s->started_ms,
        .duration_us = timebase_monotonic_us() - s->started_us,
        .scraped = s->counted.scraped,
        .series = s->counted.series,
        .body_bytes = s->counted.body_bytes,
        .wire_bytes = s->wire_bytes,
        .whole_scraped = whole->scraped,
        .whole_series = whole->series,
        .health = err->code == 0 ? TARGET_HEALTH_UP : TARGET_HEALTH_DOWN,
        .http_status = s->head.status,
    };
    snprintf(r.error, sizeof(r.error), "%.*s", SCRAPE_ERROR_MAX - 1, err->msg);
    worker_report(s->worker, &r);
}

/* ---------------------------------------------------------------- begin and end */

static void on_request_gone(void *holder)
{
    scrape_free(*(struct scrape **)holder);
}

static struct view timeout_header(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("x-prometheus-scrape-timeout-seconds"), -1);
    return at < 0 ? VIEW("") : view_make(req->headers.entries[at].value.base, req->headers.entries[at].value.len);
}

/* The time this scrape may take: Prometheus' own timeout, or the target's, less a margin in which the answer travels.
 */
static int64_t allowance_ms(const struct scrape *s)
{
    double timeout_ms = (double)s->target->timeout_ms;
    struct view text = s->req != NULL ? timeout_header(s->req) : VIEW("");
    if (text.len > 0 && text.len < 32) {
        char number[32];
        memcpy(number, text.base, text.len);
        number[text.len] = '\0';
        double seconds = strtod(number, NULL);
        if (seconds > 0 && seconds < 86400) {
            timeout_ms = seconds * 1000;
        }
    }
    double offset = timeout_ms * s->worker->conf->timeout_offset_ratio;
    if (offset > 0) {
        offset = fmin(fmax(offset, OFFSET_MIN_MS), OFFSET_MAX_MS);
    }
    return (int64_t)fmax(timeout_ms - offset, 1);
}

void scrape_begin(struct worker *w, h2o_req_t *req, struct proxy_table *table, const char *shard,
                  const struct target *target)
{
    struct job_client *job = job_client_get(w->jobs, proxy_table_conf(table), target->job);
    if (job == NULL) {
        /* an assignment that outlived its job; only Prometheus' file can still name it, and only for a moment */
        if (req != NULL) {
            downstream_refuse(req, 403, "the job of this target is not configured any more");
        }
        return;
    }
    struct scrape *s = mem_calloc(1, sizeof(*s));
    s->worker = w;
    s->req = req;
    s->is_probe = req == NULL;
    s->table = proxy_table_ref(table);
    s->shard = shard;
    s->target = target_ref(target);
    s->job = job;
    s->started_ms = timebase_realtime_ms();
    s->started_us = timebase_monotonic_us();
    s->deadline_ms = s->started_us / 1000 + allowance_ms(s);
    s->next = w->scrapes;
    s->at = &w->scrapes;
    if (s->next != NULL) {
        s->next->at = &s->next;
    }
    w->scrapes = s;
    if (req != NULL) {
        struct scrape **holder = h2o_mem_alloc_shared(&req->pool, sizeof(struct scrape *), on_request_gone);
        *holder = s;
    }
    metric_add(METRIC_PROXY_ACTIVE_SCRAPES, 1);
    upstream_begin(s);
}

static void leave_dirty(struct scrape *s)
{
    for (struct scrape **at = &s->worker->dirty; *at != NULL; at = &(*at)->next_dirty) {
        if (*at == s) {
            *at = s->next_dirty;
            break;
        }
    }
    s->is_dirty = false;
}

void scrape_free(struct scrape *s)
{
    if (s->is_dirty) {
        leave_dirty(s);
    }
    if (s->phase == SCRAPE_WAITING || s->phase == SCRAPE_FETCHING) {
        metric_add(METRIC_PROXY_SCRAPES, 1, "client_gone");
    }
    upstream_cancel(s);
    downstream_free(s);
    *s->at = s->next;
    if (s->next != NULL) {
        s->next->at = s->at;
    }
    target_unref(s->target);
    proxy_table_unref(s->table);
    job_client_unref(s->job);
    metric_add(METRIC_PROXY_ACTIVE_SCRAPES, -1);
    free(s);
}

void scrape_fail(struct scrape *s, int status, int code, const char *fmt, ...)
{
    char text[ERRCTX_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    errctx_clear(&s->err);
    errctx_set(&s->err, code, "%s", text);
    s->fail_status = status;
    s->phase = SCRAPE_FAILED;
    report(s);
    metric_add(METRIC_PROXY_SCRAPES, 1, err_name(code));
    if (s->is_probe) {
        scrape_free(s);
        return;
    }
    upstream_cancel(s);
    downstream_fail(s);
}

void scrape_complete(struct scrape *s)
{
    s->phase = SCRAPE_COMPLETE;
    report(s);
    if (s->families != NULL && s->count_err.code == 0) {
        family_count_add(s->families, s->target->job, s->target->hash, s->target->interval_ms, s->counter);
    }
    metric_add(METRIC_PROXY_SCRAPES, 1, s->count_err.code == 0 ? "ok" : "refused_by_prometheus");
    if (s->is_probe) {
        scrape_free(s);
        return;
    }
    upstream_cancel(s); /* gives the handle back while the rest is still being sent */
    downstream_send(s);
}

/* ---------------------------------------------------------------- time */

static bool client_has_gone(const struct scrape *s)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int fd = h2o_socket_get_fd(s->req->conn->callbacks->get_socket(s->req->conn));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_ESTABLISHED;
}

/* Nobody reads the answer any more: end it all; libh2o disposes of the request when its write fails. */
static void abandon(struct scrape *s)
{
    if (s->phase != SCRAPE_COMPLETE) { /* that one has been counted */
        metric_add(METRIC_PROXY_SCRAPES, 1, "client_gone");
    }
    s->phase = SCRAPE_FAILED;
    s->fail_status = 503;
    upstream_cancel(s);
    downstream_fail(s);
}

void scrape_sweep(struct scrape *s, int64_t now_ms)
{
    if (s->phase == SCRAPE_WAITING && now_ms > s->deadline_ms) {
        scrape_fail(s, 504, ERR_TIMEOUT, "context deadline exceeded: no access token within the scrape timeout");
        return;
    }
    if (s->is_probe || s->done_sending) {
        return;
    }
    bool unread = s->in_flight && now_ms > s->deadline_ms + LATE_MS;
    bool old = now_ms - s->started_us / 1000 > CLIENT_CHECK_AFTER_MS;
    if ((s->phase != SCRAPE_FAILED && old && !s->in_flight && client_has_gone(s)) || unread) {
        abandon(s);
    }
}
