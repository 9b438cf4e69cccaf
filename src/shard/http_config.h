/* --shard.http-config-file: TLS and credentials of our own calls, in the words of a Prometheus HTTP client. */
#ifndef KVASS_SHARD_HTTP_CONFIG_H
#define KVASS_SHARD_HTTP_CONFIG_H

#include "net/http_profile.h"

/* Reads the file; relative paths in it start from its folder. Keys other than those of a Prometheus HTTP client are
 * refused with file, line and column. Files it names are read at every call, when they changed. */
int http_config_load(const char *path, struct http_profile **ret, struct errctx *err) MUST_CHECK;

#endif
