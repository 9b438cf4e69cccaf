/* The appliance: balancer, proxy, discovery and the shards' provider composed into one daemon. The control thread is
 * the caller's. */
#ifndef KVASS_API_APPLIANCE_H
#define KVASS_API_APPLIANCE_H

#include "base/options.h"

/* Runs until SIGTERM or SIGINT. Returns the exit status: 0 after an orderly end, 1 when it could not start (the cause
 * is logged). */
int appliance_run(const struct options *o);

#endif
