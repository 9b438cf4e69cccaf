/* The two hashes of the identity rule (labels by XXH64, then FNV-1a 64 over its text and the URL). */
#ifndef KVASS_BASE_HASH_H
#define KVASS_BASE_HASH_H

#include "base/view.h"

#include <stdint.h>

#define FNV1A64_INIT UINT64_C(14695981039346656037)

static inline uint64_t fnv1a64(uint64_t h, const void *base, size_t len)
{
    const unsigned char *p = base;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    }
    return h;
}

uint64_t xxh64(const void *base, size_t len, uint64_t seed);

static inline uint64_t hash_view(struct view v)
{
    return xxh64(v.base, v.len, 0);
}

/* Mixes two hashes into one; for keys made of parts. */
static inline uint64_t hash_pair(uint64_t a, uint64_t b)
{
    a ^= b + UINT64_C(0x9e3779b97f4a7c15) + (a << 6) + (a >> 2);
    a ^= a >> 33;
    a *= UINT64_C(0xff51afd7ed558ccd);
    return a ^ (a >> 33);
}

#endif
