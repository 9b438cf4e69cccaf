/* dockerswarm_sd_configs: services, tasks or nodes of a swarm, asked of a manager. */
#include "base/mem.h"
#include "configgen/promconf_values.h"
#include "discovery/docker_engine.h"
#include "discovery/docker_read.h"

#include <stdlib.h>

#define KEY "dockerswarm_sd_configs"

struct discoverer {
    struct docker_engine *engine;
    uint64_t port;
};

static void build_services(void *data, json_t *const *answers, struct sd_group *g)
{
    swarm_read_services(((const struct discoverer *)data)->port, answers[0], answers[1], g);
}

static void build_tasks(void *data, json_t *const *answers, struct sd_group *g)
{
    swarm_read_tasks(((const struct discoverer *)data)->port, answers[0], answers[1], answers[2], answers[3], g);
}

static void build_nodes(void *data, json_t *const *answers, struct sd_group *g)
{
    swarm_read_nodes(((const struct discoverer *)data)->port, answers[0], g);
}

static const struct role {
    const char *name;
    struct docker_list lists[DOCKER_LISTS_MAX];
    size_t list_count;
    void (*build)(void *data, json_t *const *answers, struct sd_group *g);
} ROLES[] = {
    {"services", {{"/services", true}, {"/networks", false}}, 2, build_services},
    {"tasks", {{"/tasks", true}, {"/services", false}, {"/nodes", false}, {"/networks", false}}, 4, build_tasks},
    {"nodes", {{"/nodes", true}}, 1, build_nodes},
};

static const struct role *role_of(const struct yaml_node *conf)
{
    const char *name = conf_string(conf, "role", "");
    size_t i = 0;
    while (strcmp(ROLES[i].name, name) != 0) {
        i++;
    }
    return &ROLES[i];
}

static void stop(struct discoverer *d)
{
    docker_engine_free(&d->engine);
    free(d);
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    int rc = docker_engine_check(KEY, file, env->base_dir, env->major, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    const struct role *role = role_of(conf);
    const struct docker_engine_conf engine = {.key = KEY,
                                              .source = "DockerSwarm",
                                              .lists = role->lists,
                                              .list_count = role->list_count,
                                              .build = role->build,
                                              .data = d};
    d->port = yaml_get(conf, "port") != NULL ? conf_uint(conf, "port") : 80;
    rc = docker_engine_new(env, file, conf, sink, &engine, &d->engine, err);
    if (rc != 0) {
        stop(d);
        return rc;
    }
    *ret = d;
    return 0;
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    return docker_engine_check(KEY, file, base_dir, major, conf, err);
}

const struct mechanism mechanism_dockerswarm = {.key = KEY, .start = start, .stop = stop, .check = check};
