/* Inside of kubernetes_sd_configs: what the roles share. A role turns one object of its resource into one target group,
 * looking up related objects in the other watches; whatever it looks up is noted, so that a change there builds the
 * group again. */
#ifndef KVASS_K8S_SD_H
#define KVASS_K8S_SD_H

#include "base/vec.h"
#include "discovery/mechanism.h"
#include "k8s/watch.h"

/* For main: makes kubernetes_sd_configs known (mechanism_register). */
extern const struct mechanism mechanism_kubernetes;

enum sd_role { SD_NODE, SD_POD, SD_SERVICE, SD_ENDPOINTS, SD_SLICE, SD_INGRESS, SD_ROLE_COUNT };

#define SD_NAMESPACES_MAX 10000

extern const char SD_POD_SCHEMA[]; /* what is kept of a pod */

/* --- configuration (sd_config.c) */

struct sd_selector {
    const char *label, *field; /* "" = none */
};

struct sd_config {
    struct arena *arena;
    enum sd_role role;
    const char *api_server, *kubeconfig; /* "" = none; both "": in the cluster */
    const char *client_key;              /* equal for items that may share a client */
    struct http_client_conf http;
    const char **namespaces; /* none: all */
    size_t namespace_count;
    bool own_namespace;
    struct sd_selector selectors[SD_ROLE_COUNT];
    bool attach_node, attach_namespace, attach_deployment, attach_job, attach_cronjob;
};

int sd_config_read(const char *file, const char *base_dir, const struct yaml_node *conf, struct sd_config *ret,
                   struct errctx *err) MUST_CHECK;
void sd_config_done(struct sd_config *c);

/* --- clients, shared by all items with the same server and settings (sd_clients.c) */

int sd_client_get(const struct discovery_env *env, const struct sd_config *conf, struct k8s_client **ret,
                  struct errctx *err) MUST_CHECK;
void sd_client_put(struct k8s_client *c);

/* --- looking up (sd.c) */

struct sd_scope; /* a namespace of an item, or all of them */

enum sd_kind {
    SD_KIND_MAIN,
    SD_KIND_POD,
    SD_KIND_SERVICE,
    SD_KIND_NODE,
    SD_KIND_NAMESPACE,
    SD_KIND_REPLICASET,
    SD_KIND_JOB,
    SD_KIND_COUNT,
};

struct sd_build {
    const struct sd_config *conf;
    enum prometheus_major major;
    struct k8s_watcher *const *watchers; /* by kind; NULL: not watched */
    struct label_names *names;
    struct arena *arena;        /* of the group being built */
    VEC(uint64_t) related;      /* what was looked up */
    VEC(struct label) labels;   /* of the set being built */
    VEC(struct labels *) targets;
};

/* NULL when it is not watched or not there; noted either way. */
const struct k8s_object *sd_find(struct sd_build *b, enum sd_kind kind, struct view namespace, struct view name);
uint64_t sd_related(enum sd_kind kind, struct view namespace, struct view name);

/* --- label sets (sd_labels.c) */

void sd_add(struct sd_build *b, const char *name, struct view value); /* name: literal, whole */
void sd_add_text(struct sd_build *b, const char *name, const char *value); /* value: literal */
void sd_add_mapped(struct sd_build *b, const char *prefix, struct view key, struct view value); /* key is sanitized */
/* Labels and annotations of an object and, with_name, its name, as __meta_kubernetes_<kind>_... */
void sd_add_meta(struct sd_build *b, const char *kind, const struct k8s_object *o, bool with_name);
void sd_add_namespace_meta(struct sd_build *b, struct view namespace); /* attach_metadata.namespace */
bool sd_add_node_meta(struct sd_build *b, struct view node); /* attach_metadata.node; false: no such node */
void sd_add_pod(struct sd_build *b, const struct k8s_object *pod);     /* pod_* */
/* pod_container_* of a container of role pod, with a port (NULL: none). */
void sd_add_container(struct sd_build *b, struct k8s_value container, bool is_init, const struct k8s_value *port);
/* pod_container_* of a container behind an endpoint; protocol {NULL, 0}: the port's. */
void sd_add_port(struct sd_build *b, struct k8s_value container, bool is_init, struct k8s_value port,
                 struct view protocol);
struct view sd_join(struct sd_build *b, struct view host, struct view port); /* [v6]:port; port "" counts as 0 */
struct view sd_lower(struct sd_build *b, struct view text);
size_t sd_mark(const struct sd_build *b);               /* labels so far */
void sd_end_target(struct sd_build *b, size_t mark);    /* labels from mark on are a target */
struct labels *sd_take(struct sd_build *b, size_t mark); /* labels from mark on as a set */

/* --- roles: labels go to b->labels (common ones first, left there), targets to b->targets. */

void sd_build_node(struct sd_build *b, const struct k8s_object *o);
void sd_build_pod(struct sd_build *b, const struct k8s_object *o);
void sd_build_service(struct sd_build *b, const struct k8s_object *o);
void sd_build_endpoints(struct sd_build *b, const struct k8s_object *o);
void sd_build_slice(struct sd_build *b, const struct k8s_object *o);
void sd_build_ingress(struct sd_build *b, const struct k8s_object *o);

/* --- container ports of pods behind endpoints (sd_backing.c) */

struct sd_backing; /* the pods a group has seen */
struct sd_backing *sd_backing_new(struct sd_build *b);
/* Adds the labels of the pod that ref names, and of the container with this port (""=none); protocol: of the endpoint
 * port, or NULL for the container port's. Nothing when ref is no known pod. */
void sd_backing_add(struct sd_backing *k, struct k8s_value ref, struct view port, const struct view *protocol);
/* A target for each container port that no endpoint had. */
void sd_backing_rest(struct sd_backing *k);

#endif
