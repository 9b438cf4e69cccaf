/* The provider of shards that an external service runs: GET lists them, PUT says how many there shall be. The protocol
 * is in docs/shard-http.md. A service that does not answer changes nothing: the last good list stays. */
#ifndef KVASS_SHARD_HTTP_PROVIDER_H
#define KVASS_SHARD_HTTP_PROVIDER_H

#include "base/loop.h"
#include "net/http_client.h"
#include "shard/provider.h"

struct http_provider_conf {
    const char *url;              /* copied */
    struct http_profile *profile; /* NULL = plain. Outlives the provider */
    int64_t poll_ms;              /* 0 = 10 s */
    int64_t call_timeout_ms;      /* 0 = 10 s */
};

struct provider *http_provider_new(struct loop *loop, struct http_client *http, const struct http_provider_conf *conf);

#endif
