/* resolv.conf and its search rules, DNS messages good and hostile, and lookups against servers that are not there. */
#include "base/bytes.h"
#include "base/mem.h"
#include "discovery/dns_lookup.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void test_resolv_conf(void **state)
{
    struct resolv_conf c;
    (void)state;
    resolv_conf_parse(
        VIEW("# comment\n;nameserver 9.9.9.9\nnameserver 10.0.0.1 # x\n nameserver\t::1\nnameserver\n"
             "domain old.test\nsearch a.test\tb.test\noptions rotate ndots:3 timeout:2\nsortlist 1.2.3.4\n"),
        arena, &c);
    assert_int_equal(c.server_count, 2);
    assert_string_equal(c.servers[0], "10.0.0.1");
    assert_string_equal(c.servers[1], "::1");
    assert_int_equal(c.search_count, 2);
    assert_string_equal(c.search[1], "b.test");
    assert_int_equal(c.ndots, 3);
    resolv_conf_parse(VIEW("options ndots:99"), arena, &c);
    assert_int_equal(c.ndots, 15);
    resolv_conf_parse(VIEW(""), arena, &c);
    assert_int_equal(c.ndots, 1);
    assert_int_equal(c.server_count, 0);
}

static void test_candidates(void **state)
{
    static const struct {
        const char *conf, *name, *candidates;
    } CASES[] = {
        {"search a.test b.test", "x", "x.a.test. x.b.test. x. "},
        {"search a.test b.test", "x.y", "x.y. x.y.a.test. x.y.b.test. "},
        {"search a.test.\noptions ndots:3", "x.y.z", "x.y.z.a.test. x.y.z. "},
        {"search a.test\noptions ndots:2", "x.y.z", "x.y.z. x.y.z.a.test. "},
        {"search a.test", "x.", "x. "},
        {"", "x", "x. "},
        {"search a\noptions ndots:0", "x", "x. x.a. "},
        {"search a.test", "x\\.y", "x\\.y.a.test. x\\.y. "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct resolv_conf c;
        char text[200] = "";
        const char *name;
        resolv_conf_parse(view_of(CASES[i].conf), arena, &c);
        for (size_t k = 0; (name = resolv_conf_candidate(&c, CASES[i].name, k, arena)) != NULL; k++) {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", name);
        }
        assert_string_equal(text, CASES[i].candidates);
    }
}

/* A message with the question example.test and one answer whose name points at it. */
static struct view message_of(unsigned type, const char *data, size_t len)
{
    struct bytes b;
    bytes_init(&b, 1 << 16);
    const char head[] = "\0\1\x81\x80\0\1\0\1\0\0\0\0\7example\4test\0\0\1\0\1\xc0\x0c";
    const char fields[] = {(char)(type >> 8), (char)type, 0, 1, 0, 0, 0, 60, (char)(len >> 8), (char)len};
    bytes_append(&b, head, sizeof(head) - 1);
    bytes_append(&b, fields, sizeof(fields));
    bytes_append(&b, data, len);
    struct view v = arena_view(arena, bytes_view(&b));
    bytes_done(&b);
    return v;
}

static struct dns_records read_ok(unsigned type, const char *data, size_t len)
{
    struct dns_records r = {0};
    struct errctx err = ERRCTX_INIT;
    if (dns_message_read(message_of(type, data, len), arena, &r, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return r;
}

static void test_records(void **state)
{
    (void)state;
    assert_string_equal(read_ok(DNS_A, "\xc0\0\2\1", 4).items[0].text, "192.0.2.1");
    assert_string_equal(read_ok(DNS_AAAA, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16).items[0].text, "2001:db8::1");
    assert_string_equal(read_ok(DNS_AAAA, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16).items[0].text, "1.2.3.4");
    struct dns_records srv = read_ok(DNS_SRV, "\0\1\0\2\x1f\x90\1a\xc0\x0c", 10);
    assert_string_equal(srv.items[0].text, "a.example.test.");
    assert_int_equal(srv.items[0].port, 8080);
    assert_string_equal(read_ok(DNS_MX, "\0\12\4mail\xc0\x0c", 9).items[0].text, "mail.example.test.");
    assert_string_equal(read_ok(DNS_NS, "\0", 1).items[0].text, ".");
    assert_string_equal(read_ok(DNS_NS, "\6a.\"\\ \1\0", 8).items[0].text, "a\\.\\\"\\\\\\ \\001.");
    assert_int_equal(read_ok(5, "\xc0\x0c", 2).count, 0); /* CNAME */
    assert_int_equal(read_ok(5, "\xc0\x0c", 2).skipped, 0);
}

static void test_malformed_records_cost_themselves(void **state)
{
    static const struct {
        unsigned type;
        const char *data;
        size_t len;
    } CASES[] = {
        {DNS_A, "\1\2\3", 3},
        {DNS_A, "\1\2\3\4\5", 5},
        {DNS_AAAA, "\1\2\3\4", 4},
        {DNS_SRV, "\0\0\0\0\0", 5},
        {DNS_SRV, "\0\0\0\0\0\1", 6},
        {DNS_MX, "\0", 1},
        {DNS_NS, "\3ab", 3},
        {DNS_NS, "\xc0\xff", 2},
        {DNS_NS, "\xc0", 1},
        {DNS_NS, "\x80", 1},
        {DNS_NS, "\0x", 2},
        {DNS_NS, "\xc0\x2b", 2},
        {DNS_NS, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct dns_records r = read_ok(CASES[i].type, CASES[i].data, CASES[i].len);
        if (r.count != 0 || r.skipped != 1) {
            fail_msg("case %zu: %zu records, %zu skipped", i, r.count, r.skipped);
        }
    }
}

static void test_every_prefix_is_refused(void **state)
{
    struct view whole = message_of(DNS_SRV, "\0\1\0\2\x1f\x90\1a\xc0\x0c", 10);
    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        struct dns_records r = {0};
        char *cut = mem_dup(whole.base, len);
        int rc = dns_message_read(view_make(cut, len), arena, &r, NULL);
        assert_int_equal(rc, ERR_PARSE);
        assert_int_equal(r.count, 0);
        free(cut);
    }
}

/* --- lookups */

static struct loop *loop;
static int named, failed, ended;

static void on_name(void *data, size_t name, struct view message, const struct errctx *err)
{
    (void)data;
    (void)name;
    named++;
    failed += err != NULL && message.len == 0 && strstr(err->msg, "could not resolve") != NULL;
}

static void on_end(void *data)
{
    struct dns_lookup **l = data;
    ended++;
    dns_lookup_free(l);
    loop_stop(loop);
}

static void test_lookups_that_fail(void **state)
{
    /* Nobody listens there: the kernel says so at once. */
    struct resolv_conf resolv = {
        .servers = {"127.0.0.1", "nonsense"}, .search = {"a.test"}, .server_count = 2, .search_count = 1};
    static const char *const NAMES[] = {
        "x", "this-label-is-longer-than-sixty-three-characters-which-no-name-server-takes.test", "..", ""};
    struct dns_lookup *l = NULL;
    const struct dns_lookup_conf conf = {.resolv = &resolv,
                                         .names = NAMES,
                                         .name_count = 4,
                                         .type = DNS_SRV,
                                         .on_name = on_name,
                                         .on_end = on_end,
                                         .data = &l};
    (void)state;
    loop = loop_new();
    assert_int_equal(dns_lookup_start(loop, &conf, &l, NULL), 0);
    loop_run(loop);
    assert_int_equal(ended, 1);
    assert_int_equal(named, 4);
    assert_true(failed >= 2);
    loop_free(&loop);
    loop = loop_new();
    resolv.servers[0] = "10.1";
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(dns_lookup_start(loop, &conf, &l, &err), ERR_INVALID);
    resolv.servers[0] = "127.0.0.1";
    assert_int_equal(dns_lookup_start(loop, &conf, &l, NULL), 0);
    dns_lookup_free(&l); /* while nothing has begun */
    assert_int_equal(dns_lookup_start(loop, &conf, &l, NULL), 0);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    dns_lookup_free(&l); /* while names are asked for */
    loop_free(&loop);
    assert_int_equal(ended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resolv_conf, begin, end),
        cmocka_unit_test_setup_teardown(test_candidates, begin, end),
        cmocka_unit_test_setup_teardown(test_records, begin, end),
        cmocka_unit_test_setup_teardown(test_malformed_records_cost_themselves, begin, end),
        cmocka_unit_test_setup_teardown(test_every_prefix_is_refused, begin, end),
        cmocka_unit_test(test_lookups_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
