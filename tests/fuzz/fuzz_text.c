/* The text format: every scanner agrees with the careful parser, every split with the whole, and what strict
 * counting accepts fast counting counts alike. First byte: which version, and how the body is wrapped so that the
 * scanners see the input in the middle of usual lines. */
#include "fuzz_counter.h"

#define WAYS_MAX 8

struct way {
    struct counter *counter;
    bool strict;
};

static struct way ways[PROMETHEUS_3_8 - PROMETHEUS_2 + 1][WAYS_MAX];
static size_t way_count;
static struct labels *target;

static void way_add(enum prometheus_major major, enum count_mode mode, size_t at, scan_fn *scan_with, bool by_family)
{
    struct counter_conf conf = {
        .mode = mode, .major = major, .utf8_names = major >= PROMETHEUS_3, .by_family = by_family};
    ways[major - PROMETHEUS_2][at] = (struct way){counter_new(&conf), mode == COUNT_STRICT};
    counter_set_scan(ways[major - PROMETHEUS_2][at].counter, scan_with);
}

static void setup(void)
{
    struct scan_variant variants[4];
    size_t count = scan_variants(variants);
    const struct label items[] = {{VIEW("job"), VIEW("j")}, {VIEW("instance"), VIEW("i")}};
    target = labels_make(items, 2); /* every target has some */
    for (int major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major++) {
        enum prometheus_major m = (enum prometheus_major)major;
        way_count = 0;
        way_add(m, COUNT_STRICT, way_count++, NULL, false); /* the reference */
        way_add(m, COUNT_STRICT, way_count++, scan_strict_fn(), true);
        way_add(m, COUNT_FAST, way_count++, NULL, false);
        for (size_t i = 0; i < count && way_count + 2 <= WAYS_MAX; i++) {
            way_add(m, COUNT_STRICT, way_count++, variants[i].strict, false);
            if (way_count < WAYS_MAX) {
                way_add(m, COUNT_FAST, way_count++, variants[i].count, false);
            }
        }
    }
}

static void check(const struct way *set, const uint8_t *data, size_t size)
{
    struct outcome want = outcome_of(set[0].counter, EXPOSITION_TEXT, target, data, size, 0);
    static const unsigned pieces[] = {0, 1, 7, 200};
    for (size_t i = 0; i < way_count; i++) {
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            struct outcome got = outcome_of(set[i].counter, EXPOSITION_TEXT, target, data, size, pieces[k]);
            if (set[i].strict) {
                outcome_same(&want, &got);
            } else if (want.code == 0) {
                invariant(got.code == 0 && got.scraped == want.scraped && got.series == want.series);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char before[] = "first_total{a=\"b\"} 1\n";
    static const char after[] =
        "\nlast_seconds_bucket{le=\"0.5\",code=\"200\",method=\"GET\"} 123.5\n"
        "last_seconds_bucket{le=\"+Inf\",code=\"200\",method=\"GET\"} 1.5e+09 1395066363000\n"
        "last_seconds_count{code=\"200\",method=\"GET\",path=\"/a/rather/long/path/to/have/some/bytes\"} 124\nx 1";
    if (way_count == 0) {
        setup();
    }
    if (size == 0) {
        return 0;
    }
    const struct way *set = ways[(data[0] & 1) * (PROMETHEUS_3_8 - PROMETHEUS_2)];
    size_t head = (data[0] & 2) != 0 ? sizeof(before) - 1 : 0, tail = (data[0] & 4) != 0 ? sizeof(after) - 1 : 0;
    uint8_t *body = mem_alloc(head + size - 1 + tail + 1);
    memcpy(body, before, head);
    memcpy(body + head, data + 1, size - 1);
    memcpy(body + head + size - 1, after, tail);
    check(set, body, head + size - 1 + tail);
    free(body);
    return 0;
}
