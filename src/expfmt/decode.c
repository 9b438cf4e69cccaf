/* Content decoders: gzip by ISA-L (2.8 times zlib, and it checks CRC32 and length), zstd by libzstd. Both stream:
 * whatever arrives is turned into blocks of at most 64 KiB that the callback sees before the next is made, and may
 * put off, so a bomb costs time bounded by the callback's own limit, never memory. ISA-L does not report a cut stream;
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

#define DECODER_MAGIC    0x6465636fu
#define BLOCK_BYTES      65536
#define WINDOW_LOG_MAX   23
#define INPUT_STEP_BYTES (1u << 30)

struct decoder {
    uint32_t magic;
    enum content_encoding encoding;
    int failed;       /* the ERR_* that ended the stream; 0 while it lives */
    bool started;     /* a byte has arrived */
    bool in_member;   /* inside a gzip member or a zstd frame */
    size_t magic_len; /* bytes seen of a zstd frame's magic number */
    bool skippable;
    bool more_output; /* the last block was full: there may be more without further input */
    size_t unused;    /* input bytes left when the callback asked for a pause */
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
    d->in_member = d->more_output = false;
    d->unused = d->magic_len = 0;
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

/* One block's worth of inflating; *at moves on (back by a few bytes at a member's end, where ISA-L has read ahead). */
static int gzip_step(struct decoder *d, const char **at, size_t *len, size_t *ret_made, struct errctx *err)
{
    struct inflate_state *z = d->inflate;
    if (!d->in_member) {
        gzip_member_begin(d);
    }
    uint32_t step = (uint32_t)(*len < INPUT_STEP_BYTES ? *len : INPUT_STEP_BYTES);
    z->next_in = (uint8_t *)(uintptr_t)*at; /* read only; ISA-L's type lacks the const */
    z->avail_in = step;
    z->next_out = (uint8_t *)d->block;
    z->avail_out = BLOCK_BYTES;
    int rc = isal_inflate(z);
    if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT) {
        return errctx_set(err, ERR_PARSE, "%s", gzip_error_text(rc));
    }
    *at = (const char *)z->next_in;
    *len = *len - step + z->avail_in;
    *ret_made = BLOCK_BYTES - z->avail_out;
    d->in_member = z->block_state != ISAL_BLOCK_FINISH;
    d->more_output = d->in_member && z->avail_out == 0;
    return 0;
}

/* Frames of zstd before 1.0 are refused: libzstd still reads them, by decoders that know no limit of the window. */
static bool magic_is_good(struct decoder *d, const char *at, size_t len)
{
    static const unsigned char FRAME[] = {0x28, 0xb5, 0x2f, 0xfd}, SKIPPABLE[] = {0x50, 0x2a, 0x4d, 0x18};
    for (; len > 0 && d->magic_len < 4; at++, len--, d->magic_len++) {
        unsigned char c = (unsigned char)*at;
        if (d->magic_len == 0) {
            d->skippable = (c & 0xf0) == SKIPPABLE[0];
            c = d->skippable ? SKIPPABLE[0] : c;
        }
        if (c != (d->skippable ? SKIPPABLE : FRAME)[d->magic_len]) {
            return false;
        }
    }
    return true;
}

static int zstd_step(struct decoder *d, const char **at, size_t *len, size_t *ret_made, struct errctx *err)
{
    /* A frame's first byte by itself: libzstd has another way for frames that come whole, with other verdicts. */
    ZSTD_inBuffer in = {*at, d->magic_len == 0 && *len > 0 ? 1 : *len, 0};
    ZSTD_outBuffer out = {d->block, BLOCK_BYTES, 0};
    if (!magic_is_good(d, *at, in.size)) {
        return errctx_set(err, ERR_PARSE, "zstd: no frame");
    }
    size_t rc = ZSTD_decompressStream(d->zstd, &out, &in);
    if (ZSTD_isError(rc)) {
        return errctx_set(err, ERR_PARSE, "zstd: %s", ZSTD_getErrorName(rc));
    }
    *at += in.pos;
    *len -= in.pos;
    *ret_made = out.pos;
    d->in_member = rc != 0;
    d->magic_len = rc != 0 ? d->magic_len : 0;
    d->more_output = out.pos == BLOCK_BYTES;
    return 0;
}

static int feed(struct decoder *d, const char *at, size_t len, decoded_fn *fn, void *data, struct errctx *err)
{
    while (len > 0 || d->more_output) {
        size_t made = 0;
        int rc =
            d->encoding == ENCODING_GZIP ? gzip_step(d, &at, &len, &made, err) : zstd_step(d, &at, &len, &made, err);
        if (rc == 0 && made > 0) {
            rc = fn(data, d->block, made, err);
        }
        if (rc != 0) {
            d->unused = len;
            return rc;
        }
    }
    return 0;
}

int decoder_feed(struct decoder *d, const char *base, size_t len, decoded_fn *fn, void *data, struct errctx *err)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    if (d->failed != 0) {
        return errctx_set(err, d->failed, "the stream already failed");
    }
    if (len == 0 && !d->more_output) {
        return 0;
    }
    d->started = true;
    int rc = feed(d, base, len, fn, data, err);
    d->failed = rc == ERR_AGAIN ? 0 : rc;
    return rc;
}

size_t decoder_unused(const struct decoder *d)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    return d->unused;
}

bool decoder_has_output(const struct decoder *d)
{
    MAGIC_CHECK(d, DECODER_MAGIC);
    return d->more_output;
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
