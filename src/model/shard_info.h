/* What is known of a shard at a moment; on the wire the `runtimeinfo` of Kvass 0.3. */
#ifndef KVASS_MODEL_SHARD_INFO_H
#define KVASS_MODEL_SHARD_INFO_H

#include "base/prometheus_version.h"

#include <stdbool.h>
#include <stdint.h>

enum shard_health {
    SHARD_HEALTH_UNKNOWN,  /* not heard of yet */
    SHARD_HEALTH_STARTING, /* exists, not ready (start, WAL replay, restart back-off) */
    SHARD_HEALTH_READY,
    SHARD_HEALTH_UNREACHABLE, /* was known, does not answer */
};

const char *shard_health_name(enum shard_health h); /* "unknown", "starting", "ready", "unreachable" */

struct shard_info {
    enum shard_health health;
    uint64_t head_series;                     /* in Prometheus' head; 0 until known */
    uint64_t process_series;                  /* sum of scraped over its targets */
    uint64_t resident_bytes, resident_series; /* of Prometheus' memory and head at one moment; 0 = not known */
    int64_t process_started_ms;               /* realtime; of that Prometheus */
    int64_t idle_since_ms;                    /* realtime; 0 = not idle */
    int64_t last_seen_ms;                     /* realtime of the last good answer */
    uint64_t generation; /* of the assignment it acknowledged (written, and reload done where one was needed) */
    uint64_t epoch;
    uint64_t config_generation; /* configuration it runs */
    uint32_t parts_max;         /* most parts a target may be split into there; 0 and 1: it takes whole targets only */
    bool has_generation;        /* read from a shard that counts them; a Go sidecar does not */
    char config_hash[65];
    char prometheus_version[PROMETHEUS_VERSION_MAX]; /* as its Prometheus says it; "" = not told */
    bool version_answered; /* it was asked and answered, an agent without a version included */
    char error[256];       /* last failure, "" when none */
};

#endif
