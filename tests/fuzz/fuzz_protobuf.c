/* Delimited protobuf: every split agrees with the whole, and families walked piece by piece (those beyond the
 * limit for a line) with families judged as a whole. First byte: version and settings. */
#include "fuzz_counter.h"

#define SMALL_BYTES 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct counter *whole[8], *piecewise[8];
    if (whole[0] == NULL) {
        for (int i = 0; i < 8; i++) {
            struct counter_conf conf = {
                .mode = COUNT_STRICT,
                .major = (i & 1) == 0 ? PROMETHEUS_2 : PROMETHEUS_3_8,
                .utf8_names = (i & 1) != 0,
                .native_histograms = (i & 2) != 0,
                .always_classic = (i & 4) != 0,
            };
            whole[i] = counter_new(&conf);
            conf.line_bytes_max = SMALL_BYTES;
            piecewise[i] = counter_new(&conf);
        }
    }
    if (size == 0) {
        return 0;
    }
    static const unsigned pieces[] = {0, 1, 5, 60};
    int way = data[0] & 7;
    struct outcome want = outcome_of(whole[way], EXPOSITION_PROTOBUF, NULL, data + 1, size - 1, 0);
    struct outcome small = outcome_of(piecewise[way], EXPOSITION_PROTOBUF, NULL, data + 1, size - 1, 0);
    if (small.code != ERR_LIMIT) {
        invariant(small.code == want.code && small.scraped == want.scraped && small.series == want.series);
    }
    for (size_t i = 1; i < 4; i++) {
        struct outcome got = outcome_of(whole[way], EXPOSITION_PROTOBUF, NULL, data + 1, size - 1, pieces[i]);
        outcome_same(&want, &got);
        got = outcome_of(piecewise[way], EXPOSITION_PROTOBUF, NULL, data + 1, size - 1, pieces[i]);
        outcome_same(&small, &got);
    }
    return 0;
}
