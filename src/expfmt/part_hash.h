/* Which part of a split target a sample belongs to.
 *
 * A function of the sample's identity alone: its family's name and its own labels, in any order and any spelling. So
 * every proxy draws the same lines whatever format or version it is answered with, and histograms and summaries stay
 * whole: name suffixes and the labels le and quantile do not count. Going from k to k + 1 parts moves only the samples
 * of the new part (a consistent hash), so servers keep what they have.
 *
 * Sidecars of different releases share targets: what this computes must never change. */
#ifndef KVASS_EXPFMT_PART_HASH_H
#define KVASS_EXPFMT_PART_HASH_H

#include "base/hash.h"

/* The family's name: _bucket, _count, _created, _gcount, _gsum, _info, _sum and _total are cut off as long as one is
 * there and something is left. TYPE lines are not asked: they differ between formats (a counter is foo_total in one and
 * foo in another), and what is cut off too much merely stays together. */
struct view part_family_name(struct view name);

static inline uint64_t part_hash_name(struct view name)
{
    return xxh64(part_family_name(name).base, part_family_name(name).len, 0);
}

/* Of a label written as name="value (escapes resolved, no closing quote): to be added to the name's. */
static inline uint64_t part_hash_label(struct view pair)
{
    return xxh64(pair.base, pair.len, 1);
}

/* A label that does not count; neither does one with an empty value. */
static inline bool part_ignores_label(struct view name)
{
    return (name.len == 2 && memcmp(name.base, "le", 2) == 0) ||
           (name.len == 8 && memcmp(name.base, "quantile", 8) == 0);
}

/* From the sum to the part, 0 to parts - 1. */
unsigned part_pick(uint64_t hash, unsigned parts);

#endif
