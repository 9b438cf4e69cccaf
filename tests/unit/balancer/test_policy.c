/* What operators say about jobs and zones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "balancer/policy.h"
#include "base/intern.h"

static void test_jobs(void **state)
{
    (void)state;
    static const char *const ITEMS[] = {"a=2", "b=every", "c=d=3"};
    struct policy p;
    assert_int_equal(policy_init(&p, ITEMS, 3, "", NULL), 0);
    assert_int_equal(policy_want(&p, intern("a")), 2);
    assert_true(policy_want(&p, intern("b")) == PLAN_EVERY_GROUP);
    assert_int_equal(policy_want(&p, intern("c=d")), 3);
    assert_int_equal(policy_want(&p, intern("e")), 1);
    assert_int_equal(policy_want(NULL, intern("a")), 1);
    policy_done(&p);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "a", "=1", "a=", "a=0", "a=-1", "a=+1", "a=1x", "a=101", "a=99999999999999999999", "a= 1", "a=Every"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct policy p;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(policy_init(&p, &BAD[i], 1, "", &err), ERR_INVALID);
        assert_non_null(strstr(err.msg, BAD[i]));
        policy_done(&p);
    }
    static const char *const TWICE[] = {"a=1", "a=2"};
    struct policy p;
    assert_int_equal(policy_init(&p, TWICE, 2, "", NULL), ERR_INVALID);
    policy_done(&p);
}

static void test_zones(void **state)
{
    (void)state;
    const struct label after[] = {{VIEW("rack"), VIEW("r1")}},
                       before[] = {{VIEW("__meta_zone"), VIEW("z1")}, {VIEW("rack"), VIEW("r9")}};
    struct labels *labels = labels_make(after, 1), *discovered = labels_make(before, 2);
    struct policy p;
    assert_int_equal(policy_init(&p, NULL, 0, "rack", NULL), 0);
    assert_true(view_is(policy_zone(&p, labels, discovered), "r1")); /* after relabelling first */
    policy_done(&p);
    assert_int_equal(policy_init(&p, NULL, 0, "__meta_zone", NULL), 0);
    assert_true(view_is(policy_zone(&p, labels, discovered), "z1"));
    assert_int_equal(policy_zone(&p, labels, NULL).len, 0);
    policy_done(&p);
    assert_int_equal(policy_init(&p, NULL, 0, "", NULL), 0);
    assert_int_equal(policy_zone(&p, labels, discovered).len, 0);
    policy_done(&p);
    labels_unref(labels);
    labels_unref(discovered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_jobs), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_zones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
