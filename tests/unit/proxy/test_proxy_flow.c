/* Time and flow on the scrape path: slow readers, bombs, deadlines, clients that hang up, connections that die, tokens
 * that do not come, tables that change under way. */
#include "proxy_test.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "net/curl_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)
#define BIG (8 * MIB)

static double active_scrapes(void)
{
    return metric_cell_get(metric_cell(METRIC_PROXY_ACTIVE_SCRAPES));
}

static double clients_gone(void)
{
    return metric_cell_get(metric_cell(METRIC_PROXY_SCRAPES, "client_gone"));
}

static bool wait_idle(struct rig *r)
{
    for (int i = 0; i < 150 && active_scrapes() > 0; i++) {
        rig_pump(r, 100);
    }
    return active_scrapes() == 0;
}

/* --- a target with one large body, sent in small pieces */

struct source {
    struct bytes body;
    const char *encoding; /* "" = identity */
    bool chunked;
    size_t piece;
    _Atomic size_t stop_at; /* then silence; 0 = never */
    atomic_uint ended;
};

static void write_all(struct raw_conn *c, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, at, (int)len) : send(c->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        at += n;
        len -= (size_t)n;
    }
}

static void pour(struct raw_conn *c, void *data)
{
    struct source *s = data;
    char *head;
    int small = 65536;
    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    while ((head = raw_read_head(c)) != NULL) {
        free(head);
        char *encoding = s->encoding[0] != '\0' ? mem_printf("Content-Encoding: %s\r\n", s->encoding) : mem_strdup("");
        char *length =
            s->chunked ? mem_strdup("Transfer-Encoding: chunked") : mem_printf("Content-Length: %zu", s->body.len);
        raw_send(c, "HTTP/1.1 200 OK\r\n%s%s\r\n\r\n", encoding, length);
        free(encoding);
        free(length);
        for (size_t at = 0; at < s->body.len; at += s->piece) {
            size_t n = s->body.len - at < s->piece ? s->body.len - at : s->piece;
            if (s->stop_at != 0 && at >= s->stop_at) {
                raw_wait_end(c);
                atomic_fetch_add(&s->ended, 1);
                return;
            }
            if (s->chunked) {
                char mark[32];
                write_all(c, mark, (size_t)snprintf(mark, sizeof(mark), "%zx\r\n", n));
            }
            write_all(c, s->body.base + at, n);
            if (s->chunked) {
                write_all(c, "\r\n", 2);
            }
        }
        if (s->chunked) {
            write_all(c, "0\r\n\r\n", 5);
        }
    }
    atomic_fetch_add(&s->ended, 1);
}

static struct bytes lines_of(size_t bytes)
{
    struct bytes b;
    bytes_init(&b, 256 * MIB);
    for (unsigned i = 0; b.len < bytes; i++) {
        bytes_printf(&b, "metric_%u{id=\"%08x\",path=\"/api/v1/%u\"} %u\n", i % 97, i * 2654435761u, i % 1013, i);
    }
    return b;
}

/* Reads the answer in small sips with pauses, through a small window; true when it is whole and the right one. */
static bool sip(struct rig *r, struct view want, const char *headers)
{
    struct peer p;
    struct reply reply;
    char *request = rig_request(r, "GET", "1.1", headers);
    peer_connect(&p, r->port);
    int small = 16384;
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    peer_send(&p, "%s", request);
    for (int i = 0; i < 200; i++) { /* the pipe is full most of this time */
        char *to = bytes_reserve(&p.in, 8192);
        ssize_t n = recv(p.fd, to, 8192, 0);
        if (n > 0) {
            bytes_commit(&p.in, (size_t)n);
        }
        usleep(i % 20 == 0 ? 20000 : 500);
    }
    peer_read(&p, false, &reply);
    bool whole = reply.status == 200 && !reply.closed && reply.body_len == want.len &&
                 memcmp(reply.body, want.base, want.len) == 0;
    reply_done(&reply);
    peer_close(&p);
    free(request);
    return whole;
}

static void check_slow_reader(struct source *s, struct view want, SSL_CTX *tls)
{
    struct rig r = {0};
    r.upstream.tls = tls;
    rig_start(&r, tls != NULL ? "tls_config: {insecure_skip_verify: true}" : "", pour, s);
    for (unsigned i = 1; i <= 2; i++) { /* the second over the kept connection */
        if (!sip(&r, want, "X-Prometheus-Scrape-Timeout-Seconds: 60\r\n")) {
            fail_msg("%s%s%s: not the whole body", s->encoding, s->chunked ? " chunked" : "",
                     tls != NULL ? " tls" : "");
        }
        assert_true(rig_wait_records(&r, i));
        assert_int_equal(r.last.health, TARGET_HEALTH_UP);
        assert_int_equal(r.last.body_bytes, want.len);
    }
    assert_int_equal(atomic_load(&r.upstream.connections), 1);
    rig_stop(&r);
}

static void test_slow_reader(void **state)
{
    struct scratch *files = *state;
    struct bytes text = lines_of(BIG);
    char *crt = scratch_path(files, "a.crt"), *key = scratch_path(files, "a.key");
    static const size_t PIECES[] = {1 << 20, 16384, 1371};
    for (size_t k = 0; k < 3; k++) {
        struct source s = {.encoding = k == 0 ? "" : k == 1 ? "gzip" : "zstd", .piece = PIECES[k]};
        s.body = k == 0 ? lines_of(BIG) : k == 1 ? gzip_of(bytes_view(&text)) : zstd_of(bytes_view(&text), 0);
        for (int how = 0; how < 4; how++) {
            s.chunked = (how & 1) != 0;
            SSL_CTX *tls = (how & 2) != 0 ? raw_server_tls(crt, key, NULL) : NULL;
            check_slow_reader(&s, bytes_view(&text), tls);
        }
        bytes_done(&s.body);
    }
    bytes_done(&text);
    free(crt);
    free(key);
}

/* --- bombs: a few kilobytes that decode to gigabytes cost a scrape, not memory */

static struct bytes bomb_of(size_t bytes, bool zstd)
{
    struct bytes text, packed;
    bytes_init(&text, bytes + 1);
    char *at = memset(bytes_reserve(&text, bytes), '#', bytes);
    bytes_commit(&text, bytes);
    for (size_t i = 4095; i < bytes; i += 4096) {
        at[i] = '\n';
    }
    packed = zstd ? zstd_of(bytes_view(&text), 0) : gzip_of(bytes_view(&text));
    bytes_done(&text);
    return packed;
}

static void test_bombs(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        bool zstd = (k & 1) != 0, probe = (k & 2) != 0;
        struct source s = {.encoding = zstd ? "zstd" : "gzip", .piece = 1 << 20, .body = bomb_of(200 * MIB, zstd)};
        struct rig r = {.conf = {.body_bytes_max = 150 * MIB}};
        rig_start(&r, "", pour, &s);
        size_t before_kb = resident_kb(), most_kb = before_kb;
        struct peer p;
        if (probe) {
            struct proxy_table *t = rig_table(&r);
            proxy_probe(r.proxy, t, r.target);
            proxy_table_unref(t);
        } else { /* a client that does not read: nothing but buffers may fill */
            char *request = rig_request(&r, "GET", "1.1", "X-Prometheus-Scrape-Timeout-Seconds: 30\r\n");
            peer_connect(&p, r.port);
            peer_send(&p, "%s", request);
            free(request);
        }
        for (int i = 0; i < 20 && r.records == 0; i++) {
            rig_pump(&r, 50);
            size_t kb = resident_kb();
            most_kb = kb > most_kb ? kb : most_kb;
        }
        if (probe) {
            assert_true(rig_wait_records(&r, 1));
            assert_non_null(strstr(r.last.error, "larger"));
        } else {
            assert_int_equal(r.records, 0);
            peer_reset(&p);
            assert_true(wait_idle(&r));
        }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        assert_true(most_kb < before_kb + 24 * 1024);
#else
        (void)before_kb; /* a sanitizer's memory is its own */
#endif
        rig_stop(&r);
        bytes_done(&s.body);
    }
}

/* --- deadlines */

static void hold(struct raw_conn *c, void *data)
{
    atomic_uint *ended = data;
    free(raw_read_head(c));
    raw_wait_end(c);
    atomic_fetch_add(ended, 1);
}

/* Nothing, or half a body, until the deadline: 504 before Prometheus' own time is over, or a broken answer. */
static void test_deadline(void **state)
{
    struct reply reply;
    atomic_uint ended = 0;
    (void)state;
    {
        struct rig r = {.conf = {.timeout_offset_ratio = 0.05}};
        rig_start(&r, "", hold, &ended);
        rig_get(&r, "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n", &reply);
        assert_int_equal(reply.status, 504);
        assert_non_null(strstr(reply.head, "deadline exceeded"));
        reply_done(&reply);
        assert_true(rig_wait_records(&r, 1));
        assert_int_equal(r.last.health, TARGET_HEALTH_DOWN);
        assert_in_range(r.last.duration_us, 945000, 9000000); /* 1 s less 5 %; never earlier */
        rig_stop(&r);
        assert_int_equal(atomic_load(&ended), 1);
    }
    struct source s = {.encoding = "", .piece = 4096, .body = lines_of(MIB), .stop_at = MIB / 2};
    struct rig r = {0};
    rig_start(&r, "", pour, &s);
    rig_get(&r, "X-Prometheus-Scrape-Timeout-Seconds: 0.5\r\n", &reply);
    assert_int_equal(reply.status, 200);
    assert_true(reply.closed); /* no clean end */
    assert_null(strstr(reply.body, "\r\n0\r\n"));
    reply_done(&reply);
    assert_true(rig_wait_records(&r, 1));
    assert_non_null(strstr(r.last.error, "deadline exceeded"));
    /* a header that is no number does not make it endless or at once */
    rig_pump(&r, 50);
    rig_stop(&r);
    bytes_done(&s.body);
}

/* --- clients that hang up */

static void hang_up(struct rig *r, bool by_reset, int after_ms, size_t read_bytes)
{
    struct peer p;
    char *request = rig_request(r, "GET", "1.1", "X-Prometheus-Scrape-Timeout-Seconds: 60\r\n");
    peer_connect(&p, r->port);
    peer_send(&p, "%s", request);
    free(request);
    for (size_t n = 0; n < read_bytes;) {
        char buf[4096];
        ssize_t got = recv(p.fd, buf, sizeof(buf), 0);
        assert_true(got > 0);
        n += (size_t)got;
    }
    rig_pump(r, after_ms);
    if (by_reset) {
        peer_reset(&p);
    } else {
        peer_close(&p);
    }
}

static void test_hang_ups(void **state)
{
    (void)state;
    for (int by_reset = 0; by_reset <= 1; by_reset++) {
        atomic_uint ended = 0;
        struct rig r = {0};
        double before = clients_gone();
        rig_start(&r, "", hold, &ended);
        hang_up(&r, by_reset == 1, 0, 0);
        hang_up(&r, by_reset == 1, 50, 0);
        hang_up(&r, by_reset == 1, 400, 0);
        assert_true(wait_idle(&r));
        for (int i = 0; i < 100 && atomic_load(&ended) < atomic_load(&r.upstream.connections); i++) {
            usleep(50000);
        }
        assert_int_equal(atomic_load(&ended), atomic_load(&r.upstream.connections)); /* nothing outlives its scrape */
        if (r.records != 0) {
            fail_msg("%s", r.last.error);
        }
        assert_true(clients_gone() - before >= 2 && clients_gone() - before <= 3);
        rig_stop(&r);
        /* in the middle of a body, with the pipe full, and with the target silent */
        struct source s = {.encoding = "", .piece = 65536, .body = lines_of(BIG)};
        struct rig r2 = {0};
        rig_start(&r2, "", pour, &s);
        hang_up(&r2, by_reset == 1, 0, 100000);
        hang_up(&r2, by_reset == 1, 300, 1);
        s.stop_at = 200000;
        hang_up(&r2, by_reset == 1, 300, 100000);
        assert_true(wait_idle(&r2));
        if (r2.records != 0) {
            fail_msg("%s", r2.last.error);
        }
        rig_stop(&r2);
        bytes_done(&s.body);
    }
}

/* --- kept connections that die */

struct mortal {
    unsigned answers; /* a connection gives so many, then ends ... */
    bool silently;    /* ... without an answer to the next request */
};

static void die(struct raw_conn *c, void *data)
{
    const struct mortal *m = data;
    char *head;
    for (unsigned i = 0; (head = raw_read_head(c)) != NULL; i++) {
        free(head);
        if (i == m->answers) {
            return;
        }
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n");
        if (!m->silently && i + 1 == m->answers) {
            return;
        }
    }
}

static void test_dead_connections(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct mortal m = {.answers = 2, .silently = k == 1};
        struct rig r = {0};
        rig_start(&r, "", die, &m);
        for (unsigned i = 1; i <= 60; i++) {
            struct reply reply;
            rig_get(&r, "", &reply);
            assert_int_equal(reply.status, 200);
            reply_done(&reply);
            assert_true(rig_wait_records(&r, i));
            assert_int_equal(r.last.health, TARGET_HEALTH_UP);
        }
        rig_stop(&r);
    }
}

int main(void)
{
    struct scratch files;
    scratch_init(&files);
    curl_net_init();
    make_certificate(&files, "a", NULL, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_slow_reader, &files),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_hang_ups),
        cmocka_unit_test(test_dead_connections),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&files);
    return failed;
}
