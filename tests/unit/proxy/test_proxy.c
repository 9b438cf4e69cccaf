/* Requests and answers of the scrape path: what Prometheus gets for every answer a target can give, and for every
 * request it should not make. */
#include "proxy_test.h"

#include "base/mem.h"
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

#define BODY "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\nb 3\n"

/* --- a target that answers each request with the same bytes */

enum ending { END_KEEP, END_CLOSE, END_RESET, END_HOLD };

struct script {
    pthread_mutex_t lock; /* connections are threads */
    struct bytes answer;
    enum ending ending;
    size_t split; /* the answer goes out in two parts; 0 = in one */
    unsigned requests;
    char *head; /* of the last request */
};

static void reset(struct raw_conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void send_all(struct raw_conn *c, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        at += n;
        len -= (size_t)n;
    }
}

static void play(struct raw_conn *c, void *data)
{
    struct script *s = data;
    char *head;
    while ((head = raw_read_head(c)) != NULL) {
        /* What it was when the request came: the test may have the answer and write the next one before send returns.
         */
        pthread_mutex_lock(&s->lock);
        free(s->head);
        s->head = head;
        s->requests++;
        size_t len = s->answer.len, split = s->split;
        enum ending ending = s->ending;
        char *answer = mem_dup(s->answer.base, len);
        pthread_mutex_unlock(&s->lock);
        send_all(c, answer, split != 0 ? split : len);
        if (split != 0) {
            usleep(300);
            send_all(c, answer + split, len - split);
        }
        free(answer);
        if (ending == END_HOLD) {
            raw_wait_end(c);
        } else if (ending == END_RESET) {
            usleep(20000); /* what was sent shall arrive */
            reset(c);
        }
        if (ending != END_KEEP) {
            return;
        }
    }
}

static void script_answer(struct script *s, const char *head, const char *body, size_t len)
{
    pthread_mutex_lock(&s->lock);
    bytes_clear(&s->answer);
    bytes_append_str(&s->answer, head);
    bytes_append(&s->answer, body, len);
    pthread_mutex_unlock(&s->lock);
}

static void script_end_by(struct script *s, enum ending ending)
{
    pthread_mutex_lock(&s->lock);
    s->ending = ending;
    pthread_mutex_unlock(&s->lock);
}

static void script_split(struct script *s, size_t split)
{
    pthread_mutex_lock(&s->lock);
    s->split = split;
    pthread_mutex_unlock(&s->lock);
}

static void script_init(struct script *s)
{
    *s = (struct script){0};
    pthread_mutex_init(&s->lock, NULL);
    bytes_init(&s->answer, (size_t)64 << 20);
}

static void script_done(struct script *s)
{
    bytes_done(&s->answer);
    free(s->head);
    pthread_mutex_destroy(&s->lock);
}

/* --- good answers */

struct wire {
    const char *name, *head;
    struct bytes body;
    enum ending ending;
};

static struct bytes plain_of(const char *text)
{
    struct bytes b;
    bytes_init(&b, 1 << 20);
    bytes_append_str(&b, text);
    return b;
}

static struct bytes two_members(void)
{
    struct bytes first = gzip_of(view_make(BODY, 20)), second = gzip_of(view_make(BODY + 20, sizeof(BODY) - 21));
    bytes_append(&first, second.base, second.len);
    bytes_done(&second);
    return first;
}

static size_t make_wires(struct wire wires[16])
{
    static const char GZIP[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n";
    size_t n = 0;
    wires[n++] = (struct wire){"length", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", plain_of(BODY), END_KEEP};
    wires[n++] = (struct wire){"1xx",
                               "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\n"
                               "HTTP/1.1 200 OK\r\n",
                               plain_of(BODY), END_KEEP};
    wires[n++] = (struct wire){"1.0", "HTTP/1.0 200 OK\r\n\r\n", plain_of(BODY), END_CLOSE};
    wires[n++] = (struct wire){"to the end", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", plain_of(BODY), END_CLOSE};
    wires[n++] = (struct wire){"bare LF", "HTTP/1.1 200 OK\n", plain_of(BODY), END_KEEP};
    wires[n++] = (struct wire){"gzip", GZIP, gzip_of(VIEW(BODY)), END_KEEP};
    wires[n++] = (struct wire){"members", GZIP, two_members(), END_KEEP};
    wires[n++] =
        (struct wire){"zstd", "HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n", zstd_of(VIEW(BODY), 0), END_KEEP};
    wires[n++] =
        (struct wire){"first type counts",
                      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Type: application/openmetrics-text\r\n"
                      "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
                      plain_of(BODY), END_KEEP};
    return n;
}

static void set_wire(struct script *s, const struct wire *w, bool chunked)
{
    struct bytes b;
    bytes_init(&b, 1 << 20);
    bool framed = strstr(w->head, "\r\n\r\n") == NULL || w->ending == END_KEEP;
    bytes_append_str(&b, w->head);
    if (framed && chunked) {
        bytes_append_str(&b, "Transfer-Encoding: chunked\r\n\r\n");
        for (size_t i = 0; i < w->body.len; i++) {
            bytes_printf(&b, "%s\r\n%c\r\n", i % 2 == 0 ? "1" : "1;x=y", w->body.base[i]);
        }
        bytes_append_str(&b, "0\r\nContent-Encoding: gzip\r\n\r\n");
    } else if (framed) {
        bytes_printf(&b, "Content-Length: %zu\r\n\r\n", w->body.len);
    }
    if (framed && chunked) { /* the body may hold NULs */
        script_answer(s, "", b.base, b.len);
    } else {
        script_answer(s, b.base, w->body.base, w->body.len);
    }
    script_end_by(s, w->ending);
    bytes_done(&b);
}

static void expect_good(struct rig *r, const char *name)
{
    struct reply reply;
    unsigned before = r->records;
    rig_get(r, "", &reply);
    if (reply.status != 200 || reply.closed || strcmp(reply.body, BODY) != 0) {
        fail_msg("%s: %s%s", name, reply.head, reply.body);
    }
    reply_done(&reply);
    assert_true(rig_wait_records(r, before + 1));
    if (r->last.health != TARGET_HEALTH_UP || r->last.scraped != 3 || r->last.series != 3) {
        fail_msg("%s: %s, %llu samples", name, r->last.error, (unsigned long long)r->last.scraped);
    }
    assert_int_equal(r->last.body_bytes, sizeof(BODY) - 1);
}

static void test_wires(void **state)
{
    struct rig r = {0};
    struct script s;
    struct wire wires[16];
    size_t count = make_wires(wires);
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    for (size_t i = 0; i < count; i++) {
        for (int chunked = 0; chunked <= 1; chunked++) {
            set_wire(&s, &wires[i], chunked == 1);
            expect_good(&r, wires[i].name);
        }
    }
    rig_stop(&r);
    script_done(&s);
    for (size_t i = 0; i < count; i++) {
        bytes_done(&wires[i].body);
    }
}

/* However the answer is cut into packets, the outcome is the same. */
static void test_splits(void **state)
{
    struct script s;
    struct wire wires[16];
    size_t count = make_wires(wires);
    (void)state;
    script_init(&s);
    for (size_t i = 0; i < count; i++) {
        struct rig r = {0};
        rig_start(&r, "", play, &s);
        set_wire(&s, &wires[i], false);
        for (size_t split = 1; split < s.answer.len; split++) {
            script_split(&s, split);
            if (atomic_load(&r.upstream.connections) >= RAW_CONNECTIONS_MAX - 2) {
                break;
            }
            expect_good(&r, wires[i].name);
        }
        rig_stop(&r);
        bytes_done(&wires[i].body);
    }
    script_done(&s);
}

/* --- bad answers */

struct fault {
    const char *name, *head, *body;
    enum ending ending;
    int status;       /* Prometheus gets; 0: a broken answer */
    const char *says; /* in the record */
};

static const struct fault FAULTS[] = {
    {"nothing", "", "", END_CLOSE, 502, "Empty reply"},
    {"reset at once", "", "", END_RESET, 502, "eset"},
    {"half a head", "HTTP/1.1 200 OK\r\nConte", "", END_CLOSE, 502, ""},
    {"reset in the head", "HTTP/1.1 200 OK\r\nConte", "", END_RESET, 502, "eset"},
    {"no HTTP", "hello there\r\n\r\n", "", END_CLOSE, 502, "HTTP/0.9"},
    {"short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", BODY, END_CLOSE, 502, "bytes remaining"},
    {"reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", BODY, END_RESET, 502, "eset"},
    {"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", "a 1\n\n\r\n", END_CLOSE, 502,
     "closed"},
    {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BODY, END_CLOSE, 502, "hunk"},
    {"huge chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", BODY, END_CLOSE, 502,
     "hunk"},
    {"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", BODY, END_CLOSE, 502, ""},
    {"no gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", "abc", END_KEEP, 502,
     "gzip|EOF"},
    {"empty gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "", END_KEEP, 502, "EOF"},
    {"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n", "gone", END_KEEP, 404, "404 Not Found"},
    {"500 without reason", "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", "", END_KEEP, 500, "500"},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", "", END_KEEP, 204, "204 No Content"},
    {"304", "HTTP/1.1 304 Not Modified\r\n\r\n", "", END_KEEP, 304, "304"},
    {"206", "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n", "a 1\n", END_KEEP, 206, "206"},
    {"999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "", END_KEEP, 502, ""},
    {"000", "HTTP/1.1 000 Odd\r\nContent-Length: 4\r\n\r\n", "a 1\n", END_CLOSE, 502, ""},
    {"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", BODY, END_CLOSE, 502, ""},
    {"HTTP/7", "HTTP/7.0 200 OK\r\nContent-Length: 4\r\n\r\n", "a 1\n", END_CLOSE, 502, ""},
    {"control characters",
     "HTTP/1.1 503 a\rb\x01"
     "c\r\nContent-Length: 0\r\n\r\n",
     "", END_CLOSE, 503, "503"},
};

static bool says_one_of(const char *text, const char *alternatives)
{
    char copy[128];
    snprintf(copy, sizeof(copy), "%s", alternatives);
    for (char *save, *one = strtok_r(copy, "|", &save); one != NULL; one = strtok_r(NULL, "|", &save)) {
        if (strstr(text, one) != NULL) {
            return true;
        }
    }
    return alternatives[0] == '\0';
}

static void expect_bad(struct rig *r, const struct fault *f)
{
    struct reply reply;
    char buf[256];
    unsigned before = r->records;
    rig_get(r, "", &reply);
    if (f->status == 0 ? !(reply.status == 200 && reply.closed) : reply.status != f->status || reply.closed) {
        fail_msg("%s: %s%s", f->name, reply.head, reply.body);
    }
    for (const char *at = reply.head; *at != '\0'; at++) {
        assert_true((unsigned char)*at >= ' ' || *at == '\r' || *at == '\n');
    }
    const char *length = reply_header(&reply, "content-length", buf);
    assert_true(f->status != 204 || length == NULL || strcmp(length, "0") == 0);
    reply_done(&reply);
    assert_true(rig_wait_records(r, before + 1));
    rig_pump(r, 20);
    assert_int_equal(r->records, before + 1); /* one fault, one record */
    if (r->last.health != TARGET_HEALTH_DOWN || r->last.error[0] == '\0' || !says_one_of(r->last.error, f->says)) {
        fail_msg("%s: '%s'", f->name, r->last.error);
    }
}

static void test_faults(void **state)
{
    struct rig r = {0};
    struct script s;
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        script_answer(&s, FAULTS[i].head, FAULTS[i].body, strlen(FAULTS[i].body));
        script_end_by(&s, FAULTS[i].ending);
        expect_bad(&r, &FAULTS[i]);
        /* the next one is not touched by it */
        script_answer(&s, "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n", BODY, 41);
        script_end_by(&s, END_KEEP);
        assert_int_equal(sizeof(BODY) - 1, 41);
        expect_good(&r, FAULTS[i].name);
    }
    rig_stop(&r);
    script_done(&s);
}

/* --- what breaks inside a compressed body, early (a status) and late (a broken answer) */

enum damage { CUT, WRONG_SUM, FLIPPED, TRAILING, DAMAGES };

static void damage(struct bytes *b, enum damage how)
{
    if (how == CUT) {
        b->len -= 5;
    } else if (how == WRONG_SUM) {
        b->base[b->len - 6] ^= 1; /* gzip's CRC; in a zstd frame the end of the last block */
    } else if (how == FLIPPED) {
        b->base[b->len / 2] ^= 0x55;
    } else {
        bytes_append_str(b, "trailing garbage, no member of anything");
    }
}

static void expect_broken(struct rig *r, struct script *s, const char *encoding, const struct bytes *b, enum damage how)
{
    char head[128];
    struct reply reply;
    unsigned before = r->records;
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n", encoding,
             b->len);
    script_answer(s, head, b->base, b->len);
    rig_get(r, "", &reply);
    if (!rig_wait_records(r, before + 1)) {
        fail_msg("%s, damage %d, %zu bytes: no record; status %d, closed %d, %zu bytes", encoding, how, b->len,
                 reply.status, reply.closed, reply.body_len);
    }
    if (!(reply.status == 502 && !reply.closed) && !(reply.status == 200 && reply.closed)) {
        fail_msg("%s, damage %d, %zu bytes: status %d, '%s'", encoding, how, b->len, reply.status, r->last.error);
    }
    assert_int_equal(r->last.health, TARGET_HEALTH_DOWN);
    assert_string_not_equal(r->last.error, "");
    reply_done(&reply);
}

static void test_broken_compression(void **state)
{
    struct rig r = {0};
    struct script s;
    struct bytes big;
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    bytes_init(&big, 8 << 20);
    for (unsigned i = 0; i < 60000; i++) {
        bytes_printf(&big, "m%u{a=\"%08x\"} %u\n", i, i * 2654435761u, i);
    }
    const struct view bodies[] = {VIEW(BODY), bytes_view(&big)};
    for (size_t k = 0; k < 4; k++) {
        const char *encoding = k < 2 ? "gzip" : "zstd";
        for (enum damage how = CUT; how < DAMAGES; how++) {
            struct bytes b = k < 2 ? gzip_of(bodies[k % 2]) : zstd_of(bodies[k % 2], 0);
            damage(&b, how);
            expect_broken(&r, &s, encoding, &b, how);
            bytes_done(&b);
        }
    }
    /* a window larger than the cap, however small the content */
    struct bytes wide = zstd_of(bytes_view(&big), 27);
    expect_broken(&r, &s, "zstd", &wide, CUT);
    assert_non_null(strstr(r.last.error, "zstd"));
    bytes_done(&wide);
    bytes_done(&big);
    rig_stop(&r);
    script_done(&s);
}

/* --- limits of ours, and of the job */

static void test_limits(void **state)
{
    struct rig r = {.conf = {.body_bytes_max = 100000, .line_bytes_max = 5000}};
    struct script s;
    struct bytes text, gzip;
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    script_end_by(&s, END_CLOSE);
    bytes_init(&text, 64 << 20);
    /* a line */
    bytes_append_str(&text, "HTTP/1.1 200 OK\r\n\r\na{x=\"");
    for (int i = 0; i < 5000; i++) {
        bytes_append_char(&text, 'x');
    }
    bytes_append_str(&text, "\"} 1\n");
    script_answer(&s, text.base, "", 0);
    expect_bad(&r, &(struct fault){"line", "", "", 0, 502, "line"});
    /* ten megabytes without a line's end */
    bytes_clear(&text);
    bytes_append_str(&text, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 10 << 20; i++) {
        bytes_append_char(&text, 'x');
    }
    script_answer(&s, text.base, "", 0);
    expect_bad(&r, &(struct fault){"no line end", "", "", 0, 502, "line"});
    /* a body */
    bytes_clear(&text);
    while (text.len < 200000) {
        bytes_append_str(&text, "a_name_of_some_length 1\n");
    }
    script_answer(&s, "HTTP/1.1 200 OK\r\n\r\n", text.base, text.len);
    expect_bad(&r, &(struct fault){"body", "", "", 0, 0, "larger"});
    gzip = gzip_of(bytes_view(&text));
    script_answer(&s, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.base, gzip.len);
    expect_bad(&r, &(struct fault){"decoded body", "", "", 0, 0, "larger"});
    bytes_done(&gzip);
    /* a head */
    bytes_clear(&text);
    bytes_append_str(&text, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++) {
        bytes_printf(&text, "X-Long-%d: %060d\r\n", i, i);
    }
    bytes_append_str(&text, "Content-Length: 4\r\n\r\n");
    script_answer(&s, text.base, "a 1\n", 4);
    expect_bad(&r, &(struct fault){"head", "", "", 0, 502, "head|header"});
    bytes_done(&text);
    rig_stop(&r);
    script_done(&s);
}

/* What Prometheus would refuse it gets to see, and says itself why; the record knows it, too. */
static void test_refused_by_prometheus(void **state)
{
    struct rig r = {0};
    struct script s;
    struct reply reply;
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    script_answer(&s, "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", "a 1\n<html> hello\n", 17);
    rig_get(&r, "", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "a 1\n<html> hello\n");
    reply_done(&reply);
    assert_true(rig_wait_records(&r, 1));
    assert_int_equal(r.last.health, TARGET_HEALTH_DOWN);
    assert_string_not_equal(r.last.error, "");
    rig_stop(&r);
    script_done(&s);
}

/* --- requests */

static void expect_refusal(struct rig *r, const char *request, int status)
{
    struct reply reply;
    fetch(r->port, request, &reply);
    if (reply.status != status) {
        fail_msg("%d instead of %d for %s: %s", reply.status, status, request, reply.head);
    }
    reply_done(&reply);
}

static void test_refused_requests(void **state)
{
    struct rig r = {0};
    struct script s;
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    unsigned port = r.upstream.port;
    unsigned long long hash = r.target->hash;
    const struct {
        int status;
        char *request;
    } rows[] = {
        {405, rig_request(&r, "HEAD", "1.1", "")},
        {405, rig_request(&r, "POST", "1.1", "Content-Length: 0\r\n")},
        {405, rig_request(&r, "get", "1.1", "")},
        {405, mem_printf("CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", port)},
        {405, mem_printf("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")},
        {400, mem_printf("GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port)},
        {400, mem_printf("GET /metrics?_hash=%llu&_jobName=j HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", hash, port)},
        {400,
         mem_printf("GET https://127.0.0.1:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\nHost: x\r\n\r\n", port, hash)},
        {403, mem_printf("GET http://u@127.0.0.1:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, hash)},
        {400, mem_printf("GET http://127.0.0.1:%u/metrics HTTP/1.1\r\nHost: x\r\n\r\n", port)},
        {400, mem_printf("GET http://127.0.0.1:%u?_hash=%llu&_jobName=j HTTP/1.1\r\nHost: x\r\n\r\n", port, hash)},
        {400, mem_printf("GET http://127.0.0.1:%u/metrics?_hash=%llu&_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port,
                         hash, hash)},
        {403, mem_printf("GET http://127.0.0.1:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\nHost: x\r\n\r\n", port,
                         hash + 1)},
        {403,
         mem_printf("GET http://127.0.0.1:%u/metrics?_hash=%llu&_jobName=k HTTP/1.1\r\nHost: x\r\n\r\n", port, hash)},
        {403,
         mem_printf("GET http://127.0.0.1:%u/metrics?_hash=%llu&_jobName=j&_shard=s HTTP/1.1\r\n\r\n", port, hash)},
        {403,
         mem_printf("GET http://127.0.0.1:%u/other?_hash=%llu&_jobName=j HTTP/1.1\r\nHost: x\r\n\r\n", port, hash)},
        {403, mem_printf("GET http://127.0.0.1:%u/%%6detrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, hash)},
        {403, mem_printf("GET http://127.0.0.1:%u/x/../metrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, hash)},
        {403, mem_printf("GET http://127.0.0.1:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port + 1, hash)},
        {403, mem_printf("GET http://127.0.0.2:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, hash)},
        {403, mem_printf("GET http://[::1]:%u/metrics?_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, hash)},
        {414, mem_printf("GET http://127.0.0.1:%u/metrics?x=%020000d&_hash=%llu&_jobName=j HTTP/1.1\r\n\r\n", port, 1,
                         hash)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_refusal(&r, rows[i].request, rows[i].status);
        free(rows[i].request);
    }
    struct proxy_table *t = rig_table(&r);
    proxy_table_set_stop_reason(t, "maintenance until noon");
    proxy_publish(r.proxy, t);
    struct reply reply;
    do { /* the workers switch soon */
        script_answer(&s, "", "", 0);
        rig_get(&r, "", &reply);
        if (reply.status != 503) {
            reply_done(&reply);
        }
    } while (reply.status == 502);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.head, "maintenance until noon"));
    reply_done(&reply);
    unsigned connections = atomic_load(&r.upstream.connections);
    rig_get(&r, "", &reply);
    assert_int_equal(reply.status, 503);
    reply_done(&reply);
    assert_int_equal(atomic_load(&r.upstream.connections), connections);
    assert_int_equal(r.records, 0);
    rig_stop(&r);
    script_done(&s);
}

/* Odd, but asked by somebody who may. */
static void test_accepted_requests(void **state)
{
    struct rig r = {0};
    struct script s;
    struct peer p;
    struct reply reply;
    char buf[512];
    (void)state;
    script_init(&s);
    rig_start(&r, "", play, &s);
    script_answer(&s, "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n", BODY, 41);
    char *plain = rig_request(&r, "GET", "1.1", "");
    char *old = rig_request(&r, "GET", "1.0", "");
    char *expecting = rig_request(&r, "GET", "1.1", "Expect: 100-continue\r\nContent-Length: 3\r\n");
    char *headers =
        rig_request(&r, "GET", "1.1",
                    "Accept: a/b;q=0.5\r\nUser-Agent: Prometheus/2\r\nCookie: no\r\nAuthorization: Bearer no\r\n"
                    "X-Prometheus-Scrape-Timeout-Seconds: 9.5\r\nTraceparent: tp\r\nConnection: keep-alive\r\n"
                    "Accept-Encoding: gzip\r\nContent-Length: 0\r\nHost: 192.0.2.1\r\n");
    /* two at once on one connection are answered in turn, and the connection is kept */
    peer_connect(&p, r.port);
    peer_send(&p, "%s%s", plain, plain);
    for (int i = 0; i < 2; i++) {
        peer_read(&p, false, &reply);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body, BODY);
        reply_done(&reply);
    }
    peer_send(&p, "%s", headers);
    peer_read(&p, false, &reply);
    assert_int_equal(reply.status, 200);
    reply_done(&reply);
    assert_string_equal(raw_header(s.head, "accept", buf), "a/b;q=0.5");
    assert_string_equal(raw_header(s.head, "user-agent", buf), "Prometheus/2");
    assert_string_equal(raw_header(s.head, "x-prometheus-scrape-timeout-seconds", buf), "9.5");
    assert_string_equal(raw_header(s.head, "traceparent", buf), "tp");
    assert_string_equal(raw_header(s.head, "accept-encoding", buf), "zstd, gzip");
    snprintf(buf, sizeof(buf), "127.0.0.1:%u", r.upstream.port);
    char host[512];
    assert_string_equal(raw_header(s.head, "host", host), buf);
    assert_null(raw_header(s.head, "cookie", buf));
    assert_null(raw_header(s.head, "authorization", buf));
    assert_null(strstr(s.head, "_hash"));
    peer_send(&p, "%s", expecting);
    peer_read(&p, true, &reply);
    assert_int_equal(reply.status, 100);
    reply_done(&reply);
    peer_send(&p, "abc");
    peer_read(&p, false, &reply);
    assert_int_equal(reply.status, 200);
    reply_done(&reply);
    peer_close(&p);
    assert_int_equal(atomic_load(&r.upstream.connections), 1); /* all of it over one connection upstream */
    fetch(r.port, old, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, BODY);
    reply_done(&reply);
    free(plain);
    free(old);
    free(expecting);
    free(headers);
    rig_stop(&r);
    script_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wires),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_broken_compression),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_refused_by_prometheus),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_accepted_requests),
    };
    curl_net_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
