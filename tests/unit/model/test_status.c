/* The status of a target over a run of good and failed scrapes, and the words of the enums. */
#include "model/assignment.h"
#include "model/ledger.h"
#include "model/scrape_record.h"
#include "model/shard_info.h"
#include "model/status.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static struct scrape_record good(uint64_t series, uint64_t scraped, int64_t at_ms)
{
    return (struct scrape_record){
        .health = TARGET_HEALTH_UP, .series = series, .scraped = scraped, .started_ms = at_ms, .duration_us = 7};
}

static void test_mean(void **state)
{
    (void)state;
    struct target_status s = {0};
    struct scrape_record r = good(10, 100, 1);
    target_status_apply(&s, &r);
    assert_int_equal(s.series, 10);
    r = good(21, 200, 2);
    target_status_apply(&s, &r);
    assert_int_equal(s.series, 15);
    r = good(30, 300, 3);
    target_status_apply(&s, &r);
    assert_int_equal(s.series, 20);
    r = good(40, 400, 4);
    target_status_apply(&s, &r);
    assert_int_equal(s.series, 30);
    assert_int_equal(s.scraped, 400);
    assert_int_equal(s.history_len, 3);
    assert_int_equal(s.history[0], 40);
    assert_int_equal(s.history[2], 21);
    assert_int_equal(s.scrapes, 4);
    assert_int_equal(s.good_scrapes, 4);
    assert_int_equal(s.last_scrape_ms, 4);
    assert_int_equal(s.last_duration_us, 7);
}

static void test_failure_keeps_size(void **state)
{
    (void)state;
    struct target_status s = {0};
    struct scrape_record r = good(10, 100, 1);
    target_status_apply(&s, &r);
    struct scrape_record bad = {.health = TARGET_HEALTH_DOWN, .started_ms = 9};
    memset(bad.error, 'e', sizeof(bad.error));
    target_status_apply(&s, &bad);
    assert_int_equal(s.health, TARGET_HEALTH_DOWN);
    assert_int_equal(s.series, 10);
    assert_int_equal(s.scraped, 100);
    assert_int_equal(s.scrapes, 2);
    assert_int_equal(s.good_scrapes, 1);
    assert_int_equal(strlen(s.error), SCRAPE_ERROR_MAX - 1);
    target_status_apply(&s, &r);
    assert_string_equal(s.error, "");
    assert_int_equal(s.health, TARGET_HEALTH_UP);
}

static void test_no_overflow(void **state)
{
    (void)state;
    struct target_status s = {.scrapes = UINT32_MAX, .good_scrapes = UINT32_MAX};
    struct scrape_record r = good(UINT64_MAX, 1, 1);
    for (int i = 0; i < 3; i++) {
        target_status_apply(&s, &r);
    }
    assert_true(s.series == UINT64_MAX);
    assert_true(s.scrapes == UINT32_MAX && s.good_scrapes == UINT32_MAX);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(target_health_name(TARGET_HEALTH_UNKNOWN), "unknown");
    assert_string_equal(target_health_name(TARGET_HEALTH_DOWN), "down");
    assert_string_equal(assignment_state_wire(ASSIGNMENT_ASSIGNED), "");
    assert_string_equal(assignment_state_wire(ASSIGNMENT_IN_TRANSFER), "in_transfer");
    assert_string_equal(shard_health_name(SHARD_HEALTH_UNREACHABLE), "unreachable");
    for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
        assert_int_equal(ledger_state_parse(view_of(ledger_state_name((enum ledger_state)i))), i);
    }
    assert_string_equal(ledger_state_name(LEDGER_TOO_BIG), "too_big");
    assert_int_equal(ledger_state_parse(VIEW("bogus")), -1);
    assert_int_equal(ledger_state_parse(VIEW("")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_failure_keeps_size),
        cmocka_unit_test(test_no_overflow),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
