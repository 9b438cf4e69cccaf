/* The provider of shards that a file lists: what it says exists, nothing is ever started or ended.
 *
 *     replicas:
 *       - name: a                # optional; needed when there are several: the position counts then (mirrored)
 *         shards:
 *           - id: shard-0
 *             url: http://10.0.0.1:8080             # of its sidecar's API
 *             capacity: 500000                      # series; optional, else --shard.max-head-series
 *             zone: rack-1                          # optional
 *             prometheus_url: http://10.0.0.1:9090  # optional, for queriers; else the sidecar hands queries through
 *
 * The file is looked at every few seconds. A new content is taken whole or not at all: on any error the last good list
 * stays, and the log says why. */
#ifndef KVASS_SHARD_STATIC_H
#define KVASS_SHARD_STATIC_H

#include "base/loop.h"
#include "shard/provider.h"

/* Reads the file: the first time it must be good. The message has file, line and column. */
int static_provider_new(struct loop *loop, const char *path, struct provider **ret, struct errctx *err) MUST_CHECK;

/* Looks at the file now; for a reload by the operator. 0 when there is nothing new, too. */
int static_provider_reload(struct provider *p, struct errctx *err) MUST_CHECK;

#endif
