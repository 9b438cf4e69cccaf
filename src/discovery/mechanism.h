/* The seam of service discovery: one row per mechanism, target groups out. Mechanisms run on the control loop and never block.
 * A mechanism keeps its last good groups on failure; one bad entry costs one entry. */
#ifndef KVASS_DISCOVERY_MECHANISM_H
#define KVASS_DISCOVERY_MECHANISM_H

#include "base/loop.h"
#include "configgen/promconf.h"
#include "net/http_client.h"

/* A set of targets under one source; immutable, refcounted. A new group of the same source replaces the old one; one without
 * targets deletes it. */
struct target_group {
    _Atomic unsigned refs;
    char *source;
    struct labels *common;
    struct labels **targets;
    size_t count;
};

struct target_group *target_group_new(const char *source, struct labels *common, struct labels **targets, size_t count);
struct target_group *target_group_ref(struct target_group *g);
void target_group_unref(struct target_group *g);

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

struct discovery_env {
    struct loop *loop;
    struct http_client *http;
    const char *base_dir; /* relative paths */
    const char *job;
};

struct discoverer; /* a running instance, private to its mechanism */

struct mechanism {
    const char *key; /* "file_sd_configs" */
    /* conf: the list item (static_configs: the whole list). Errors in conf are ERR_INVALID with file:line:column. The sink
     * is called from start at the earliest. */
    int (*start)(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err);
    void (*stop)(struct discoverer *d); /* no sink call afterwards */
    /* Validates conf without starting; same errors. */
    int (*check)(const char *file, const char *base_dir, const struct yaml_node *conf, struct errctx *err);
};

/* The table: NULL when the key is not native. */
const struct mechanism *mechanism_find(const char *key);
const struct mechanism *mechanism_at(size_t i); /* NULL behind the last; for listings */

#endif
