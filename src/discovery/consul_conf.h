/* An entry of consul_sd_configs, and the request targets that follow from it. */
#ifndef KVASS_DISCOVERY_CONSUL_CONF_H
#define KVASS_DISCOVERY_CONSUL_CONF_H

#include "discovery/consul_read.h"
#include "discovery/mechanism.h"

#define CONSUL_KEY "consul_sd_configs"

struct consul_conf {
    struct arena *arena; /* of all strings */
    const char *base_url, *unix_socket;
    const char *datacenter; /* NULL: the agent's own, asked for */
    bool names_datacenter;  /* the item does: then requests say so */
    const char *namespace_name, *partition, *filter, *health_filter, *tag_separator; /* "" when absent */
    struct consul_wanted wanted;
    const struct label *node_meta;
    size_t node_meta_count;
    bool allow_stale;
    int64_t refresh_ms;
    struct http_client_conf http; /* valid while the item is */
    const char *headers[2];       /* the token; NULL-ended */
};

/* ERR_INVALID with file:line:column. The token is the item's, or that of CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN as
 * with Consul's own client. */
int consul_conf_read(const struct discovery_env *env, const char *file, const struct yaml_node *item,
                     struct consul_conf *ret, struct errctx *err) MUST_CHECK;
void consul_conf_done(struct consul_conf *c);

/* Whether the list of services has to be watched: none are named, or they must have tags. */
bool consul_needs_catalog(const struct consul_conf *c);

/* Request targets; the caller frees. index 0: answer at once. */
char *consul_catalog_path(const struct consul_conf *c, uint64_t index, int wait_ms);
char *consul_health_path(const struct consul_conf *c, const char *service, uint64_t index, int wait_ms);

#endif
