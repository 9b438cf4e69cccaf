/* Calls: against our own server on another thread, and against servers that misbehave. */
#include "net_test.h"
#include "raw_server.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "net/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct outcome {
    unsigned done;
    int status;
    char *body, type[64];
    size_t body_len;
    struct errctx err;
    /* streaming */
    size_t streamed, abort_after;
    struct http_call *cancel;
};

static void on_done(void *data, const struct http_answer *answer)
{
    struct outcome *o = data;
    o->done++;
    o->status = answer->status;
    o->err = answer->err;
    free(o->body);
    o->body = mem_dup(answer->body.base != NULL ? answer->body.base : "", answer->body.len);
    o->body_len = answer->body.len;
    snprintf(o->type, sizeof(o->type), "%.*s", VIEW_FMT(answer->content_type));
}

static void outcome_done(struct outcome *o)
{
    free(o->body);
    *o = (struct outcome){0};
}

static void set_flag(void *data)
{
    *(bool *)data = true;
}

/* Until *done reaches want; fifteen seconds at most. */
static void run_until(struct loop *loop, const unsigned *done, unsigned want)
{
    bool late = false;
    struct loop_timer *limit = loop_timer_new(loop, set_flag, &late);
    loop_timer_start(limit, 15000, 0);
    while (*done < want && !late) {
        uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
    loop_timer_free(&limit);
    assert_false(late);
}

static void run_for(struct loop *loop, int64_t ms)
{
    bool over = false;
    struct loop_timer *limit = loop_timer_new(loop, set_flag, &over);
    loop_timer_start(limit, ms, 0);
    while (!over) {
        uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
    loop_timer_free(&limit);
}

struct fixture {
    struct loop *loop;
    struct http_client *client;
    struct test_server server;
    struct http_exchange *kept;
};

static void on_echo(struct http_exchange *x, void *data)
{
    (void)data;
    struct bytes out;
    bytes_init(&out, 1 << 20);
    struct view type = http_header(x, "content-type"), agent = http_header(x, "user-agent"),
                extra = http_header(x, "x-extra");
    bytes_printf(&out, "%s type=%.*s agent=%.*s extra=%.*s body=%.*s", http_method(x), VIEW_FMT(type), VIEW_FMT(agent),
                 VIEW_FMT(extra), VIEW_FMT(http_body(x)));
    http_respond(x, 200, "text/plain", bytes_view(&out));
    bytes_done(&out);
}

static void on_big(struct http_exchange *x, void *data)
{
    (void)data;
    size_t len = strtoul(http_query(x, "n", 0).base, NULL, 10);
    char *content = mem_alloc(len + 1);
    memset(content, 'b', len);
    http_respond(x, 200, "text/plain", view_make(content, len));
    free(content);
}

static void on_keep(struct http_exchange *x, void *data)
{
    struct fixture *f = data;
    if (f->kept != NULL) {
        http_respond(f->kept, 200, "text/plain", VIEW("late"));
    }
    f->kept = x;
}

static void on_moved(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond_header(x, "location", "/echo");
    http_respond(x, 302, "text/plain", VIEW(""));
}

static const struct http_row rows[] = {
    {"GET", "/echo", on_echo}, {"POST", "/echo", on_echo},  {"DELETE", "/echo", on_echo}, {"GET", "/big", on_big},
    {"GET", "/keep", on_keep}, {"GET", "/moved", on_moved}, {NULL, NULL, NULL},
};

static void start(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_new()};
    f->client = http_client_new(f->loop);
    test_server_start(&f->server, &(struct http_server_conf){.connections_max = 200}, rows, f);
    f->server.grace_ms = 50;
}

static void stop(struct fixture *f)
{
    http_client_free(&f->client);
    assert_null(f->client);
    loop_free(&f->loop);
    test_server_stop(&f->server);
    if (f->kept != NULL) {
        http_respond(f->kept, 200, "text/plain", VIEW("too late"));
    }
}

static char *url_of(unsigned port, const char *path)
{
    return mem_printf("http://127.0.0.1:%u%s", port, path);
}

static void call_port(struct fixture *f, unsigned port, struct http_request req, const char *path, struct outcome *o)
{
    char *url = url_of(port, path);
    req.url = url;
    req.timeout_ms = req.timeout_ms != 0 ? req.timeout_ms : 10000;
    unsigned before = o->done;
    http_client_send(f->client, &req, on_done, o);
    free(url);
    assert_int_equal(o->done, before); /* never on the spot */
    run_until(f->loop, &o->done, before + 1);
    assert_int_equal(o->done, before + 1);
    assert_int_equal(o->err.code == 0, o->status != 0);
}

static void call(struct fixture *f, struct http_request req, const char *path, struct outcome *o)
{
    call_port(f, f->server.port, req, path, o);
}

#define AGENT "kvass/" PACKAGE_VERSION

static void test_methods(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    start(&f);
    call(&f, (struct http_request){0}, "/echo", &o);
    assert_int_equal(o.status, 200);
    assert_string_equal(o.type, "text/plain");
    assert_string_equal(o.body, "GET type= agent=" AGENT " extra= body=");
    call(&f, (struct http_request){.method = "POST", .body = VIEW("{\"a\":1}"), .content_type = "application/json"},
         "/echo", &o);
    assert_string_equal(o.body, "POST type=application/json agent=" AGENT " extra= body={\"a\":1}");
    call(&f, (struct http_request){.method = "POST"}, "/echo", &o);
    assert_string_equal(o.body, "POST type= agent=" AGENT " extra= body=");
    call(&f, (struct http_request){.method = "PUT", .body = VIEW("x")}, "/echo", &o);
    assert_string_equal(o.body, "PUT type= agent=" AGENT " extra= body=x");
    call(&f, (struct http_request){.method = "DELETE"}, "/echo", &o);
    assert_string_equal(o.body, "DELETE type= agent=" AGENT " extra= body=");
    const char *const headers[] = {"X-Extra: one", "User-Agent: me", NULL};
    call(&f, (struct http_request){.headers = headers}, "/echo", &o);
    assert_string_equal(o.body, "GET type= agent=me extra=one body=");
    call(&f, (struct http_request){.method = "HEAD"}, "/echo", &o);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.body_len, 0);
    call(&f, (struct http_request){0}, "/nothing", &o);
    assert_int_equal(o.status, 404);
    assert_string_equal(o.body, "no such path\n");
    call(&f, (struct http_request){0}, "/moved", &o); /* not followed without a profile */
    assert_int_equal(o.status, 302);
    char *large = mem_alloc(3000001); /* more than libcurl sends without asking first */
    memset(large, 'x', 3000000);
    call(&f, (struct http_request){.method = "POST", .body = view_make(large, 3000000)}, "/echo", &o);
    assert_int_equal(o.status, 200);
    free(large);
    outcome_done(&o);
    stop(&f);
}

static void test_limits(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    const char *const gzip[] = {"Accept-Encoding: gzip", NULL};
    start(&f);
    call(&f, (struct http_request){.answer_bytes_max = 100000}, "/big?n=100000", &o);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.body_len, 100000);
    call(&f, (struct http_request){.answer_bytes_max = 100000}, "/big?n=100001", &o);
    assert_int_equal(o.err.code, ERR_LIMIT);
    assert_int_equal(o.body_len, 0);
    char *want = mem_printf("GET http://127.0.0.1:%u/big: the answer is larger than 100000 bytes", f.server.port);
    assert_string_equal(o.err.msg, want);
    free(want);
    call(&f, (struct http_request){0}, "/big?n=16777216", &o);
    assert_int_equal(o.body_len, 16777216);
    call(&f, (struct http_request){0}, "/big?n=16777217", &o);
    assert_int_equal(o.err.code, ERR_LIMIT);
    call(&f, (struct http_request){.headers = gzip, .answer_bytes_max = 5000000}, "/big?n=5000000", &o);
    assert_int_equal(o.body_len, 5000000);
    call(&f, (struct http_request){.headers = gzip, .answer_bytes_max = 5000000}, "/big?n=50000000",
         &o); /* 200 kB coming in */
    assert_int_equal(o.err.code, ERR_LIMIT);
    outcome_done(&o);
    stop(&f);
}

static void check_error(struct fixture *f, const char *url, int code, const char *prefix)
{
    struct outcome o = {0};
    http_client_send(f->client, &(struct http_request){.url = url, .timeout_ms = 5000}, on_done, &o);
    assert_int_equal(o.done, 0);
    run_until(f->loop, &o.done, 1);
    assert_int_equal(o.err.code, code);
    assert_int_equal(o.status, 0);
    if (strncmp(o.err.msg, prefix, strlen(prefix)) != 0 || strlen(o.err.msg) <= strlen(prefix)) {
        fail_msg("got '%s'", o.err.msg);
    }
    outcome_done(&o);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct raw_server gone;
    memset(&gone, 0, sizeof(gone));
    raw_server_start(&gone, NULL, NULL);
    raw_server_stop(&gone);
    char url[128], want[128];
    snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%u/path?token=secret", gone.port);
    snprintf(want, sizeof(want), "GET http://127.0.0.1:%u/path: ", gone.port);
    check_error(&f, url, ERR_UNAVAILABLE, want);
    check_error(&f, "http://no-such-host.invalid/", ERR_UNAVAILABLE, "GET http://no-such-host.invalid/: ");
    check_error(&f, "ftp://127.0.0.1/", ERR_INVALID, "GET ftp://127.0.0.1/: ");
    check_error(&f, "file:///etc/passwd", ERR_INVALID, "GET file:///etc/passwd: ");
    check_error(&f, "http://a b/", ERR_INVALID, "GET http://a b/: ");
    check_error(&f, "", ERR_INVALID, "GET : ");
    check_error(&f, "http://127.0.0.1:99999/", ERR_INVALID, "GET http://127.0.0.1:99999/: ");
    int64_t begin = timebase_monotonic_ms();
    struct outcome o = {0};
    call(&f, (struct http_request){.timeout_ms = 200}, "/keep", &o);
    assert_int_equal(o.err.code, ERR_TIMEOUT);
    assert_in_range(timebase_monotonic_ms() - begin, 190, 8000);
    outcome_done(&o);
    stop(&f);
}

/* --- servers that misbehave */

enum misbehaviour { SHORT_BODY, GARBAGE, ENDLESS_HEAD, SILENT, HANG_UP, BAD_CHUNK, BAD_GZIP, TRICKLE, MISBEHAVIOURS };

static void misbehave(struct raw_conn *c, void *data)
{
    char *head = raw_read_head(c);
    switch (*(enum misbehaviour *)data) {
    case SHORT_BODY:
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        break;
    case GARBAGE:
        raw_send(c, "220 mail.example ESMTP\r\n");
        break;
    case ENDLESS_HEAD:
        raw_send(c, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 20000; i++) {
            raw_send(c, "X-%d: %070d\r\n", i, i);
        }
        break;
    case SILENT:
        raw_wait_end(c);
        break;
    case HANG_UP:
        break;
    case BAD_CHUNK:
        raw_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n");
        break;
    case BAD_GZIP:
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello");
        break;
    case TRICKLE:
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        for (int i = 0; i < 200; i++) {
            raw_send(c, "x");
            usleep(10000);
        }
        break;
    case MISBEHAVIOURS:
        break;
    }
    free(head);
}

static void test_misbehaviour(void **state)
{
    (void)state;
    static const int want[MISBEHAVIOURS] = {
        [SHORT_BODY] = ERR_UNAVAILABLE, [GARBAGE] = ERR_PARSE,       [ENDLESS_HEAD] = ERR_LIMIT,
        [SILENT] = ERR_TIMEOUT,         [HANG_UP] = ERR_UNAVAILABLE, [BAD_CHUNK] = ERR_UNAVAILABLE,
        [BAD_GZIP] = ERR_PARSE,         [TRICKLE] = ERR_TIMEOUT,
    };
    const char *const gzip[] = {"Accept-Encoding: gzip", NULL};
    struct fixture f;
    start(&f);
    for (enum misbehaviour m = SHORT_BODY; m < MISBEHAVIOURS; m++) {
        struct raw_server s;
        struct outcome o = {0};
        memset(&s, 0, sizeof(s));
        raw_server_start(&s, misbehave, &m);
        call_port(&f, s.port, (struct http_request){.timeout_ms = 500, .headers = gzip}, "/x", &o);
        if (o.err.code != want[m]) {
            fail_msg("misbehaviour %d: %s (%d)", (int)m, o.err.msg, o.err.code);
        }
        assert_int_equal(o.body_len, 0);
        outcome_done(&o);
        raw_server_stop(&s);
    }
    stop(&f);
}

static void serve_kept(struct raw_conn *c, void *data)
{
    (void)data;
    for (int i = 0; i < 10; i++) {
        char *head = raw_read_head(c);
        if (head == NULL) {
            return;
        }
        free(head);
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

/* Ten calls a connection; the server then hangs up without a word, which a client must not mistake for a failed call.
 */
static void test_reuse(void **state)
{
    (void)state;
    struct fixture f;
    struct raw_server s;
    start(&f);
    memset(&s, 0, sizeof(s));
    raw_server_start(&s, serve_kept, NULL);
    struct outcome o = {0};
    for (int i = 0; i < 35; i++) {
        call_port(&f, s.port, (struct http_request){0}, "/", &o);
        assert_int_equal(o.status, 200);
    }
    assert_int_equal(atomic_load(&s.connections), 4);
    outcome_done(&o);
    http_client_free(&f.client);
    f.client = http_client_new(f.loop);
    raw_server_stop(&s);
    stop(&f);
}

/* --- streaming and cancelling */

static int on_data(void *data, const char *base, size_t len)
{
    struct outcome *o = data;
    assert_true(len > 0 && base[0] == 'b');
    o->streamed += len;
    if (o->cancel != NULL) {
        http_call_cancel(o->cancel);
        o->cancel = NULL;
    }
    return o->abort_after != 0 && o->streamed >= o->abort_after ? 1 : 0;
}

static void test_streaming(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    start(&f);
    call(&f, (struct http_request){.on_data = on_data}, "/big?n=20000000", &o);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.streamed, 20000000);
    assert_int_equal(o.body_len, 0);
    outcome_done(&o);
    o.abort_after = 100000;
    call(&f, (struct http_request){.on_data = on_data}, "/big?n=20000000", &o);
    assert_int_equal(o.err.code, ERR_CANCELLED);
    assert_in_range(o.streamed, 100000, 200000);
    outcome_done(&o);
    call(&f, (struct http_request){.on_data = on_data, .answer_bytes_max = 100000}, "/big?n=20000000", &o);
    assert_int_equal(o.err.code, ERR_LIMIT);
    assert_in_range(o.streamed, 1, 100000);
    outcome_done(&o);
    stop(&f);
}

static struct http_call *send_to(struct fixture *f, const char *path, bool stream, http_done_fn *done, void *data)
{
    char *url = url_of(f->server.port, path);
    struct http_call *c = http_client_send(
        f->client, &(struct http_request){.url = url, .timeout_ms = 10000, .on_data = stream ? on_data : NULL}, done,
        data);
    free(url);
    return c;
}

struct chain {
    struct fixture *f;
    struct http_call *victim;
    struct outcome outcome;
};

static void cancel_and_send(void *data, const struct http_answer *answer)
{
    struct chain *c = data;
    assert_int_equal(answer->status, 200);
    http_call_cancel(c->victim);
    send_to(c->f, "/echo", false, on_done, &c->outcome);
}

static void test_cancel(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct outcome quiet = {0}, o = {0};
    http_call_cancel(send_to(&f, "/echo", false, on_done, &quiet)); /* at once */
    struct http_call *c = send_to(&f, "/keep", false, on_done, &quiet);
    run_for(f.loop, 100);
    http_call_cancel(c); /* under way */
    o.cancel = send_to(&f, "/keep", true, on_done, &quiet); /* not answered before the other reader has its first bytes */
    send_to(&f, "/big?n=20000000", true, on_done, &o); /* its reader cancels the other */
    run_until(f.loop, &o.done, 1);
    assert_int_equal(o.streamed, 20000000);
    quiet.cancel = send_to(&f, "/big?n=20000000", true, on_done, &quiet); /* its reader cancels itself */
    for (int i = 0; i < 1000 && quiet.cancel != NULL; i++) {
        run_for(f.loop, 10);
    }
    assert_null(quiet.cancel);
    run_for(f.loop, 50);
    assert_in_range(quiet.streamed, 1, 25000000);
    struct chain chain = {.f = &f, .victim = send_to(&f, "/keep", false, on_done, &quiet)};
    send_to(&f, "/echo", false, cancel_and_send, &chain);
    run_until(f.loop, &chain.outcome.done, 1);
    assert_int_equal(chain.outcome.status, 200);
    http_client_send(f.client, &(struct http_request){.url = "ftp://x/", .timeout_ms = 1000}, on_done, &quiet);
    send_to(&f, "/keep", false, on_done, &quiet); /* ended by http_client_free */
    outcome_done(&o);
    outcome_done(&chain.outcome);
    f.server.grace_ms = 50;
    http_client_free(&f.client);
    run_for(f.loop, 50);
    assert_int_equal(quiet.done, 0);
    f.client = http_client_new(f.loop);
    outcome_done(&quiet);
    stop(&f);
}

static void count_ok(void *data, const struct http_answer *answer)
{
    unsigned *count = data;
    assert_int_equal(answer->err.code, 0);
    *count += answer->status == 200 && answer->body.len == 10000;
}

static void test_many(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned count = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 64; i++) {
            send_to(&f, "/big?n=10000", false, count_ok, &count);
        }
        run_until(f.loop, &count, 64U * (unsigned)(round + 1));
    }
    assert_int_equal(count, 320);
    stop(&f);
}

int main(void)
{
    struct scratch s;
    scratch_init(&s);
    curl_net_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),      cmocka_unit_test(test_limits), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_misbehaviour), cmocka_unit_test(test_reuse),  cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_many),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&s);
    return rc;
}
