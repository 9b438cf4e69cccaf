/* Arenas: zeroed, aligned, never overlapping, and reset gives the memory back. */
#include "base/arena.h"
#include "base_test.h"

static void test_pieces_do_not_overlap(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    unsigned char *pieces[2000];
    size_t sizes[2000];
    for (size_t i = 0; i < 2000; i++) {
        sizes[i] = (i * 37) % 97 + (i % 100 == 0 ? 5000 : 0) + (i % 500 == 0 ? 40000 : 0);
        pieces[i] = arena_alloc(a, sizes[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(pieces[i][j], 0);
        }
        memset(pieces[i], (int)(i % 251) + 1, sizes[i]);
    }
    for (size_t i = 0; i < 2000; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(pieces[i][j], i % 251 + 1);
        }
    }
    assert_true(arena_size(a) >= 2000 * 40);
    arena_free(&a);
    assert_null(a);
    arena_free(&a);
}

static void test_reset_keeps_at_most_one_block(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 1000; i++) {
            char *p = arena_alloc(a, 100);
            assert_int_equal(p[99], 0); /* also when the memory was used before */
            memset(p, 'x', 100);
        }
        arena_alloc(a, 1 << 20);
        arena_reset(a);
        assert_true(arena_size(a) <= 16384);
    }
    arena_free(&a);
}

static void test_text(void **state)
{
    (void)state;
    struct arena *a = arena_new();
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_string_equal(arena_printf(a, "%s/%d", "x", 12), "x/12");
    struct view v = arena_view(a, view_make("a\0b", 3));
    assert_memory_equal(v.base, "a\0b", 4);
    v = arena_view(a, view_make(NULL, 0));
    assert_int_equal(v.len, 0);
    assert_string_equal(v.base, "");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_do_not_overlap),
        cmocka_unit_test(test_reset_keeps_at_most_one_block),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
