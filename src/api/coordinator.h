/* The coordinator: discovery, exploration and the balancer over shards that are all elsewhere, behind sidecars. The
 * control thread is the caller's. */
#ifndef KVASS_API_COORDINATOR_H
#define KVASS_API_COORDINATOR_H

#include "base/options.h"

/* Runs until SIGTERM or SIGINT; the shards go on as they are. Returns the exit status: 0 after an orderly end, 1 when
 * it could not start (the cause is logged). */
int coordinator_run(const struct options *o);

#endif
