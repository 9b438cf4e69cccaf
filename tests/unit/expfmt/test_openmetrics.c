/* OpenMetrics: every row of the reference table, for 2.42 and 3.x, with every split. */
#include "expfmt_test.h"

#define E "# EOF\n"

static const struct golden ROWS[] = {
    {BODY(""), BROKEN(0), OK(0)},
    {BODY("a 1\n"), BOTH(BROKEN(1))},
    {BODY("# EOF"), BOTH(OK(0))},
    {BODY("a 1\n# EOF"), BOTH(OK(1))},
    {BODY("a 1\n" E), BOTH(OK(1))},
    {BODY("a 1\n" E "\n"), BOTH(BROKEN(1))},
    {BODY("a 1\n" E "a 1\n"), BOTH(BROKEN(1))},
    {BODY("# EOFx\n"), BOTH(BROKEN(0))},
    {BODY("# foo\n" E), BOTH(BROKEN(0))},
    {BODY("\n" E), BOTH(BROKEN(0))},
    {BODY("a 1\r\n" E), BOTH(BROKEN(0))},
    {BODY("a\t1\n" E), BOTH(BROKEN(0))},
    {BODY("a  1\n" E), BOTH(BROKEN(0))},
    {BODY("a{x=\"1\", y=\"2\"} 1\n" E), BOTH(BROKEN(0))},
    {BODY("a{x=\"1\",} 1\n" E), BROKEN(0), OK(1)},
    {BODY("a{,x=\"1\"} 1\n" E), BOTH(BROKEN(0))},
    {BODY("a {x=\"1\"} 1\n" E), BOTH(BROKEN(0))},
    {BODY("# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n# TYPE d gaugehistogram\n# TYPE e summary\n# TYPE f "
          "info\n"
          "# TYPE g stateset\n# TYPE h unknown\n" E),
     BOTH(OK(0))},
    {BODY("# TYPE a untyped\n" E), BOTH(BROKEN(0))},
    {BODY("# HELP a\n" E), BOTH(BROKEN(0))},
    {BODY("# HELP a \n" E), BOTH(OK(0))},
    {BODY("# HELP a \xff\n" E), BOTH(BROKEN(0))},
    {BODY("a 1 1.5\nb 1 1e3\nc 1 -5\n" E), BOTH(OK(3))},
    {BODY("a 1 NaN\n" E), BOTH(BROKEN(0))},
    {BODY("a 1 +Inf\n" E), BOTH(BROKEN(0))},
    {BODY("a_total 1 # {x=\"1\"} 1\nb_bucket{le=\"1\"} 1 5 # {x=\"1\"} 1 5\n" E), BOTH(OK(2))},
    {BODY("a 1 # {x=\"1\"} 1\n" E), BROKEN(0), OK(1)},
    {BODY("a_total 1 # {x=\"1\"}\n" E), BOTH(BROKEN(0))},
    {BODY("a_total 1 # {} 1\n" E), BOTH(OK(1))},
    {BODY("a_total 1 # {x=\"1\"} 1 NaN\n" E), BOTH(BROKEN(0))},
    {BODY("# UNIT a_seconds seconds\n# UNIT a \n" E), BOTH(OK(0))},
    {BODY("# UNIT a seconds\n" E), BOTH(BROKEN(0))},
    {BODY("# UNIT seconds seconds\n" E), BOTH(BROKEN(0))},
    {BODY("# TYPE a counter\na 1\na 1\nb 1\na_created 1\n" E), BOTH(OK(4))},
    {BODY("a{x=\"# {\"} 1\n" E), BOTH(OK(1))},
    {BODY("a{x=\"1\n2\"} 1\n" E), BOTH(BROKEN(0))},
    {BODY("a{x=\"\\n\\q\"} 1\n" E), BOTH(OK(1))},
    {BODY("a{x=\"\xff\"} 1\n" E), BOTH(BROKEN(0))},
    {BODY("# EOF\0"), BOTH(OK(0))},
    {BODY("# E\0OF\n"), BOTH(OK(0))},
    {BODY("\0# EOF\n"), BOTH(BROKEN(0))},
    {BODY("{\"a.b\",\"x.y\"=\"1\"} 1\n" E), BROKEN(0), OK(1)},
    {BODY("# HELP \"a\nb\" x\na 1\n" E), BROKEN(0), OK(1)},
    {BODY("a_total 1 # {\"x.y\"=\"1\"} 1\n" E), BROKEN(0), OK(1)},
    {BODY("a{x=\"1\",x=\"2\"} 1\n" E), BOTH(REFUSED(0))},
    {BODY("a 1e400\n" E), BOTH(BROKEN(0))},
    {BODY(" a 1\n" E), BOTH(BROKEN(0))},
    {BODY("a{x=\"1\"}"), BOTH(BROKEN(0))},
};

static void test_table(void **state)
{
    (void)state;
    check_golden(ROWS, sizeof(ROWS) / sizeof(ROWS[0]), EXPOSITION_OPENMETRICS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
