/* The scanner for AVX-512 with VBMI2: a step is one register, a comparison gives its mask at once. */
#if defined(__x86_64__)
#define SCAN_TARGET __attribute__((target("avx512bw,avx512vl,avx512vbmi2,avx2,bmi,bmi2,pclmul,popcnt,lzcnt")))
#define SCAN_FN     SCAN_TARGET static inline __attribute__((always_inline))

#include "expfmt/scan_masks.h"

SCAN_FN uint64_t equals(__m512i v, char ch)
{
    return _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(ch));
}

SCAN_FN struct masks_count block_count(const char *p)
{
    __m512i v = _mm512_loadu_si512(p);
    return (struct masks_count){
        .lf = equals(v, '\n'),
        .quote = equals(v, '"'),
        .backslash = equals(v, '\\'),
        .small = _mm512_cmple_epu8_mask(v, _mm512_set1_epi8('#')),
    };
}

SCAN_FN struct masks_rare block_rare(const char *p)
{
    __m512i v = _mm512_loadu_si512(p);
    return (struct masks_rare){
        .hash = equals(v, '#'),
        .low = _mm512_cmple_epu8_mask(v, _mm512_set1_epi8(' ')),
        .nul = _mm512_testn_epi8_mask(v, v),
    };
}

SCAN_FN __m512i classes(__m512i v)
{
    const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(CLASS_LOW_HALF));
    const __m512i high = _mm512_broadcast_i32x4(_mm_setr_epi8(CLASS_HIGH_HALF));
    __m512i upper = _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(0x0f));
    return _mm512_and_si512(_mm512_shuffle_epi8(low, v), _mm512_shuffle_epi8(high, upper));
}

SCAN_FN uint64_t class_is(__m512i c, int mask)
{
    return _mm512_test_epi8_mask(c, _mm512_set1_epi8((char)mask));
}

SCAN_FN void block_strict(struct masks_strict *m, int i, const char *p)
{
    __m512i v = _mm512_loadu_si512(p), c = classes(v);
    m->lf[i] = equals(v, '\n');
    m->quote[i] = equals(v, '"');
    m->backslash[i] = equals(v, '\\');
    m->odd[i] = _mm512_cmple_epi8_mask(v, _mm512_setzero_si512());
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
    m->sign[i] = class_is(c, CLASS_SIGN);
}

/* Which of the 64 bytes may stand in a metric's name. */
SCAN_FN uint64_t metric_bytes(const char *p)
{
    return class_is(classes(_mm512_loadu_si512(p)), CLASS_LETTERS | CLASS_DIGIT | CLASS_UNDERSCORE | CLASS_COLON);
}

#define SCAN_COMPRESS

/* The bytes of the block that `mask` tells, one behind the other; writes 64 bytes. */
SCAN_FN void pack_bytes(char *out, const char *block, uint64_t mask)
{
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(mask, _mm512_loadu_si512(block)));
}

/* Both must be readable for 64 bytes more. */
SCAN_FN bool bytes_equal(const char *a, const char *b, size_t len)
{
    for (; len > 64; a += 64, b += 64, len -= 64) {
        if (_mm512_cmpneq_epu8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b)) != 0) {
            return false;
        }
    }
    return _bzhi_u64(_mm512_cmpneq_epu8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b)), (unsigned)len) == 0;
}

#include "expfmt/scan_kernel.h"

SCAN_TARGET void scan_strict_avx512(struct scan *s, const char *base, size_t len)
{
    scan_strict(s, base, len);
}

SCAN_TARGET void scan_count_avx512(struct scan *s, const char *base, size_t len)
{
    scan_count(s, base, len);
}
#endif
