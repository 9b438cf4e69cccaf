/* Any bytes as the state of `kvass plan`: what reads is written and reads back the same, and planning it never
 * breaks. */
#include "balancer/plan_json.h"
#include "base/invariant.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_input(struct bytes *out, const struct plan_input *in)
{
    struct json_writer w;
    bytes_init(out, (size_t)64 << 20);
    json_writer_init(&w, out);
    plan_input_write(&w, in);
    invariant(bytes_check(out, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct errctx err = ERRCTX_INIT;
    struct plan_input in, again;
    if (plan_input_read(arena, view_make((const char *)data, size), &in, &err) == 0) {
        struct bytes first, second;
        write_input(&first, &in);
        invariant(plan_input_read(arena, bytes_view(&first), &again, &err) == 0);
        write_input(&second, &again);
        invariant(view_equal(bytes_view(&first), bytes_view(&second)));
        struct plan *p = plan_build(&in);
        uint64_t sum = 0;
        for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
            sum += p->ledger[s];
        }
        invariant(sum == in.target_count);
        plan_free(&p);
        bytes_done(&first);
        bytes_done(&second);
    }
    arena_free(&arena);
    return 0;
}
