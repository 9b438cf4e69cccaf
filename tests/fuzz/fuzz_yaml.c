/* Any bytes: parse, write, parse again; the two trees are equal and writing is a fixed point. */
#include "base/invariant.h"
#include "configgen/yamltree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct yaml_node *first = NULL, *second = NULL;
    struct errctx err = ERRCTX_INIT;
    struct bytes text, again;
    bytes_init(&text, (size_t)256 << 20);
    bytes_init(&again, (size_t)256 << 20);
    if (yaml_parse(arena, "f", view_make((const char *)data, size), &first, &err) == 0 &&
        first != NULL) {
        int rc = yaml_write(first, &text, &err);
        invariant(rc == 0 || rc == ERR_LIMIT);
        if (rc == 0) {
            invariant(yaml_parse(arena, "f", bytes_view(&text), &second, &err) == 0);
            invariant(yaml_equal(first, second));
            invariant(yaml_write(second, &again, &err) == 0);
            invariant(view_equal(bytes_view(&text), bytes_view(&again)));
        }
    }
    bytes_done(&text);
    bytes_done(&again);
    arena_free(&arena);
    return 0;
}
