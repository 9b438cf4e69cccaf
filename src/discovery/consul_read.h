/* Answers of a Consul agent, to services and targets. Pure. */
#ifndef KVASS_DISCOVERY_CONSUL_READ_H
#define KVASS_DISCOVERY_CONSUL_READ_H

#include "discovery/mechanism.h"

#include <stdint.h>

/* X-Consul-Index of an answer against that of the one before (0: none). Returns whether the answer says anything new
 * and sets the index to ask with next: 0 when there is none, or when it went backwards. */
bool consul_index_step(struct view header, uint64_t *index);

/* /v1/agent/self: the agent's datacenter, copied into arena. */
int consul_read_datacenter(struct view body, struct arena *arena, const char **ret, struct errctx *err) MUST_CHECK;

struct consul_instances {
    const char *service, *datacenter, *tag_separator;
};

/* /v1/health/service/<name>: the group of the service's instances, whatever their health. */
int consul_read_instances(const struct consul_instances *of, struct view body, struct target_group **ret,
                          size_t *ret_skipped, struct errctx *err) MUST_CHECK;

/* /v1/catalog/services: calls on_service for each, with whether it has all the tags and, when names are given, is one
 * of them. */
struct consul_wanted {
    const char **names, **tags;
    size_t name_count, tag_count;
};
int consul_read_services(const struct consul_wanted *wanted, struct view body,
                         void (*on_service)(void *data, const char *name, bool is_wanted), void *data,
                         struct errctx *err) MUST_CHECK;

#endif
