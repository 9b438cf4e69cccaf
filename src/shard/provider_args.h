/* What the providers of local shards have in common: a row of ports on this host, and further arguments of each
 * Prometheus. */
#ifndef KVASS_SHARD_PROVIDER_ARGS_H
#define KVASS_SHARD_PROVIDER_ARGS_H

#include "base/errctx.h"

/* A copy of a NULL-ended list (NULL: of an empty one), its strings interned. Freed by provider_args_free. */
const char *const *provider_args_copy(const char *const *args);
void provider_args_free(const char *const **args);

/* ERR_INVALID when the ports base_port .. base_port + groups - 1 are not all ports. */
int provider_ports_check(unsigned base_port, unsigned groups, struct errctx *err) MUST_CHECK;

#endif
