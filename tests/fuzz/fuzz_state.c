/* Any bytes as a state file. The checksum would keep a fuzzer out, so input is tried twice: as it is, and as the text inside
 * of a file whose header is right. What reads must write and read back. */
#include "base/hash.h"
#include "base/invariant.h"
#include "shard/state.h"

#include <stdlib.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct view file)
{
    struct state *s = NULL, *again = NULL;
    struct errctx err = ERRCTX_INIT;
    struct bytes out;
    int rc = state_decode(file, &s, &err);
    if (rc != 0) {
        invariant(s == NULL && rc == err.code && err.msg[0] != '\0');
        return;
    }
    bytes_init(&out, STATE_FILE_BYTES_MAX);
    invariant(state_encode(s, &out, NULL) == 0);
    invariant(state_decode(bytes_view(&out), &again, NULL) == 0);
    invariant(again->shard_count == s->shard_count && again->load_count == s->load_count);
    for (size_t i = 0; i < s->shard_count; i++) {
        invariant(again->shards[i].target_count == s->shards[i].target_count);
        for (size_t k = 0; k < s->shards[i].target_count; k++) {
            const struct target *a = s->shards[i].targets[k].a.target, *b = again->shards[i].targets[k].a.target;
            invariant(a->hash == b->hash && a->job == b->job && labels_equal(a->labels, b->labels));
        }
    }
    bytes_done(&out);
    state_free(&s);
    state_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view input = view_make((const char *)data, size);
    struct bytes file;
    char header[24] = "KVASS1";
    size_t room = ZSTD_compressBound(size);
    check(input);
    bytes_init(&file, room + sizeof(header));
    bytes_append(&file, header, sizeof(header));
    size_t n = ZSTD_compress(bytes_reserve(&file, room), room, data, size, 1);
    invariant(!ZSTD_isError(n));
    bytes_commit(&file, n);
    uint64_t sum = xxh64(file.base + sizeof(header), n, 0), len = n;
    memcpy(file.base + 8, &len, 8);
    memcpy(file.base + 16, &sum, 8);
    check(bytes_view(&file));
    bytes_done(&file);
    return 0;
}
