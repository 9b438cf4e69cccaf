/* <data_dir>/shards/wanted: the number of shards there are to be, which outlives restarts. It is what a StatefulSet's
 * spec.replicas is elsewhere. Providers of local shards share it, so that changing --shard.type changes no number. */
#ifndef KVASS_SHARD_WANTED_H
#define KVASS_SHARD_WANTED_H

#include "base/errctx.h"

#include <stdbool.h>

/* False when there is no such file, or nothing in it that can be believed. */
bool wanted_file_read(const char *data_dir, unsigned max, unsigned *ret);

/* A failure is logged, once a minute at most; the caller tries again. */
int wanted_file_write(const char *data_dir, unsigned wanted) MUST_CHECK;

#endif
