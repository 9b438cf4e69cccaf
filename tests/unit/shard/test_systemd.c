/* Memory that one more shard needs: all become as large as the largest, and the smallest is taken for 128 MiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard/systemd.h"

#define MB ((uint64_t)1 << 20)

static uint64_t room(const uint64_t *used_mb, size_t count, uint64_t *ret_largest_mb)
{
    uint64_t used[8], largest;
    for (size_t i = 0; i < count; i++) {
        used[i] = used_mb[i] * MB;
    }
    uint64_t needed = systemd_room_bytes(used, count, &largest);
    *ret_largest_mb = largest / MB;
    return needed / MB;
}

static void all_become_as_large_as_the_largest(void **state)
{
    static const struct {
        uint64_t used[4];
        size_t count;
        uint64_t needed, largest;
    } CASES[] = {
        {{0}, 0, 128, 128},
        {{40}, 1, 88 + 128, 128},
        {{0, 0, 0}, 3, 4 * 128, 128}, /* asked for, none of it used yet */
        {{1000}, 1, 1000, 1000},
        {{1000, 0}, 2, 2000, 1000},
        {{1000, 600, 0}, 3, 400 + 1000 + 1000, 1000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t largest;
        assert_int_equal(room(CASES[i].used, CASES[i].count, &largest), CASES[i].needed);
        assert_int_equal(largest, CASES[i].largest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_become_as_large_as_the_largest),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
