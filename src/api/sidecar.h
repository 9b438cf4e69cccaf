/* The sidecar: proxy and one local shard beside a Prometheus, driven over HTTP by a coordinator, or by hand. The
 * control thread is the caller's. */
#ifndef KVASS_API_SIDECAR_H
#define KVASS_API_SIDECAR_H

#include "base/options.h"

/* As appliance_run. */
int sidecar_run(const struct options *o);

#endif
