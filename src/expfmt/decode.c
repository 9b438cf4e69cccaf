/* Content decoders: gzip by ISA-L (2.8 times zlib, and it checks CRC32 and length), zstd by libzstd. Both stream:
 * whatever arrives is turned into blocks of at most 64 KiB that the callback sees before the next is made, so a
 * gzip bomb costs time bounded by the callback's own limit, never memory. ISA-L does not report a cut stream;
 * decoder_finish does, by the block state. The zstd window is capped at 8 MiB: a frame that wants more is refused,
 * whatever its content.
 *
 * Content may follow the end of a member only as another member, as Go's gzip reader has it. */
#include "expfmt/decode.h"

#include "base/invariant.h"
#include "base/mem.h"

#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdlib.h>
#include <zstd.h>

#define DECODER_MAGIC 0x6465636fu
#define BLOCK_BYTES 65536
#define WINDOW_LOG_MAX 23
#define INPUT_STEP_BYTES (1u << 30)

struct decoder {
    uint32_t magic;
    enum content_encoding encoding;
    int failed;       /* the ERR_* that ended the stream; 0 while it lives */
    bool started;     /* a byte has arrived */
    bool in_member;   /* inside a gzip member or a zstd frame */
    struct inflate_state *inflate;
    ZSTD_DCtx *zstd;
    char block[BLOCK_BYTES];
};

bool content_encoding_parse(struct view name, enum content_encoding *ret)
{
    if (name.len == 0 || view_is(name, "identity")) {
        *ret = ENCODING_IDENTITY;
    } else if (view_is(name, "gzip")) {
        *ret = ENCODING_GZIP;
    } else if (view_is(name, "zstd")) {
        *ret = ENCODING_ZSTD;
    } else {
        return false;
    }
    return true;
}

struct decoder *decoder_new(enum content_encoding encoding)
{
    invariant(encoding == ENCODING_GZIP || encoding == ENCODING_ZSTD);
    struct decoder *d = mem_alloc(sizeof(*d));
    d->magic = DECODER_MAGIC;
    d->encoding = encoding;
    d->inflate = NULL;
    d->zstd = NULL;
    if (encoding == ENCODING_GZIP) {
        d->inflate = mem_calloc(1, sizeof(*d->inflate));
        isal_inflate_init(d->inflate);
    } else {
        d->zstd = ZSTD_createDCtx();
        invariant(d->zstd != NULL);
    }
    decoder_reset(d);
    return d;
}

void decoder_reset(struct decoder *d)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    d->failed = 0;
    d->started = false;
    d->in_member = false;
    if (d->zstd != NULL) {
        ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_and_parameters);
        size_t rc = ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
        invariant(!ZSTD_isError(rc));
    }
}

void decoder_free(struct decoder **d)
{
    if (*d == NULL) {
        return;
    }
    MAGIC_CHECK(*d, DECODER_MAGIC);
    free((*d)->inflate);
    ZSTD_freeDCtx((*d)->zstd);
    MEM_FREE(*d);
}

static void gzip_member_begin(struct decoder *d)
{
    isal_inflate_reset(d->inflate);
    d->inflate->crc_flag = ISAL_GZIP;
    d->inflate->avail_in = 0;
    d->in_member = true;
}

static const char *gzip_error_text(int rc)
{
    switch (rc) {
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
        return "gzip: invalid header";
    case ISAL_INCORRECT_CHECKSUM:
        return "gzip: invalid checksum";
    default:
        return "gzip: corrupt input";
    }
}

static int gzip_feed(struct decoder *d, const uint8_t *base, size_t len, decoded_fn *fn, void *data, struct errctx *err)
{
    struct inflate_state *z = d->inflate;
    while (len > 0) {
        if (!d->in_member) {
            gzip_member_begin(d);
        }
        uint32_t step = (uint32_t)(len < INPUT_STEP_BYTES ? len : INPUT_STEP_BYTES);
        z->next_in = (uint8_t *)(uintptr_t)base; /* read only; ISA-L's type lacks the const */
        z->avail_in = step;
        do {
            z->next_out = (uint8_t *)d->block;
            z->avail_out = BLOCK_BYTES;
            int rc = isal_inflate(z);
            if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT) {
                return errctx_set(err, ERR_PARSE, "%s", gzip_error_text(rc));
            }
            size_t made = BLOCK_BYTES - z->avail_out;
            int failed = made > 0 ? fn(data, d->block, made, err) : 0;
            if (failed != 0) {
                return failed;
            }
        } while (z->block_state != ISAL_BLOCK_FINISH && (z->avail_in > 0 || z->avail_out == 0));
        size_t used = step - z->avail_in;
        base += used;
        len -= used;
        d->in_member = z->block_state != ISAL_BLOCK_FINISH;
    }
    return 0;
}

static int zstd_feed(struct decoder *d, const char *base, size_t len, decoded_fn *fn, void *data, struct errctx *err)
{
    ZSTD_inBuffer in = {base, len, 0};
    ZSTD_outBuffer out = {d->block, BLOCK_BYTES, 0};
    while (in.pos < in.size || out.pos == BLOCK_BYTES) {
        out.pos = 0;
        size_t rc = ZSTD_decompressStream(d->zstd, &out, &in);
        if (ZSTD_isError(rc)) {
            return errctx_set(err, ERR_PARSE, "zstd: %s", ZSTD_getErrorName(rc));
        }
        int failed = out.pos > 0 ? fn(data, d->block, out.pos, err) : 0;
        if (failed != 0) {
            return failed;
        }
        d->in_member = rc != 0;
    }
    return 0;
}

int decoder_feed(struct decoder *d, const char *base, size_t len, decoded_fn *fn, void *data, struct errctx *err)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    if (d->failed != 0) {
        return errctx_set(err, d->failed, "the stream already failed");
    }
    if (len == 0) {
        return 0;
    }
    d->started = true;
    d->failed = d->encoding == ENCODING_GZIP ? gzip_feed(d, (const uint8_t *)base, len, fn, data, err)
                                             : zstd_feed(d, base, len, fn, data, err);
    return d->failed;
}

int decoder_finish(struct decoder *d, struct errctx *err)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    if (d->failed != 0) {
        return errctx_set(err, d->failed, "the stream already failed");
    }
    if (!d->started || d->in_member) {
        return errctx_set(err, ERR_PARSE, "unexpected EOF");
    }
    return 0;
}
