/* Numbers as Go takes them. */
#include "expfmt_test.h"

#include "expfmt/float_text.h"
#include "expfmt/number.h"

struct row {
    const char *text;
    enum number_kind want;
};

static void test_floats(void **state)
{
    static const struct row rows[] = {
        {"0", NUMBER_FINITE},
        {"-0", NUMBER_FINITE},
        {"+1", NUMBER_FINITE},
        {".5", NUMBER_FINITE},
        {"5.", NUMBER_FINITE},
        {"1e3", NUMBER_FINITE},
        {"1E-3", NUMBER_FINITE},
        {"1e+400", NUMBER_RANGE},
        {"1e400", NUMBER_RANGE},
        {"-1e400", NUMBER_RANGE},
        {"1e-400", NUMBER_FINITE},
        {"0e99999", NUMBER_FINITE},
        {"1e99999999999", NUMBER_RANGE},
        {"0.0000e9999999", NUMBER_FINITE},
        {"Inf", NUMBER_INFINITE},
        {"-infinity", NUMBER_INFINITE},
        {"+INF", NUMBER_INFINITE},
        {"infinit", NUMBER_BAD},
        {"nan", NUMBER_NAN},
        {"NaN", NUMBER_NAN},
        {"+nan", NUMBER_BAD},
        {"-NaN", NUMBER_BAD},
        {"", NUMBER_BAD},
        {"+", NUMBER_BAD},
        {".", NUMBER_BAD},
        {"-.e1", NUMBER_BAD},
        {"1e", NUMBER_BAD},
        {"1e+", NUMBER_BAD},
        {"1e1.5", NUMBER_BAD},
        {"1.2.3", NUMBER_BAD},
        {"0x10", NUMBER_BAD},
        {"1_0", NUMBER_BAD},
        {"1 ", NUMBER_BAD},
        {"1.7976931348623157e308", NUMBER_FINITE},
        {"1.7976931348623158e308", NUMBER_FINITE},
        {"1.7976931348623159e308", NUMBER_RANGE},
        {"179769313486231570000e288", NUMBER_FINITE},
        {"0.00017976931348623159e312", NUMBER_RANGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (number_float_kind(view_of(rows[i].text)) != rows[i].want) {
            fail_msg("%s: %d", rows[i].text, (int)number_float_kind(view_of(rows[i].text)));
        }
    }
}

/* The exact place where rounding to infinity begins: 2^1024 - 2^970, written out by repeated doubling. */
static void test_overflow_boundary(void **state)
{
    char digits[400] = "1", less[400];
    size_t len = 1;
    (void)state;
    for (int i = 0; i < 54; i++) { /* 2^54 - 1 = (2^1024 - 2^970) / 2^970 */
        unsigned carry = 0;
        for (size_t k = len; k-- > 0;) {
            unsigned d = (unsigned)(digits[k] - '0') * 2 + carry;
            digits[k] = (char)('0' + d % 10);
            carry = d / 10;
        }
        if (carry != 0) {
            memmove(digits + 1, digits, len++);
            digits[0] = (char)('0' + carry);
        }
    }
    digits[len - 1]--; /* ends in 4: no borrow */
    for (int i = 0; i < 970; i++) {
        unsigned carry = 0;
        for (size_t k = len; k-- > 0;) {
            unsigned d = (unsigned)(digits[k] - '0') * 2 + carry;
            digits[k] = (char)('0' + d % 10);
            carry = d / 10;
        }
        if (carry != 0) {
            memmove(digits + 1, digits, len++);
            digits[0] = (char)('0' + carry);
        }
    }
    assert_int_equal(len, 309);
    assert_int_equal(number_float_kind(view_make(digits, len)), NUMBER_RANGE);
    memcpy(less, digits, len);
    less[len - 1]--;
    assert_int_equal(number_float_kind(view_make(less, len)), NUMBER_FINITE);
}

static void test_int64(void **state)
{
    (void)state;
    assert_true(number_fits_int64(VIEW("0")));
    assert_true(number_fits_int64(VIEW("9223372036854775807")));
    assert_false(number_fits_int64(VIEW("9223372036854775808")));
    assert_false(number_fits_int64(VIEW("10000000000000000000")));
    assert_true(number_fits_int64(VIEW("00000000000000000000000000000001")));
}

static void test_whole(void **state)
{
    (void)state;
    assert_int_equal(number_whole(VIEW("0")), 0);
    assert_int_equal(number_whole(VIEW("1395066363000")), 1395066363000);
    assert_int_equal(number_whole(VIEW("0000000000000000000000012")), 12);
    assert_int_equal(number_whole(VIEW("-12.9")), -12);
    assert_int_equal(number_whole(VIEW("1.25e1")), 12);
    assert_int_equal(number_whole(VIEW("125e-1")), 12);
    assert_int_equal(number_whole(VIEW("1e3")), 1000);
    assert_int_equal(number_whole(VIEW(".5")), 0);
    assert_int_equal(number_whole(VIEW("0e99999")), 0);
    assert_true(number_whole(VIEW("1e30")) == INT64_MAX);
}

static void check_text(double d, const char *want)
{
    char buf[FLOAT_TEXT_MAX];
    struct view got = float_text(d, buf);
    if (!view_is(got, want)) {
        fail_msg("want %s, got %.*s", want, VIEW_FMT(got));
    }
}

static void test_float_text(void **state)
{
    char buf[FLOAT_TEXT_MAX];
    (void)state;
    check_text(0, "0.0");
    check_text(1, "1.0");
    check_text(-1, "-1.0");
    check_text(0.1, "0.1");
    check_text(100000, "100000.0");
    check_text(1e6, "1e+06");
    check_text(1234567, "1.234567e+06");
    check_text(0.0001, "0.0001");
    check_text(0.00001, "1e-05");
    check_text(1e-7, "1e-07");
    check_text(1e100, "1e+100");
    check_text(-2.5, "-2.5");
    assert_true(view_is(float_text_normalise(VIEW("1"), buf), "1.0"));
    assert_true(view_is(float_text_normalise(VIEW("+.50"), buf), "0.5"));
    assert_true(view_is(float_text_normalise(VIEW("1e6"), buf), "1e+06"));
    assert_true(view_is(float_text_normalise(VIEW("Inf"), buf), "+Inf"));
    assert_true(view_is(float_text_normalise(VIEW("-0"), buf), "-0.0") ||
                view_is(float_text_normalise(VIEW("-0"), buf), "0.0"));
    assert_true(float_text_normalise(VIEW("x"), buf).base == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_overflow_boundary),
        cmocka_unit_test(test_int64),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_float_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
