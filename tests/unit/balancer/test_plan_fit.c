/* The fit tree against a plain loop over all leaves, for thousands of random trees with ties, exclusions and two
 * dimensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/plan_fit.h"

#include <math.h>
#include <stdlib.h>

static uint64_t seed = 12345;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

static bool fits(const struct fit_leaf *l, const struct need *need, uint32_t id, const struct fit_exclude *ex)
{
    bool excluded = id >= ex->below;
    for (size_t i = 0; i < ex->count; i++) {
        excluded = excluded || ex->ids[i] == id;
    }
    return !excluded && l->free[0] >= (int64_t)need->v[0] && l->free[1] >= (int64_t)need->v[1];
}

static void check(const struct fit_tree *t, const struct fit_leaf *leaves, const uint32_t *ids, uint32_t count)
{
    struct need need = {{draw(12), draw(12)}};
    uint32_t excluded[3] = {(uint32_t)draw(40), (uint32_t)draw(40), (uint32_t)draw(40)};
    const struct fit_exclude ex = {excluded, draw(4), draw(3) == 0 ? (uint32_t)draw(60) : UINT32_MAX};
    int64_t first = -1, best = -1;
    double fill = INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        if (fits(&leaves[i], &need, ids[i], &ex)) {
            first = first < 0 ? ids[i] : first;
            if (leaves[i].fill < fill) {
                fill = leaves[i].fill;
                best = ids[i];
            }
        }
    }
    assert_int_equal(fit_tree_first(t, &need, &ex), first);
    assert_int_equal(fit_tree_emptiest(t, &need, &ex), best);
}

static void test_answers_as_a_plain_loop(void **unused)
{
    (void)unused;
    for (int n = 0; n < 2000; n++) {
        struct arena *arena = arena_new();
        struct fit_leaf leaves[40];
        uint32_t ids[40], count = (uint32_t)draw(40), id = 0;
        bool mapped = draw(2) == 0;
        struct fit_tree t;
        for (uint32_t i = 0; i < count; i++) {
            ids[i] = mapped ? (id += 1 + (uint32_t)draw(3)) : i;
        }
        fit_tree_init(&t, arena, count, mapped ? ids : NULL);
        for (uint32_t i = 0; i < count; i++) {
            leaves[i] = (struct fit_leaf){{(int64_t)draw(14) - 2, (int64_t)draw(14) - 2}, (double)draw(6) / 4};
            fit_tree_load(&t, i, leaves[i]);
        }
        fit_tree_seal(&t);
        for (int k = 0; k < 20; k++) {
            check(&t, leaves, ids, count);
            if (count > 0) {
                uint32_t i = (uint32_t)draw(count);
                leaves[i] = (struct fit_leaf){{(int64_t)draw(14) - 2, (int64_t)draw(14) - 2}, (double)draw(6) / 4};
                fit_tree_set(&t, i, leaves[i]);
            }
        }
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers_as_a_plain_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
