/* How many groups there shall be while those asked for before are still on their way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/plan.h"
#include "base/intern.h"

#define NOW_MS   10000000
#define GRACE_MS 180000

/* The wanted number: one full group of three targets, three more that wait, and two groups of the given health that
 * were listed `since_ms` ago and have none of `held` targets. */
static unsigned wanted_with(enum shard_health health, int64_t since_ms, unsigned held)
{
    struct plan_group groups[3] = {{.id = 0, .health = SHARD_HEALTH_READY, .last_seen_ms = NOW_MS, .zone = ""}};
    struct plan_owner owners[8];
    struct plan_target targets[8];
    for (uint32_t i = 1; i < 3; i++) {
        groups[i] = (struct plan_group){
            .id = i, .health = health, .last_seen_ms = NOW_MS - since_ms, .head_series = 0, .zone = ""};
    }
    for (unsigned i = 0; i < 6 + held; i++) {
        uint32_t group = i < 6 ? 0 : 1 + (i - 6) % 2;
        owners[i] = (struct plan_owner){
            .group = group, .state = OWNER_ASSIGNED, .health = TARGET_HEALTH_UP, .scrapes = 9, .good_scrapes = 9};
        targets[i] = (struct plan_target){.job = intern("j"),
                                          .hash = i + 1,
                                          .place_key = i + 1,
                                          .series = 1000,
                                          .scraped = 1000,
                                          .size_known = true,
                                          .explored = true,
                                          .health = TARGET_HEALTH_UP,
                                          .interval_ms = 15000,
                                          .zone = "",
                                          .owners = &owners[i],
                                          .owner_count = i < 3 || i >= 6};
    }
    struct plan_input in = {.now_ms = NOW_MS,
                            .groups = groups,
                            .group_count = 3,
                            .targets = targets,
                            .target_count = 6 + held,
                            .desired_groups = 3,
                            .complete = true};
    plan_limits_default(&in.limits);
    in.limits.series = 4000;
    in.limits.failover_grace_ms = GRACE_MS;
    struct plan *p = plan_build(&in);
    unsigned wanted = p->wanted_groups;
    plan_free(&p);
    return wanted;
}

static const enum shard_health AWAY[] = {SHARD_HEALTH_UNKNOWN, SHARD_HEALTH_STARTING, SHARD_HEALTH_UNREACHABLE};

static void test_what_is_on_its_way_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(wanted_with(AWAY[i], 0, 0), 3);
        assert_int_equal(wanted_with(AWAY[i], GRACE_MS, 0), 3);
    }
}

static void test_what_does_not_come_is_replaced(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(wanted_with(AWAY[i], GRACE_MS + 1, 0) > 3);
    }
}

/* One that has targets and went away is no place for others: it keeps its own. */
static void test_one_that_went_away_is_no_room(void **state)
{
    (void)state;
    assert_true(wanted_with(SHARD_HEALTH_UNREACHABLE, 1000, 2) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_on_its_way_counts),
        cmocka_unit_test(test_what_does_not_come_is_replaced),
        cmocka_unit_test(test_one_that_went_away_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
