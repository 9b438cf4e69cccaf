/* The hash map against a plain array: the same operations, the same answers, with hashes that collide on purpose. */
#include "base/hashmap.h"
#include "base_test.h"

#define KEYS 600

struct entry {
    unsigned key;
};

static struct entry entries[KEYS];

static bool entry_equal(const void *entry, const void *key)
{
    return ((const struct entry *)entry)->key == *(const unsigned *)key;
}

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static void check_walk(const struct hashmap *m, const bool *present)
{
    bool seen[KEYS] = {false};
    size_t it = 0, count = 0;
    for (struct entry *e; (e = hashmap_next(m, &it)) != NULL; count++) {
        assert_false(seen[e->key]);
        assert_true(present[e->key]);
        seen[e->key] = true;
    }
    assert_int_equal(count, m->len);
}

/* hash_mask decides how many keys share a hash. */
static void run_model(uint64_t hash_mask, uint64_t seed)
{
    struct hashmap m;
    bool present[KEYS] = {false};
    size_t len = 0;
    hashmap_init(&m, entry_equal);
    for (int step = 0; step < 40000; step++) {
        unsigned key = next_random(&seed) % KEYS;
        uint64_t hash = key & hash_mask;
        entries[key].key = key;
        unsigned what = next_random(&seed) % 4;
        if (what < 2 && !present[key]) {
            hashmap_add(&m, hash, &entries[key]);
            present[key] = true;
            len++;
        } else if (what == 2) {
            struct entry *removed = hashmap_remove(&m, hash, &key);
            assert_ptr_equal(removed, present[key] ? &entries[key] : NULL);
            len -= present[key];
            present[key] = false;
        } else {
            assert_ptr_equal(hashmap_get(&m, hash, &key), present[key] ? &entries[key] : NULL);
        }
        assert_int_equal(m.len, len);
        if (step % 5000 == 4999) {
            check_walk(&m, present);
        }
    }
    for (unsigned key = 0; key < KEYS; key++) {
        assert_ptr_equal(hashmap_get(&m, key & hash_mask, &key), present[key] ? &entries[key] : NULL);
    }
    hashmap_clear(&m);
    unsigned any = 1;
    assert_null(hashmap_get(&m, 1 & hash_mask, &any));
    hashmap_done(&m);
}

static void test_same_as_the_model(void **state)
{
    (void)state;
    run_model(UINT64_MAX, 1);
    run_model(UINT64_MAX << 4, 2); /* groups of 16 */
    run_model(0x7, 3);             /* eight hashes for everything */
}

static void test_empty_map(void **state)
{
    (void)state;
    struct hashmap m;
    unsigned key = 3;
    size_t it = 0;
    hashmap_init(&m, entry_equal);
    assert_null(hashmap_get(&m, 3, &key));
    assert_null(hashmap_remove(&m, 3, &key));
    assert_null(hashmap_next(&m, &it));
    hashmap_clear(&m);
    hashmap_done(&m);
}

static void test_reserve_moves_nothing_later(void **state)
{
    (void)state;
    struct hashmap m;
    hashmap_init(&m, entry_equal);
    hashmap_reserve(&m, KEYS);
    size_t cap = m.cap;
    for (unsigned key = 0; key < KEYS; key++) {
        entries[key].key = key;
        hashmap_add(&m, key, &entries[key]);
    }
    assert_int_equal(m.cap, cap);
    assert_true(m.len <= m.cap / 4 * 3);
    hashmap_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_the_model),
        cmocka_unit_test(test_empty_map),
        cmocka_unit_test(test_reserve_moves_nothing_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
