/* What the docker and the dockerswarm mechanism have in common: an Engine API on a unix socket or behind HTTP, asked
 * for a few lists every refresh_interval, of which one target group is made. */
#ifndef KVASS_DISCOVERY_DOCKER_ENGINE_H
#define KVASS_DISCOVERY_DOCKER_ENGINE_H

#include "discovery/sd_group.h"

#define DOCKER_LISTS_MAX 4

struct docker_list {
    const char *path; /* "/containers/json?limit=0" */
    bool has_filters; /* the item's filters apply */
};

struct docker_engine_conf {
    const char *key, *source; /* static, as lists are */
    const struct docker_list *lists;
    size_t list_count;
    /* Puts targets into g from the lists' answers (arrays). */
    void (*build)(void *data, json_t *const *answers, struct sd_group *g);
    void *data;
};

struct docker_engine;

/* ERR_INVALID with file:line:column. */
int docker_engine_check(const char *key, const char *file, const char *base_dir, enum prometheus_major major,
                        const struct yaml_node *item, struct errctx *err) MUST_CHECK;
int docker_engine_new(const struct discovery_env *env, const char *file, const struct yaml_node *item,
                      const struct discovery_sink *sink, const struct docker_engine_conf *conf,
                      struct docker_engine **ret, struct errctx *err) MUST_CHECK;
void docker_engine_free(struct docker_engine **e);

/* {"name":{"value":true}}, percent-encoded; "" when there are no filters. The caller frees. */
char *docker_filters_text(const struct yaml_node *filters);
/* The API version to speak with an engine that speaks `header` ("1.41"; empty: a very old one). buf of 16 bytes. */
const char *docker_version_choose(struct view header, char buf[16]);

/* Entries of a list by the text of a member ("Id"); the caller json_decref's. */
json_t *docker_index(const json_t *list, const char *member);
/* The labels of a network, if it is known. prefix: "__meta_docker_network_". */
void docker_put_network(struct sd_group *g, const char *prefix, const json_t *networks, struct view id);

#endif
