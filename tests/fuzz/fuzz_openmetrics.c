/* OpenMetrics text: every split agrees with the whole, in both versions; so does the count with a label set built
 * for each sample. First byte: the version. */
#include "fuzz_counter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct counter *counters[2], *with_sets[2];
    static struct labels *target;
    if (counters[0] == NULL) {
        const struct label items[] = {{VIEW("job"), VIEW("j")}, {VIEW("instance"), VIEW("i")}, {VIEW("x"), VIEW("t")}};
        target = labels_make(items, 3);
        for (int i = 0; i < 2; i++) {
            struct counter_conf conf = {
                .mode = COUNT_STRICT, .major = i == 0 ? PROMETHEUS_2 : PROMETHEUS_3, .utf8_names = i == 1};
            counters[i] = counter_new(&conf);
            conf.label_limit = 1000000;
            with_sets[i] = counter_new(&conf);
        }
    }
    if (size == 0) {
        return 0;
    }
    static const unsigned pieces[] = {1, 5, 60};
    int major = data[0] & 1;
    struct outcome want = outcome_of(counters[major], EXPOSITION_OPENMETRICS, target, data + 1, size - 1, 0);
    struct outcome sets = outcome_of(with_sets[major], EXPOSITION_OPENMETRICS, target, data + 1, size - 1, 0);
    outcome_same(&want, &sets);
    for (size_t i = 0; i < 3; i++) {
        struct outcome got = outcome_of(counters[major], EXPOSITION_OPENMETRICS, target, data + 1, size - 1, pieces[i]);
        outcome_same(&want, &got);
    }
    return 0;
}
