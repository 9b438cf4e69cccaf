/* Splitting, the decision alone: how many parts, when one generation follows another, and what ends a wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/split.h"

#include <string.h>

#define NONE ((uint64_t)1 << 60)

struct scene {
    struct split split;
    struct split_facts facts;
    struct split_room room;
    struct need limits[4];
};

/* Four groups of 8,000 series, no more may come, up to 8 parts; a target of that size. */
static void scene_init(struct scene *s, uint64_t series)
{
    *s = (struct scene){.facts = {.now_ms = 1000000, .interval_ms = 15000, .size = {{series, series}}}};
    for (int i = 0; i < 4; i++) {
        s->limits[i] = (struct need){{8000, NONE}};
    }
    s->room = (struct split_room){
        .limits = s->limits,
        .count = 4,
        .fresh = {{8000, NONE}},
        .overhead = 5,
        .low = 0.80,
        .high = 0.85,
        .max_parts = 8,
        .calm_ms = 600000,
    };
    split_init(&s->split);
}

static void step(struct scene *s)
{
    split_step(&s->split, &s->facts, &s->room);
}

static void assert_split(const struct scene *s, uint32_t running, uint32_t coming)
{
    assert_int_equal(s->split.running, running);
    assert_int_equal(s->split.coming, coming);
}

static void what_fits_stays_whole(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 6795); /* 6800 with what Prometheus adds is the high mark */
    step(&s);
    assert_split(&s, 1, 0);
    assert_string_equal(s.split.reason, "");
    scene_init(&s, 6796);
    step(&s);
    assert_split(&s, 2, 0); /* nobody scraped it: nothing to wait for */
}

static void the_fewest_parts_below_the_low_mark(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 20000); /* 6395 and 5 fit: 20000 / 6395 = 3.1 */
    step(&s);
    assert_split(&s, 4, 0);
    scene_init(&s, 26000); /* 4 groups: 4 parts of 6500 fit only between the marks */
    step(&s);
    assert_split(&s, 4, 0);
}

static void too_much_for_all_is_not_split_and_says_so(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 40000);
    step(&s);
    assert_split(&s, 1, 0);
    assert_non_null(strstr(s.split.reason, "no room for it in 8 parts"));
    s.room.can_add = 100; /* shards may come */
    step(&s);
    assert_split(&s, 7, 0);
    scene_init(&s, 60000);
    s.room.can_add = 100;
    step(&s);
    assert_split(&s, 1, 0);
}

static void groups_differ(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 10000);
    s.limits[1] = s.limits[2] = s.limits[3] = (struct need){{3000, NONE}};
    step(&s); /* one part of 5005 fits one group only; 4 of 2505 do not fit the small ones below the low mark */
    assert_split(&s, 5, 0);
}

static void both_dimensions_count(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 1000);
    s.facts.size.v[DIM_SCRAPED] = 30000;
    for (int i = 0; i < 4; i++) {
        s.limits[i].v[DIM_SCRAPED] = 10000;
    }
    step(&s);
    assert_split(&s, 4, 0);
}

static void what_runs_ends_on_proof_alone(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 12000);
    s.facts.running_held = true;
    step(&s);
    assert_split(&s, 1, 2);
    s.facts.coming_held = s.facts.coming_placed = true;
    step(&s);
    assert_split(&s, 1, 2);
    s.facts.coming_proven = true;
    step(&s);
    assert_split(&s, 2, 0);
    assert_string_equal(s.split.reason, "");
}

static void what_nobody_has_yet_may_change(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 12000);
    s.facts.running_held = true;
    step(&s);
    assert_split(&s, 1, 2);
    s.facts.size.v[DIM_SERIES] = 18000;
    step(&s);
    assert_split(&s, 1, 3);
    s.facts.size.v[DIM_SERIES] = 5000;
    step(&s);
    assert_split(&s, 1, 0);
    s.facts.size.v[DIM_SERIES] = 18000;
    step(&s);
    s.facts.coming_held = true;
    s.facts.size.v[DIM_SERIES] = 5000;
    step(&s);
    assert_split(&s, 1, 3); /* begun: it comes to its end first */
}

static void no_room_for_long_is_given_up_and_tried_again(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 12000);
    s.facts.running_held = true;
    step(&s);
    s.facts.now_ms += 700000;
    step(&s);
    assert_split(&s, 1, 2);
    s.facts.now_ms += 100000;
    step(&s);
    assert_split(&s, 1, 0);
    assert_non_null(strstr(s.split.reason, "found no room"));
    s.facts.now_ms += 700000;
    step(&s);
    assert_split(&s, 1, 0);
    assert_non_null(strstr(s.split.reason, "found no room"));
    s.facts.now_ms += 100000;
    step(&s);
    assert_split(&s, 1, 2);
}

static void unproven_for_long_is_given_up_for_longer(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 12000);
    s.facts.running_held = true;
    step(&s);
    s.facts.coming_held = s.facts.coming_placed = true;
    s.facts.now_ms += 700000;
    step(&s); /* the clock begins anew when all is placed */
    s.facts.now_ms += 700000;
    step(&s);
    assert_split(&s, 1, 2);
    s.facts.now_ms += 100000;
    step(&s);
    assert_split(&s, 1, 0);
    s.facts.coming_held = s.facts.coming_placed = false;
    s.facts.now_ms += 6 * 750000 - 1;
    step(&s);
    assert_split(&s, 1, 0);
    s.facts.now_ms += 1;
    step(&s);
    assert_split(&s, 1, 2);
}

static void scene_running(struct scene *s, uint64_t series, uint32_t parts)
{
    scene_init(s, series);
    s->split.running = parts;
    s->facts.running_held = true;
}

static void a_part_over_the_high_mark_asks_for_more(void **state)
{
    struct scene s;
    (void)state;
    scene_running(&s, 13500, 2); /* 6755 each */
    step(&s);
    assert_split(&s, 2, 0);
    s.facts.size.v[DIM_SERIES] = 13700;
    step(&s);
    assert_split(&s, 2, 3);
    scene_running(&s, 13000, 2); /* 6500 on the mean, but one has 7000 */
    s.facts.largest = (struct need){{7000, 7000}};
    step(&s);
    assert_split(&s, 2, 3);
}

static void one_lump_does_not_ask_for_parts_without_end(void **state)
{
    struct scene s;
    (void)state;
    scene_running(&s, 12000, 4);
    s.facts.largest = (struct need){{11000, 11000}};
    step(&s);
    assert_split(&s, 4, 0);
}

static void fewer_parts_only_after_a_calm_while(void **state)
{
    struct scene s;
    (void)state;
    scene_running(&s, 6500, 3); /* 2 parts of 3255 do not fit below 0.4 of 8000 */
    step(&s);
    s.facts.now_ms += 10000000;
    step(&s);
    assert_split(&s, 3, 0);
    s.facts.size = (struct need){{6300, 6300}};
    step(&s);
    s.facts.now_ms += 599999;
    step(&s);
    assert_split(&s, 3, 0);
    s.facts.size = (struct need){{6500, 6500}}; /* it wavered: the while begins anew */
    step(&s);
    s.facts.size = (struct need){{6300, 6300}};
    step(&s);
    s.facts.now_ms += 599999;
    step(&s);
    assert_split(&s, 3, 0);
    s.facts.now_ms += 1;
    step(&s);
    assert_split(&s, 3, 2);
    scene_running(&s, 3000, 3);
    s.room.calm_ms = 0;
    step(&s);
    assert_split(&s, 3, 1);
}

static void switched_off_brings_the_whole_back(void **state)
{
    struct scene s;
    (void)state;
    scene_running(&s, 5000, 3);
    s.room.max_parts = 1;
    step(&s);
    assert_split(&s, 3, 1); /* it fits: by proof */
    scene_running(&s, 20000, 3);
    s.room.max_parts = 1;
    step(&s);
    assert_split(&s, 1, 0); /* too big for good: nobody will scrape it */
}

static void shards_that_take_no_parts_stop_splitting(void **state)
{
    struct scene s;
    (void)state;
    scene_init(&s, 12000);
    s.room.why_not = "shard-1 takes whole targets only";
    step(&s);
    assert_split(&s, 1, 0);
    assert_string_equal(s.split.reason, "not split: shard-1 takes whole targets only");
    scene_running(&s, 20000, 2);
    s.room.why_not = "shard-1 takes whole targets only";
    step(&s);
    assert_split(&s, 2, 0); /* what runs goes on */
    assert_string_equal(s.split.reason, "not split further: shard-1 takes whole targets only");
}

static void what_was_found_explains_the_state(void **state)
{
    struct split s;
    (void)state;
    split_adopt(&s, NULL, 0, 1);
    assert_int_equal(s.running, 1);
    const struct split_found one[] = {{3, false, 50}};
    split_adopt(&s, one, 1, 1);
    assert_int_equal(s.running, 3);
    assert_int_equal(s.coming, 0);
    const struct split_found grows[] = {{3, true, 60}, {2, true, 50}};
    split_adopt(&s, grows, 2, 1);
    assert_int_equal(s.running, 2);
    assert_int_equal(s.coming, 3);
    const struct split_found torn[] = {{2, false, 50}, {3, true, 60}};
    split_adopt(&s, torn, 2, 1);
    assert_int_equal(s.running, 3);
    const struct split_found three[] = {{1, true, 10}, {4, false, 50}, {3, true, 60}};
    split_adopt(&s, three, 3, 1);
    assert_int_equal(s.running, 1);
    assert_int_equal(s.coming, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_stays_whole),
        cmocka_unit_test(the_fewest_parts_below_the_low_mark),
        cmocka_unit_test(too_much_for_all_is_not_split_and_says_so),
        cmocka_unit_test(groups_differ),
        cmocka_unit_test(both_dimensions_count),
        cmocka_unit_test(what_runs_ends_on_proof_alone),
        cmocka_unit_test(what_nobody_has_yet_may_change),
        cmocka_unit_test(no_room_for_long_is_given_up_and_tried_again),
        cmocka_unit_test(unproven_for_long_is_given_up_for_longer),
        cmocka_unit_test(a_part_over_the_high_mark_asks_for_more),
        cmocka_unit_test(one_lump_does_not_ask_for_parts_without_end),
        cmocka_unit_test(fewer_parts_only_after_a_calm_while),
        cmocka_unit_test(switched_off_brings_the_whole_back),
        cmocka_unit_test(shards_that_take_no_parts_stop_splitting),
        cmocka_unit_test(what_was_found_explains_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
