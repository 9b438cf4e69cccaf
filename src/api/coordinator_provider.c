/* Who lists and scales the shards, and what makes this coordinator the only one: chosen here and nowhere else. */
#include "api/coordinator_impl.h"
#include "balancer/lock.h"
#include "balancer/lock_lease.h"
#include "base/timebase.h"
#include "k8s/statefulset.h"
#include "shard/http_provider.h"
#include "shard/static.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define PROMETHEUS_PORT 9090 /* in the pods of shards */

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

static bool may_act(void *data)
{
    struct coordinator *c = data;
    return c->lock->ops->is_held(c->lock);
}

/* Who we are among the candidates: the pod's name, or the host's, and a word that no other life of it has. */
static void identity(char *text, size_t size, const char **ret_name)
{
    static char host[HOST_NAME_MAX + 1];
    uint64_t word = 0;
    const char *name = getenv("POD_NAME");
    if (getrandom(&word, sizeof(word), 0) != (ssize_t)sizeof(word)) {
        word = (uint64_t)timebase_monotonic_us() ^ ((uint64_t)getpid() << 32);
    }
    if (name == NULL || name[0] == '\0') {
        name = gethostname(host, sizeof(host) - 1) == 0 ? host : "kvass";
    }
    snprintf(text, size, "%.220s_%016llx", name, (unsigned long long)word);
    *ret_name = name;
}

static int choose_k8s(struct coordinator *c, struct errctx *err)
{
    char who[LEASE_IDENTITY_MAX];
    const char *instance;
    struct k8s_client *client;
    int rc = k8s_client_default(c->d.loop, c->d.http, c->o->kubeconfig, &client, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "shard.type=k8s");
    }
    const char *namespace = c->o->shard_namespace[0] != '\0' ? c->o->shard_namespace : k8s_client_namespace(client);
    if (namespace[0] == '\0') {
        k8s_client_unref(client);
        return errctx_set(err, ERR_INVALID,
                          "shard.namespace: expected the namespace of the StatefulSets, as the kubeconfig names none");
    }
    identity(who, sizeof(who), &instance);
    const struct lease_conf lease = {.namespace = namespace, .name = c->o->coordinator_lease_name, .identity = who};
    const struct statefulset_conf sets = {
        .namespace = namespace,
        .selector = c->o->shard_selector,
        .shard = {.api_port = (unsigned)c->o->shard_port, .prometheus_port = PROMETHEUS_PORT},
        .delete_claims = c->o->shard_delete_pvc,
        .instance = instance,
        .may_act = may_act,
        .data = c,
    };
    c->lock = lock_lease_new(c->d.loop, client, &lease);
    c->provider = statefulset_provider_new(c->d.loop, client, &sets);
    k8s_client_unref(client);
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
        rc = choose_k8s(c, err);
        break;
    case SHARD_TYPE_PROCESS:
    case SHARD_TYPE_SYSTEMD:
        rc = errctx_set(err, ERR_UNSUPPORTED,
                        "a coordinator's shards are elsewhere; expected shard.type=k8s, static or http");
        break;
    }
    if (rc == 0 && c->lock == NULL) {
        c->lock = lock_always_new();
    }
    return rc;
}
