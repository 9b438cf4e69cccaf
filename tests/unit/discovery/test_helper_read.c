/* What the helper Prometheus answers: labels its own jobs added are taken away, discovered ones stay; figures by entry. */
#include "discovery/helper_child.h"
#include "discovery/helper_read.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#define ADDED                                                                                                          \
    "\"__scheme__\":\"kvass-none\",\"__metrics_path__\":\"/kvass-none\",\"__scrape_interval__\":\"6d23h59m\","         \
    "\"__scrape_timeout__\":\"5d23h59m\",\"__scrape_native_histograms__\":\"false\""

static struct target_group *read_good(const char *text)
{
    struct target_group *g = NULL;
    struct errctx err = ERRCTX_INIT;
    if (helper_read_targets(view_of(text), "kvass-1", &g, &err) != 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    return g;
}

static void test_added_labels_go(void **state)
{
    (void)state;
    struct target_group *g = read_good("{\"status\":\"success\",\"data\":{\"activeTargets\":[],\"droppedTargets\":["
                                       "{\"discoveredLabels\":{\"__address__\":\"h:1\",\"job\":\"kvass-1\"," ADDED "},"
                                       "\"scrapePool\":\"kvass-1\"},"
                                       "{\"discoveredLabels\":{\"__address__\":\"h:2\",\"job\":\"own\",\"x\":\"\\u0000\","
                                       "\"__scheme__\":\"https\",\"__metrics_path__\":\"/m\"}}]}}");
    assert_int_equal(g->count, 2);
    assert_int_equal(labels_count(g->common), 0);
    assert_int_equal(labels_count(g->targets[0]), 1);
    assert_true(view_is(labels_get(g->targets[0], VIEW("__address__")), "h:1"));
    assert_int_equal(labels_count(g->targets[1]), 5);
    assert_true(view_is(labels_get(g->targets[1], VIEW("job")), "own"));
    assert_true(view_equal(labels_get(g->targets[1], VIEW("x")), view_make("\0", 1)));
    target_group_unref(g);
    g = read_good("{\"data\":{\"droppedTargets\":[]}}");
    assert_int_equal(g->count, 0);
    target_group_unref(g);
}

static void test_other_answers_are_refused(void **state)
{
    static const char *const BAD[] = {"", "[]", "{}", "<html>", "{\"data\":{\"droppedTargets\":null}}",
                                      "{\"data\":{\"droppedTargets\":[]}", "{\"data\":{\"droppedTargets\":{}}}"};
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct target_group *g = NULL;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(helper_read_targets(view_of(BAD[i]), "p", &g, &err), ERR_PARSE);
        assert_null(g);
    }
    struct target_group *g = read_good("{\"data\":{\"droppedTargets\":[null,1,{\"discoveredLabels\":5},"
                                       "{\"discoveredLabels\":{\"a\":1,\"b\":\"c\"}}]}}");
    assert_int_equal(g->count, 1);
    assert_int_equal(labels_count(g->targets[0]), 1);
    target_group_unref(g);
}

static void test_figures(void **state)
{
    static const char TEXT[] = "# HELP prometheus_sd_discovered_targets x\n"
                               "prometheus_sd_discovered_targets{config=\"kvass-1\",name=\"scrape\"} 12\n"
                               "prometheus_sd_discovered_targets{config=\"kvass-11\",name=\"scrape\"} 3\n"
                               "prometheus_sd_refresh_duration_seconds_count{mechanism=\"ec2\"} 1e+03\n"
                               "prometheus_sd_refresh_duration_seconds_count{mechanism=\"dns\",config=\"kvass-1\"} 7\n"
                               "prometheus_sd_refresh_failures_total{mechanism=\"ec2\"} 4";
    struct helper_figures f;
    (void)state;
    helper_read_metrics(view_of(TEXT), "kvass-1", "ec2", &f);
    assert_int_equal(f.discovered, 12);
    assert_int_equal(f.refreshes, 1000);
    assert_int_equal(f.failures, 4);
    helper_read_metrics(view_of(TEXT), "kvass-1", "dns", &f);
    assert_int_equal(f.refreshes, 7);
    assert_int_equal(f.failures, 0);
    helper_read_metrics(view_of(TEXT), "kvass-2", "gce", &f);
    assert_int_equal(f.discovered, -1);
    assert_int_equal(f.refreshes, 0);
    helper_read_metrics(VIEW(""), "kvass-2", "gce", &f);
    assert_int_equal(f.discovered, -1);
}

static void test_words_of_a_log_line(void **state)
{
    char words[24];
    (void)state;
    assert_true(helper_log_error(VIEW("level=error err=\"a \\\"b\\\"\\n c\" x=1"), words, sizeof(words)));
    assert_string_equal(words, "a \"b\"  c");
    assert_true(helper_log_error(VIEW("x err=plain y=1"), words, sizeof(words)));
    assert_string_equal(words, "plain");
    assert_true(helper_log_error(VIEW("x err=\"unended and much longer than fits\\"), words, sizeof(words)));
    assert_int_equal(strlen(words), sizeof(words) - 1);
    assert_false(helper_log_error(VIEW("x err=\"\""), words, sizeof(words)));
    assert_false(helper_log_error(VIEW("no words"), words, sizeof(words)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_labels_go),
        cmocka_unit_test(test_other_answers_are_refused),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_words_of_a_log_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tests", tests, NULL, NULL);
}
