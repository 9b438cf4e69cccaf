/* Limits learnt from memory: what counts as a reading, how fast it is believed, and that the limit does not flap. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/memory_limit.h"

#define MIB      (UINT64_C(1) << 20)
#define START_MS INT64_C(1000000000)

static const struct memory_conf CONF = {.max_bytes = 8000 * MIB, .after_ms = 300000};

static struct memory_reading reading(uint64_t each, uint64_t series, int64_t age_ms)
{
    return (struct memory_reading){MEMORY_BASE_BYTES + each * series, series, START_MS, START_MS + age_ms};
}

static void test_what_says_nothing(void **state)
{
    (void)state;
    struct memory_learner l = {0};
    const struct memory_conf off = {0};
    struct memory_reading r = reading(4000, 100000, 300000);
    assert_false(memory_learn(&l, &off, &r));
    r = reading(4000, 100000, 299999); /* replay and start */
    assert_false(memory_learn(&l, &CONF, &r));
    r = reading(4000, MEMORY_SERIES_MIN - 1, 300000);
    assert_false(memory_learn(&l, &CONF, &r));
    r = reading(4000, 100000, 300000);
    r.resident_bytes = 0;
    assert_false(memory_learn(&l, &CONF, &r));
    r = reading(4000, 100000, 300000);
    r.started_ms = 0;
    assert_false(memory_learn(&l, &CONF, &r));
    assert_true(l.bytes_per_series <= 0);
    r = reading(4000, 100000, 300000);
    assert_true(memory_learn(&l, &CONF, &r));
    assert_true(l.bytes_per_series > 3999 && l.bytes_per_series < 4001);
    assert_false(memory_learn(&l, &CONF, &r)); /* not newer */
}

static void test_bounds(void **state)
{
    (void)state;
    struct memory_learner small = {0}, large = {0}, tiny = {0};
    struct memory_reading r = reading(10, 100000, 300000);
    assert_true(memory_learn(&small, &CONF, &r));
    assert_true(small.bytes_per_series >= MEMORY_PER_SERIES_MIN);
    r = reading(10000000, 100000, 300000);
    assert_true(memory_learn(&large, &CONF, &r));
    assert_true(large.bytes_per_series <= MEMORY_PER_SERIES_MAX);
    const struct memory_conf nothing = {.max_bytes = 1, .after_ms = 0};
    assert_int_equal(memory_limit(&tiny, &nothing), MEMORY_LIMIT_MIN);
    r = (struct memory_reading){UINT64_MAX, UINT64_MAX, 1, INT64_MAX};
    assert_true(memory_learn(&tiny, &CONF, &r));
    assert_true(memory_limit(&tiny, &CONF) >= MEMORY_LIMIT_MIN);
    const struct memory_conf all = {.max_bytes = UINT64_MAX};
    assert_true(memory_fit(&all, 1000) <= UINT64_C(1000000000000));
}

/* Growth counts soon, decline late. */
static void test_smoothing(void **state)
{
    (void)state;
    struct memory_learner l = {0};
    struct memory_reading r = reading(4000, 100000, 300000);
    assert_true(memory_learn(&l, &CONF, &r));
    for (int64_t age_ms = 310000; age_ms <= 480000; age_ms += 10000) {
        r = reading(8000, 100000, age_ms);
        assert_true(memory_learn(&l, &CONF, &r));
    }
    assert_true(l.bytes_per_series > 7600 && l.bytes_per_series <= 8000);
    double before = l.bytes_per_series;
    for (int64_t age_ms = 490000; age_ms <= 670000; age_ms += 10000) {
        r = reading(4000, 100000, age_ms);
        assert_true(memory_learn(&l, &CONF, &r));
    }
    assert_true(l.bytes_per_series < before && l.bytes_per_series > before * 0.95);
    for (int64_t age_ms = 680000; age_ms <= 680000 + 6 * 3600000; age_ms += 10000) {
        r = reading(4000, 100000, age_ms);
        assert_true(memory_learn(&l, &CONF, &r));
    }
    assert_true(l.bytes_per_series < 4050);
}

/* Rounds twice as frequent do not learn twice as fast. */
static void test_pace_does_not_depend_on_rounds(void **state)
{
    (void)state;
    struct memory_learner slow = {0}, fast = {0};
    for (int64_t age_ms = 300000; age_ms <= 400000; age_ms += 1000) {
        struct memory_reading r = reading(age_ms == 300000 ? 4000 : 8000, 100000, age_ms);
        assert_true(memory_learn(&fast, &CONF, &r));
        if (age_ms % 10000 == 0) {
            assert_true(memory_learn(&slow, &CONF, &r));
        }
    }
    double difference = slow.bytes_per_series / fast.bytes_per_series - 1;
    assert_true(difference > -0.05 && difference < 0.05);
}

static void test_limit_does_not_flap(void **state)
{
    (void)state;
    struct memory_learner l = {0};
    uint64_t guess = memory_limit(&l, &CONF);
    assert_int_equal(guess, (8000 - 64) * MIB / 11000 / 1000 * 1000);
    l.bytes_per_series = 4000;
    uint64_t limit = memory_limit(&l, &CONF);
    assert_int_equal(limit, (8000 - 64) * MIB / 4000 / 1000 * 1000);
    unsigned changes = 0;
    for (int i = 0; i < 1000; i++) { /* 7 % up and down */
        l.bytes_per_series = i % 2 == 0 ? 4300 : 3750;
        changes += memory_limit(&l, &CONF) != limit;
    }
    assert_int_equal(changes, 0);
    l.bytes_per_series = 4500;
    assert_true(memory_limit(&l, &CONF) < limit);
    l.bytes_per_series = 3000;
    assert_true(memory_limit(&l, &CONF) > limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_says_nothing),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_smoothing),           cmocka_unit_test(test_pace_does_not_depend_on_rounds),
        cmocka_unit_test(test_limit_does_not_flap),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
