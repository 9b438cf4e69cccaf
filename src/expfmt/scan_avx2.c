/* The scanner for AVX2: a step is two registers, each giving half a mask. */
#if defined(__x86_64__)
#define SCAN_TARGET __attribute__((target("avx2,bmi,bmi2,pclmul,popcnt,lzcnt")))
#define SCAN_FN     SCAN_TARGET static inline __attribute__((always_inline))

#include "expfmt/scan_masks.h"

struct halves {
    __m256i low, high;
};

SCAN_FN uint64_t mask_of(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

SCAN_FN struct halves load(const char *p)
{
    return (struct halves){_mm256_loadu_si256((const __m256i *)(const void *)p),
                           _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))};
}

SCAN_FN uint64_t equals(struct halves v, char ch)
{
    __m256i x = _mm256_set1_epi8(ch);
    return mask_of(_mm256_cmpeq_epi8(v.low, x), _mm256_cmpeq_epi8(v.high, x));
}

/* At most x, unsigned. */
SCAN_FN uint64_t at_most(struct halves v, char ch)
{
    __m256i x = _mm256_set1_epi8(ch);
    return mask_of(_mm256_cmpeq_epi8(_mm256_min_epu8(v.low, x), v.low),
                   _mm256_cmpeq_epi8(_mm256_min_epu8(v.high, x), v.high));
}

SCAN_FN struct masks_count block_count(const char *p)
{
    struct halves v = load(p);
    return (struct masks_count){
        .lf = equals(v, '\n'),
        .quote = equals(v, '"'),
        .backslash = equals(v, '\\'),
        .small = at_most(v, '#'),
    };
}

SCAN_FN struct masks_rare block_rare(const char *p)
{
    struct halves v = load(p);
    return (struct masks_rare){
        .hash = equals(v, '#'),
        .low = at_most(v, ' '),
        .nul = equals(v, '\0'),
    };
}

SCAN_FN __m256i classes_half(__m256i v)
{
    const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(CLASS_LOW_HALF));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(CLASS_HIGH_HALF));
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    return _mm256_and_si256(_mm256_shuffle_epi8(low, v), _mm256_shuffle_epi8(high, upper));
}

SCAN_FN uint64_t class_is(struct halves c, int mask)
{
    __m256i x = _mm256_set1_epi8((char)mask), zero = _mm256_setzero_si256();
    return ~mask_of(_mm256_cmpeq_epi8(_mm256_and_si256(c.low, x), zero),
                    _mm256_cmpeq_epi8(_mm256_and_si256(c.high, x), zero));
}

SCAN_FN void block_strict(struct masks_strict *m, int i, const char *p)
{
    struct halves v = load(p), c = {classes_half(v.low), classes_half(v.high)};
    m->lf[i] = equals(v, '\n');
    m->quote[i] = equals(v, '"');
    m->backslash[i] = equals(v, '\\');
    m->odd[i] = equals(v, '\0') | mask_of(v.low, v.high);
    m->brace_open[i] = equals(v, '{');
    m->brace_close[i] = equals(v, '}');
    m->equal[i] = equals(v, '=');
    m->comma[i] = equals(v, ',');
    m->space[i] = equals(v, ' ');
    m->hash[i] = equals(v, '#');
    m->letter[i] = class_is(c, CLASS_LETTERS);
    m->digit[i] = class_is(c, CLASS_DIGIT);
    m->label[i] = class_is(c, CLASS_LETTERS | CLASS_DIGIT | CLASS_UNDERSCORE);
    m->metric[i] = class_is(c, CLASS_LETTERS | CLASS_DIGIT | CLASS_UNDERSCORE | CLASS_COLON);
    m->dot[i] = class_is(c, CLASS_DOT);
}

SCAN_FN bool lanes_empty(const uint64_t v[LANES])
{
    return (v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]) == 0;
}

/* Which of the 64 bytes may stand in a metric's name. */
SCAN_FN uint64_t metric_bytes(const char *p)
{
    struct halves v = load(p), c = {classes_half(v.low), classes_half(v.high)};
    return class_is(c, CLASS_LETTERS | CLASS_DIGIT | CLASS_UNDERSCORE | CLASS_COLON);
}

#include "expfmt/scan_kernel.h"

SCAN_TARGET void scan_strict_avx2(struct scan *s, const char *base, size_t len)
{
    scan_strict(s, base, len);
}

SCAN_TARGET void scan_count_avx2(struct scan *s, const char *base, size_t len)
{
    scan_count(s, base, len);
}
#endif
