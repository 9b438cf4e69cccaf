/* Which scanner this machine can run: asked once of the processor, no build-time choice, so one package serves all
 * machines. */
#include "expfmt/scan.h"

#include "expfmt/number.h"

#if defined(__x86_64__)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("gfni") && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("pclmul");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("popcnt");
}

size_t scan_variants(struct scan_variant ret[4])
{
    size_t n = 0;
    if (has_avx512()) {
        ret[n++] = (struct scan_variant){"avx512", scan_strict_avx512, scan_count_avx512};
    }
    if (has_avx2()) {
        ret[n++] = (struct scan_variant){"avx2", scan_strict_avx2, scan_count_avx2};
    }
    ret[n++] = (struct scan_variant){"sse2", NULL, scan_count_sse2};
    return n;
}
#else
size_t scan_variants(struct scan_variant ret[4])
{
    (void)ret;
    return 0;
}
#endif

scan_fn *scan_strict_fn(void)
{
    struct scan_variant v[4];
    return scan_variants(v) > 0 ? v[0].strict : NULL;
}

scan_fn *scan_count_fn(void)
{
    struct scan_variant v[4];
    return scan_variants(v) > 0 ? v[0].count : NULL;
}

bool scan_value_is_good(const char *begin, const char *end)
{
    const char *space = memchr(begin, ' ', (size_t)(end - begin));
    enum number_kind kind = number_float_kind(view_make(begin, (size_t)((space != NULL ? space : end) - begin)));
    if (kind == NUMBER_BAD || kind == NUMBER_RANGE || space == NULL) {
        return kind != NUMBER_BAD && kind != NUMBER_RANGE;
    }
    struct view time = view_make(space + 1, (size_t)(end - space - 1));
    for (size_t i = 0; i < time.len; i++) {
        if (time.base[i] < '0' || time.base[i] > '9') {
            return false;
        }
    }
    return time.len > 0 && number_fits_int64(time);
}
