/* The capped buffer: what is appended comes back, and the cap holds whatever the order of appends. */
#include "base_test.h"

static void test_appends_come_back(void **state)
{
    (void)state;
    struct bytes b;
    bytes_init(&b, 1000);
    bytes_append_str(&b, "ab");
    bytes_append_char(&b, 'c');
    bytes_append(&b, "d\0e", 3);
    bytes_append_u64(&b, 0);
    bytes_append_u64(&b, UINT64_MAX);
    bytes_append_view(&b, VIEW("!"));
    bytes_append(&b, NULL, 0);
    bytes_printf(&b, "%s-%d", "x", 7);
    static const char WANT[] = "abcd\0e018446744073709551615!x-7";
    assert_int_equal(b.len, sizeof(WANT) - 1);
    assert_memory_equal(b.base, WANT, sizeof(WANT)); /* the NUL behind as well */
    assert_int_equal(bytes_check(&b, NULL), 0);
    bytes_done(&b);
}

static void test_cap_is_exact_and_sticky(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    struct bytes b;
    bytes_init(&b, 5);
    bytes_append_str(&b, "12345");
    assert_int_equal(bytes_check(&b, NULL), 0);
    bytes_append_char(&b, '6');
    bytes_append_str(&b, "");
    assert_int_equal(bytes_check(&b, &err), ERR_LIMIT);
    assert_contains(err.msg, "larger than 5 bytes");
    assert_string_equal(b.base, "12345");
    bytes_clear(&b);
    assert_int_equal(bytes_check(&b, NULL), 0);
    bytes_printf(&b, "%s", "123456");
    assert_int_equal(b.len, 0);
    assert_int_equal(bytes_check(&b, NULL), ERR_LIMIT);
    bytes_done(&b);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    struct bytes b;
    bytes_init(&b, 100000);
    size_t total = 0;
    for (size_t n = 0; n < 300; n++) {
        char *to = bytes_reserve(&b, n);
        assert_non_null(to);
        memset(to, 'a' + (int)(n % 26), n);
        bytes_commit(&b, n / 2); /* less than reserved */
        total += n / 2;
    }
    assert_int_equal(b.len, total);
    assert_int_equal(strlen(b.base), total);
    assert_null(bytes_reserve(&b, 100001 - total));
    assert_null(bytes_reserve(&b, SIZE_MAX));
    bytes_done(&b);
}

static void test_unlimited_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct bytes b;
    bytes_init(&b, SIZE_MAX);
    bytes_append_str(&b, "x");
    assert_null(bytes_reserve(&b, SIZE_MAX - 1));
    assert_int_equal(bytes_check(&b, NULL), ERR_LIMIT);
    bytes_done(&b);
}

static void test_consume_and_take(void **state)
{
    (void)state;
    struct bytes b;
    size_t len;
    bytes_init(&b, 100);
    bytes_consume(&b, 0);
    assert_string_equal(bytes_view(&b).base, "");
    bytes_append_str(&b, "header body");
    bytes_consume(&b, 7);
    assert_string_equal(b.base, "body");
    char *taken = bytes_take(&b, &len);
    assert_string_equal(taken, "body");
    assert_int_equal(len, 4);
    assert_int_equal(b.len, 0);
    free(taken);
    taken = bytes_take(&b, NULL);
    assert_string_equal(taken, "");
    free(taken);
    bytes_append_str(&b, "again");
    assert_string_equal(b.base, "again");
    bytes_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_come_back),     cmocka_unit_test(test_cap_is_exact_and_sticky),
        cmocka_unit_test(test_reserve_and_commit),    cmocka_unit_test(test_unlimited_refuses_what_cannot_be),
        cmocka_unit_test(test_consume_and_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
