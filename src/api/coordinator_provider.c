/* Who lists and scales the shards, and what makes this coordinator the only one: chosen here and nowhere else. */
#include "api/coordinator_impl.h"
#include "balancer/lock.h"
#include "shard/http_provider.h"
#include "shard/static.h"

static int choose_http(struct coordinator *c, struct errctx *err)
{
    if (c->o->shard_http_url[0] == '\0') {
        return errctx_set(err, ERR_INVALID, "shard.type=http needs shard.http-url: the service that lists the shards");
    }
    const struct http_provider_conf conf = {
        .url = c->o->shard_http_url,
        .profile = c->profile,
        .poll_ms = c->o->coordinator_interval_ms,
    };
    c->provider = http_provider_new(c->d.loop, c->d.http, &conf);
    return 0;
}

int coordinator_choose_provider(struct coordinator *c, struct errctx *err)
{
    int rc = 0;
    switch (c->o->shard_type) {
    case SHARD_TYPE_STATIC:
        rc = static_provider_new(c->d.loop, c->o->shard_static_file, &c->provider, err);
        break;
    case SHARD_TYPE_HTTP:
        rc = choose_http(c, err);
        break;
    case SHARD_TYPE_K8S:
    case SHARD_TYPE_PROCESS:
    case SHARD_TYPE_SYSTEMD:
        rc = errctx_set(err, ERR_UNSUPPORTED,
                        "a coordinator's shards are elsewhere; expected shard.type=static or shard.type=http");
        break;
    }
    if (rc == 0) {
        c->lock = lock_always_new();
    }
    return rc;
}
