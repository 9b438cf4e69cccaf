/* Which Prometheus a binary is, by its own word. */
#ifndef KVASS_SHARD_PROCESS_VERSION_H
#define KVASS_SHARD_PROCESS_VERSION_H

#include "base/errctx.h"

/* Runs `binary --version` and reads the version, "2.42.0+ds". Blocks, at most two seconds; for start-up. */
int process_version(const char *binary, char ret[64], struct errctx *err) MUST_CHECK;

#endif
