/* The appliance in a Kubernetes pod: a sidecar beside the pod's Prometheus and, in the same process, a balancer that
 * acts while it holds the Lease. Its own shard it reaches by calls, the other pods over HTTP. */
#ifndef KVASS_API_POD_H
#define KVASS_API_POD_H

#include "base/options.h"

/* As appliance_run. */
int pod_run(const struct options *o);

#endif
