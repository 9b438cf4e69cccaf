/* Towards the target: the request libcurl makes, and what its callbacks do with the answer. Inside the callbacks
 * nothing is sent, cancelled or freed: they append, count, and mark the scrape dirty; a non-zero return ends the
 * transfer, and on_done judges.
 *
 * A few bytes can decode to gigabytes. So decoding stops in the middle of what came when enough waits for Prometheus,
 * or when this scrape has had its turn; what is left stays in the stash, libcurl is paused, and upstream_resume goes
 * on. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "proxy/family_count.h"
#include "proxy/scrape.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define ERROR_BODY_MAX ((size_t)16384)   /* of an answer with another status, read so that the connection can be kept */
#define STASH_MAX      ((size_t)1 << 20) /* libcurl holds at most two buffers of 64 KiB */

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

static void take_counter(struct scrape *s)
{
    struct family_count *f = s->is_probe ? NULL : proxy_table_families(s->table);
    enum counter_use use = target_is_part(s->target) ? COUNTER_OF_PART : COUNTER_OF_TARGET;
    if (f != NULL && family_count_wants(f, s->target->job, s->target->hash)) {
        s->families = f;
    }
    if (s->families != NULL || use == COUNTER_OF_PART) {
        s->counter = job_client_counter_for(s->job, use, s->families != NULL);
    } else {
        s->counter = job_client_counter_get(s->job);
    }
}

static int begin_body(struct scrape *s)
{
    enum exposition_format format = EXPOSITION_TEXT;
    const struct job_conf *j = job_client_conf(s->job);
    s->body_begun = true;
    take_counter(s);
    int rc = exposition_format_parse(view_of(s->head.content_type), view_of(j->fallback_scrape_protocol),
                                     job_client_major(s->job), &format, &s->count_err);
    counter_start(s->counter, format, s->target->labels);
    if (target_is_part(s->target)) {
        scrape_part_begin(s, format);
    }
    if (!content_encoding_parse(view_of(s->head.content_encoding), &s->encoding)) {
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

/* A decoded block: counted in place, then queued; of a part's, what belongs to it. What Prometheus would refuse is
 * passed on all the same, uncounted: it says why in its own words. What is over a limit of ours, it might store: that
 * scrape is broken off, so that both see it fail. */
static int pass_on(struct scrape *s, const char *base, size_t len, struct errctx *err)
{
    if (s->count_err.code == 0 && counter_feed(s->counter, base, len, &s->count_err) == ERR_LIMIT) {
        return errctx_set(err, ERR_LIMIT, "%s", s->count_err.msg);
    }
    if (!s->pass_compressed) {
        downstream_append(s, base, len);
    }
    return 0;
}

static int on_block(void *data, const char *base, size_t len, struct errctx *err)
{
    struct scrape *s = data;
    s->counted.body_bytes += len;
    if (s->worker->conf->body_bytes_max != 0 && s->counted.body_bytes > s->worker->conf->body_bytes_max) {
        return errctx_set(err, ERR_LIMIT, "body larger than %zu bytes", s->worker->conf->body_bytes_max);
    }
    int rc = s->part != NULL ? scrape_part_block(s, base, len, err) : pass_on(s, base, len, err);
    if (rc != 0) {
        return rc;
    }
    s->turn_bytes += len;
    bool full = s->req != NULL && s->waiting.bytes + s->sending.bytes > WAITING_MAX;
    return s->decoder != NULL && (full || s->turn_bytes > TURN_BYTES) ? ERR_AGAIN : 0;
}

static void pause_transfer(struct scrape *s)
{
    s->paused = true;
    curl_easy_pause(s->easy, CURLPAUSE_RECV);
}

/* Decodes the stash, as far as it may. ERR_AGAIN: there is more. */
static int decode_stash(struct scrape *s)
{
    const char *at = s->stash.len > 0 ? s->stash.base + s->stash_at : "";
    int rc = decoder_feed(s->decoder, at, s->stash.len - s->stash_at, on_block, s, &s->err);
    if (rc == ERR_AGAIN) {
        s->stash_at = s->stash.len - decoder_unused(s->decoder);
        if (s->stash_at < s->stash.len || decoder_has_output(s->decoder)) {
            return ERR_AGAIN;
        }
        rc = 0;
    }
    bytes_clear(&s->stash);
    s->stash_at = 0;
    return rc;
}

static int decode(struct scrape *s, const char *base, size_t len)
{
    if (!s->paused) {
        int rc = decoder_feed(s->decoder, base, len, on_block, s, &s->err);
        if (rc != ERR_AGAIN) {
            return rc;
        }
        s->stash_at = len - decoder_unused(s->decoder); /* the decoder may step back: all of it is kept */
        pause_transfer(s);
    }
    bytes_append(&s->stash, base, len);
    return s->stash.overflow ? errctx_set(&s->err, ERR_LIMIT, "more came than was asked for") : 0;
}

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct scrape *s = data;
    size_t len = size * count;
    int rc = 0;
    s->wire_bytes += len;
    s->turn_bytes = 0;
    if (s->head.status != 200) {
        return s->wire_bytes > ERROR_BODY_MAX ? CURL_WRITEFUNC_ERROR : len;
    }
    if (!s->body_begun) {
        (void)begin_body(s);
    }
    if (s->pass_compressed) {
        downstream_append(s, base, len);
    }
    if (s->decoder != NULL) {
        rc = decode(s, base, len);
    } else {
        rc = on_block(s, base, len, &s->err);
    }
    mark_dirty(s);
    if (rc != 0) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (!s->paused && s->req != NULL && s->waiting.bytes + s->sending.bytes > WAITING_MAX) {
        pause_transfer(s);
    }
    return len;
}

bool upstream_resume(struct scrape *s)
{
    if (!s->paused || s->waiting.bytes > WAITING_LOW) {
        return true;
    }
    s->turn_bytes = 0;
    int rc = s->decoder != NULL ? decode_stash(s) : 0;
    if (rc == ERR_AGAIN) {
        mark_dirty(s);
        worker_again(s->worker);
        return true;
    }
    if (rc != 0) {
        scrape_fail(s, 502, s->err.code, "%s", s->err.msg);
        return false;
    }
    s->paused = false;
    curl_loop_resume(s->worker->curl, s->easy);
    return true;
}

/* ---------------------------------------------------------------- the answer's head */

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

static bool header_is(struct view name, const char *want)
{
    return name.len == strlen(want) && strncasecmp(name.base, want, name.len) == 0;
}

static size_t on_header(char *base, size_t size, size_t count, void *data)
{
    struct scrape *s = data;
    size_t len = size * count;
    if (s->body_begun) {
        return len; /* trailers say nothing */
    }
    return answer_head_take(&s->head, view_make(base, len), &s->err) == 0 ? len : len + 1;
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

static void begin_request(struct scrape *s);

/* Takes the next hop of a redirect. Prometheus' client is told not to follow: it knows only what goes through us. */
static void follow(struct scrape *s, char *url)
{
    if (++s->hops >= HTTP_REDIRECTS_MAX) {
        free(url);
        scrape_fail(s, 502, ERR_LIMIT, "stopped after %d redirects", HTTP_REDIRECTS_MAX);
        return;
    }
    free(s->redirect_url);
    s->redirect_url = url;
    s->head.status = 0;
    s->wire_bytes = 0;
    curl_loop_easy_put(s->worker->curl, s->easy);
    s->easy = NULL;
    begin_request(s);
}

/* True when the answer was no body to count: dealt with. */
static bool judge_head(struct scrape *s, CURL *easy, CURLcode code)
{
    bool whole = code == CURLE_OK || code == CURLE_WRITE_ERROR; /* the latter: a long page about an error */
    if (code == CURLE_OK && s->err.code == 0 && !s->head.ended) {
        scrape_fail(s, 502, ERR_UNAVAILABLE, "unexpected EOF in the head of the answer");
        return true;
    }
    if (s->head.status == 200 || !whole || s->err.code != 0) {
        return false;
    }
    char *next = code == CURLE_OK ? http_profile_redirect(job_client_profile(s->job), easy) : NULL;
    if (next != NULL) {
        follow(s, next);
        return true;
    }
    bool passes = s->head.status >= 200 && s->head.status <= 599;
    scrape_fail(s, passes ? s->head.status : 502, ERR_UNAVAILABLE, "server returned HTTP status %d %s", s->head.status,
                s->head.reason);
    return true;
}

static void on_done(void *data, CURL *easy, CURLcode code)
{
    struct scrape *s = data;
    s->transfer_running = false;
    if (judge_head(s, easy, code)) {
        return;
    }
    if (code != CURLE_OK || s->err.code != 0) { /* an error in a callback run by a resume is not libcurl's */
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
    if (s->part != NULL && scrape_part_finish(s, &s->err) != 0) {
        scrape_fail(s, 502, s->err.code, "%s", s->err.msg);
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
    bool pass = s->worker->conf->pass_compressed && !target_is_part(s->target);
    if (pass || identity_only) {
        s->pass_compressed = pass;
        add_header(s, "Accept-Encoding: %.*s", VIEW_FMT(accepts.len > 0 ? accepts : VIEW("identity")));
    } else {
        add_header(s, "Accept-Encoding: zstd, gzip");
    }
}

static void probe_headers(struct scrape *s)
{
    s->headers = curl_slist_append(s->headers, job_client_major(s->job) >= PROMETHEUS_3 ? ACCEPT_3 : ACCEPT_2);
    add_header(s, "User-Agent: kvass/%s", PACKAGE_VERSION);
    add_header(s, "X-Prometheus-Scrape-Timeout-Seconds: %g", (double)s->target->timeout_ms / 1000);
    add_header(s, "Accept-Encoding: zstd, gzip");
}

/* SCRAPE_PROXY instead of the job's proxy, whose URL it is told: in the request itself, or, for https, in the one for
 * the tunnel, never to the target. */
static void set_proxy(struct scrape *s, const char *url)
{
    const struct job_conf *j = job_client_conf(s->job);
    if (s->worker->conf->scrape_proxy == NULL || s->worker->conf->scrape_proxy[0] == '\0') {
        return;
    }
    curl_slist_free_all(s->proxy_headers);
    s->proxy_headers = NULL;
    if (j->http.proxy.url != NULL && j->http.proxy.url[0] != '\0') {
        struct curl_slist **list = strncasecmp(url, "https:", 6) == 0 ? &s->proxy_headers : &s->headers;
        char *line = mem_printf("Origin-Proxy: %s", j->http.proxy.url);
        *list = curl_slist_append(*list, line);
        free(line);
    }
    curl_easy_setopt(s->easy, CURLOPT_PROXY, s->worker->conf->scrape_proxy);
    curl_easy_setopt(s->easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(s->easy, CURLOPT_PROXYHEADER, s->proxy_headers);
}

static void start_transfer(struct scrape *s, const char *url)
{
    int64_t left_ms = s->deadline_ms - timebase_monotonic_ms();
    set_proxy(s, url);
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
    const char *url = s->redirect_url != NULL ? s->redirect_url : s->target->url;
    s->token_wanted = false;
    int rc = http_profile_apply(job_client_profile(s->job), s->easy, url,
                                s->redirect_url != NULL ? s->target->url : NULL, &s->headers, &err);
    if (rc == ERR_AGAIN) {
        s->phase = SCRAPE_WAITING;
        s->token_wanted = true;
        http_profile_wait(job_client_profile(s->job), s->worker->curl, apply_and_start, s);
    } else if (rc != 0) {
        scrape_fail(s, 502, rc, "%s", err.msg);
    } else {
        start_transfer(s, url);
    }
}

static void begin_request(struct scrape *s)
{
    struct view url = view_of(s->redirect_url != NULL ? s->redirect_url : s->target->url);
    struct view host = view_make(url.base, strcspn(url.base, "/") + 2); /* with the scheme */
    host.len += strcspn(url.base + host.len, "/?#");
    curl_slist_free_all(s->headers);
    s->headers = NULL;
    s->easy = curl_loop_easy_get(s->worker->curl);
    curl_loop_keep_by(s->worker->curl, s->easy, hash_view(host));
    if (s->req != NULL) {
        forward_headers(s);
    } else {
        probe_headers(s);
    }
    apply_and_start(s);
}

void upstream_begin(struct scrape *s)
{
    bytes_init(&s->stash, STASH_MAX);
    begin_request(s);
}

void upstream_cancel(struct scrape *s)
{
    if (s->token_wanted) {
        http_profile_wait_cancel(job_client_profile(s->job), s);
        s->token_wanted = false;
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
    curl_slist_free_all(s->proxy_headers);
    s->headers = s->proxy_headers = NULL;
    free(s->redirect_url);
    s->redirect_url = NULL;
    bytes_done(&s->stash);
    free_decoder(s);
    if (s->counter != NULL && (s->families != NULL || s->part != NULL)) {
        counter_free(&s->counter);
    } else if (s->counter != NULL) {
        job_client_counter_put(s->job, s->counter);
        s->counter = NULL;
    }
    scrape_part_free(s);
}
