/* Lanes: a bound on calls under way, order of asking, and a share that hung shards cannot exceed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shard/remote_lanes.h"

#include <string.h>

static struct remote_ticket tickets[64];
static int order[64], granted;

static void on_grant(void *data)
{
    order[granted++] = (int)((struct remote_ticket *)data - tickets);
}

static int reset(void **state)
{
    (void)state;
    granted = 0;
    memset(tickets, 0, sizeof(tickets));
    for (int i = 0; i < 64; i++) {
        tickets[i].granted = on_grant;
        tickets[i].data = &tickets[i];
    }
    return 0;
}

static void test_bound_and_order(void **state)
{
    (void)state;
    struct remote_lanes *l = remote_lanes_new(4);
    for (int i = 0; i < 10; i++) {
        remote_lanes_ask(l, &tickets[i], false);
        remote_lanes_ask(l, &tickets[i], false); /* no effect */
    }
    assert_int_equal(granted, 4);
    assert_int_equal(remote_lanes_running(l), 4);
    remote_lanes_leave(l, &tickets[5]); /* stops waiting */
    for (int i = 0; i < 10; i++) {
        remote_lanes_leave(l, &tickets[i == 5 ? 0 : i]);
    }
    assert_int_equal(granted, 9);
    static const int WANT[] = {0, 1, 2, 3, 4, 6, 7, 8, 9};
    assert_memory_equal(order, WANT, sizeof(WANT));
    assert_int_equal(remote_lanes_running(l), 0);
    remote_lanes_free(&l);
}

static void test_suspects_share(void **state)
{
    (void)state;
    struct remote_lanes *l = remote_lanes_new(8);
    for (int i = 0; i < 20; i++) {
        remote_lanes_ask(l, &tickets[i], true);
    }
    assert_int_equal(granted, 2); /* a quarter */
    for (int i = 20; i < 30; i++) {
        remote_lanes_ask(l, &tickets[i], false);
    }
    assert_int_equal(granted, 8); /* the healthy are not kept waiting by eighteen hung ones */
    remote_lanes_leave(l, &tickets[0]);
    assert_int_equal(order[8], 26);     /* nor overtaken */
    for (int i = 1; i < granted; i++) { /* each in the order it got its lane */
        remote_lanes_leave(l, &tickets[order[i]]);
    }
    assert_int_equal(granted, 30);
    remote_lanes_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bound_and_order, reset),
        cmocka_unit_test_setup(test_suspects_share, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
