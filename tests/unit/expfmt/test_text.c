/* The text format: every row of the reference table, for 2.42 and 3.x, with every split. */
#include "expfmt_test.h"

static const struct golden ROWS[] = {
    {BODY(""), BOTH(OK(0))},
    {BODY("a 1"), BOTH(OK(1))},
    {BODY("\n"), BOTH(OK(0))},
    {BODY("# x\n#y\n"), BOTH(OK(0))},
    {BODY("a{x=\"1\",} 1\na{} 1\na {x=\"1\"} 1\na{x=\"1\"}1\n\ta 1"), REFUSED(4), OK(5)},
    {BODY("a\t{\tx\t=\t\"1\"\t}\t1\t5\t\n"), BOTH(OK(1))},
    {BODY("a{x=\"1\" y=\"2\"} 1\n"), BOTH(OK(1))},
    {BODY("a{,x=\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("b 1\na{x=\"1\",,y=\"2\"} 1\n"), BOTH(BROKEN(1))},
    {BODY("   a 1\n"), REFUSED(0), OK(1)},
    {BODY("a 1\nb 1\r\n"), BOTH(BROKEN(1))},
    {BODY("\xef\xbb\xbf" "a 1\n"), BOTH(BROKEN(0))},
    {BODY("a NaN\nb nan\nc +Inf\nd -Inf\ne Inf\nf inf\ng infinity\nh +1\ni .5\nj 5.\nk 1e3\nl 1E3\n"), BOTH(OK(12))},
    {BODY("a 0x1p-2\n"), BOTH(BROKEN(0))},
    {BODY("a 0x10\n"), BOTH(BROKEN(0))},
    {BODY("a 1_000\n"), BOTH(BROKEN(0))},
    {BODY("a 1e400\n"), BOTH(BROKEN(0))},
    {BODY("a x\n"), BOTH(BROKEN(0))},
    {BODY("a \n"), BOTH(BROKEN(0))},
    {BODY("a 1 1.5\n"), BOTH(BROKEN(0))},
    {BODY("a 1 -5\n"), BOTH(BROKEN(0))},
    {BODY("a 1 5x\n"), BOTH(BROKEN(0))},
    {BODY("a 1 5 6\n"), BOTH(BROKEN(0))},
    {BODY("a 1 9223372036854775808\n"), BOTH(BROKEN(0))},
    {BODY("a 1 9223372036854775807\n"), BOTH(OK(1))},
    {BODY("a 1 0\na 1 4102444800000\n"), BOTH(OK(2))},
    {BODY("a{x=\"\\\\ \\\" \\n \\t\\x\"} 1\n"), BOTH(OK(1))},
    {BODY("a{x=\"1\n2\"} 1\nb 2\n"), BOTH(OK(2))},
    {BODY("a{x=\"1\0002\"} 1\n"), BOTH(OK(1))},
    {BODY("a{x=\"\xff\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("# HELP a \xff\n"), BOTH(BROKEN(0))},
    {BODY("# x \xff\na 1\n"), BOTH(OK(1))},
    {BODY("a{x=\"1} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{x:y=\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{1x=\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("1a 1\n"), BOTH(BROKEN(0))},
    {BODY("a-b 1\n"), BOTH(BROKEN(0))},
    {BODY("{\"a.b\"} 1\n"), BROKEN(0), OK(1)},
    {BODY("a{\"x.y\"=\"1\"} 1\n"), BROKEN(0), OK(1)},
    {BODY("{\"a\",\"b\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{\"b\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("{x=\"1\",\"a b\",y=\"2\"} 1 5\n"), BROKEN(0), OK(1)},
    {BODY("{\"\"} 1\n"), BROKEN(0), REFUSED(0)},
    {BODY("{\"a\xff\"} 1\n"), BROKEN(0), REFUSED(0)},
    {BODY("# HELP \"a.b\" x\n# TYPE \"a.b\" counter\n"), BROKEN(0), OK(0)},
    {BODY("# HELP \"a\nb\" x\na 1\n"), BROKEN(0), OK(1)},
    {BODY("# Help \"a\nb 1\n"), BOTH(OK(1))},
    {BODY("{a=\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{__foo=\"1\"} 1\n"), BOTH(OK(1))},
    {BODY("b 1\na{__name__=\"b\"} 1\n"), BOTH(REFUSED(1))},
    {BODY("a{__name__=\"\"} 1\n"), BOTH(REFUSED(0))},
    {BODY("a{x=\"1\",x=\"2\"} 1\n"), BOTH(REFUSED(0))},
    {BODY("a{x=\"1\",x=\"\"} 1\n"), BOTH(OK(1))},
    {BODY("a{job=\"1\",job=\"2\"} 1\n"), OK(1), {ERR_INVALID, 1, 0, "label name \"job\" is not unique: invalid sample"}},
    {BODY("# TYPE a foo\n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a unknown\n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a\n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a  counter\n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a counter \n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n# TYPE d summary\n# TYPE e untyped\n"), BOTH(OK(0))},
    {BODY("# TYPE\n#TYPE a foo\n# type a foo\n# HELPx a\n"), BOTH(OK(0))},
    {BODY("# TYPE  \n"), BOTH(BROKEN(0))},
    {BODY("# TYPE a-counter\n"), BOTH(OK(0))},
    {BODY("  \n\t# TYPE a counter\na 1 \t\nb 1 5\t \n"), BOTH(OK(2))},
    {BODY("a 1e-400\n"), BOTH(OK(1))},
    {BODY("a 123456789012345678901234567890\n"), BOTH(OK(1))},
    {BODY("a +nan\n"), BOTH(BROKEN(0))},
    {BODY("a\f1\n"), BOTH(BROKEN(0))},
    {BODY("a 1\n#x\0y\nb 1\n"), BOTH(OK(1))},
    {BODY("a 1\n# x\0y\nb 1\n"), BOTH(OK(2))},
    {BODY("a 1\n# \0y\nb 1\n"), BOTH(OK(1))},
    {BODY("a 1\n\0\nb{{{ 1\n"), BOTH(OK(1))},
    {BODY("# TYPE a counter\n# TYPE a gauge\na 1\n# TYPE a gauge\n"), BOTH(OK(1))},
    {BODY("# EOF\na 1\n"), BOTH(OK(1))},
    {BODY("a 1 # {x=\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a 1\na 1\na 2\n"), BOTH(OK(3))},
    {BODY("a 1 1\na 1 2\n"), BOTH(OK(2))},
    {BODY("# HELP a\n# HELP a \n"), BOTH(OK(0))},
    {BODY("# HELP a\0b\n"), BOTH(BROKEN(0))},
    {BODY("# H\0ELP\0 \0a b\n"), BOTH(OK(0))},
    {BODY("a{x=\"1\"\0} 1\n"), BOTH(OK(1))},
    {BODY("a{x= \0\"1\"} 1\n"), BOTH(OK(1))},
    {BODY("a{x=\0\"1\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{x=\"\\\n\"} 1\n"), BOTH(BROKEN(0))},
    {BODY("a 1\0\n"), BOTH(BROKEN(0))},
    {BODY("a+1\nb.5\n"), BOTH(OK(2))},
    {BODY("a{}{} 1\n"), BOTH(BROKEN(0))},
    {BODY("a{x=\"1\""), BOTH(BROKEN(0))},
    {BODY("a{x=\""), BOTH(BROKEN(0))},
    {BODY("a"), BOTH(BROKEN(0))},
    {BODY("#"), BOTH(OK(0))},
    {BODY("# TYPE a counter"), BOTH(OK(0))},
};

static void test_table(void **state)
{
    (void)state;
    check_golden(ROWS, sizeof(ROWS) / sizeof(ROWS[0]), EXPOSITION_TEXT);
}

static struct counter *strict_counter(size_t line_bytes_max, uint64_t body_size_limit)
{
    const struct counter_conf conf = {.mode = COUNT_STRICT,
                                      .major = PROMETHEUS_2,
                                      .line_bytes_max = line_bytes_max,
                                      .body_size_limit = body_size_limit};
    return counter_new(&conf);
}

/* A line of exactly the limit passes, one byte more does not, whatever the split. */
static void test_line_limit(void **state)
{
    (void)state;
    struct counter *c = strict_counter(17, 0);
    struct count n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb{x=\"34567890\"} 1\nc 1\n"));
    assert_int_equal(n.code, ERR_LIMIT);
    assert_int_equal(n.scraped, 1);
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb{x=\"34567890\"} 1"));
    assert_int_equal(n.code, ERR_LIMIT);
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb{x=\"3456789\"} 1\nc 1\n"));
    assert_int_equal(n.code, 0);
    assert_int_equal(n.scraped, 3);
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb{x=\"3456789\"} 1"));
    assert_int_equal(n.code, 0);
    assert_int_equal(n.scraped, 2);
    /* what is wrong within the limit is wrong, not too long */
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb{x=\"\xff\"} 1 and so on, for more than the limit\n"));
    assert_int_equal(n.code, ERR_PARSE);
    counter_free(&c);
}

/* Exactly the limit fails, nothing of the body counts, not even an earlier syntax error. */
static void test_body_limit(void **state)
{
    (void)state;
    struct counter *c = strict_counter(0, 8);
    struct count n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb 2"));
    assert_int_equal(n.code, 0);
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("a 1\nb 2\n"));
    assert_int_equal(n.code, ERR_LIMIT);
    assert_string_equal(n.msg, "body size limit exceeded");
    assert_int_equal(n.scraped, 0);
    n = count_all_splits(c, EXPOSITION_TEXT, NULL, BODY("{ 1\na 1\nb 2\n"));
    assert_int_equal(n.code, ERR_LIMIT);
    counter_free(&c);
}

static void test_error_stays(void **state)
{
    (void)state;
    struct counter *c = strict_counter(0, 0);
    struct errctx err = ERRCTX_INIT, again = ERRCTX_INIT;
    struct counter_result result;
    counter_start(c, EXPOSITION_TEXT, NULL);
    assert_int_equal(counter_feed(c, "a 1\nb x\nc 1\n", 12, &err), ERR_PARSE);
    assert_int_equal(counter_feed(c, "d 1\n", 4, &again), ERR_PARSE);
    assert_string_equal(err.msg, again.msg);
    assert_int_equal(counter_finish(c, &result, &again), ERR_PARSE);
    assert_int_equal(result.scraped, 1);
    assert_int_equal(result.body_bytes, 16);
    counter_start(c, EXPOSITION_TEXT, NULL);
    assert_int_equal(counter_feed(c, "a 1\n", 4, &again), 0);
    assert_int_equal(counter_finish(c, &result, &again), 0);
    assert_int_equal(result.scraped, 1);
    counter_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
