/* Decoding, with and without counting, beside zlib's plain inflate of the same body in the same run: megabytes of text
 * a second of CPU, medians of interleaved rounds. Figure to hold: gzip decoded and counted (fast) at least twice zlib's
 * inflate alone.
 *
 *     bench_decode FILE ...       bodies as text; they are compressed here (gzip -6, zstd -3) */
#include "base/files.h"
#include "base/mem.h"
#include "expfmt/counter.h"
#include "expfmt/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#define ROUNDS       9
#define ROUND_CLOCKS (CLOCKS_PER_SEC / 40)
#define PIECE_BYTES  16384

enum counting { COUNT_NOTHING, COUNT_WAY_FAST, COUNT_WAY_STRICT };

struct way {
    const char *name;
    const struct view *packed;
    struct decoder *decoder; /* NULL: zlib */
    struct counter *counter; /* NULL: nothing is counted */
    uint64_t made;
    double rates[ROUNDS];
};

static void die(const char *what)
{
    fprintf(stderr, "bench_decode: %s\n", what);
    exit(1);
}

static int on_block(void *data, const char *base, size_t len, struct errctx *err)
{
    struct way *w = data;
    w->made += len;
    return w->counter != NULL ? counter_feed(w->counter, base, len, err) : 0;
}

static void inflate_plain(struct way *w)
{
    static unsigned char out[65536];
    z_stream z = {0};
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        die("zlib");
    }
    for (size_t at = 0; at < w->packed->len;) {
        size_t n = w->packed->len - at < PIECE_BYTES ? w->packed->len - at : PIECE_BYTES;
        z.next_in = (unsigned char *)(uintptr_t)(w->packed->base + at);
        z.avail_in = (unsigned)n;
        do {
            z.next_out = out;
            z.avail_out = sizeof(out);
            inflate(&z, Z_NO_FLUSH);
            w->made += sizeof(out) - z.avail_out;
        } while (z.avail_out == 0);
        at += n;
    }
    inflateEnd(&z);
}

static void run_once(struct way *w)
{
    struct errctx err = ERRCTX_INIT;
    struct counter_result result;
    if (w->decoder == NULL) {
        inflate_plain(w);
        return;
    }
    decoder_reset(w->decoder);
    if (w->counter != NULL) {
        counter_start(w->counter, EXPOSITION_TEXT, NULL);
    }
    for (size_t at = 0; at < w->packed->len;) {
        size_t n = w->packed->len - at < PIECE_BYTES ? w->packed->len - at : PIECE_BYTES;
        if (decoder_feed(w->decoder, w->packed->base + at, n, on_block, w, &err) != 0) {
            die(err.msg);
        }
        at += n;
    }
    if (decoder_finish(w->decoder, &err) != 0 ||
        (w->counter != NULL && counter_finish(w->counter, &result, &err) != 0)) {
        die(err.msg);
    }
}

static double rate(struct way *w)
{
    clock_t begin = clock(), now;
    w->made = 0;
    do {
        run_once(w);
        now = clock();
    } while (now - begin < ROUND_CLOCKS);
    return (double)w->made / ((double)(now - begin) / CLOCKS_PER_SEC) / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct way way_make(const char *name, const struct view *packed, enum content_encoding encoding, bool ours,
                           enum counting counting)
{
    const struct counter_conf conf = {.mode = counting == COUNT_WAY_FAST ? COUNT_FAST : COUNT_STRICT,
                                      .major = PROMETHEUS_2};
    return (struct way){.name = name,
                        .packed = packed,
                        .decoder = ours ? decoder_new(encoding) : NULL,
                        .counter = counting != COUNT_NOTHING ? counter_new(&conf) : NULL};
}

static void bench(const char *title, struct view text, const struct view *gz, const struct view *zst)
{
    struct way ways[] = {
        way_make("zlib inflate", gz, ENCODING_GZIP, false, COUNT_NOTHING),
        way_make("gzip (ISA-L)", gz, ENCODING_GZIP, true, COUNT_NOTHING),
        way_make("gzip, counted fast", gz, ENCODING_GZIP, true, COUNT_WAY_FAST),
        way_make("gzip, counted strictly", gz, ENCODING_GZIP, true, COUNT_WAY_STRICT),
        way_make("zstd", zst, ENCODING_ZSTD, true, COUNT_NOTHING),
        way_make("zstd, counted fast", zst, ENCODING_ZSTD, true, COUNT_WAY_FAST),
        way_make("zstd, counted strictly", zst, ENCODING_ZSTD, true, COUNT_WAY_STRICT),
    };
    size_t count = sizeof(ways) / sizeof(ways[0]);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            ways[i].rates[round] = rate(&ways[i]);
        }
    }
    printf("%s: %zu bytes, gzip %zu, zstd %zu\n", title, text.len, gz->len, zst->len);
    for (size_t i = 0; i < count; i++) {
        qsort(ways[i].rates, ROUNDS, sizeof(double), compare);
        printf("  %-24s %7.0f MB/s   %5.2f x zlib\n", ways[i].name, ways[i].rates[ROUNDS / 2],
               ways[i].rates[ROUNDS / 2] / ways[0].rates[ROUNDS / 2]);
        decoder_free(&ways[i].decoder);
        counter_free(&ways[i].counter);
    }
}

static struct view pack_gzip(struct view text)
{
    z_stream z = {0};
    if (deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        die("zlib");
    }
    size_t room = deflateBound(&z, text.len);
    char *out = mem_alloc(room);
    z.next_in = (unsigned char *)(uintptr_t)text.base;
    z.avail_in = (unsigned)text.len;
    z.next_out = (unsigned char *)out;
    z.avail_out = (unsigned)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        die("zlib");
    }
    struct view packed = {out, z.total_out};
    deflateEnd(&z);
    return packed;
}

static struct view pack_zstd(struct view text)
{
    size_t room = ZSTD_compressBound(text.len);
    char *out = mem_alloc(room);
    size_t len = ZSTD_compress(out, room, text.base, text.len, 3);
    if (ZSTD_isError(len)) {
        die("zstd");
    }
    return (struct view){out, len};
}

int main(int argc, char **argv)
{
    struct bytes body;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&body, (size_t)64 << 20);
    for (int i = 1; i < argc; i++) {
        bytes_clear(&body);
        if (files_read(argv[i], &body, &err) != 0) {
            die(err.msg);
        }
        struct view gz = pack_gzip(bytes_view(&body)), zst = pack_zstd(bytes_view(&body));
        bench(argv[i], bytes_view(&body), &gz, &zst);
        free((char *)(uintptr_t)gz.base);
        free((char *)(uintptr_t)zst.base);
    }
    bytes_done(&body);
    return argc > 1 ? 0 : 2;
}
