/* Any bytes as request target, as query and as base64: what is decoded is never longer than what came in, and paths are
 * sound. */
#include "base/invariant.h"
#include "base/mem.h"
#include "net/http_query.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(struct view in, struct arena *arena)
{
    struct view path, query;
    if (!http_target_split(in, arena, &path, &query)) {
        return;
    }
    invariant(path.len > 0 && path.base[0] == '/' && path.len + query.len <= in.len);
    invariant(memchr(path.base, '\0', path.len) == NULL && memmem(path.base, path.len, "/../", 4) == NULL);
    struct view value;
    size_t count = 0;
    while (count < 8 && http_query_find(query, VIEW("a"), count, arena, &value)) {
        invariant(value.len <= query.len);
        count++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 20000) {
        return 0;
    }
    struct arena *arena = arena_new();
    struct view in = view_make((const char *)data, size);
    char *out = mem_alloc(size + 1);
    size_t len = http_base64_decode(in, out);
    invariant(len == SIZE_MAX || len <= size / 4 * 3);
    len = http_percent_decode(in, true, out);
    invariant(len == SIZE_MAX || len <= size);
    check_target(in, arena);
    free(out);
    arena_free(&arena);
    return 0;
}
