/* Parts of a target: the two labels in and out, and the identity of parts against each other. */
#include "model/part.h"
#include "model/target.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

static struct label pair(const char *name, const char *value)
{
    return (struct label){view_of(name), view_of(value)};
}

static struct labels *labels_with(const char *part, const char *parts)
{
    struct label items[] = {pair("__address__", "h:1"), pair("job", "j"), pair(PART_LABEL, part),
                            pair(PART_COUNT_LABEL, parts)};
    return labels_make(items, 4);
}

static void test_read(void **state)
{
    static const struct {
        const char *part, *parts;
        bool good;
    } CASES[] = {
        {"0", "2", true},   {"1", "2", true},   {"63", "64", true}, {"9", "10", true},  {"2", "2", false},
        {"0", "1", false},  {"0", "65", false}, {"", "2", false},   {"0", "", false},   {"00", "2", false},
        {"0", "02", false}, {"-1", "2", false}, {"0", "2 ", false}, {"0x", "2", false}, {"0", "100", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct labels *l = labels_with(CASES[i].part, CASES[i].parts);
        unsigned part = 77, parts = 78;
        assert_int_equal(part_read(l, &part, &parts), CASES[i].good);
        if (!CASES[i].good) {
            assert_int_equal(part, 77);
            assert_int_equal(parts, 78);
        }
        struct target *t = target_new_with_hash("j", 1, l, "http://h:1/", 1000, 1000);
        assert_int_equal(target_is_part(t), CASES[i].good);
        assert_int_equal(t->parts, CASES[i].good ? parts : 0);
        assert_int_equal(t->part, CASES[i].good ? part : 0);
        assert_int_equal(t->place_key == target_place_key("j", "http://h:1/"), !CASES[i].good);
        target_unref(t);
    }
}

static struct target *whole_target(void)
{
    struct label items[] = {pair("__address__", "h:1"), pair("__scheme__", "http"), pair("job", "j"), pair("z", "1")};
    return target_new("j", labels_make(items, 4), labels_make(items, 2), "http://h:1/metrics?a=b", 15000, 10000, 15000,
                      10000);
}

static void test_part_of(void **state)
{
    struct target *whole = whole_target();
    (void)state;
    struct target *t = target_part(whole, 3, 12);
    assert_ptr_equal(t->job, whole->job);
    assert_string_equal(t->url, whole->url);
    assert_int_equal(t->interval_ms, 15000);
    assert_int_equal(t->timeout_ms, 10000);
    assert_ptr_equal(t->discovered, whole->discovered);
    assert_int_equal(t->part, 3);
    assert_int_equal(t->parts, 12);
    assert_int_equal(labels_count(t->labels), labels_count(whole->labels) + 2);
    assert_true(view_is(labels_get(t->labels, VIEW(PART_LABEL)), "3"));
    assert_true(view_is(labels_get(t->labels, VIEW(PART_COUNT_LABEL)), "12"));
    assert_true(view_is(labels_get(t->labels, VIEW("z")), "1"));
    assert_false(target_is_part(whole));
    target_unref(t);
    target_unref(whole);
}

/* Hashes differ for every part and number of parts; places by the part alone; both are the same every time. */
static void test_identity(void **state)
{
    static uint64_t hashes[PARTS_MAX * PARTS_MAX], places[PARTS_MAX];
    size_t n = 0;
    struct target *whole = whole_target();
    (void)state;
    hashes[n++] = whole->hash;
    for (unsigned parts = 2; parts <= PARTS_MAX; parts++) {
        for (unsigned part = 0; part < parts; part++) {
            struct target *t = target_part(whole, part, parts), *again = target_part(whole, part, parts);
            assert_true(t->hash == again->hash && t->place_key == again->place_key);
            assert_true(places[part] == 0 || places[part] == t->place_key);
            places[part] = t->place_key;
            hashes[n++] = t->hash;
            target_unref(t);
            target_unref(again);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_true(hashes[i] != hashes[k]);
        }
    }
    for (size_t i = 0; i < PARTS_MAX; i++) {
        assert_true(places[i] != whole->place_key);
        for (size_t k = 0; k < i; k++) {
            assert_true(places[i] != places[k]);
        }
    }
    target_unref(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_part_of),
        cmocka_unit_test(test_identity),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
