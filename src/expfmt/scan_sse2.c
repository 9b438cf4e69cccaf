/* Counting for any x86-64: a step is four registers. Strict scanning would gain nothing over the careful parser
 * here. */
#if defined(__x86_64__)
#define SCAN_TARGET
#define SCAN_FN static inline __attribute__((always_inline))
#define SCAN_COUNT_ONLY

#include "expfmt/scan_masks.h"

struct quarters {
    __m128i v[4];
};

SCAN_FN struct quarters load(const char *p)
{
    const __m128i *q = (const __m128i *)(const void *)p;
    return (struct quarters){
        {_mm_loadu_si128(q), _mm_loadu_si128(q + 1), _mm_loadu_si128(q + 2), _mm_loadu_si128(q + 3)}};
}

SCAN_FN uint64_t equals(const struct quarters *q, char ch)
{
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++) {
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(q->v[i], _mm_set1_epi8(ch))) << (16 * i);
    }
    return mask;
}

SCAN_FN uint64_t at_most(const struct quarters *q, char ch)
{
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++) {
        __m128i least = _mm_min_epu8(q->v[i], _mm_set1_epi8(ch));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(least, q->v[i])) << (16 * i);
    }
    return mask;
}

SCAN_FN struct masks_count block_count(const char *p)
{
    struct quarters q = load(p);
    return (struct masks_count){
        .lf = equals(&q, '\n'),
        .quote = equals(&q, '"'),
        .backslash = equals(&q, '\\'),
        .small = at_most(&q, '#'),
    };
}

SCAN_FN struct masks_rare block_rare(const char *p)
{
    struct quarters q = load(p);
    return (struct masks_rare){
        .hash = equals(&q, '#'),
        .low = at_most(&q, ' '),
        .nul = equals(&q, '\0'),
    };
}

#include "expfmt/scan_kernel.h"

void scan_count_sse2(struct scan *s, const char *base, size_t len)
{
    scan_count(s, base, len);
}
#endif
