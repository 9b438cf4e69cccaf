/* The seam of service discovery: one row per mechanism, target groups out. Mechanisms run on the control loop and never
 * block. A mechanism keeps its last good groups on failure; one bad entry costs one entry. */
#ifndef KVASS_DISCOVERY_MECHANISM_H
#define KVASS_DISCOVERY_MECHANISM_H

#include "base/loop.h"
#include "configgen/promconf.h"
#include "net/http_client.h"

/* A set of targets under one source; immutable, refcounted. A new group of the same source replaces the old one; one
 * without targets deletes it. */
struct target_group {
    _Atomic unsigned refs;
    char *source;
    struct labels *common;
    struct labels **targets;
    size_t count;
};

/* Copies source and the array; takes over the references to common (NULL = none) and to the targets. */
struct target_group *target_group_new(const char *source, struct labels *common, struct labels **targets, size_t count);
struct target_group *target_group_ref(struct target_group *g);
void target_group_unref(struct target_group *g); /* NULL is fine */
bool target_group_equal(const struct target_group *a, const struct target_group *b);

/* Where a mechanism delivers; calls are made on the control loop. */
struct discovery_sink {
    /* groups: borrowed; a mechanism may send only what changed. */
    void (*on_groups)(void *data, struct target_group *const *groups, size_t count);
    /* A refresh failed; the message says operation, object and cause. The last good groups stay. */
    void (*on_error)(void *data, const struct errctx *err);
    /* A refresh went well (also when nothing changed): the first one ends the job's initial discovery. */
    void (*on_ok)(void *data);
    void *data;
};

struct helper;

/* How mechanisms call out. */
struct discovery_calls {
    bool disable_keep_alive;    /* --discovery.disable-keep-alive */
    const char *proxy_fallback; /* SCRAPE_PROXY: for http_sd entries that name no proxy; NULL = none */
};

struct discovery_env {
    struct loop *loop;
    struct http_client *http;
    const char *base_dir; /* relative paths */
    const char *job;
    enum prometheus_major major; /* which label names are valid */
    struct helper *helper;       /* runs mechanisms that are not native; NULL: they are refused */
    struct discovery_calls calls;
};

struct discoverer; /* a running instance, private to its mechanism */

struct mechanism {
    const char *key; /* "file_sd_configs" */
    /* conf: the list item (static_configs: the whole list), valid during the call only, as env and sink are (copy what
     * is kept). Errors in conf are ERR_INVALID with file:line:column. The sink is called from start at the earliest. */
    int (*start)(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err);
    void (*stop)(struct discoverer *d); /* no sink call afterwards */
    /* Validates conf without starting; same errors. */
    int (*check)(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err);
};

extern const struct mechanism mechanism_static, mechanism_file, mechanism_http, mechanism_dns, mechanism_consul,
    mechanism_docker, mechanism_dockerswarm;

/* The table: NULL when the key is not native. */
const struct mechanism *mechanism_find(const char *key);
const struct mechanism *mechanism_at(size_t i); /* NULL behind the last; for listings */

/* Adds a row from a room to the right of this one (k8s); main calls it before any thread exists. m must be static. At
 * most MECHANISM_ADDED_MAX rows. */
#define MECHANISM_ADDED_MAX 16
void mechanism_register(const struct mechanism *m);

#endif
