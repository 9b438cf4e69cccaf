/* Bodies of any size, produced block by block: lines of STREAM_LINE_BYTES each hold one sample, the rest of a size that is no
 * multiple is one comment line. So `size` and the number of samples (size / STREAM_LINE_BYTES) are both exact, and neither
 * a 50 MB nor an endless body costs memory. Compression, where asked for, runs block by block too. */
#include "exporter_body.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define BLOCK_LINES 512
#define BLOCK_BYTES ((size_t)BLOCK_LINES * STREAM_LINE_BYTES)

struct stream {
    uint64_t left, line;
    enum spec_encoding encoding;
    bool ended;
    struct isal_zstream gzip;
    uint8_t *gzip_level;
    ZSTD_CCtx *zstd;
    char block[BLOCK_BYTES + 1];
};

struct stream *stream_new(uint64_t size_bytes, enum spec_encoding encoding)
{
    struct stream *s = mem_calloc(1, sizeof(*s));
    s->left = size_bytes;
    s->encoding = encoding;
    if (encoding == SPEC_ENCODING_GZIP) {
        s->gzip_level = mem_alloc(ISAL_DEF_LVL1_DEFAULT);
        isal_deflate_init(&s->gzip);
        s->gzip.level = 1;
        s->gzip.level_buf = s->gzip_level;
        s->gzip.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        s->gzip.gzip_flag = IGZIP_GZIP;
    } else if (encoding == SPEC_ENCODING_ZSTD) {
        s->zstd = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, 1);
    }
    return s;
}

void stream_free(struct stream **handle)
{
    struct stream *s = *handle;
    if (s != NULL) {
        free(s->gzip_level);
        ZSTD_freeCCtx(s->zstd);
        free(s);
        *handle = NULL;
    }
}

/* Fills the block; 0 when the size is reached. */
static size_t fill_block(struct stream *s)
{
    size_t len = 0;
    while (s->left >= STREAM_LINE_BYTES && len + STREAM_LINE_BYTES <= BLOCK_BYTES) {
        snprintf(s->block + len, STREAM_LINE_BYTES + 1, "bulk_samples{group=\"g%02u\",index=\"%018llu\"} %010u\n",
                 (unsigned)(s->line % 100), (unsigned long long)s->line, (unsigned)(s->line * 2654435761U % 1000000000U));
        invariant(s->block[len + STREAM_LINE_BYTES - 1] == '\n');
        len += STREAM_LINE_BYTES;
        s->line++;
        s->left -= s->left != UINT64_MAX ? STREAM_LINE_BYTES : 0;
    }
    if (len == 0 && s->left > 0) {
        len = (size_t)s->left;
        memset(s->block, '#', len);
        s->block[len - 1] = '\n';
        s->left = 0;
    }
    return len;
}

static void push_gzip(struct stream *s, size_t len, bool end, struct bytes *out)
{
    s->gzip.next_in = (uint8_t *)s->block;
    s->gzip.avail_in = (uint32_t)len;
    s->gzip.end_of_stream = end;
    s->gzip.flush = NO_FLUSH;
    do {
        s->gzip.next_out = (uint8_t *)bytes_reserve(out, 16384);
        s->gzip.avail_out = 16384;
        invariant(isal_deflate(&s->gzip) == COMP_OK);
        bytes_commit(out, 16384 - s->gzip.avail_out);
    } while (s->gzip.avail_out == 0);
}

static void push_zstd(struct stream *s, size_t len, bool end, struct bytes *out)
{
    ZSTD_inBuffer in = {s->block, len, 0};
    size_t more;
    do {
        ZSTD_outBuffer to = {bytes_reserve(out, 16384), 16384, 0};
        more = ZSTD_compressStream2(s->zstd, &to, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        invariant(!ZSTD_isError(more));
        bytes_commit(out, to.pos);
    } while (in.pos < in.size || (end && more != 0));
}

bool stream_next(struct stream *s, struct bytes *out)
{
    size_t before = out->len;
    while (!s->ended && out->len == before) {
        size_t len = fill_block(s);
        s->ended = len == 0;
        if (s->encoding == SPEC_ENCODING_GZIP) {
            push_gzip(s, len, s->ended, out);
        } else if (s->encoding == SPEC_ENCODING_ZSTD) {
            push_zstd(s, len, s->ended, out);
        } else {
            bytes_append(out, s->block, len);
        }
    }
    return out->len != before;
}
