/* Label sets: order, absent and empty values, last writer wins, packing, hashing, and the builder against a plain
 * model. */
#include "base/hash.h"
#include "model/labels.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct label pair(const char *name, const char *value)
{
    return (struct label){view_of(name), view_of(value)};
}

static void assert_text(struct view v, const char *want)
{
    assert_int_equal(v.len, strlen(want));
    assert_memory_equal(v.base, want, v.len);
    assert_int_equal(v.base[v.len], '\0');
}

static void test_make(void **state)
{
    (void)state;
    struct label items[] = {pair("b", "2"), pair("a", "x"),  pair("c", ""),
                            pair("a", "1"), pair("bb", "3"), pair("b", "")};
    struct labels *l = labels_make(items, 6);
    assert_int_equal(labels_count(l), 2);
    assert_text(labels_at(l, 0).name, "a");
    assert_text(labels_at(l, 0).value, "1");
    assert_text(labels_at(l, 1).name, "bb");
    assert_text(labels_get(l, VIEW("bb")), "3");
    assert_null(labels_get(l, VIEW("b")).base);
    assert_null(labels_get(l, VIEW("")).base);
    assert_null(labels_get(l, VIEW("zz")).base);
    labels_unref(l);
    labels_unref(NULL);
}

static void test_empty(void **state)
{
    (void)state;
    struct labels *a = labels_make(NULL, 0), *b = labels_make(NULL, 0);
    assert_int_equal(labels_count(a), 0);
    assert_true(labels_equal(a, b));
    assert_int_equal(labels_hash(a, NULL, NULL), xxh64("", 0, 0));
    labels_unref(a);
    labels_unref(b);
}

static void test_equal(void **state)
{
    (void)state;
    struct label one[] = {pair("a", "1"), pair("b", "2")}, same[] = {pair("b", "2"), pair("a", "1")};
    struct label shifted[] = {pair("a", "1b"), pair("b", "2")}, fewer[] = {pair("a", "1")};
    struct labels *l = labels_make(one, 2), *s = labels_make(same, 2), *d = labels_make(shifted, 2),
                  *f = labels_make(fewer, 1);
    assert_true(labels_equal(l, s));
    assert_false(labels_equal(l, d));
    assert_false(labels_equal(l, f));
    assert_ptr_equal(labels_ref(l), l);
    labels_unref(l);
    labels_unref(l);
    labels_unref(s);
    labels_unref(d);
    labels_unref(f);
}

static bool is_not_b(struct view name, void *data)
{
    ++*(int *)data;
    return !view_is(name, "b");
}

static void test_hash(void **state)
{
    (void)state;
    struct label items[] = {pair("a", "1"), pair("b", "2"), pair("c", "3")};
    struct labels *l = labels_make(items, 3);
    int calls = 0;
    assert_int_equal(labels_hash(l, NULL, NULL), xxh64("a\xff"
                                                       "1\xff"
                                                       "b\xff"
                                                       "2\xff"
                                                       "c\xff"
                                                       "3\xff",
                                                       12, 0));
    assert_int_equal(labels_hash(l, is_not_b, &calls), xxh64("a\xff"
                                                             "1\xff"
                                                             "c\xff"
                                                             "3\xff",
                                                             8, 0));
    assert_int_equal(calls, 3);
    labels_unref(l);
}

static void test_hash_of_large_set(void **state)
{
    (void)state;
    char *value = malloc(5001);
    memset(value, 'v', 5000);
    value[5000] = '\0';
    struct label items[] = {pair("a", value)};
    struct labels *l = labels_make(items, 1);
    char *want = malloc(5003);
    memcpy(want, "a\xff", 2);
    memcpy(want + 2, value, 5000);
    want[5002] = '\xff';
    assert_int_equal(labels_hash(l, NULL, NULL), xxh64(want, 5003, 0));
    labels_unref(l);
    free(value);
    free(want);
}

static void test_builder(void **state)
{
    (void)state;
    struct labels_builder b;
    labels_builder_init(&b, NULL);
    labels_builder_set(&b, VIEW("b"), VIEW("2"));
    labels_builder_set(&b, VIEW("a"), VIEW("1"));
    labels_builder_set(&b, VIEW("c"), VIEW("3"));
    labels_builder_set(&b, VIEW("b"), VIEW("22"));
    labels_builder_set(&b, VIEW("c"), VIEW(""));
    labels_builder_set(&b, VIEW("d"), VIEW(""));
    labels_builder_delete(&b, VIEW("zz"));
    assert_int_equal(b.len, 2);
    assert_true(view_is(labels_builder_get(&b, VIEW("b")), "22"));
    assert_null(labels_builder_get(&b, VIEW("c")).base);
    struct labels *l = labels_builder_build(&b);
    assert_text(labels_get(l, VIEW("b")), "22");
    labels_builder_reset(&b);
    assert_int_equal(b.len, 0);
    labels_builder_load(&b, l);
    labels_builder_set(&b, VIEW("aa"), VIEW("x"));
    assert_true(view_is(b.items[1].name, "aa"));
    labels_builder_done(&b);
    labels_unref(l);
}

/* A thousand random operations against an array indexed by name. */
static void test_builder_model(void **state)
{
    (void)state;
    static char names[64][4];
    const char *model[64] = {0};
    struct labels_builder b;
    labels_builder_init(&b, NULL);
    for (int i = 0; i < 64; i++) {
        snprintf(names[i], sizeof(names[i]), "%02d", i);
    }
    uint64_t seed = 1;
    for (int step = 0; step < 1000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned at = (unsigned)(seed >> 58);
        const char *value = (seed >> 40) % 3 == 0 ? "" : names[(seed >> 32) % 64];
        labels_builder_set(&b, view_of(names[at]), view_of(value));
        model[at] = value[0] != '\0' ? value : NULL;
    }
    size_t count = 0;
    for (int i = 0; i < 64; i++) {
        struct view got = labels_builder_get(&b, view_of(names[i]));
        assert_true(model[i] == NULL ? got.base == NULL : view_is(got, model[i]));
        count += model[i] != NULL;
    }
    assert_int_equal(b.len, count);
    for (size_t i = 1; i < b.len; i++) {
        assert_true(view_compare(b.items[i - 1].name, b.items[i].name) < 0);
    }
    labels_builder_done(&b);
}

static void test_shared_names(void **state)
{
    (void)state;
    struct label items[] = {pair("b", "2"), pair("a", "x"), pair("c", ""), pair("a", "1")};
    struct label_names *names = label_names_new(), *others = label_names_new();
    struct labels *own = labels_make(items, 4), *shared = labels_make_shared(names, items, 4);
    struct labels *again = labels_make_shared(names, items, 4), *other = labels_make_shared(others, items, 3);
    label_names_unref(others);
    label_names_unref(names);
    label_names_unref(NULL);
    assert_int_equal(labels_count(shared), 2);
    assert_text(labels_at(shared, 0).name, "a");
    assert_text(labels_at(shared, 1).value, "2");
    assert_text(labels_get(shared, VIEW("b")), "2");
    assert_null(labels_get(shared, VIEW("c")).base);
    assert_true(labels_equal(own, shared));
    assert_true(labels_equal(again, shared));
    assert_false(labels_equal(other, shared));
    assert_true(labels_hash(own, NULL, NULL) == labels_hash(shared, NULL, NULL));
    labels_unref(own);
    labels_unref(again);
    labels_unref(other);
    assert_text(labels_at(shared, 1).name, "b");
    labels_unref(shared);
}

/* One address with changing bytes must not fool the dictionary's cache. */
static void test_names_in_reused_memory(void **state)
{
    (void)state;
    char name[8] = "first";
    struct label_names *names = label_names_new();
    struct label item = {view_of(name), VIEW("1")};
    struct labels *a = labels_make_shared(names, &item, 1);
    snprintf(name, sizeof(name), "other");
    struct labels *b = labels_make_shared(names, &item, 1), *c = labels_make_shared(names, &item, 1);
    assert_text(labels_at(a, 0).name, "first");
    assert_text(labels_at(b, 0).name, "other");
    assert_true(labels_equal(b, c));
    label_names_unref(names);
    labels_unref(a);
    labels_unref(b);
    labels_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_hash_of_large_set),
        cmocka_unit_test(test_builder_model),
        cmocka_unit_test(test_shared_names),
        cmocka_unit_test(test_names_in_reused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
