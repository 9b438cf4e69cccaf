/* Figures per family: a target adds once, jobs are kept apart, and nothing grows without bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/intern.h"
#include "base/mem.h"
#include "expfmt/counter.h"
#include "proxy/family_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct counter *count(const char *body)
{
    const struct counter_conf conf = {.major = PROMETHEUS_2, .by_family = true};
    struct counter *c = counter_new(&conf);
    struct counter_result result;
    counter_start(c, EXPOSITION_TEXT, NULL);
    assert_int_equal(counter_feed(c, body, strlen(body), NULL), 0);
    assert_int_equal(counter_finish(c, &result, NULL), 0);
    return c;
}

static void note(void *data, struct view name, double scraped, double total)
{
    char *text = data;
    snprintf(text + strlen(text), 200, "%.*s=%g/%g ", VIEW_FMT(name), scraped, total);
}

static void assert_says(struct family_count *f, const char *job, const char *want)
{
    char text[4096] = "";
    family_count_each(f, job, note, text);
    assert_string_equal(text, want);
}

static void test_a_target_adds_once(void **unused)
{
    (void)unused;
    const char *a = intern("fc-a"), *b = intern("fc-b");
    struct family_count *f = family_count_new(VIEW("fc-"), false);
    struct counter *c = count("x 1\ny{l=\"1\"} 1\ny{l=\"2\"} 1\n"), *d = count("y 1\nz 1\n");
    assert_true(family_count_wants(f, a, 1) && family_count_wants(f, b, 1));
    assert_false(family_count_wants(f, intern("other"), 1));
    family_count_add(f, a, 1, 5000, c);
    assert_false(family_count_wants(f, a, 1));
    family_count_add(f, a, 1, 5000, c);
    family_count_add(f, a, 2, 5000, d);
    family_count_add(f, b, 1, 5000, d);
    assert_int_equal(family_count_targets(f), 3);
    assert_says(f, a, "x=1/1 y=3/3 z=1/1 ");
    assert_says(f, b, "y=1/1 z=1/1 ");
    assert_says(f, intern("other"), "");
    family_count_close(f);
    family_count_add(f, b, 9, 5000, d);
    assert_int_equal(family_count_targets(f), 3);
    assert_false(family_count_wants(f, b, 9));
    family_count_unref(family_count_ref(f));
    family_count_unref(f);
    counter_free(&c);
    counter_free(&d);
}

static void test_per_second(void **unused)
{
    (void)unused;
    const char *a = intern("fc-a");
    struct family_count *f = family_count_new(VIEW(""), true);
    struct counter *c = count("x 1\nx{l=\"1\"} 1\n");
    assert_true(family_count_is_for(f, view_make(NULL, 0)) && !family_count_is_for(f, VIEW("a")));
    family_count_add(f, a, 1, 4000, c);
    family_count_add(f, a, 2, 500, c);
    assert_says(f, a, "x=4.5/4.5 ");
    family_count_unref(f);
    counter_free(&c);
}

static void sum_up(void *data, struct view name, double scraped, double total)
{
    double *sums = data;
    sums[0]++;
    sums[1] += scraped;
    sums[2] += view_is(name, "other") ? total : 0;
}

static void test_names_are_bounded(void **unused)
{
    (void)unused;
    struct family_count *f = family_count_new(VIEW(""), false);
    const char *a = intern("fc-a");
    struct bytes body;
    bytes_init(&body, (size_t)64 << 20);
    for (unsigned t = 0; t < 3; t++) {
        bytes_clear(&body);
        for (unsigned i = 0; i < 50000; i++) {
            bytes_printf(&body, "name_%u_%u 1\n", t, i);
        }
        struct counter *c = count(body.base);
        family_count_add(f, a, t, 1000, c);
        counter_free(&c);
    }
    double sums[3] = {0};
    family_count_each(f, a, sum_up, sums);
    assert_true(sums[0] == FAMILY_COUNT_NAMES_MAX + 1);
    assert_true(sums[1] == 150000 && sums[2] == 50000);
    bytes_done(&body);
    family_count_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_target_adds_once),
        cmocka_unit_test(test_per_second),
        cmocka_unit_test(test_names_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
