/* A shard as the balancer sees it: one Prometheus and the proxy before it, here (local) or behind the HTTP API
 * (remote). Desired state goes down, acknowledged state and target statuses come up; nothing blocks. All calls on the
 * control loop. */
#ifndef KVASS_SHARD_SHARD_H
#define KVASS_SHARD_SHARD_H

#include "configgen/promconf.h"
#include "model/assignment.h"
#include "model/shard_info.h"
#include "model/status.h"

struct shard;

struct shard_ops {
    /* The configuration generation it shall run; referenced. */
    void (*set_config)(struct shard *s, struct promconf *conf, uint64_t config_generation);
    /* All targets it shall scrape (ASSIGNED and IN_TRANSFER); copied. Those it had and has no more become leaving by
     * themselves. */
    void (*set_assignment)(struct shard *s, const struct assignment *items, size_t count, uint64_t generation,
                           uint64_t epoch);
    /* What it holds now, LEAVING included; valid until the next call on this shard. */
    const struct assignment *(*assignment)(struct shard *s, size_t *ret_count);
    /* NULL when the shard does not scrape the target or knows nothing yet. */
    const struct target_status *(*status)(const struct shard *s, const char *job, uint64_t hash);
    const struct shard_info *(*info)(const struct shard *s);
    /* Forgets the wish: nothing goes down any more until the next set_assignment. NULL where it makes no sense. */
    void (*drop_wish)(struct shard *s);
    void (*free)(struct shard *s);
};

struct shard {
    const struct shard_ops *ops;
    const char *id;             /* interned: pod name in Kubernetes, "shard-<ordinal>" elsewhere */
    const char *replica;        /* interned; "" when there is one */
    unsigned group;             /* ordinal */
    const char *prometheus_url; /* for the querier and the console; may change when a child moves */
    const char *api_url;        /* of a remote one, without a trailing slash; may change when a pod moves; else NULL */
};

#endif
