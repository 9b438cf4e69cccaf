/* docker_sd_configs: the running containers of one engine. */
#include "base/mem.h"
#include "configgen/promconf_values.h"
#include "discovery/docker_engine.h"
#include "discovery/docker_read.h"

#include <stdlib.h>

#define KEY "docker_sd_configs"

struct discoverer {
    struct docker_engine *engine;
    struct docker_rules rules;
    char *host;
};

static const struct docker_list LISTS[] = {{"/containers/json?limit=0", true}, {"/networks", false}};

static void build(void *data, json_t *const *answers, struct sd_group *g)
{
    const struct discoverer *d = data;
    docker_read_containers(&d->rules, answers[0], answers[1], g);
}

static void stop(struct discoverer *d)
{
    docker_engine_free(&d->engine);
    free(d->host);
    free(d);
}

/* match_first_network came with 2.54: a file that names it means such a Prometheus. */
static void read_rules(struct discoverer *d, enum prometheus_major major, const struct yaml_node *conf)
{
    bool is_newer = major >= PROMETHEUS_3 || yaml_get(conf, "match_first_network") != NULL;
    d->host = mem_strdup(conf_string(conf, "host_networking_host", "localhost"));
    d->rules = (struct docker_rules){.port = yaml_get(conf, "port") != NULL ? conf_uint(conf, "port") : 80,
                                     .host_networking_host = d->host,
                                     .first_network_only = is_newer && conf_bool(conf, "match_first_network", true),
                                     .has_shared_networks = is_newer};
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    const struct docker_engine_conf engine = {
        .key = KEY, .source = "Docker", .lists = LISTS, .list_count = 2, .build = build, .data = d};
    int rc = docker_engine_new(env, file, conf, sink, &engine, &d->engine, err);
    if (rc != 0) {
        stop(d);
        return rc;
    }
    read_rules(d, env->major, conf);
    *ret = d;
    return 0;
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    return docker_engine_check(KEY, file, base_dir, major, conf, err);
}

const struct mechanism mechanism_docker = {.key = KEY, .start = start, .stop = stop, .check = check};
