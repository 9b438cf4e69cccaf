/* Role endpoints: a target for each address and port, with the labels of the service and of the pod behind it. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

static void add_node(struct sd_build *b, struct k8s_value address, struct k8s_value ref)
{
    struct k8s_value node = k8s_get(address, "nodeName");
    if (!b->conf->attach_node) {
        return;
    }
    if (k8s_has(node)) {
        (void)sd_add_node_meta(b, k8s_text(node));
    } else if (view_is(k8s_text_at(ref, "kind"), "Node")) {
        (void)sd_add_node_meta(b, k8s_text_at(ref, "name"));
    }
}

static void add_address(struct sd_build *b, struct sd_backing *pods, struct k8s_value address, struct k8s_value port,
                        bool is_ready)
{
    size_t mark = sd_mark(b);
    struct k8s_value ref = k8s_get(address, "targetRef");
    struct view number = k8s_text_at(port, "port"), protocol = k8s_text_at(port, "protocol");
    sd_add(b, "__address__", sd_join(b, k8s_text_at(address, "ip"), number));
    sd_add(b, PREFIX "endpoint_port_name", k8s_text_at(port, "name"));
    sd_add(b, PREFIX "endpoint_port_protocol", protocol);
    sd_add_text(b, PREFIX "endpoint_ready", is_ready ? "true" : "false");
    sd_add(b, PREFIX "endpoint_address_target_kind", k8s_text_at(ref, "kind"));
    sd_add(b, PREFIX "endpoint_address_target_name", k8s_text_at(ref, "name"));
    sd_add(b, PREFIX "endpoint_node_name", k8s_text_at(address, "nodeName"));
    sd_add(b, PREFIX "endpoint_hostname", k8s_text_at(address, "hostname"));
    add_node(b, address, ref);
    sd_backing_add(pods, ref, number, &protocol);
    sd_end_target(b, mark);
}

static void add_addresses(struct sd_build *b, struct sd_backing *pods, struct k8s_value list, struct k8s_value port,
                          bool is_ready)
{
    struct k8s_iter it = k8s_iter(list);
    while (k8s_next(&it)) {
        add_address(b, pods, it.value, port, is_ready);
    }
}

void sd_build_endpoints(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o);
    struct view namespace = k8s_object_namespace(o);
    struct sd_backing *pods = sd_backing_new(b);
    const struct k8s_object *service = sd_find(b, SD_KIND_SERVICE, namespace, k8s_object_name(o));
    sd_add(b, PREFIX "namespace", namespace);
    if (service != NULL) {
        sd_add_meta(b, "service", service, true);
    }
    sd_add_meta(b, "endpoints", o, true);
    sd_add_namespace_meta(b, namespace);
    struct k8s_iter s = k8s_iter(k8s_get(root, "subsets"));
    while (k8s_next(&s)) {
        struct k8s_iter p = k8s_iter(k8s_get(s.value, "ports"));
        while (k8s_next(&p)) {
            add_addresses(b, pods, k8s_get(s.value, "addresses"), p.value, true);
            add_addresses(b, pods, k8s_get(s.value, "notReadyAddresses"), p.value, false);
        }
    }
    sd_backing_rest(pods);
}
