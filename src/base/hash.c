#include "base/hash.h"

#include <xxhash.h>

uint64_t xxh64(const void *base, size_t len, uint64_t seed)
{
    return XXH64(len != 0 ? base : "", len, seed);
}
