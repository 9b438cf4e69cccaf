/* The seam to what starts and stops shards: static file, child processes, systemd units, Kubernetes StatefulSets, an
 * HTTP service. A provider lists what exists and takes the wanted number; it never decides. Control loop only. */
#ifndef KVASS_SHARD_PROVIDER_H
#define KVASS_SHARD_PROVIDER_H

#include "base/errctx.h"
#include "model/shard_info.h"

#include <stddef.h>

struct provider;

/* One existing (or starting) shard. Strings are interned. */
struct provider_shard {
    const char *id, *replica;
    unsigned group;
    const char *api_url; /* remote shards: sidecar API; NULL for local ones */
    const char *prometheus_url;
    enum shard_health health; /* as the provider can tell: STARTING, READY, UNREACHABLE */
    uint64_t capacity_series; /* 0 = the default limit */
    const char *zone;         /* interned; NULL or "" = none */
    char error[256];          /* why it is not READY, "" otherwise */
};

struct provider_ops {
    /* Shards wanted (groups; 0..wanted-1 exist). Growing starts the next ordinals; shrinking ends the highest, which
     * the balancer has emptied before. Idempotent; called every round. reason: why that number, in words, for those who
     * keep records (Kubernetes Events); never NULL. */
    void (*scale)(struct provider *p, unsigned wanted_groups, const char *reason);
    /* What exists, sorted by (replica, group); valid until the next call. */
    const struct provider_shard *(*list)(struct provider *p, size_t *ret_count);
    /* Number of groups the platform is set to have (StatefulSet spec.replicas), not how many happen to be seen
     * (guarantee 2). */
    unsigned (*desired)(struct provider *p);
    bool (*is_known)(const struct provider *p); /* false until the first full listing */
    /* Begins an orderly end (process: children are stopped or left alone, as configured); on_stopped runs on the loop.
     */
    void (*stop)(struct provider *p, void (*on_stopped)(void *data), void *data);
    void (*free)(struct provider *p);
};

struct provider {
    const struct provider_ops *ops;
    void (*on_change)(void *data); /* something in the list changed */
    void *data;
    bool is_fixed; /* scale does nothing: what is listed is all there is */
};

#endif
