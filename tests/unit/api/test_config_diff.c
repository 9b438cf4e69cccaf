/* What a reload changed, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/config_diff.h"
#include "base/bytes.h"

#include <stdlib.h>

static struct promconf *parse(const char *text)
{
    const struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *conf = NULL;
    struct errctx err = ERRCTX_INIT;
    if (promconf_parse("/etc/p.yml", view_of(text), &opts, &conf, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return conf;
}

static void expect(const char *before, const char *after, const char *want)
{
    struct promconf *a = before != NULL ? parse(before) : NULL, *b = parse(after);
    char *diff = config_diff(a, b);
    assert_string_equal(diff, want);
    free(diff);
    promconf_unref(a);
    promconf_unref(b);
}

#define JOB(name) "- {job_name: " name "}\n"

static void jobs_are_named(void **state)
{
    (void)state;
    expect(NULL, "scrape_configs:\n" JOB("a"), "added job 'a'");
    expect("scrape_configs:\n" JOB("a"), "scrape_configs:\n" JOB("a"), "no change");
    expect("scrape_configs:\n" JOB("a") JOB("b"), "scrape_configs:\n" JOB("b") JOB("c"),
           "removed job 'a'; added job 'c'");
    expect("scrape_configs:\n" JOB("a"), "scrape_configs:\n- {job_name: a, scheme: https}\n", "changed job 'a'");
    /* what a job inherits is part of it */
    expect("scrape_configs:\n" JOB("a"), "global: {scrape_interval: 7s}\nscrape_configs:\n" JOB("a"),
           "changed job 'a'");
    expect("scrape_configs:\n" JOB("a"), "remote_write: [{url: 'http://x/'}]\nscrape_configs:\n" JOB("a"),
           "changed outside the jobs");
}

static void many_are_counted(void **state)
{
    struct bytes text;
    (void)state;
    bytes_init(&text, 65536);
    bytes_append_str(&text, "scrape_configs:\n");
    for (int i = 0; i < 25; i++) {
        bytes_printf(&text, "- {job_name: j%02d}\n", i);
    }
    struct promconf *conf = parse(bytes_view(&text).base);
    char *diff = config_diff(NULL, conf);
    assert_non_null(strstr(diff, "added job 'j19'; and 5 more"));
    assert_null(strstr(diff, "j20"));
    free(diff);
    promconf_unref(conf);
    bytes_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_named),
        cmocka_unit_test(many_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
