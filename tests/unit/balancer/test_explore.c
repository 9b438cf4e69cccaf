/* Exploring: concurrency, back-off, attempts, expiry, lost probes, removal at any moment (guarantee 33). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/explore.h"
#include "base/intern.h"

#include <stdio.h>
#include <string.h>

static const struct explore_conf CONF = {
    .concurrency = 2, .attempts = 3, .backoff_ms = 1000, .result_ttl_ms = 900000};

static struct target *make_target(uint64_t hash)
{
    struct label items[] = {{VIEW("instance"), VIEW("a:1")}};
    return target_new_with_hash(intern("node"), hash, labels_make(items, 1), "http://a:1/metrics", 15000, 10000);
}

static void add(struct explore *e, uint64_t hash, int64_t now_ms)
{
    struct target *t = make_target(hash);
    explore_add(e, t, now_ms);
    target_unref(t);
}

static uint64_t next(struct explore *e, int64_t now_ms)
{
    const struct target *t = explore_next(e, now_ms);
    return t != NULL ? t->hash : 0;
}

static void result(struct explore *e, uint64_t hash, bool up, uint64_t series, int64_t now_ms)
{
    struct scrape_record r = {.job = intern("node"), .hash = hash, .series = series, .scraped = series + 1};
    r.health = up ? TARGET_HEALTH_UP : TARGET_HEALTH_DOWN;
    snprintf(r.error, sizeof(r.error), "%s", up ? "" : "connection refused");
    explore_result(e, &r, now_ms);
}

static enum explore_verdict verdict(const struct explore *e, uint64_t hash, uint64_t *ret_series)
{
    uint64_t scraped = 0;
    return explore_verdict(e, intern("node"), hash, ret_series, &scraped, NULL);
}

static void test_concurrency_and_order(void **unused)
{
    (void)unused;
    struct explore *e = explore_new(&CONF);
    uint64_t series = 0;
    assert_int_equal(explore_next_due_ms(e), -1);
    for (uint64_t h = 1; h <= 4; h++) {
        add(e, h, 100);
        add(e, h, 200); /* known: no effect */
    }
    assert_int_equal(explore_next_due_ms(e), 100);
    assert_int_equal(next(e, 99), 0);
    assert_int_equal(next(e, 100), 1);
    assert_int_equal(next(e, 100), 2);
    assert_int_equal(next(e, 100), 0);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_WAITING);
    result(e, 1, true, 500, 110);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_DONE);
    assert_int_equal(series, 500);
    assert_int_equal(next(e, 110), 3);
    assert_int_equal(next(e, 110), 0);
    assert_int_equal(verdict(e, 9, &series), EXPLORE_UNKNOWN);
    explore_free(&e);
    assert_null(e);
}

static void test_back_off_and_attempts(void **unused)
{
    (void)unused;
    struct explore *e = explore_new(&CONF);
    uint64_t series = 77, scraped = 0;
    char error[SCRAPE_ERROR_MAX];
    add(e, 1, 0);
    assert_int_equal(next(e, 0), 1);
    result(e, 1, false, 0, 0);
    assert_int_equal(explore_next_due_ms(e), 1000);
    assert_int_equal(next(e, 999), 0);
    assert_int_equal(next(e, 1000), 1);
    result(e, 1, false, 0, 1000);
    assert_int_equal(explore_next_due_ms(e), 3000);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_WAITING);
    assert_int_equal(next(e, 3000), 1);
    result(e, 1, false, 0, 3000);
    assert_int_equal(explore_verdict(e, intern("node"), 1, &series, &scraped, error), EXPLORE_FAILED);
    assert_string_equal(error, "connection refused");
    assert_int_equal(series, 77);
    assert_int_equal(explore_next_due_ms(e), 903000); /* probed again when the verdict is old */
    assert_int_equal(next(e, 903000), 1);
    result(e, 1, true, 5, 903000);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_DONE);
    explore_free(&e);
}

static void test_back_off_is_bounded(void **unused)
{
    (void)unused;
    struct explore_conf conf = CONF;
    conf.attempts = 100;
    struct explore *e = explore_new(&conf);
    int64_t now_ms = 0, pause_ms = 0;
    add(e, 1, 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(next(e, now_ms), 1);
        result(e, 1, false, 0, now_ms);
        pause_ms = explore_next_due_ms(e) - now_ms;
        assert_in_range(pause_ms, 1000, 60000);
        now_ms += pause_ms;
    }
    assert_int_equal(pause_ms, 60000);
    explore_free(&e);
}

static void test_result_expires_but_answers(void **unused)
{
    (void)unused;
    struct explore *e = explore_new(&CONF);
    uint64_t series = 0;
    add(e, 1, 0);
    assert_int_equal(next(e, 0), 1);
    result(e, 1, true, 10, 5);
    assert_int_equal(next(e, 900004), 0);
    assert_int_equal(next(e, 900005), 1);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_DONE);
    assert_int_equal(series, 10);
    result(e, 1, true, 20, 900010);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_DONE);
    assert_int_equal(series, 20);
    explore_free(&e);
}

static void test_lost_probes_free_their_place(void **unused)
{
    (void)unused;
    struct explore *e = explore_new(&CONF);
    for (uint64_t h = 1; h <= 3; h++) {
        add(e, h, 0);
    }
    assert_int_equal(next(e, 0), 1);
    assert_int_equal(next(e, 10), 2);
    assert_int_equal(explore_next_due_ms(e), 180000);
    assert_int_equal(next(e, 179999), 0);
    assert_int_equal(next(e, 180000), 3);
    result(e, 1, true, 5, 180001); /* late, when it counts as failed already: not taken */
    uint64_t series = 0;
    assert_int_equal(verdict(e, 1, &series), EXPLORE_WAITING);
    explore_free(&e);
}

static void test_removed_when_owned(void **unused)
{
    (void)unused;
    struct explore *e = explore_new(&CONF);
    uint64_t series = 0;
    for (uint64_t h = 1; h <= 4; h++) {
        add(e, h, 0);
    }
    assert_int_equal(next(e, 0), 1);
    explore_remove(e, intern("node"), 1); /* under way */
    explore_remove(e, intern("node"), 3); /* waiting */
    explore_remove(e, intern("node"), 9); /* never known */
    result(e, 1, true, 5, 1);
    assert_int_equal(verdict(e, 1, &series), EXPLORE_UNKNOWN);
    assert_int_equal(next(e, 1), 2);
    assert_int_equal(next(e, 1), 4);
    assert_int_equal(next(e, 1), 0);
    result(e, 2, true, 5, 2);
    result(e, 2, true, 6, 2); /* twice: the second is nobody's */
    assert_int_equal(verdict(e, 2, &series), EXPLORE_DONE);
    assert_int_equal(series, 5);
    explore_free(&e);
}

/* Many targets with random fates: everything is probed, never more than allowed at once. */
static void test_many(void **unused)
{
    (void)unused;
    struct explore_conf conf = CONF;
    conf.concurrency = 7;
    struct explore *e = explore_new(&conf);
    uint64_t seed = 99, under_way[7];
    size_t running = 0, done = 0;
    for (uint64_t h = 1; h <= 2000; h++) {
        add(e, h, 0);
    }
    for (int64_t now_ms = 0; now_ms < 600000 && done < 2000; now_ms += 50) {
        for (uint64_t h; (h = next(e, now_ms)) != 0;) {
            assert_in_range(running, 0, 6);
            under_way[running++] = h;
        }
        while (running > 0) {
            seed = seed * 6364136223846793005u + 1;
            bool up = (seed >> 33) % 3 != 0;
            running--;
            result(e, under_way[running], up, 1, now_ms);
            uint64_t series;
            done += verdict(e, under_way[running], &series) != EXPLORE_WAITING;
        }
    }
    assert_int_equal(done, 2000);
    explore_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concurrency_and_order),
        cmocka_unit_test(test_back_off_and_attempts),
        cmocka_unit_test(test_back_off_is_bounded),
        cmocka_unit_test(test_result_expires_but_answers),
        cmocka_unit_test(test_lost_probes_free_their_place),
        cmocka_unit_test(test_removed_when_owned),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
