/* API clients of service discovery: items with the same server and settings share one, and with it their watches. The
 * table is the one global of this room; only the control thread uses it. */
#include "k8s/sd.h"

#include "base/mem.h"
#include "k8s/client_priv.h"

#include <stdlib.h>

struct shared {
    char *key;
    struct k8s_client *client;
    unsigned users;
};

static VEC(struct shared) clients;

static int client_new(const struct discovery_env *env, const struct sd_config *conf, struct k8s_client **ret,
                      struct errctx *err)
{
    if (conf->api_server[0] != '\0') {
        return k8s_client_url(env->loop, env->http, conf->api_server, &conf->http, ret, err);
    }
    if (conf->kubeconfig[0] != '\0') {
        return k8s_client_kubeconfig(env->loop, env->http, conf->kubeconfig, NULL, ret, err);
    }
    return k8s_client_in_cluster(env->loop, env->http, NULL, ret, err);
}

int sd_client_get(const struct discovery_env *env, const struct sd_config *conf, struct k8s_client **ret,
                  struct errctx *err)
{
    for (size_t i = 0; i < clients.len; i++) {
        struct shared *s = &clients.items[i];
        if (strcmp(s->key, conf->client_key) == 0 && s->client->http == env->http) {
            s->users++;
            *ret = s->client;
            return 0;
        }
    }
    struct k8s_client *client;
    int rc = client_new(env, conf, &client, err);
    if (rc == 0) {
        struct shared *s = vec_push(&clients);
        s->key = mem_strdup(conf->client_key);
        s->client = *ret = client;
        s->users = 1;
    }
    return rc;
}

void sd_client_put(struct k8s_client *c)
{
    for (size_t i = 0; i < clients.len; i++) {
        struct shared *s = &clients.items[i];
        if (s->client == c && --s->users == 0) {
            free(s->key);
            vec_remove(&clients, i);
            k8s_client_unref(c);
            break;
        }
    }
    if (clients.len == 0) {
        vec_done(&clients);
    }
}
