/* Lists of an Engine API, to targets. Pure. An object that cannot be used costs its own targets. */
#ifndef KVASS_DISCOVERY_DOCKER_READ_H
#define KVASS_DISCOVERY_DOCKER_READ_H

#include "discovery/sd_group.h"

struct docker_rules {
    uint64_t port; /* where nothing names one */
    const char *host_networking_host;
    bool first_network_only;  /* Prometheus 2.54 and later: the first network by name */
    bool has_shared_networks; /* the same: containers of another's network have that one's addresses */
};

/* /containers/json and /networks */
void docker_read_containers(const struct docker_rules *rules, const json_t *containers, const json_t *networks,
                            struct sd_group *g);

/* /services, /tasks, /nodes, /networks of a swarm manager */
void swarm_read_services(uint64_t port, const json_t *services, const json_t *networks, struct sd_group *g);
void swarm_read_tasks(uint64_t port, const json_t *tasks, const json_t *services, const json_t *nodes,
                      const json_t *networks, struct sd_group *g);
void swarm_read_nodes(uint64_t port, const json_t *nodes, struct sd_group *g);

/* "10.0.0.2/24" without its prefix, in its usual form; false when it is none. */
bool swarm_address(struct sd_group *g, struct view cidr, struct view *ret);

#endif
