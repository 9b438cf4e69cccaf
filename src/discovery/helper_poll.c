/* Reading what the helper found.
 *
 * Two places tell of it: the discovery's own figures, and the list of dropped targets, which follows some seconds
 * later. A list is believed when both agree, or have disagreed for long; an empty one only when a refresh went well and
 * nothing has come of it for longer than the process takes to pass results on. That a refresh failed is in the log, by
 * entry. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "discovery/helper_child.h"
#include "discovery/helper_impl.h"
#include "discovery/helper_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CALL_TIMEOUT_MS   20000
#define METRICS_BYTES_MAX ((size_t)16 << 20)
#define TARGETS_BYTES_MAX ((size_t)512 << 20)
#define EMPTY_MS          13000 /* discovery passes results on every 5 s, the scrape manager takes them every 5 s */
#define ODD_MS            15000
#define LOG_BYTES_MAX     ((int64_t)1 << 20)
#define LOG_READ_BYTES    65536
#define REFRESH_FAILED    "Unable to refresh target groups"

bool helper_all_answered(const struct helper *h)
{
    for (size_t i = 0; i < h->entries.len; i++) {
        if (!h->entries.items[i]->is_answered) {
            return false;
        }
    }
    return true;
}

void helper_poll_reset(struct helper *h)
{
    for (size_t i = 0; i < h->entries.len; i++) {
        struct discoverer *d = h->entries.items[i];
        d->seen = (struct helper_figures_seen){.discovered = -1};
        d->empty_since_ms = d->odd_since_ms = 0;
        d->body_hash = 0;
        d->has_failed = d->is_answered = false;
    }
}

void helper_poll_cancel(struct helper *h)
{
    if (h->metrics_call != NULL) {
        http_call_cancel(h->metrics_call);
        h->metrics_call = NULL;
    }
    for (size_t i = 0; i < h->entries.len; i++) {
        struct discoverer *d = h->entries.items[i];
        if (d->call != NULL) {
            http_call_cancel(d->call);
            d->call = NULL;
        }
    }
}

/* ---------------------------------------------------------------- the log */

static struct discoverer *entry_of_line(struct helper *h, struct view line)
{
    const char *at = memmem(line.base, line.len, " config=", 8);
    const char *end = line.base + line.len;
    if (at == NULL) {
        return NULL;
    }
    at += 8;
    size_t len = 0;
    while (at + len < end && at[len] != ' ') {
        len++;
    }
    for (size_t i = 0; i < h->entries.len; i++) {
        if (view_is(view_make(at, len), h->entries.items[i]->pool)) {
            return h->entries.items[i];
        }
    }
    return NULL;
}

static void take_log_line(struct helper *h, struct view line)
{
    char words[HELPER_MESSAGE_MAX];
    struct errctx err = ERRCTX_INIT;
    struct discoverer *d = NULL;
    if (memmem(line.base, line.len, REFRESH_FAILED, sizeof(REFRESH_FAILED) - 1) != NULL) {
        d = entry_of_line(h, line);
    }
    if (d != NULL && helper_log_error(line, words, sizeof(words))) {
        d->has_failed = true;
        errctx_set(&err, ERR_UNAVAILABLE, "%s", words);
        d->sink.on_error(d->sink.data, &err);
    }
}

static void read_log(struct helper *h)
{
    char *buf = mem_alloc(LOG_READ_BYTES);
    ssize_t n = pread(h->log_fd, buf, LOG_READ_BYTES, (off_t)h->log_offset);
    const char *at = buf, *end = buf + (n > 0 ? n : 0);
    for (const char *lf; at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL; at = lf + 1) {
        take_log_line(h, view_make(at, (size_t)(lf - at)));
    }
    /* a line longer than the buffer is passed over */
    h->log_offset += n == LOG_READ_BYTES && at == buf ? n : at - buf;
    if (h->log_offset > LOG_BYTES_MAX && n < LOG_READ_BYTES && ftruncate(h->log_fd, 0) == 0) {
        h->log_offset = 0;
    }
    free(buf);
}

/* ---------------------------------------------------------------- lists */

/* Whether the list is to be believed now. */
static bool is_credible(struct discoverer *d, size_t count, int64_t now_ms)
{
    if (count == 0 && d->seen.discovered <= 0) {
        bool is_settled = d->seen.is_refreshed || d->is_answered;
        d->empty_since_ms = !is_settled ? 0 : d->empty_since_ms != 0 ? d->empty_since_ms : now_ms;
        return is_settled && now_ms - d->empty_since_ms >= EMPTY_MS;
    }
    d->empty_since_ms = 0;
    if (d->seen.discovered == (int64_t)count) {
        d->odd_since_ms = 0;
        return true;
    }
    d->odd_since_ms = d->odd_since_ms != 0 ? d->odd_since_ms : now_ms;
    return count > 0 && now_ms - d->odd_since_ms >= ODD_MS;
}

static void deliver(struct discoverer *d, struct view body)
{
    struct errctx err = ERRCTX_INIT;
    struct target_group *g;
    uint64_t hash = hash_view(body) | 1;
    if (hash == d->body_hash) {
        return;
    }
    int rc = helper_read_targets(body, d->pool, &g, &err);
    if (rc != 0) {
        d->sink.on_error(d->sink.data, &err);
        return;
    }
    if (is_credible(d, g->count, timebase_monotonic_ms())) {
        d->body_hash = hash;
        d->is_answered = true;
        d->sink.on_groups(d->sink.data, &g, 1);
        d->sink.on_ok(d->sink.data);
    }
    target_group_unref(g);
}

static void on_targets(void *data, const struct http_answer *answer)
{
    struct discoverer *d = data;
    d->call = NULL;
    if (answer->err.code == 0 && answer->status == 200) {
        deliver(d, answer->body);
    } else if (answer->err.code == ERR_LIMIT) {
        d->sink.on_error(d->sink.data, &answer->err);
    }
}

static void ask_targets(struct helper *h, struct discoverer *d)
{
    if (d->call != NULL) {
        return;
    }
    char *url = mem_printf("%s/api/v1/targets?state=dropped&scrapePool=%s", h->url, d->pool);
    static const char *const headers[] = {"Accept: application/json", NULL};
    const struct http_request request = {
        .url = url, .headers = headers, .timeout_ms = CALL_TIMEOUT_MS, .answer_bytes_max = TARGETS_BYTES_MAX};
    d->call = http_client_send(h->http, &request, on_targets, d);
    free(url);
}

static size_t entries_of(const struct helper *h, const char *mechanism)
{
    size_t count = 0;
    for (size_t i = 0; i < h->entries.len; i++) {
        count += strcmp(h->entries.items[i]->mechanism, mechanism) == 0;
    }
    return count;
}

static void on_metrics(void *data, const struct http_answer *answer)
{
    struct helper *h = data;
    h->metrics_call = NULL;
    if (answer->err.code != 0 || answer->status != 200) {
        return; /* not up yet */
    }
    h->heard_ms = timebase_monotonic_ms();
    for (size_t i = 0; i < h->entries.len; i++) {
        struct discoverer *d = h->entries.items[i];
        struct helper_figures figures;
        helper_read_metrics(answer->body, d->pool, d->mechanism, &figures);
        d->seen.discovered = figures.discovered;
        d->seen.is_refreshed =
            d->seen.is_refreshed ||
            (figures.refreshes >= (int64_t)entries_of(h, d->mechanism) &&
             (!d->has_failed || figures.refreshes - figures.failures >= (int64_t)entries_of(h, d->mechanism)));
        ask_targets(h, d);
    }
}

void helper_poll(struct helper *h)
{
    read_log(h);
    if (h->metrics_call != NULL) {
        return;
    }
    char *url = mem_printf("%s/metrics", h->url);
    const struct http_request request = {
        .url = url, .timeout_ms = CALL_TIMEOUT_MS, .answer_bytes_max = METRICS_BYTES_MAX};
    h->metrics_call = http_client_send(h->http, &request, on_metrics, h);
    free(url);
}
