/* Content types, as Prometheus chooses its parser by them. */
#include "expfmt_test.h"

struct row {
    const char *content_type, *fallback;
    int format2, format3; /* -1: refused */
};

static void test_content_types(void **state)
{
    static const struct row rows[] = {
        {"text/plain; version=0.0.4", "", EXPOSITION_TEXT, EXPOSITION_TEXT},
        {"text/plain;version=1.0.0;escaping=allow-utf-8", "", EXPOSITION_TEXT, EXPOSITION_TEXT},
        {"TEXT/Plain", "", EXPOSITION_TEXT, EXPOSITION_TEXT},
        {"application/openmetrics-text; version=1.0.0; charset=utf-8", "", EXPOSITION_OPENMETRICS,
         EXPOSITION_OPENMETRICS},
        {"application/openmetrics-text", "", EXPOSITION_OPENMETRICS, EXPOSITION_OPENMETRICS},
        {"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", "",
         EXPOSITION_PROTOBUF, EXPOSITION_PROTOBUF},
        {"application/openmetrics-text; charset=\"utf-8\";", "", EXPOSITION_OPENMETRICS, EXPOSITION_OPENMETRICS},
        {"application/openmetrics-text; charset", "", EXPOSITION_TEXT, -1},
        {"application/openmetrics-text;;", "", EXPOSITION_TEXT, -1},
        {"", "", EXPOSITION_TEXT, -1},
        {"application/json", "", EXPOSITION_TEXT, -1},
        {"text/html; charset=utf-8", "", EXPOSITION_TEXT, -1},
        {"", "PrometheusText0.0.4", EXPOSITION_TEXT, EXPOSITION_TEXT},
        {"application/json", "OpenMetricsText1.0.0", EXPOSITION_TEXT, EXPOSITION_OPENMETRICS},
        {"x", "PrometheusProto", EXPOSITION_TEXT, EXPOSITION_PROTOBUF},
        {"text/plain", "PrometheusProto", EXPOSITION_TEXT, EXPOSITION_TEXT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major += PROMETHEUS_3_8 - PROMETHEUS_2) {
            enum exposition_format got = EXPOSITION_TEXT;
            struct errctx err = ERRCTX_INIT;
            int want = major == PROMETHEUS_2 ? rows[i].format2 : rows[i].format3;
            int rc = exposition_format_parse(view_of(rows[i].content_type), view_of(rows[i].fallback),
                                             (enum prometheus_major)major, &got, &err);
            if (rc != (want < 0 ? ERR_INVALID : 0) || (rc == 0 && (int)got != want)) {
                fail_msg("'%s' for %d: %d, format %d", rows[i].content_type, major, rc, (int)got);
            }
        }
    }
}

static void test_words(void **state)
{
    enum exposition_format got;
    struct errctx err = ERRCTX_INIT;
    (void)state;
    assert_int_equal(exposition_format_parse(VIEW("text/html"), VIEW(""), PROMETHEUS_3, &got, &err), ERR_INVALID);
    assert_string_equal(
        err.msg,
        "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target");
    assert_string_equal(exposition_format_name(EXPOSITION_OPENMETRICS), "openmetrics");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_content_types), cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
