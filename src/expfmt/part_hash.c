/* Names and numbers of parts: see part_hash.h.
 *
 * The pick is the jump consistent hash of Lamping and Veach (2014): a walk over the numbers of parts at which this key
 * would have moved, whose last stop is the answer; it takes about ln(parts) steps. */
#include "expfmt/part_hash.h"

struct view part_family_name(struct view name)
{
    static const struct view SUFFIXES[] = {
        {"_bucket", 7}, {"_count", 6}, {"_created", 8}, {"_gcount", 7},
        {"_gsum", 5},   {"_info", 5},  {"_sum", 4},     {"_total", 6},
    };
    for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]);) {
        if (name.len > SUFFIXES[i].len && view_has_suffix(name, SUFFIXES[i])) {
            name.len -= SUFFIXES[i].len;
            i = 0;
        } else {
            i++;
        }
    }
    return name;
}

unsigned part_pick(uint64_t hash, unsigned parts)
{
    uint64_t at = 0, next = 0;
    while (next < parts) {
        at = next;
        hash = hash * UINT64_C(2862933555777941757) + 1;
        next = ((at + 1) << 31) / ((hash >> 33) + 1);
    }
    return (unsigned)at;
}
