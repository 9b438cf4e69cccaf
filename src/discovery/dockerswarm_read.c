/* Services, tasks and nodes of a swarm: see docker_read.h.
 *
 * Services: a target for each virtual address and published TCP port. Tasks: one for each port published on their node,
 * and for each address they have in a network one for each TCP port of their service. Where there is no port, the
 * configured one. */
#include "discovery/docker_engine.h"
#include "discovery/docker_read.h"

#include <arpa/inet.h>

#define SWARM "__meta_dockerswarm_"

/* object.key, an object; the object is bad when it is something else. NULL when absent. */
static const json_t *member(struct sd_group *g, const json_t *object, const char *key)
{
    const json_t *ret;
    if (!sd_json_object(object, key, &ret)) {
        sd_group_bad(g);
    }
    return ret;
}

static const json_t *list_member(struct sd_group *g, const json_t *object, const char *key)
{
    const json_t *ret;
    if (!sd_json_list(object, key, &ret)) {
        sd_group_bad(g);
    }
    return ret;
}

static struct view text_member(struct sd_group *g, const json_t *object, const char *key)
{
    struct view ret;
    if (!sd_json_text(object, key, &ret)) {
        sd_group_bad(g);
    }
    return ret;
}

static uint64_t uint_member(struct sd_group *g, const json_t *object, const char *key, uint64_t max)
{
    uint64_t ret;
    if (!sd_json_uint(object, key, max, &ret)) {
        sd_group_bad(g);
    }
    return ret;
}

bool swarm_address(struct sd_group *g, struct view cidr, struct view *ret)
{
    char text[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN];
    unsigned char raw[16];
    const char *slash = cidr.len != 0 ? memchr(cidr.base, '/', cidr.len) : NULL;
    size_t len = slash != NULL ? (size_t)(slash - cidr.base) : sizeof(text);
    if (len >= sizeof(text) || cidr.len - len < 2 || cidr.len - len > 4) {
        return false;
    }
    memcpy(text, cidr.base, len);
    text[len] = '\0';
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    unsigned bits = 0;
    for (size_t i = len + 1; i < cidr.len; i++) {
        unsigned digit = (unsigned)cidr.base[i] - '0';
        if (digit > 9) {
            return false;
        }
        bits = bits * 10 + digit;
    }
    if (inet_pton(family, text, raw) != 1 || bits > (family == AF_INET ? 32U : 128U)) {
        return false;
    }
    static const unsigned char MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    bool is_mapped = family == AF_INET6 && memcmp(raw, MAPPED, sizeof(MAPPED)) == 0;
    inet_ntop(is_mapped ? AF_INET : family, is_mapped ? raw + 12 : raw, out, sizeof(out));
    *ret = view_of(arena_strdup(g->arena, out));
    return true;
}

static const char *mode_of(const json_t *service)
{
    const json_t *mode = json_object_get(json_object_get(service, "Spec"), "Mode");
    return json_is_object(json_object_get(mode, "Global"))       ? "global"
           : json_is_object(json_object_get(mode, "Replicated")) ? "replicated"
                                                                 : "";
}

static void put_service(struct sd_group *g, const json_t *service)
{
    const json_t *spec = member(g, service, "Spec");
    sd_group_put_text(g, SWARM "service_id", service, "ID");
    sd_group_put_text(g, SWARM "service_name", spec, "Name");
    sd_group_put(g, SWARM "service_mode", view_of(mode_of(service)));
    sd_group_put_map(g, SWARM "service_label_", member(g, spec, "Labels"));
}

/* Puts the labels and the address of each TCP port and ends a target; true when there was one. */
static bool read_ports(struct sd_group *g, const json_t *ports, struct view host, const char *name_label,
                       const char *mode_label)
{
    size_t mark = sd_group_mark(g);
    bool has_target = false;
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        if (!view_is(text_member(g, port, "Protocol"), "tcp")) {
            continue;
        }
        if (name_label != NULL) {
            sd_group_put_text(g, name_label, port, "Name");
        }
        sd_group_put_text(g, mode_label, port, "PublishMode");
        sd_group_put_address(g, host, uint_member(g, port, "PublishedPort", UINT32_MAX));
        sd_group_end(g);
        sd_group_rewind(g, mark);
        has_target = true;
    }
    return has_target;
}

static void read_virtual_ip(uint64_t port, struct sd_group *g, const json_t *vip, const json_t *ports,
                            const json_t *networks)
{
    struct view host = VIEW("");
    if (!swarm_address(g, text_member(g, vip, "Addr"), &host)) {
        sd_group_bad(g);
    }
    docker_put_network(g, SWARM "network_", networks, text_member(g, vip, "NetworkID"));
    if (!read_ports(g, ports, host, SWARM "service_endpoint_port_name", SWARM "service_endpoint_port_publish_mode")) {
        sd_group_put_address(g, host, port);
        sd_group_end(g);
    }
}

static void read_service(uint64_t port, struct sd_group *g, const json_t *service, const json_t *networks)
{
    sd_group_begin(g);
    const json_t *container = member(g, member(g, member(g, service, "Spec"), "TaskTemplate"), "ContainerSpec");
    const json_t *update = member(g, service, "UpdateStatus"), *endpoint = member(g, service, "Endpoint");
    const json_t *vips = list_member(g, endpoint, "VirtualIPs"), *ports = list_member(g, endpoint, "Ports");
    put_service(g, service);
    sd_group_put_text(g, SWARM "service_task_container_hostname", container, "Hostname");
    sd_group_put_text(g, SWARM "service_task_container_image", container, "Image");
    sd_group_put_text(g, SWARM "service_updating_status", update, "State");
    size_t mark = sd_group_mark(g);
    for (size_t i = 0; i < json_array_size(vips); i++) {
        read_virtual_ip(port, g, json_array_get(vips, i), ports, networks);
        sd_group_rewind(g, mark);
    }
}

void swarm_read_services(uint64_t port, const json_t *services, const json_t *networks, struct sd_group *g)
{
    json_t *by_id = docker_index(networks, "Id");
    for (size_t i = 0; i < json_array_size(services); i++) {
        read_service(port, g, json_array_get(services, i), by_id);
    }
    json_decref(by_id);
}

/* What tasks and nodes say of a node alike. Returns its address. */
static struct view put_node(struct sd_group *g, const json_t *node)
{
    const json_t *spec = member(g, node, "Spec"), *description = member(g, node, "Description");
    const json_t *platform = member(g, description, "Platform"), *status = member(g, node, "Status");
    sd_group_put_text(g, SWARM "node_id", node, "ID");
    sd_group_put_text(g, SWARM "node_role", spec, "Role");
    sd_group_put_text(g, SWARM "node_availability", spec, "Availability");
    sd_group_put_text(g, SWARM "node_hostname", description, "Hostname");
    sd_group_put_text(g, SWARM "node_platform_architecture", platform, "Architecture");
    sd_group_put_text(g, SWARM "node_platform_os", platform, "OS");
    sd_group_put_text(g, SWARM "node_status", status, "State");
    sd_group_put_text(g, SWARM "node_address", status, "Addr");
    sd_group_put_map(g, SWARM "node_label_", member(g, spec, "Labels"));
    return text_member(g, status, "Addr");
}

static void put_manager(struct sd_group *g, const json_t *manager)
{
    bool is_leader;
    if (manager == NULL) {
        return;
    }
    if (!sd_json_bool(manager, "Leader", &is_leader)) {
        sd_group_bad(g);
    }
    sd_group_put_bool(g, SWARM "node_manager_leader", is_leader);
    sd_group_put_text(g, SWARM "node_manager_reachability", manager, "Reachability");
    sd_group_put_text(g, SWARM "node_manager_address", manager, "Addr");
}

void swarm_read_nodes(uint64_t port, const json_t *nodes, struct sd_group *g)
{
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        sd_group_begin(g);
        struct view address = put_node(g, node);
        sd_group_put_text(g, SWARM "node_engine_version", member(g, member(g, node, "Description"), "Engine"),
                          "EngineVersion");
        put_manager(g, member(g, node, "ManagerStatus"));
        sd_group_put_address(g, address, port);
        if (!json_is_object(node)) {
            sd_group_bad(g);
        }
        sd_group_end(g);
    }
}

/* Lists of the swarm by id. */
struct swarm {
    json_t *services, *nodes, *networks;
};

/* The labels all targets of the task carry. Returns the address of its node, "" when that is unknown. */
static struct view put_task(struct sd_group *g, const json_t *task, const struct swarm *s)
{
    const json_t *status = member(g, task, "Status"), *container = member(g, status, "ContainerStatus");
    const json_t *spec = member(g, member(g, task, "Spec"), "ContainerSpec");
    struct view service_id = text_member(g, task, "ServiceID"), node_id = text_member(g, task, "NodeID");
    sd_group_put_text(g, SWARM "task_id", task, "ID");
    sd_group_put_text(g, SWARM "task_desired_state", task, "DesiredState");
    sd_group_put_text(g, SWARM "task_state", status, "State");
    sd_group_put_uint(g, SWARM "task_slot", uint_member(g, task, "Slot", INT32_MAX));
    sd_group_put_text(g, SWARM "task_container_id", container, "ContainerID");
    sd_group_put_map(g, SWARM "container_label_", member(g, spec, "Labels"));
    const json_t *service = service_id.len != 0 ? json_object_getn(s->services, service_id.base, service_id.len) : NULL;
    const json_t *node = node_id.len != 0 ? json_object_getn(s->nodes, node_id.base, node_id.len) : NULL;
    if (service != NULL) {
        put_service(g, service);
    }
    return node != NULL ? put_node(g, node) : VIEW("");
}

static void read_attachment(uint64_t port, struct sd_group *g, const json_t *attachment, const json_t *ports,
                            const struct swarm *s)
{
    const json_t *addresses = list_member(g, attachment, "Addresses");
    docker_put_network(g, SWARM "network_", s->networks, text_member(g, member(g, attachment, "Network"), "ID"));
    size_t mark = sd_group_mark(g);
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const json_t *address = json_array_get(addresses, i);
        struct view host = VIEW("");
        if (!swarm_address(g, view_make(json_string_value(address), json_string_length(address)), &host)) {
            sd_group_bad(g);
        }
        if (!read_ports(g, ports, host, NULL, SWARM "task_port_publish_mode")) {
            sd_group_put_address(g, host, port);
            sd_group_end(g);
        }
        sd_group_rewind(g, mark);
    }
}

static void read_task(uint64_t port, struct sd_group *g, const json_t *task, const struct swarm *s)
{
    sd_group_begin(g);
    struct view node_address = put_task(g, task, s), service_id = text_member(g, task, "ServiceID");
    const json_t *service = service_id.len != 0 ? json_object_getn(s->services, service_id.base, service_id.len) : NULL;
    const json_t *ports = list_member(g, member(g, service, "Endpoint"), "Ports");
    const json_t *own = list_member(g, member(g, member(g, task, "Status"), "PortStatus"), "Ports");
    const json_t *attachments = list_member(g, task, "NetworksAttachments");
    (void)read_ports(g, own, node_address, NULL, SWARM "task_port_publish_mode");
    size_t mark = sd_group_mark(g);
    for (size_t i = 0; i < json_array_size(attachments); i++) {
        read_attachment(port, g, json_array_get(attachments, i), ports, s);
        sd_group_rewind(g, mark);
    }
}

void swarm_read_tasks(uint64_t port, const json_t *tasks, const json_t *services, const json_t *nodes,
                      const json_t *networks, struct sd_group *g)
{
    struct swarm s = {docker_index(services, "ID"), docker_index(nodes, "ID"), docker_index(networks, "Id")};
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        read_task(port, g, json_array_get(tasks, i), &s);
    }
    json_decref(s.services);
    json_decref(s.nodes);
    json_decref(s.networks);
}
