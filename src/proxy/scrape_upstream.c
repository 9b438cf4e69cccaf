/* Towards the target: the request libcurl makes, and what its callbacks do with the answer. Inside the callbacks
 * nothing is sent, cancelled or freed: they append, count, and mark the scrape dirty; a non-zero return ends the
 * transfer, and on_done judges. */
#include "base/hash.h"
#include "base/timebase.h"
#include "proxy/scrape.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define HEAD_BYTES_MAX ((size_t)256 << 10)
#define ERROR_BODY_MAX ((size_t)16384) /* of an answer with another status, read so that the connection can be kept */

static const char ACCEPT_2[] =
    "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
static const char ACCEPT_3[] =
    "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/* ---------------------------------------------------------------- the answer's body */

static void mark_dirty(struct scrape *s)
{
    if (!s->is_dirty) {
        s->is_dirty = true;
        s->next_dirty = s->worker->dirty;
        s->worker->dirty = s;
    }
}

static int begin_body(struct scrape *s)
{
    enum exposition_format format = EXPOSITION_TEXT;
    const struct job_conf *j = job_client_conf(s->job);
    s->body_begun = true;
    s->counter = job_client_counter_get(s->job);
    int rc = exposition_format_parse(view_of(s->content_type), view_of(j->fallback_scrape_protocol),
                                     job_client_major(s->job), &format, &s->count_err);
    counter_start(s->counter, format, s->target->labels);
    if (!content_encoding_parse(view_of(s->content_encoding), &s->encoding)) {
        s->encoding =
            ENCODING_IDENTITY; /* as Prometheus: an encoding it does not know is ignored, the bytes are parsed */
    }
    if (s->encoding != ENCODING_IDENTITY) {
        struct decoder **spare = &s->worker->spare_decoders[s->encoding - 1];
        s->decoder = *spare != NULL ? *spare : decoder_new(s->encoding);
        *spare = NULL;
        decoder_reset(s->decoder);
    }
    return rc;
}

/* A decoded block: counted in place, then queued. What Prometheus would refuse is passed on all the same, uncounted: it
 * says why in its own words. What is over a limit of ours, it might store: that scrape is broken off, so that both see
 * it fail. */
static int on_block(void *data, const char *base, size_t len, struct errctx *err)
{
    struct scrape *s = data;
    s->counted.body_bytes += len;
    if (s->worker->conf->body_bytes_max != 0 && s->counted.body_bytes > s->worker->conf->body_bytes_max) {
        return errctx_set(err, ERR_LIMIT, "body larger than %zu bytes", s->worker->conf->body_bytes_max);
    }
    if (s->count_err.code == 0 && counter_feed(s->counter, base, len, &s->count_err) == ERR_LIMIT) {
        return errctx_set(err, ERR_LIMIT, "%s", s->count_err.msg);
    }
    if (!s->pass_compressed) {
        downstream_append(s, base, len);
    }
    return 0;
}

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct scrape *s = data;
    size_t len = size * count;
    int rc = 0;
    s->wire_bytes += len;
    if (s->upstream_status != 200) {
        return s->wire_bytes > ERROR_BODY_MAX ? CURL_WRITEFUNC_ERROR : len;
    }
    if (!s->body_begun) {
        (void)begin_body(s);
    }
    if (s->pass_compressed) {
        downstream_append(s, base, len);
    }
    if (s->decoder != NULL) {
        rc = decoder_feed(s->decoder, base, len, on_block, s, &s->err);
    } else {
        rc = on_block(s, base, len, &s->err);
    }
    mark_dirty(s);
    if (rc != 0) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (s->req != NULL && s->waiting.bytes + s->sending.bytes > WAITING_MAX) {
        s->paused = true;
        curl_easy_pause(s->easy, CURLPAUSE_RECV);
    }
    return len;
}

/* ---------------------------------------------------------------- the answer's head */

static void copy_header(char *to, size_t max, struct view value)
{
    size_t n = value.len < max - 1 ? value.len : max - 1;
    memcpy(to, value.base, n);
    to[n] = '\0';
}

static struct view trim(struct view v)
{
    while (v.len > 0 && (v.base[0] == ' ' || v.base[0] == '\t')) {
        v = view_make(v.base + 1, v.len - 1);
    }
    while (v.len > 0 && strchr(" \t\r\n", v.base[v.len - 1]) != NULL) {
        v.len--;
    }
    return v;
}

/* "HTTP/1.1 404 Not Found": begins a head; redirects and 100s have had theirs before. */
static void take_status_line(struct scrape *s, struct view line)
{
    s->upstream_status = 0;
    s->upstream_reason[0] = s->content_type[0] = s->content_encoding[0] = '\0';
    const char *space = memchr(line.base, ' ', line.len);
    if (space != NULL) {
        struct view rest = trim(view_make(space, line.len - (size_t)(space - line.base)));
        long status = 0;
        for (size_t i = 0; i < rest.len && i < 3 && rest.base[i] >= '0' && rest.base[i] <= '9'; i++) {
            status = status * 10 + (rest.base[i] - '0');
        }
        s->upstream_status = (int)status;
        if (rest.len > 4) {
            copy_header(s->upstream_reason, sizeof(s->upstream_reason), view_make(rest.base + 4, rest.len - 4));
        }
    }
}

static bool header_is(struct view name, const char *want)
{
    return name.len == strlen(want) && strncasecmp(name.base, want, name.len) == 0;
}

static size_t on_header(char *base, size_t size, size_t count, void *data)
{
    struct scrape *s = data;
    struct view line = view_make(base, size * count);
    if (view_has_prefix(line, VIEW("HTTP/"))) {
        take_status_line(s, line);
        return line.len;
    }
    const char *colon = memchr(line.base, ':', line.len);
    if (colon != NULL) {
        struct view name = view_make(line.base, (size_t)(colon - line.base));
        struct view value = trim(view_make(colon + 1, line.len - name.len - 1));
        if (header_is(name, "content-type")) {
            copy_header(s->content_type, sizeof(s->content_type), value);
        } else if (header_is(name, "content-encoding")) {
            copy_header(s->content_encoding, sizeof(s->content_encoding), value);
        }
    }
    return line.len;
}

/* ---------------------------------------------------------------- the end */

static void free_decoder(struct scrape *s)
{
    if (s->decoder != NULL) {
        struct decoder **spare = &s->worker->spare_decoders[s->encoding - 1];
        if (*spare == NULL) {
            *spare = s->decoder;
            s->decoder = NULL;
        } else {
            decoder_free(&s->decoder);
        }
    }
}

static void fail_by_code(struct scrape *s, CURLcode code)
{
    if (s->err.code != 0) {
        scrape_fail(s, 502, s->err.code, "%s", s->err.msg);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        scrape_fail(s, 504, ERR_TIMEOUT, "context deadline exceeded: no complete answer within %lld ms",
                    (long long)(timebase_monotonic_us() - s->started_us) / 1000);
    } else {
        scrape_fail(s, 502, ERR_UNAVAILABLE, "%s", curl_loop_error(s->easy, code));
    }
}

static void on_done(void *data, CURL *easy, CURLcode code)
{
    struct scrape *s = data;
    (void)easy;
    s->transfer_running = false;
    bool other_status =
        s->upstream_status != 0 && s->upstream_status != 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR);
    if (other_status) {
        scrape_fail(s, s->upstream_status, ERR_UNAVAILABLE, "server returned HTTP status %d %s", s->upstream_status,
                    s->upstream_reason);
        return;
    }
    if (code != CURLE_OK) {
        fail_by_code(s, code);
        return;
    }
    if (!s->body_begun) {
        (void)begin_body(s);
    }
    if (s->decoder != NULL && decoder_finish(s->decoder, &s->err) != 0) {
        scrape_fail(s, 502, ERR_PARSE, "%s", s->err.msg);
        return;
    }
    uint64_t body_bytes = s->counted.body_bytes;
    int rc = counter_finish(s->counter, &s->counted, s->count_err.code == 0 ? &s->count_err : NULL);
    s->counted.body_bytes = body_bytes;
    if (rc == ERR_LIMIT) {
        scrape_fail(s, 502, rc, "%s", s->count_err.msg);
        return;
    }
    scrape_complete(s);
}

/* ---------------------------------------------------------------- the request */

static void add_header(struct scrape *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_header(struct scrape *s, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof(text)) {
        s->headers = curl_slist_append(s->headers, text);
    }
}

static bool is_forwarded(h2o_iovec_t name)
{
    static const char *const NAMES[] = {"accept",      "user-agent", "x-prometheus-scrape-timeout-seconds",
                                        "traceparent", "tracestate", "baggage"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (header_is(view_make(name.base, name.len), NAMES[i])) {
            return true;
        }
    }
    return false;
}

static struct view accept_encoding_of(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header(&req->headers, H2O_TOKEN_ACCEPT_ENCODING, -1);
    return at < 0 ? VIEW("") : view_make(req->headers.entries[at].value.base, req->headers.entries[at].value.len);
}

static void forward_headers(struct scrape *s)
{
    const h2o_req_t *req = s->req;
    for (size_t i = 0; i < req->headers.size; i++) {
        const h2o_header_t *h = &req->headers.entries[i];
        if (is_forwarded(*h->name)) {
            add_header(s, "%.*s: %.*s", (int)h->name->len, h->name->base, (int)h->value.len, h->value.base);
        }
    }
    struct view accepts = accept_encoding_of(req);
    bool identity_only = view_is(trim(accepts), "identity");
    if (s->worker->conf->pass_compressed || identity_only) {
        s->pass_compressed = s->worker->conf->pass_compressed;
        add_header(s, "Accept-Encoding: %.*s", VIEW_FMT(accepts.len > 0 ? accepts : VIEW("identity")));
    } else {
        add_header(s, "Accept-Encoding: zstd, gzip");
    }
}

static void probe_headers(struct scrape *s)
{
    s->headers = curl_slist_append(s->headers, job_client_major(s->job) == PROMETHEUS_3 ? ACCEPT_3 : ACCEPT_2);
    add_header(s, "User-Agent: kvass/%s", PACKAGE_VERSION);
    add_header(s, "X-Prometheus-Scrape-Timeout-Seconds: %g", (double)s->target->timeout_ms / 1000);
    add_header(s, "Accept-Encoding: zstd, gzip");
}

static void set_proxy(struct scrape *s)
{
    const struct job_conf *j = job_client_conf(s->job);
    if (s->worker->conf->scrape_proxy == NULL || s->worker->conf->scrape_proxy[0] == '\0') {
        return;
    }
    if (j->http.proxy.url != NULL && j->http.proxy.url[0] != '\0') {
        add_header(s, "Origin-Proxy: %s", j->http.proxy.url);
    }
    curl_easy_setopt(s->easy, CURLOPT_PROXY, s->worker->conf->scrape_proxy);
    curl_easy_setopt(s->easy, CURLOPT_NOPROXY, "");
}

static void start_transfer(struct scrape *s)
{
    int64_t left_ms = s->deadline_ms - timebase_monotonic_ms();
    set_proxy(s);
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)(left_ms > 1 ? left_ms : 1));
    if (s->worker->conf->disable_keep_alive) {
        curl_easy_setopt(s->easy, CURLOPT_FORBID_REUSE, 1L);
    }
    s->phase = SCRAPE_FETCHING;
    s->transfer_running = true;
    curl_loop_start(s->worker->curl, s->easy, on_done, s);
}

static void apply_and_start(void *data)
{
    struct scrape *s = data;
    struct errctx err = ERRCTX_INIT;
    int rc = http_profile_apply(job_client_profile(s->job), s->easy, s->target->url, &s->headers, &err);
    if (rc == ERR_AGAIN) {
        s->phase = SCRAPE_WAITING;
        http_profile_wait(job_client_profile(s->job), s->worker->curl, apply_and_start, s);
    } else if (rc != 0) {
        scrape_fail(s, 502, rc, "%s", err.msg);
    } else {
        start_transfer(s);
    }
}

void upstream_begin(struct scrape *s)
{
    struct view url = view_of(s->target->url);
    struct view host = view_make(url.base, strcspn(url.base, "/") + 2); /* with the scheme */
    host.len += strcspn(url.base + host.len, "/?#");
    s->easy = curl_loop_easy_get(s->worker->curl);
    curl_loop_keep_by(s->worker->curl, s->easy, hash_view(host));
    curl_easy_setopt(s->easy, CURLOPT_URL, s->target->url);
    if (s->req != NULL) {
        forward_headers(s);
    } else {
        probe_headers(s);
    }
    apply_and_start(s);
}

void upstream_cancel(struct scrape *s)
{
    if (s->phase == SCRAPE_WAITING && s->job != NULL) {
        http_profile_wait_cancel(job_client_profile(s->job), s);
    }
    if (s->easy != NULL) {
        if (s->transfer_running) {
            curl_loop_cancel(s->worker->curl, s->easy);
            s->transfer_running = false;
        }
        curl_loop_easy_put(s->worker->curl, s->easy);
        s->easy = NULL;
    }
    curl_slist_free_all(s->headers);
    s->headers = NULL;
    free_decoder(s);
    if (s->counter != NULL) {
        job_client_counter_put(s->job, s->counter);
        s->counter = NULL;
    }
}
