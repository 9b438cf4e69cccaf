/* The HTTP server against a raw client: rows, bodies, limits, slow and vanishing clients, closing. */
#include "net_test.h"

#include "base/hash.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* Touched by the server's thread only, or by the test after the server stopped. */
struct fixture {
    struct test_server server;
    struct http_exchange *kept[8];
    size_t kept_count;
    unsigned answers, posts;
    int last_status;
    char last_row[64], last_method[16];
    double last_seconds;
};

static void on_hello(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond_header(x, "X-Greeting", "good\r\nday");
    http_respond(x, 200, "application/json", VIEW("{\"status\":\"success\",\"data\":\"hello\"}"));
}

static void on_query(struct http_exchange *x, void *data)
{
    (void)data;
    struct bytes out;
    bytes_init(&out, 65536);
    for (size_t i = 0;; i++) {
        struct view v = http_query(x, "match[]", i);
        if (v.base == NULL) {
            break;
        }
        bytes_printf(&out, "<%.*s>", VIEW_FMT(v));
    }
    struct view agent = http_header(x, "user-agent");
    bytes_printf(&out, "%s %.*s %.*s", http_method(x), VIEW_FMT(http_path(x)), VIEW_FMT(agent));
    http_respond(x, 200, "text/plain", bytes_view(&out));
    bytes_done(&out);
}

static void on_body(struct http_exchange *x, void *data)
{
    struct fixture *f = data;
    f->posts++;
    struct view body = http_body(x);
    char text[64];
    snprintf(text, sizeof(text), "%zu %016llx", body.len, (unsigned long long)xxh64(body.base, body.len, 0));
    http_respond(x, 201, "text/plain", view_of(text));
}

static void on_big(struct http_exchange *x, void *data)
{
    (void)data;
    struct view n = http_query(x, "n", 0);
    size_t len = n.base != NULL ? strtoul(n.base, NULL, 10) : 0;
    len = len < 64000000 ? len : 64000000;
    char *content = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        content[i] = (char)('a' + (i * i / 7) % 23);
    }
    http_respond(x, 200, "application/json", view_make(content, len));
    free(content);
}

static void on_keep(struct http_exchange *x, void *data)
{
    struct fixture *f = data;
    invariant(f->kept_count < 8);
    f->kept[f->kept_count++] = x;
}

static void on_empty(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond(x, view_is(http_query(x, "s", 0), "204") ? 204 : 200, "text/plain", view_make(NULL, 0));
}

static void release(void *data)
{
    struct fixture *f = data;
    for (size_t i = 0; i < f->kept_count; i++) {
        struct view path = http_path(f->kept[i]), body = http_body(f->kept[i]);
        char text[256];
        snprintf(text, sizeof(text), "late %.*s %.*s", VIEW_FMT(path), (int)body.len,
                 body.base != NULL ? body.base : "");
        http_respond(f->kept[i], 200, "text/plain", view_of(text));
    }
    f->kept_count = 0;
}

static void count_kept(void *data)
{
    size_t *count = ((void **)data)[1];
    *count = ((struct fixture *)((void **)data)[0])->kept_count;
}

/* Waits, at most ten seconds, until so many answers are held back. */
static bool wait_kept(struct fixture *f, size_t want)
{
    size_t count = 0;
    void *args[2] = {f, &count};
    for (int64_t end = timebase_monotonic_ms() + 10000; timebase_monotonic_ms() < end;) {
        test_server_post(&f->server, count_kept, args);
        if (count == want) {
            return true;
        }
        usleep(5000);
    }
    return false;
}

static void on_answer(void *data, const char *row, const char *method, int status, double seconds)
{
    struct fixture *f = data;
    f->answers++;
    f->last_status = status;
    f->last_seconds = seconds;
    snprintf(f->last_row, sizeof(f->last_row), "%s", row);
    snprintf(f->last_method, sizeof(f->last_method), "%s", method);
}

static const struct http_row rows[] = {
    {"GET", "/api/v1/hello", on_hello}, {"GET", "/query/", on_query}, {"GET", "/files/*", on_query},
    {"POST", "/api/v1/body", on_body},  {"GET", "/big", on_big},      {"GET", "/keep", on_keep},
    {"POST", "/keep", on_keep},         {"GET", "/empty", on_empty},  {NULL, NULL, NULL},
};

static void start(struct fixture *f, const struct http_server_conf *conf)
{
    *f = (struct fixture){0};
    struct http_server_conf with = conf != NULL ? *conf : (struct http_server_conf){0};
    with.on_answer = on_answer;
    test_server_start(&f->server, &with, rows, f);
}

static void expect(struct fixture *f, const char *request, int status, const char *body)
{
    struct reply r;
    fetch(f->server.port, request, &r);
    assert_int_equal(r.status, status);
    assert_false(r.closed);
    if (body != NULL) {
        assert_string_equal(r.body, body);
    }
    reply_done(&r);
}

#define H "Host: x\r\n"

static void test_rows(void **state)
{
    (void)state;
    struct fixture f;
    char buf[256];
    start(&f, NULL);
    struct reply r;
    fetch(f.server.port, "GET /api/v1/hello HTTP/1.1\r\n" H "\r\n", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "{\"status\":\"success\",\"data\":\"hello\"}");
    assert_string_equal(reply_header(&r, "content-type", buf), "application/json");
    assert_string_equal(reply_header(&r, "content-length", buf), "35");
    assert_string_equal(reply_header(&r, "x-greeting", buf), "good  day");
    assert_null(reply_header(&r, "server", buf));
    assert_null(reply_header(&r, "content-encoding", buf));
    reply_done(&r);
    expect(&f, "GET /api/v1/hello/ HTTP/1.1\r\n" H "\r\n", 200, NULL);
    expect(&f, "GET /api/v1/hel%6co?x HTTP/1.1\r\n" H "\r\n", 200, NULL);
    expect(&f, "GET http://a.example:1/api/v1/hello HTTP/1.1\r\n" H "\r\n", 200, NULL);
    expect(&f, "GET /api/v1/hello HTTP/1.0\r\n\r\n", 200, NULL);
    expect(&f, "GET /query?match[]=a%20b&x&match%5B%5D=c+d&match[]=%zz&match[]= HTTP/1.1\r\n" H "User-Agent: t\r\n\r\n",
           200, "<a b><c d><>GET /query t");
    expect(&f, "GET /files/a/b%20c?q HTTP/1.1\r\n" H "\r\n", 200, "GET /files/a/b c ");
    expect(&f, "GET /files/../x HTTP/1.1\r\n" H "\r\n", 400, NULL);
    expect(&f, "GET /files/%2e%2e/x HTTP/1.1\r\n" H "\r\n", 400, NULL);
    expect(&f, "GET /files/%00 HTTP/1.1\r\n" H "\r\n", 400, NULL);
    expect(&f, "GET /empty HTTP/1.1\r\n" H "\r\n", 200, "");
    expect(&f, "GET /empty?s=204 HTTP/1.1\r\n" H "\r\n", 204, "");
    expect(&f, "OPTIONS * HTTP/1.1\r\n" H "\r\n", 405, NULL);
    expect(&f, "CONNECT a.example:1 HTTP/1.1\r\n" H "\r\n", 405, NULL);
    expect(&f,
           "GET /query HTTP/1.1\r\n" H
           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
           200, "GET /query ");
    test_server_stop(&f.server);
    assert_int_equal(f.answers, 15);
    assert_string_equal(f.last_row, "/query/");
    assert_string_equal(f.last_method, "GET");
    assert_int_equal(f.last_status, 200);
    assert_true(f.last_seconds > 0 && f.last_seconds < 10);
}

static void test_no_row(void **state)
{
    (void)state;
    struct fixture f;
    char buf[256];
    start(&f, NULL);
    expect(&f, "GET /nothing HTTP/1.1\r\n" H "\r\n", 404, "no such path\n");
    expect(&f, "GET /api/v1/nothing HTTP/1.1\r\n" H "\r\n", 404,
           "{\"status\":\"error\",\"errorType\":\"not_found\",\"error\":\"no such path\"}");
    expect(&f, "GET /files/ HTTP/1.1\r\n" H "\r\n", 404, NULL);
    struct reply r;
    fetch(f.server.port, "DELETE /api/v1/hello HTTP/1.1\r\n" H "\r\n", &r);
    assert_int_equal(r.status, 405);
    assert_string_equal(reply_header(&r, "allow", buf), "GET");
    assert_string_equal(reply_header(&r, "content-type", buf), "application/json");
    assert_non_null(strstr(r.body, "\"errorType\":\"method_not_allowed\""));
    reply_done(&r);
    fetch(f.server.port, "DELETE /keep HTTP/1.1\r\n" H "\r\n", &r);
    assert_string_equal(reply_header(&r, "allow", buf), "GET, POST");
    assert_string_equal(r.body, "this path takes GET, POST only\n");
    reply_done(&r);
    test_server_stop(&f.server);
    assert_string_equal(f.last_row, "");
    assert_string_equal(f.last_method, "");
}

static void test_head(void **state)
{
    (void)state;
    struct fixture f;
    char buf[256];
    start(&f, NULL);
    struct peer p;
    struct reply r;
    peer_connect(&p, f.server.port);
    peer_send(&p, "HEAD /big?n=100000 HTTP/1.1\r\n" H "Accept-Encoding: gzip\r\n\r\nGET /empty HTTP/1.1\r\n" H "\r\n");
    peer_read(&p, true, &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "content-length", buf), "100000");
    reply_done(&r);
    peer_read(&p, false, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, 0);
    reply_done(&r);
    peer_close(&p);
    test_server_stop(&f.server);
}

static void gunzip(const struct reply *r, struct bytes *out)
{
    z_stream z = {.next_in = (Bytef *)r->body, .avail_in = (uInt)r->body_len};
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    int rc;
    do {
        char *to = bytes_reserve(out, 65536);
        z.next_out = (Bytef *)to;
        z.avail_out = 65536;
        rc = inflate(&z, Z_NO_FLUSH);
        bytes_commit(out, 65536 - z.avail_out);
    } while (rc == Z_OK);
    assert_int_equal(rc, Z_STREAM_END);
    inflateEnd(&z);
}

static void check_gzip(struct peer *p, size_t len)
{
    char buf[256];
    struct reply r;
    peer_send(p, "GET /big?n=%zu HTTP/1.1\r\n" H "Accept-Encoding: gzip, br\r\n\r\n", len);
    peer_read(p, false, &r);
    assert_int_equal(r.status, 200);
    assert_false(r.closed);
    const char *encoding = reply_header(&r, "content-encoding", buf);
    if (len < 512) {
        assert_null(encoding);
        assert_int_equal(r.body_len, len);
    } else {
        assert_string_equal(encoding, "gzip");
        struct bytes plain;
        bytes_init(&plain, (size_t)64 << 20);
        gunzip(&r, &plain);
        assert_int_equal(plain.len, len);
        assert_true(r.body_len < len);
        bytes_done(&plain);
    }
    reply_done(&r);
}

static void test_gzip(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL);
    struct peer p;
    static const size_t lens[] = {0, 1, 511, 512, 513, 8191, 8192, 8193, 65536, 1000000, 5000000};
    peer_connect(&p, f.server.port);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        check_gzip(&p, lens[i]);
    }
    peer_close(&p);
    test_server_stop(&f.server);
}

static void send_body(struct fixture *f, const char *method, const char *body, size_t len, bool chunked,
                      struct reply *r)
{
    struct peer p;
    peer_connect(&p, f->server.port);
    if (chunked) {
        peer_send(&p, "%s /api/v1/body HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", method);
        for (size_t at = 0; at < len; at += 1000) {
            size_t n = len - at < 1000 ? len - at : 1000;
            peer_send(&p, "%zx\r\n", n);
            peer_send_bytes(&p, body + at, n);
            peer_send(&p, "\r\n");
        }
        peer_send(&p, "0\r\n\r\n");
    } else {
        peer_send(&p, "%s /api/v1/body HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", method, len);
        peer_send_bytes(&p, body, len);
    }
    peer_read(&p, false, r);
    peer_close(&p);
}

static void test_body(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.request_bytes_max = 100000};
    start(&f, &conf);
    char *body = mem_alloc(100001);
    for (size_t i = 0; i < 100001; i++) {
        body[i] = (char)(i * 31);
    }
    static const size_t lens[] = {0, 1, 999, 1000, 65536, 99999, 100000};
    for (size_t i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
        size_t len = lens[i / 2];
        struct reply r;
        char want[64];
        send_body(&f, i % 3 == 0 ? "PUT" : "POST", body, len, i % 2 == 0, &r);
        snprintf(want, sizeof(want), "%zu %016llx", len, (unsigned long long)xxh64(body, len, 0));
        assert_int_equal(r.status, 201);
        assert_string_equal(r.body, want);
        reply_done(&r);
    }
    for (int chunked = 0; chunked < 2; chunked++) {
        struct reply r;
        send_body(&f, "POST", body, 100001, chunked != 0, &r);
        assert_int_equal(r.status, 413);
        assert_string_equal(r.body,
                            "{\"status\":\"error\",\"errorType\":\"too_large\",\"error\":\"request body too large\"}");
        reply_done(&r);
    }
    expect(&f, "POST /api/v1/body HTTP/1.1\r\n" H "Content-Length: 200000\r\n\r\n", 413, NULL);
    expect(&f, "POST /api/v1/body HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400, NULL);
    free(body);
    test_server_stop(&f.server);
    assert_int_equal(f.posts, 14);
}

static void test_large_head(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL);
    char *fill = mem_alloc(70001);
    memset(fill, 'a', 70000);
    fill[70000] = '\0';
    char *request = mem_printf("GET /%.*s HTTP/1.1\r\n" H "\r\n", 20000, fill);
    expect(&f, request, 414, NULL);
    free(request);
    request = mem_printf("GET /empty HTTP/1.1\r\n" H "X: %s\r\n\r\n", fill);
    expect(&f, request, 431, NULL);
    free(request);
    request = mem_printf("GET /empty?%.*s HTTP/1.1\r\n" H "X: %.*s\r\n\r\n", 15000, fill, 40000, fill);
    expect(&f, request, 200, NULL);
    free(request);
    free(fill);
    struct bytes many;
    bytes_init(&many, 65536);
    bytes_append_str(&many, "GET /empty HTTP/1.1\r\n" H);
    for (int i = 0; i < 200; i++) {
        bytes_printf(&many, "X-%d: 1\r\n", i);
    }
    bytes_append_str(&many, "\r\n");
    struct reply r;
    fetch(f.server.port, many.base, &r);
    assert_true(r.closed || r.status == 400);
    reply_done(&r);
    bytes_done(&many);
    test_server_stop(&f.server);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL);
    struct peer p;
    struct bytes many;
    bytes_init(&many, 1 << 20);
    for (int i = 0; i < 50; i++) {
        bytes_printf(&many, "GET /query?match[]=%d HTTP/1.1\r\n" H "\r\n", i);
    }
    peer_connect(&p, f.server.port);
    for (size_t at = 0; at < many.len; at += 700) { /* requests cut at odd places */
        peer_send_bytes(&p, many.base + at, many.len - at < 700 ? many.len - at : 700);
    }
    for (int i = 0; i < 50; i++) {
        struct reply r;
        char want[64];
        peer_read(&p, false, &r);
        snprintf(want, sizeof(want), "<%d>GET /query ", i);
        assert_int_equal(r.status, 200);
        assert_string_equal(r.body, want);
        reply_done(&r);
    }
    peer_close(&p);
    bytes_done(&many);
    test_server_stop(&f.server);
}

struct client {
    pthread_t thread;
    unsigned port, done;
};

static void *run_client(void *data)
{
    struct client *c = data;
    struct peer p;
    peer_connect(&p, c->port);
    for (int i = 0; i < 20; i++) {
        struct reply r;
        peer_send(&p, "GET /big?n=%d HTTP/1.1\r\n" H "\r\n", 1000 + i);
        peer_read(&p, false, &r);
        c->done += r.status == 200 && r.body_len == (size_t)(1000 + i);
        reply_done(&r);
    }
    peer_close(&p);
    return NULL;
}

/* More clients than connections are allowed: the others wait, nobody is refused. */
static void test_concurrent(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.connections_max = 20};
    start(&f, &conf);
    struct client clients[64] = {0};
    for (size_t i = 0; i < 64; i++) {
        clients[i].port = f.server.port;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (size_t i = 0; i < 64; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].done, 20);
    }
    test_server_stop(&f.server);
    assert_int_equal(f.answers, 64 * 20);
}

static void test_connections_max(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.connections_max = 2};
    start(&f, &conf);
    struct peer p[3];
    struct reply r;
    for (int i = 0; i < 3; i++) {
        peer_connect(&p[i], f.server.port);
        peer_send(&p[i], "GET /keep HTTP/1.1\r\n" H "\r\n");
        assert_true(wait_kept(&f, i < 2 ? (size_t)i + 1 : 2));
    }
    test_server_post(&f.server, release, &f);
    for (int i = 0; i < 2; i++) {
        peer_read(&p[i], false, &r);
        assert_int_equal(r.status, 200);
        reply_done(&r);
    }
    assert_true(wait_kept(&f, 0)); /* the third still waits */
    peer_close(&p[0]);
    assert_true(wait_kept(&f, 1));
    test_server_post(&f.server, release, &f);
    peer_read(&p[2], false, &r);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    peer_close(&p[1]);
    peer_close(&p[2]);
    test_server_stop(&f.server);
}

static void test_slow_head(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.head_ms = 300};
    start(&f, &conf);
    struct peer slow, idle;
    peer_connect(&idle, f.server.port);
    peer_connect(&slow, f.server.port);
    peer_send(&slow, "GET /empty HTTP/1.1\r\n");
    int64_t begin = timebase_monotonic_ms();
    char c;
    for (int i = 0; i < 1000; i++) {
        peer_send(&slow, "X-%d: a\r\n", i);
        usleep(20000);
        ssize_t n = recv(slow.fd, &c, 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            break;
        }
    }
    assert_true(timebase_monotonic_ms() - begin < 15000);
    /* An idle connection is not a slow head. */
    struct reply r;
    peer_send(&idle, "GET /empty HTTP/1.1\r\n" H "\r\n");
    peer_read(&idle, false, &r);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    peer_close(&idle);
    peer_close(&slow);
    test_server_stop(&f.server);
    assert_int_equal(f.answers, 1);
}

static bool is_answered(struct peer *p, unsigned port, bool again)
{
    struct reply r;
    if (!again) {
        peer_connect(p, port);
    }
    peer_send(p, "GET /empty HTTP/1.1\r\n" H "\r\n");
    peer_read(p, false, &r);
    bool answered = r.status == 200;
    reply_done(&r);
    return answered;
}

/* Connections that ask for nothing keep nobody out, though all their limits are far away. */
static void test_crowd_of_half_open(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.connections_max = 8, .head_ms = 600000, .idle_ms = 600000};
    start(&f, &conf);
    struct peer good, kept, crowd[40], late;
    struct reply r;
    assert_true(is_answered(&good, f.server.port, false));
    peer_connect(&kept, f.server.port);
    peer_send(&kept, "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_true(wait_kept(&f, 1));
    for (int i = 0; i < 40; i++) {
        peer_connect(&crowd[i], f.server.port);
        peer_send(&crowd[i], i % 2 == 0 ? "GET /empty HT" : "");
    }
    for (int i = 0; i < 3; i++) {
        assert_true(is_answered(&late, f.server.port, false));
        peer_close(&late);
    }
    /* Those that were being served, and those that had been, were not the ones to go. */
    assert_true(is_answered(&good, f.server.port, true));
    test_server_post(&f.server, release, &f);
    peer_read(&kept, false, &r);
    assert_string_equal(r.body, "late /keep hello");
    reply_done(&r);
    assert_true(peer_at_end(&crowd[0]));
    for (int i = 0; i < 40; i++) {
        peer_close(&crowd[i]);
    }
    peer_close(&kept);
    peer_close(&good);
    test_server_stop(&f.server);
}

/* Idle connections make room when there is nobody else, the longest idle one first; what is being answered never does.
 */
static void test_crowd_of_idle_and_busy(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.connections_max = 4, .idle_ms = 600000};
    start(&f, &conf);
    struct peer p[4], late, later;
    struct reply r;
    for (int i = 0; i < 4; i++) {
        assert_true(is_answered(&p[i], f.server.port, false));
        usleep(20000);
    }
    assert_true(is_answered(&late, f.server.port, false));
    assert_true(peer_at_end(&p[0]));
    peer_close(&p[0]);
    for (int i = 1; i < 4; i++) {
        peer_send(&p[i], "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    }
    peer_send(&late, "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_true(wait_kept(&f, 4));
    peer_connect(&later, f.server.port);
    peer_send(&later, "GET /empty HTTP/1.1\r\n" H "\r\n");
    usleep(600000);
    test_server_post(&f.server, release, &f);
    for (int i = 1; i < 5; i++) {
        peer_read(i < 4 ? &p[i] : &late, false, &r);
        assert_int_equal(r.status, 200);
        reply_done(&r);
        peer_close(i < 4 ? &p[i] : &late);
    }
    peer_read(&later, false, &r);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    peer_close(&later);
    test_server_stop(&f.server);
}

static void test_idle_and_stalled(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.idle_ms = 400, .stall_ms = 300};
    start(&f, &conf);
    struct peer idle, body, reader;
    peer_connect(&idle, f.server.port);
    assert_true(peer_at_end(&idle));
    peer_close(&idle);
    peer_connect(&body, f.server.port);
    peer_send(&body, "POST /api/v1/body HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\nabc");
    assert_true(peer_at_end(&body));
    peer_close(&body);
    /* Asks for more than the socket buffers hold and does not read. */
    peer_connect(&reader, f.server.port);
    peer_send(&reader, "GET /big?n=60000000 HTTP/1.1\r\n" H "\r\n");
    f.server.grace_ms = 8000;
    test_server_stop(&f.server); /* would wait for the grace if the sweep did not end it */
    peer_close(&reader);
    assert_int_equal(f.answers, 1);
}

static void test_body_budget(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_conf conf = {.request_bytes_max = 1000000};
    start(&f, &conf);
    struct peer p[6], idle;
    peer_connect(&idle, f.server.port); /* holds nothing: never the one to go */
    char *part = mem_calloc(1, 900000);
    for (int i = 0; i < 6; i++) {
        peer_connect(&p[i], f.server.port);
        peer_send(&p[i], "POST /api/v1/body HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
        peer_send_bytes(&p[i], part, 900000);
    }
    usleep(500000);
    unsigned served = 0;
    for (int i = 0; i < 6; i++) {
        struct reply r;
        peer_send_bytes(&p[i], part, 100000);
        peer_read(&p[i], false, &r);
        served += r.status == 201;
        reply_done(&r);
        peer_close(&p[i]);
    }
    free(part);
    assert_in_range(served, 1, 4);
    struct reply r;
    peer_send(&idle, "GET /empty HTTP/1.1\r\n" H "\r\n");
    peer_read(&idle, false, &r);
    assert_int_equal(r.status, 200);
    reply_done(&r);
    peer_close(&idle);
    test_server_stop(&f.server);
}

static void test_client_gone(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL);
    for (int kind = 0; kind < 2; kind++) {
        struct peer p;
        peer_connect(&p, f.server.port);
        peer_send(&p, "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
        assert_true(wait_kept(&f, 1));
        if (kind == 0) {
            peer_close(&p);
        } else {
            peer_reset(&p);
        }
        usleep(250000);
        test_server_post(&f.server, release, &f);
    }
    struct peer p;
    struct reply r;
    peer_connect(&p, f.server.port);
    peer_send(&p, "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_true(wait_kept(&f, 1));
    test_server_post(&f.server, release, &f);
    peer_read(&p, false, &r);
    assert_string_equal(r.body, "late /keep hello");
    reply_done(&r);
    peer_close(&p);
    test_server_stop(&f.server);
}

static void test_close(void **state)
{
    (void)state;
    struct fixture f;
    char buf[256];
    start(&f, NULL);
    struct peer idle, busy, stuck;
    struct reply r;
    peer_connect(&idle, f.server.port);
    peer_send(&idle, "GET /empty HTTP/1.1\r\n" H "\r\n");
    peer_read(&idle, false, &r);
    reply_done(&r);
    peer_connect(&busy, f.server.port);
    peer_send(&busy, "GET /keep HTTP/1.1\r\n" H "\r\n");
    peer_connect(&stuck, f.server.port);
    peer_send(&stuck, "POST /keep HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_true(wait_kept(&f, 2));
    struct http_exchange *kept = f.kept[1];
    f.server.grace_ms = 300;
    test_server_stop(&f.server);
    assert_true(peer_at_end(&idle));
    peer_read(&busy, false, &r);
    assert_int_equal(r.status, 503);
    assert_string_equal(reply_header(&r, "connection", buf), "close");
    reply_done(&r);
    /* The handlers answer after the server is gone. */
    struct view body = http_body(kept);
    assert_true(body.base == NULL || view_is(body, "hello"));
    release(&f);
    peer_close(&idle);
    peer_close(&busy);
    peer_close(&stuck);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Requests with a few bytes wrong, cut or repeated; whatever comes back, the server lives and serves. */
static void test_mutated(void **state)
{
    (void)state;
    static const char *const seeds[] = {
        "GET /query?match[]=a%20b&x=1 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
        "POST /api/v1/body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST /api/v1/body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET http://a:1/big?n=2000 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nAccept-Encoding: "
        "gzip\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HEAD /files/a/../b/%2e HTTP/1.0\r\nConnection: keep-alive\r\nX:\r\n folded\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    };
    struct fixture f;
    uint32_t seed = 42;
    struct http_server_conf conf = {.idle_ms = 1000, .head_ms = 500, .request_bytes_max = 1 << 20};
    start(&f, &conf);
    for (int i = 0; i < 1500; i++) {
        char text[512];
        size_t len = strlen(seeds[i % 6]);
        memcpy(text, seeds[i % 6], len);
        for (uint32_t n = next_random(&seed) % 4; n > 0; n--) {
            size_t at = next_random(&seed) % len;
            switch (next_random(&seed) % 3) {
            case 0:
                text[at] = (char)next_random(&seed);
                break;
            case 1:
                len = at + 1;
                break;
            default:
                text[at] = " \r\n:%/0\t"[next_random(&seed) % 8];
                break;
            }
        }
        struct peer p;
        peer_connect(&p, f.server.port);
        peer_send_bytes(&p, text, len);
        if (i % 3 == 0) {
            shutdown(p.fd, SHUT_WR);
            assert_true(peer_at_end(&p));
        }
        if (i % 3 == 1) {
            peer_reset(&p);
        } else {
            peer_close(&p);
        }
    }
    expect(&f, "GET /empty HTTP/1.1\r\n" H "\r\n", 200, "");
    test_server_stop(&f.server);
}

struct closing {
    struct fixture *f;
    bool closed;
};

static void note_closed(void *data)
{
    ((struct closing *)data)->f->server.closed = true;
    loop_stop(((struct closing *)data)->f->server.loop);
}

static void close_then_release(void *data)
{
    struct closing *c = data;
    http_server_close(c->f->server.http, 5000, note_closed, c);
    release(c->f);
}

/* What is answered within the grace is answered whole, and ends its connection. */
static void test_close_with_grace(void **state)
{
    (void)state;
    struct fixture f;
    char buf[256];
    start(&f, NULL);
    struct peer busy;
    struct reply r;
    peer_connect(&busy, f.server.port);
    peer_send(&busy, "GET /keep HTTP/1.1\r\n" H "\r\n");
    assert_true(wait_kept(&f, 1));
    struct closing c = {.f = &f};
    int64_t begin = timebase_monotonic_ms();
    assert_true(loop_post(f.server.loop, close_then_release, &c));
    peer_read(&busy, false, &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "late /keep ");
    assert_string_equal(reply_header(&r, "connection", buf), "close");
    reply_done(&r);
    peer_close(&busy);
    pthread_join(f.server.thread, NULL);
    assert_true(f.server.closed);
    assert_true(timebase_monotonic_ms() - begin < 4000);
    loop_free(&f.server.loop);
}

int main(void)
{
    struct scratch s;
    scratch_init(&s);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_no_row),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_large_head),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_connections_max),
        cmocka_unit_test(test_slow_head),
        cmocka_unit_test(test_crowd_of_half_open),
        cmocka_unit_test(test_crowd_of_idle_and_busy),
        cmocka_unit_test(test_idle_and_stalled),
        cmocka_unit_test(test_body_budget),
        cmocka_unit_test(test_client_gone),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_close_with_grace),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&s);
    return rc;
}
