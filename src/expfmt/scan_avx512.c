/* The scanner for AVX-512 as it is since Ice Lake and Zen 4: a step is one register, a comparison gives its mask at
 * once, and where many masks are wanted a table look-up gives the properties of bytes as bits, which are then turned
 * round. */
#if defined(__x86_64__)
#define SCAN_TARGET                                                                                                    \
    __attribute__((                                                                                                    \
        target("avx512bw,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,gfni,avx2,bmi,bmi2,pclmul,popcnt,lzcnt")))
#define SCAN_FN SCAN_TARGET static inline __attribute__((always_inline))

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

/* What a byte is, in eight bits, found by one look-up. Bytes of names have the first bit, and by the next two say
 * whether they are no letters; all else has combinations of the others. Bytes above 0x7f look up 0. */
#define NAME 1
#define X    2
#define Y    4
static const unsigned char KINDS[128] __attribute__((aligned(64))) = {
    ['a' ... 'z'] = NAME,
    ['A' ... 'Z'] = NAME,
    ['_'] = NAME | X | Y,
    ['0' ... '9'] = NAME | X,
    [':'] = NAME | Y,
    ['{'] = X,
    ['}'] = Y,
    ['\\'] = X | Y,
    ['\n'] = 8,
    ['"'] = 16,
    [' '] = 32,
    [','] = 64,
    ['='] = 128,
    ['.'] = 64 | 128,
    ['#'] = 64 | X,
    [0] = 128 | X,
};

/* Eight masks of each of eight steps, turned round: from a step with its masks to a mask of all steps. */
SCAN_FN void planes_store(const __m512i r[LANES], uint64_t ret[LANES][LANES])
{
    __m512i t[LANES] SCAN_UNINITIALISED, u[LANES] SCAN_UNINITIALISED;
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        u[i] = _mm512_shuffle_i64x2(t[i], t[i + 2], 0x88);
        u[i + 2] = _mm512_shuffle_i64x2(t[i], t[i + 2], 0xdd);
        u[i + 4] = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0x88);
        u[i + 6] = _mm512_shuffle_i64x2(t[i + 4], t[i + 6], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        _mm512_store_si512(ret[i], _mm512_shuffle_i64x2(u[i], u[i + 4], 0x88));
        _mm512_store_si512(ret[i + 4], _mm512_shuffle_i64x2(u[i], u[i + 4], 0xdd));
    }
}

/* The bits of eight bytes become eight bytes of a bit each (the matrix product turns them round, taking the last byte
 * first), and bytes of one bit come to stand side by side. */
SCAN_FN __m512i planes_of(__m512i properties)
{
    const __m512i each = _mm512_set1_epi64(INT64_C(0x8040201008040201));
    const __m512i together =
        _mm512_set_epi64(INT64_C(0x3f372f271f170f07), INT64_C(0x3e362e261e160e06), INT64_C(0x3d352d251d150d05),
                         INT64_C(0x3c342c241c140c04), INT64_C(0x3b332b231b130b03), INT64_C(0x3a322a221a120a02),
                         INT64_C(0x3931292119110901), INT64_C(0x3830282018100800));
    return _mm512_permutexvar_epi8(together, _mm512_gf2p8affine_epi64_epi8(each, properties, 0));
}

/* Which of the bits the bytes of eight steps have. */
SCAN_FN void kinds_of(const char *p, uint64_t ret[LANES][LANES])
{
    const __m512i backwards = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
    const __m512i low = _mm512_load_si512(KINDS), high = _mm512_load_si512(KINDS + 64);
    __m512i r[LANES] SCAN_UNINITIALISED;
    for (int i = 0; i < LANES; i++, p += STEP) {
        __m512i v = _mm512_min_epu8(_mm512_loadu_si512(p), _mm512_set1_epi8((char)0x80));
        r[i] = planes_of(_mm512_permutex2var_epi8(low, _mm512_shuffle_epi8(v, backwards), high));
    }
    planes_store(r, ret);
}

SCAN_FN void batch_masks(struct masks_strict *m, const char *p)
{
    uint64_t k[LANES][LANES] __attribute__((aligned(64))) SCAN_UNINITIALISED;
    kinds_of(p, k);
    lanes name = LANE(k[0]), x = LANE(k[1]), y = LANE(k[2]), comma = LANE(k[6]), equal = LANE(k[7]);
    lanes alone = x & ~(name | comma | equal);
    LANE(m->metric) = name;
    LANE(m->digit) = name & x & ~y;
    LANE(m->label) = name & (x | ~y);
    LANE(m->letter) = name & ~(x | y);
    LANE(m->brace_open) = alone & ~y;
    LANE(m->brace_close) = y & ~(name | x);
    LANE(m->backslash) = alone & y;
    LANE(m->lf) = LANE(k[3]);
    LANE(m->quote) = LANE(k[4]);
    LANE(m->space) = LANE(k[5]);
    LANE(m->comma) = comma & ~(equal | x);
    LANE(m->equal) = equal & ~(comma | x);
    LANE(m->dot) = comma & equal;
    LANE(m->hash) = comma & x;
    LANE(m->odd) = equal & x;
}

SCAN_FN bool lanes_empty(const uint64_t v[LANES])
{
    __m512i x = _mm512_load_si512(v);
    return _mm512_test_epi64_mask(x, x) == 0;
}

/* Which of the 64 bytes may stand in a metric's name. */
SCAN_FN uint64_t metric_bytes(const char *p)
{
    return class_is(classes(_mm512_loadu_si512(p)), CLASS_LETTERS | CLASS_DIGIT | CLASS_UNDERSCORE | CLASS_COLON);
}

#define SCAN_COMPRESS

/* Prefix xor over all eight steps: bytes behind an odd number of marks, the mark included. *in: before bit 0, all ones
 * or zero; on return, before the last step's bit 63. */
SCAN_FN lanes between_marks(lanes marks, uint64_t *in)
{
    const __m512i ones = _mm512_set1_epi8((char)0xff);
    __m512i even = _mm512_clmulepi64_epi128((__m512i)marks, ones, 0x00);
    __m512i odd = _mm512_clmulepi64_epi128((__m512i)marks, ones, 0x01);
    __m512i inside = _mm512_unpacklo_epi64(even, odd);
    unsigned flips = _mm512_test_epi64_mask(inside, _mm512_set1_epi64(INT64_C(1) << 62)); /* by the steps' ends */
    flips ^= flips << 1;
    flips ^= flips << 2;
    flips ^= flips << 4;
    unsigned begins = (flips << 1) ^ (unsigned)*in;
    *in ^= (uint64_t)0 - (flips >> 7 & 1);
    return (lanes)_mm512_xor_si512(inside, _mm512_maskz_set1_epi64((__mmask8)begins, -1));
}

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
