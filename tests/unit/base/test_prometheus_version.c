/* Version texts: what each counts as, and what is none. Options, commands and servers' answers all come here. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prometheus_version.h"

static void test_what_counts_as_what(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
    } ROWS[] = {
        {"2", "2.42"},
        {"2.x", "2.42"},
        {"2.30.0", "2.42"},
        {"2.42.0+ds", "2.42"},
        {"2.49.1", "2.42"},
        {"2.50.0", "2.53"},
        {"2.53.3+ds1", "2.53"},
        {"2.55", "2.53"},
        {"3.0", "3.5"},
        {"3.0.0-rc.1", "3.5"},
        {"3.5.3+ds-2~bpo1", "3.5"},
        {"3.7.9", "3.5"},
        {"3.8.0", "3.8"},
        {"3.14", "3.8"},
        {"3", "3.8"},
        {"3.x", "3.8"},
        {"3.5-rc", "3.5"},
        {"2.53.3+ds1-2", "2.53"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        enum prometheus_major major;
        assert_int_equal(prometheus_version_parse(ROWS[i].text, &major, NULL), 0);
        assert_string_equal(prometheus_major_name(major), ROWS[i].name);
    }
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const ROWS[] = {"",
                                       "x",
                                       "1.8",
                                       "4.0",
                                       "22.1",
                                       "2.",
                                       "2.x.1",
                                       "2x",
                                       "2.42.",
                                       "2.42.0.1",
                                       "2.42.x",
                                       "3.5-",
                                       "2.42.0+",
                                       "2.42.0 +ds",
                                       "2.42ds",
                                       "2.1234567",
                                       "2.42.0\n",
                                       "-2.42",
                                       "2.-1",
                                       "2.+42",
                                       "auto",
                                       "2.42.0+\xc3\xa4",
                                       "2.42.0+0123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        enum prometheus_major major = PROMETHEUS_3;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(prometheus_version_parse(ROWS[i], &major, &err), ERR_INVALID);
        assert_int_equal(major, PROMETHEUS_3);
        assert_int_equal(prometheus_version_or(ROWS[i], PROMETHEUS_2_53), PROMETHEUS_2_53);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_counts_as_what), cmocka_unit_test(test_what_is_none)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
