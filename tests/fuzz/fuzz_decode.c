/* The decoders: every split of the input and every pause gives the same output and verdict, and a decoder can be used
 * again after a reset. Of a stream that is both too long and broken either may be said, as the break may be seen before
 * the last block is handed out. First byte: the encoding. */
#include "base/hash.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "expfmt/decode.h"

#include <stdlib.h>

#define OUTPUT_MAX ((size_t)1 << 22)

struct sink {
    uint64_t hash;
    size_t len;
    bool pauses, paused_last; /* every second block */
};

static int sink_take(void *data, const char *base, size_t len, struct errctx *err)
{
    struct sink *s = data;
    invariant(len > 0 && len <= 65536);
    s->hash = fnv1a64(s->hash, base, len);
    s->len += len;
    s->paused_last = s->pauses && !s->paused_last;
    return s->len > OUTPUT_MAX ? errctx_set(err, ERR_LIMIT, "too long") : s->paused_last ? ERR_AGAIN : 0;
}

static int decode(struct decoder *d, const uint8_t *data, size_t size, size_t piece, struct sink *ret)
{
    struct errctx err = ERRCTX_INIT;
    int rc = 0;
    *ret = (struct sink){.hash = FNV1A64_INIT, .pauses = piece % 2 == 0};
    decoder_reset(d);
    for (size_t at = 0; at < size && rc == 0; at += piece) {
        size_t n = piece < size - at ? piece : size - at;
        char *copy = mem_dup(data + at, n);
        rc = decoder_feed(d, copy, n, sink_take, ret, &err);
        while (rc == ERR_AGAIN) {
            size_t left = decoder_unused(d);
            invariant(left <= n);
            rc = decoder_feed(d, copy + n - left, left, sink_take, ret, &err);
        }
        free(copy);
    }
    rc = rc != 0 ? rc : decoder_finish(d, &err);
    invariant((rc == 0) == (err.code == 0));
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder *decoders[2];
    static const size_t pieces[] = {1, 7, 100};
    if (decoders[0] == NULL) {
        decoders[0] = decoder_new(ENCODING_GZIP);
        decoders[1] = decoder_new(ENCODING_ZSTD);
    }
    if (size < 2) {
        return 0;
    }
    struct decoder *d = decoders[data[0] & 1];
    struct sink want, got;
    int rc = decode(d, data + 1, size - 1, size, &want);
    for (size_t i = 0; i < 3; i++) {
        int again = decode(d, data + 1, size - 1, pieces[i], &got);
        bool long_one = want.len > OUTPUT_MAX || got.len > OUTPUT_MAX;
        invariant(rc == again || (long_one && rc != 0 && again != 0));
        invariant(rc != 0 || (got.hash == want.hash && got.len == want.len));
    }
    return 0;
}
