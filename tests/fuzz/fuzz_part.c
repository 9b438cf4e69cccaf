/* Parts of a body that a strict counter accepts: each is accepted in turn, their counts add up to the whole's, and the
 * output does not depend on how the bytes came. Of other bodies: nothing breaks. First byte: format (modulo 3), version
 * (4), number of parts (the next two bits), short limit for lines (32). */
#include "fuzz_counter.h"

#include "base/bytes.h"
#include "expfmt/part_filter.h"

#define SMALL_BYTES 48
#define OUTPUT_MAX  ((size_t)1 << 24)

struct way {
    struct counter *whole, *again;
    struct part_filter *filter;
};

static struct way ways[PROMETHEUS_3_8 - PROMETHEUS_2 + 1][2];

static void setup(void)
{
    for (int major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major++) {
        for (int small = 0; small < 2; small++) {
            struct counter_conf conf = {.mode = COUNT_STRICT,
                                        .major = (enum prometheus_major)major,
                                        .utf8_names = major >= PROMETHEUS_3,
                                        .native_histograms = true,
                                        .line_bytes_max = small ? SMALL_BYTES : 0};
            struct way *w = &ways[major - PROMETHEUS_2][small];
            w->whole = counter_new(&conf);
            w->filter = part_filter_new(conf.major, conf.line_bytes_max);
            conf.line_bytes_max = 0; /* messages may come out a byte longer than they went in */
            w->again = counter_new(&conf);
        }
    }
}

static int collect(void *data, const char *base, size_t len, struct errctx *err)
{
    (void)err;
    invariant(len > 0);
    bytes_append(data, base, len);
    return 0;
}

/* Pieces as outcome_of makes them. */
static int filter_in(struct part_filter *f, enum exposition_format format, unsigned part, unsigned parts,
                     const uint8_t *data, size_t size, unsigned piece_max, struct bytes *out)
{
    struct errctx err = ERRCTX_INIT;
    uint32_t random = piece_max * 2654435761u + 1;
    int rc = 0;
    bytes_clear(out);
    part_filter_start(f, format, part, parts, collect, out);
    for (size_t at = 0; at < size && rc == 0;) {
        random = random * 1664525u + 1013904223u;
        size_t n = piece_max == 0 ? size : 1 + (random >> 8) % piece_max;
        n = n < size - at ? n : size - at;
        char *piece = mem_dup(data + at, n);
        rc = part_filter_feed(f, piece, n, &err);
        free(piece);
        at += n;
    }
    rc = rc == 0 ? part_filter_finish(f, &err) : rc;
    invariant(rc == err.code);
    return rc;
}

static void check_part(const struct way *w, enum exposition_format format, unsigned part, unsigned parts, bool good,
                       const uint8_t *data, size_t size, struct outcome *sum)
{
    static const unsigned pieces[] = {1, 7, 100};
    struct bytes out, other;
    bytes_init(&out, OUTPUT_MAX);
    bytes_init(&other, OUTPUT_MAX);
    int rc = filter_in(w->filter, format, part, parts, data, size, 0, &out);
    invariant(rc == 0 || !good);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        rc = filter_in(w->filter, format, part, parts, data, size, pieces[i], &other);
        invariant(!good || (rc == 0 && view_equal(bytes_view(&out), bytes_view(&other))));
    }
    if (good) {
        const uint8_t *base = (const uint8_t *)bytes_view(&out).base;
        struct outcome o = outcome_of(w->again, format, NULL, out.len != 0 ? base : data, out.len, 0);
        invariant(o.code == 0);
        sum->scraped += o.scraped;
        sum->series += o.series;
    }
    bytes_done(&out);
    bytes_done(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum exposition_format formats[] = {EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF};
    static const unsigned parts_of[] = {2, 3, 5, 64};
    if (ways[0][0].whole == NULL) {
        setup();
    }
    if (size == 0) {
        return 0;
    }
    enum exposition_format format = formats[(data[0] & 3) % 3];
    bool modern = (data[0] & 4) != 0;
    unsigned parts = parts_of[data[0] >> 3 & 3];
    const struct way *w = &ways[modern ? PROMETHEUS_3_8 - PROMETHEUS_2 : 0][(data[0] & 32) != 0];
    struct outcome want = outcome_of(w->whole, format, NULL, data + 1, size - 1, 0), sum = {0};
    for (unsigned part = 0; part < parts; part++) {
        check_part(w, format, part, parts, want.code == 0, data + 1, size - 1, &sum);
    }
    /* before 3.8 the first of a family says what all its histograms are: another one in each part */
    if (want.code == 0 && (modern || format != EXPOSITION_PROTOBUF)) {
        invariant(sum.scraped == want.scraped && sum.series == want.series);
    }
    return 0;
}
