/* Errors: the first one wins, prefixes come in front, and no message outgrows its buffer. */
#include "base_test.h"

#include <errno.h>

static void test_first_error_wins(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(errctx_set(&err, ERR_PARSE, "unknown action '%s'", "kep"), ERR_PARSE);
    assert_int_equal(errctx_set(&err, ERR_IO, "later"), ERR_IO);
    assert_int_equal(err.code, ERR_PARSE);
    assert_int_equal(errctx_prefix(&err, ERR_PARSE, "relabel_configs[%d]", 2), ERR_PARSE);
    errctx_prefix(&err, ERR_PARSE, "prometheus.yml:41:7");
    assert_string_equal(err.msg, "prometheus.yml:41:7: relabel_configs[2]: unknown action 'kep'");
    errctx_clear(&err);
    assert_int_equal(errctx_prefix(&err, ERR_IO, "nothing to prefix"), ERR_IO);
    assert_string_equal(err.msg, "");
    assert_int_equal(err.code, 0);
}

static void test_null_is_welcome(void **state)
{
    (void)state;
    assert_int_equal(errctx_set(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
    assert_int_equal(errctx_prefix(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
    assert_int_equal(errctx_set_errno(NULL, EACCES, "x"), ERR_IO);
    assert_int_equal(errctx_set_errno(NULL, ENOENT, "x"), ERR_NOT_FOUND);
    errctx_clear(NULL);
}

static void test_errno(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(errctx_set_errno(&err, ENOENT, "open(%s)", "a"), ERR_NOT_FOUND);
    assert_string_equal(err.msg, "open(a): No such file or directory");
    errctx_set_errno(&err, EACCES, "later");
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_long_messages_are_cut(void **state)
{
    (void)state;
    char text[2 * ERRCTX_MSG_MAX];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int len = ERRCTX_MSG_MAX - 20; len < ERRCTX_MSG_MAX + 20; len++) {
        struct errctx err = ERRCTX_INIT;
        errctx_set(&err, ERR_PARSE, "%.*s", len, text);
        assert_true(strlen(err.msg) < ERRCTX_MSG_MAX);
        errctx_prefix(&err, ERR_PARSE, "where");
        assert_true(strlen(err.msg) < ERRCTX_MSG_MAX);
        assert_memory_equal(err.msg, "where: x", 8);
        errctx_prefix(&err, ERR_PARSE, "%.*s", len, text);
        assert_true(strlen(err.msg) < ERRCTX_MSG_MAX);
        errctx_clear(&err);
        errctx_set_errno(&err, EIO, "%.*s", len, text);
        assert_true(strlen(err.msg) < ERRCTX_MSG_MAX);
    }
}

static void test_every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = ERR_AGAIN; code >= ERR_CANCELLED; code--) {
        assert_string_not_equal(err_name(code), "unknown");
    }
    assert_string_equal(err_name(0), "ok");
    assert_string_equal(err_name(-1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins), cmocka_unit_test(test_null_is_welcome), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_long_messages_are_cut), cmocka_unit_test(test_every_code_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
