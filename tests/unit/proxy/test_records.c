/* The record ring: order, overflow where the newest per target wins, and two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/records.h"

#include <pthread.h>
#include <sched.h>

static struct scrape_record record(uint64_t hash, uint64_t series)
{
    return (struct scrape_record){.job = "a", .shard = "s", .hash = hash, .series = series};
}

static void records_come_in_order(void **state)
{
    struct record_ring *ring = record_ring_new();
    struct scrape_record r;
    (void)state;
    assert_false(record_ring_pop(ring, &r));
    for (uint64_t i = 0; i < 3 * RECORD_RING_SIZE; i++) {
        struct scrape_record in = record(i, i);
        assert_true(record_ring_push(ring, &in));
        assert_true(record_ring_pop(ring, &r));
        assert_true(r.hash == i);
    }
    assert_false(record_ring_pop(ring, &r));
    record_ring_free(&ring);
    assert_null(ring);
}

static void the_newest_of_a_target_survives_an_overflow(void **state)
{
    struct record_ring *ring = record_ring_new();
    struct scrape_record r;
    uint64_t newest[8] = {0}, seen = 0;
    (void)state;
    for (uint64_t i = 1; i <= 2 * RECORD_RING_SIZE; i++) {
        struct scrape_record in = record(i % 8, i);
        (void)record_ring_push(ring, &in);
        newest[i % 8] = i;
    }
    uint64_t last[8] = {0};
    do {
        while (record_ring_pop(ring, &r)) {
            assert_true(r.series > last[r.hash]); /* never back in time */
            last[r.hash] = r.series;
            seen++;
        }
    } while (record_ring_flush(ring));
    assert_int_equal(seen, RECORD_RING_SIZE + 8);
    for (int i = 0; i < 8; i++) {
        assert_true(last[i] == newest[i]);
    }
    record_ring_free(&ring);
}

#define COUNT 200000u

static void *produce(void *data)
{
    for (uint64_t i = 1; i <= COUNT; i++) {
        struct scrape_record in = record(i % 100, i);
        (void)record_ring_push(data, &in);
    }
    return NULL;
}

static void two_threads_lose_only_what_is_older(void **state)
{
    struct record_ring *ring = record_ring_new();
    struct scrape_record r;
    pthread_t thread;
    uint64_t last[100] = {0};
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, produce, ring), 0);
    for (int i = 0; i < 100000; i++) {
        while (record_ring_pop(ring, &r)) {
            assert_true(r.series % 100 == r.hash && r.series > last[r.hash]);
            last[r.hash] = r.series;
        }
        sched_yield();
    }
    pthread_join(thread, NULL);
    do {
        while (record_ring_pop(ring, &r)) {
            last[r.hash] = r.series;
        }
    } while (record_ring_flush(ring));
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(last[i] == (i == 0 ? COUNT : COUNT - 100 + i));
    }
    record_ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order),
        cmocka_unit_test(the_newest_of_a_target_survives_an_overflow),
        cmocka_unit_test(two_threads_lose_only_what_is_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
