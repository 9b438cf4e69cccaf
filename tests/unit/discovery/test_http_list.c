/* Answers of an http_sd server: which types count, what a group carries, what refuses a list. */
#include "discovery/http_list.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static int read_list(const char *type, const char *body, struct group_list *ret, struct errctx *err)
{
    return http_list_read("http://h/sd", PROMETHEUS_2, view_of(type), view_of(body), ret, err);
}

static void test_types(void **state)
{
    static const struct {
        const char *type;
        bool counts;
    } CASES[] = {
        {"application/json", true},
        {"Application/JSON", true},
        {"application/json; charset=utf-8", true},
        {"application/json;charset=UTF-8", true},
        {"application/json;   charset=\"utf-8\"", true},
        {"application/json; charset=latin1", false},
        {"application/json; charset='utf-8'", false},
        {"application/json ; charset=utf-8", false},
        {"application/json;", false},
        {"application/json; charset=utf-8; q=1", false},
        {"application/jsonx", false},
        {"text/plain", false},
        {"", false},
        {NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct group_list list = {0};
        struct errctx err = ERRCTX_INIT;
        int rc = read_list(CASES[i].type, "[]", &list, &err);
        if ((rc == 0) != CASES[i].counts) {
            fail_msg("%s: %d", CASES[i].type, rc);
        }
        assert_true(rc == 0 || rc == ERR_INVALID);
    }
}

static void test_groups(void **state)
{
    struct group_list list = {0};
    struct errctx err = ERRCTX_INIT;
    (void)state;
    assert_int_equal(read_list("application/json",
                               "[{\"targets\":[\"a:1\",\"b:2\"],\"labels\":{\"__meta_url\":\"mine\",\"x\":\"y\"}},{}]",
                               &list, &err),
                     0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0]->source, "http://h/sd:0");
    assert_string_equal(list.items[1]->source, "http://h/sd:1");
    assert_int_equal(list.items[0]->count, 2);
    assert_true(view_is(labels_get(list.items[0]->common, VIEW("__meta_url")), "http://h/sd")); /* ours wins */
    assert_true(view_is(labels_get(list.items[0]->common, VIEW("x")), "y"));
    group_list_done(&list);
    assert_int_equal(read_list("application/json", "null", &list, &err), 0);
    assert_int_equal(list.count, 0);
    group_list_done(&list);
}

static void test_refused(void **state)
{
    static const char *const BODIES[] = {"",
                                         "{}",
                                         "[{\"targets\":[\"a\"]},null]",
                                         "[{\"targets\":[1]}]",
                                         "[{\"target\":[]}]",
                                         "[1]",
                                         "[[]]",
                                         "[{\"labels\":{\"a\":1}}]",
                                         "[{\"labels\":{\"1\":\"\"}}]",
                                         "[{}",
                                         "\x1f\x8b\x08"};
    (void)state;
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        struct group_list list = {0};
        struct errctx err = ERRCTX_INIT;
        assert_int_not_equal(read_list("application/json", BODIES[i], &list, &err), 0);
        assert_null(list.items);
        assert_non_null(strstr(err.msg, "the answer"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
