/* Routing: what a Prometheus sends through its proxy_url, and everything that only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proxy/route.h"

#include <stdlib.h>

static int parse(const char *target, struct route *r)
{
    return route_parse(view_of(target), r, NULL);
}

static void the_usual_form(void **state)
{
    struct route r;
    (void)state;
    assert_int_equal(
        parse("http://10.0.0.1:9100/metrics?_hash=18446744073709551615&_jobName=node&_scheme=https&_shard=shard-3&x=1",
              &r),
        0);
    assert_true(view_is(r.host, "10.0.0.1"));
    assert_int_equal(r.port, 9100);
    assert_true(view_is(r.path, "/metrics"));
    assert_true(r.hash == UINT64_MAX);
    assert_string_equal(r.job, "node");
    assert_string_equal(r.shard, "shard-3");
    assert_int_equal(parse("http://h/?_jobName=a%2Fb+c%C3%A9&_hash=7", &r), 0);
    assert_string_equal(r.job, "a/b c\xc3\xa9");
    assert_int_equal(r.shard_len, 0);
    assert_int_equal(r.port, 80);
    assert_true(view_is(r.path, "/"));
    assert_int_equal(parse("http://[::1]:9100/m?_hash=1&_jobName=a", &r), 0);
    assert_true(view_is(r.host, "[::1]"));
    assert_int_equal(r.port, 9100);
    /* foreign parameters may be anything */
    assert_int_equal(parse("http://h/m?&&=&a&b=%zz&_hash=1&_jobName=a&", &r), 0);
}

static void everything_else_is_refused(void **state)
{
    static const char *const BAD[] = {
        "",
        "/metrics?_hash=1&_jobName=a",
        "https://h/m?_hash=1&_jobName=a",
        "http:///m?_hash=1&_jobName=a",
        "http://h?_hash=1&_jobName=a",
        "http://h/m",
        "http://h/m?_hash=1",
        "http://h/m?_jobName=a",
        "http://h/m?_hash=&_jobName=a",
        "http://h/m?_hash=-1&_jobName=a",
        "http://h/m?_hash=18446744073709551616&_jobName=a",
        "http://h/m?_hash=1x&_jobName=a",
        "http://h/m?_hash=1&_jobName=",
        "http://h/m?_hash=1&_jobName=a%",
        "http://h/m?_hash=1&_jobName=a%2",
        "http://h/m?_hash=1&_jobName=a%zz",
        "http://h/m?_hash=1&_jobName=a%00",
        "http://h/m?_hash=1&_hash=1&_jobName=a",
        "http://h/m?_hash=1&_jobName=a&_jobName=b",
        "http://h/m?_hash=1&_jobName=a&_shard=x&_shard=x",
        "http://h:99999/m?_hash=1&_jobName=a",
        "http://h:8x/m?_hash=1&_jobName=a",
        "http://[::1/m?_hash=1&_jobName=a",
        "http://[::1]x/m?_hash=1&_jobName=a",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct route r = {.port = 4711};
        if (parse(BAD[i], &r) != ERR_PARSE || r.port != 4711) {
            fail_msg("accepted, or touched the result: %s", BAD[i]);
        }
    }
}

static void lengths_are_bounded(void **state)
{
    struct route r;
    struct errctx err = ERRCTX_INIT;
    (void)state;
    char *job = mem_alloc(ROUTE_NAME_BYTES_MAX + 1);
    memset(job, 'j', ROUTE_NAME_BYTES_MAX);
    job[ROUTE_NAME_BYTES_MAX] = '\0';
    char *target = mem_printf("http://h/m?_hash=1&_jobName=%s", job);
    assert_int_equal(parse(target, &r), ERR_PARSE);
    target[strlen(target) - 1] = '\0';
    assert_int_equal(parse(target, &r), 0);
    assert_int_equal(r.job_len, ROUTE_NAME_BYTES_MAX - 1);
    free(target);
    free(job);
    char *huge = mem_calloc(1, ROUTE_TARGET_BYTES_MAX + 2);
    memset(huge, 'a', ROUTE_TARGET_BYTES_MAX + 1);
    assert_int_equal(route_parse(view_of(huge), &r, &err), ERR_LIMIT);
    free(huge);
}

static void no_prefix_reads_beyond_its_end(void **state)
{
    static const char TARGET[] = "http://h:80/m%41?_hash=12&_jobName=a%2Fb&_scheme=http&_shard=s%20x";
    (void)state;
    for (size_t len = 0; len < sizeof(TARGET) - 1; len++) {
        struct route r;
        char *exact = mem_alloc(len); /* a buffer of its own: AddressSanitizer sees the first byte behind it */
        memcpy(exact, TARGET, len);
        (void)!route_parse(view_make(exact, len), &r, NULL);
        free(exact);
    }
}

static void the_url_must_agree(void **state)
{
    struct route r;
    (void)state;
    assert_int_equal(parse("http://Host:443/m?_hash=1&_jobName=a", &r), 0);
    assert_true(route_matches(&r, "https://host/m?x=1"));
    assert_true(route_matches(&r, "http://host:443/m"));
    assert_false(route_matches(&r, "http://host/m"));
    assert_false(route_matches(&r, "https://host/m/"));
    assert_false(route_matches(&r, "https://hostx/m"));
    assert_false(route_matches(&r, "https://host:444/m"));
    assert_false(route_matches(&r, "nonsense"));
    assert_int_equal(parse("http://h/?_hash=1&_jobName=a", &r), 0);
    assert_true(route_matches(&r, "http://h"));
    assert_true(route_matches(&r, "http://h:80/"));
    assert_int_equal(parse("http://[::1]:9100/a%20b?_hash=1&_jobName=a", &r), 0);
    assert_true(route_matches(&r, "http://[::1]:9100/a%20b"));
    assert_false(route_matches(&r, "http://[::2]:9100/a%20b"));
    assert_false(route_matches(&r, "http://[::1]:9100/a b"));
    /* a host outside ASCII travels as punycode */
    assert_int_equal(parse("http://xn--bcher-kva:80/m?_hash=1&_jobName=a", &r), 0);
    assert_true(route_matches(&r, "http://b\xc3\xbc"
                                  "cher/m"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_form),      cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(lengths_are_bounded), cmocka_unit_test(no_prefix_reads_beyond_its_end),
        cmocka_unit_test(the_url_must_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
