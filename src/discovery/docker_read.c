/* Containers of an engine: see docker_read.h.
 *
 * A target for each network and TCP port of a container; a container that exposes none is one target a network with the
 * configured port, or the configured host when it lives in the host's network. Until 2.53 Prometheus took every
 * network; since then the first by name, unless told otherwise. */
#include "discovery/docker_read.h"
#include "discovery/docker_engine.h"

#define SHARED_HOPS_MAX 16 /* container of a container of ...: more is a circle */

static const json_t *networks_of(const json_t *container)
{
    return json_object_get(json_object_get(container, "NetworkSettings"), "Networks");
}

static struct view mode_of(const json_t *container)
{
    struct view mode = {0};
    (void)sd_json_text(json_object_get(container, "HostConfig"), "NetworkMode", &mode);
    return mode;
}

/* The networks of the container, or those of the one whose network it shares. */
static const json_t *effective_networks(const json_t *container, const json_t *by_id)
{
    static const char PREFIX[] = "container:";
    const json_t *networks = networks_of(container);
    for (int hop = 0; hop < SHARED_HOPS_MAX && json_object_size(networks) == 0; hop++) {
        struct view mode = mode_of(container);
        if (!view_has_prefix(mode, view_of(PREFIX))) {
            break;
        }
        container = json_object_getn(by_id, mode.base + sizeof(PREFIX) - 1, mode.len - sizeof(PREFIX) + 1);
        if (container == NULL) {
            break;
        }
        networks = networks_of(container);
    }
    return networks;
}

/* NULL when all count. */
static const char *only_network(const struct docker_rules *rules, const json_t *networks)
{
    const char *name, *first = NULL;
    json_t *value;
    if (!rules->first_network_only || json_object_size(networks) < 2) {
        return NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)networks, name, value)
    {
        if (!json_is_null(value) && (first == NULL || strcmp(name, first) < 0)) {
            first = name;
        }
    }
    return first;
}

/* The labels that all targets of the container carry. False: not a container to look at. */
static bool put_container(struct sd_group *g, const json_t *container)
{
    const json_t *names, *labels, *host_config;
    bool ok = sd_json_list(container, "Names", &names) && sd_json_object(container, "Labels", &labels) &&
              sd_json_object(container, "HostConfig", &host_config) && json_is_object(container);
    if (!ok) {
        sd_group_bad(g);
        sd_group_end(g);
        return false;
    }
    if (json_array_size(names) == 0) {
        return false;
    }
    const json_t *name = json_array_get(names, 0);
    if (!json_is_string(name)) {
        sd_group_bad(g);
    }
    sd_group_put_text(g, "__meta_docker_container_id", container, "Id");
    sd_group_put(g, "__meta_docker_container_name", view_make(json_string_value(name), json_string_length(name)));
    sd_group_put_text(g, "__meta_docker_container_network_mode", host_config, "NetworkMode");
    sd_group_put_map(g, "__meta_docker_container_label_", labels);
    return true;
}

/* True when the port made a target (or would have, were it sound). */
static bool put_port(struct sd_group *g, const json_t *port, struct view ip)
{
    uint64_t private_port, public_port;
    struct view type;
    if (!sd_json_text(port, "Type", &type) || !sd_json_uint(port, "PrivatePort", UINT16_MAX, &private_port) ||
        !sd_json_uint(port, "PublicPort", UINT16_MAX, &public_port)) {
        sd_group_bad(g);
    } else if (!view_is(type, "tcp")) {
        return false;
    } else {
        sd_group_put_uint(g, "__meta_docker_port_private", private_port);
        if (public_port != 0) {
            sd_group_put_uint(g, "__meta_docker_port_public", public_port);
            sd_group_put_text(g, "__meta_docker_port_public_ip", port, "IP");
        }
        sd_group_put_address(g, ip, private_port);
    }
    sd_group_end(g);
    return true;
}

static void read_network(const struct docker_rules *rules, struct sd_group *g, const json_t *container,
                         const json_t *network, const json_t *networks)
{
    struct view ip, id;
    const json_t *ports;
    bool has_target = false;
    if (!sd_json_text(network, "IPAddress", &ip) || !sd_json_text(network, "NetworkID", &id) ||
        !sd_json_list(container, "Ports", &ports)) {
        sd_group_bad(g);
        sd_group_end(g);
        return;
    }
    docker_put_network(g, "__meta_docker_network_", networks, id);
    sd_group_put(g, "__meta_docker_network_ip", ip);
    size_t mark = sd_group_mark(g);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        has_target = put_port(g, json_array_get(ports, i), ip) || has_target;
        sd_group_rewind(g, mark);
    }
    if (has_target) {
        return;
    }
    if (view_is(mode_of(container), "host")) {
        sd_group_put(g, "__address__", view_of(rules->host_networking_host));
    } else {
        sd_group_put_address(g, ip, rules->port);
    }
    sd_group_end(g);
}

static void read_container(const struct docker_rules *rules, struct sd_group *g, const json_t *container,
                           const json_t *by_id, const json_t *networks)
{
    sd_group_begin(g);
    if (!put_container(g, container)) {
        return;
    }
    const json_t *own = rules->has_shared_networks ? effective_networks(container, by_id) : networks_of(container);
    const char *only = only_network(rules, own), *name;
    size_t mark = sd_group_mark(g);
    json_t *network;
    json_object_foreach((json_t *)(uintptr_t)own, name, network)
    {
        if (!json_is_null(network) && (only == NULL || strcmp(only, name) == 0)) {
            read_network(rules, g, container, network, networks);
            sd_group_rewind(g, mark);
        }
    }
}

void docker_read_containers(const struct docker_rules *rules, const json_t *containers, const json_t *networks,
                            struct sd_group *g)
{
    json_t *by_id = docker_index(containers, "Id"), *networks_by_id = docker_index(networks, "Id");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        read_container(rules, g, json_array_get(containers, i), by_id, networks_by_id);
    }
    json_decref(by_id);
    json_decref(networks_by_id);
}
