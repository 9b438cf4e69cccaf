/* A target: what is left of a discovered one after relabelling. Immutable, refcounted, shared by rounds, shards and
 * workers.
 *
 * Identity (ARCHITECTURE.md, the definition of Kvass 0.3): hash = FNV-1a 64 over (decimal text `%016d` of the label
 * hash, then the scrape URL); labels are those after relabelling, `__*` included, `__meta_*` not, `__scrape_interval__`
 * and
 * `__scrape_timeout__` left out when equal to the job's. The key in memory is (job, hash). place_key = hash of (job,
 * URL) carries shard affinity and load history across label edits; that of a part is mixed with its number, so that
 * part i stays where part i was when the number of parts changes, and no part has the history of the whole. */
#ifndef KVASS_MODEL_TARGET_H
#define KVASS_MODEL_TARGET_H

#include "model/labels.h"

#include <stdatomic.h>

struct target {
    _Atomic unsigned refs;
    const char *job; /* interned: compare by pointer */
    uint64_t hash, place_key;
    struct labels *labels;     /* after relabelling, without __meta_* */
    struct labels *discovered; /* before relabelling; NULL when unknown (read back from a shard) */
    char *url;                 /* what the proxy fetches: scheme://host:port/path?query */
    int64_t interval_ms, timeout_ms;
    uint16_t part, parts; /* part of how many (model/part.h), read from the labels; parts 0: the whole target */
};

/* Takes over the references to labels and discovered (may be NULL) and copies url. job_interval_ms and job_timeout_ms
 * are the job's own, for the identity rule. */
struct target *target_new(const char *job_interned, struct labels *labels, struct labels *discovered, const char *url,
                          int64_t interval_ms, int64_t timeout_ms, int64_t job_interval_ms, int64_t job_timeout_ms);

/* As target_new with a hash read from the wire instead of a computed one. */
struct target *target_new_with_hash(const char *job_interned, uint64_t hash, struct labels *labels, const char *url,
                                    int64_t interval_ms, int64_t timeout_ms);

/* Part `part` of `parts` (2 to PARTS_MAX) of a whole target. Its hash follows from the whole's, part and parts: the
 * same on every coordinator, another for every part and every number of parts. */
struct target *target_part(const struct target *whole, unsigned part, unsigned parts);

static inline bool target_is_part(const struct target *t)
{
    return t->parts != 0;
}

struct target *target_ref(const struct target *t);
void target_unref(const struct target *t); /* NULL is fine */

uint64_t target_hash(const struct labels *labels, const char *url, int64_t interval_ms, int64_t timeout_ms,
                     int64_t job_interval_ms, int64_t job_timeout_ms);
uint64_t target_place_key(const char *job, const char *url);

/* (job, hash) as one map hash. */
uint64_t target_key_hash(const char *job_interned, uint64_t hash);

/* The scrape URL of a label set: __scheme__, __address__, __metrics_path__, __param_*, over the job's params, as
 * Prometheus builds it (Go url.URL and url.Values.Encode: keys sorted, + for space). params: pairs, `param_count` of
 * them, name repeated for several values; a label __param_k replaces the first value of k. Result is malloc'd. */
char *target_url(const struct labels *labels, const struct label *params, size_t param_count);

#endif
