/* Role service: a target for each port, at the name the cluster's DNS gives the service. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

static struct view balancer_ip(struct sd_build *b, struct k8s_value root)
{
    struct k8s_iter it = k8s_iter(k8s_at(root, "status.loadBalancer.ingress"));
    const char *all = NULL;
    while (k8s_next(&it)) {
        struct view ip = k8s_text_at(it.value, "ip");
        if (ip.len != 0) {
            all = all == NULL ? arena_view(b->arena, ip).base : arena_printf(b->arena, "%s,%.*s", all, VIEW_FMT(ip));
        }
    }
    return all != NULL ? view_of(all) : k8s_text_at(root, "spec.loadBalancerIP");
}

void sd_build_service(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o);
    struct view namespace = k8s_object_namespace(o), type = k8s_text_at(root, "spec.type");
    const char *host = arena_printf(b->arena, "%.*s.%.*s.svc", VIEW_FMT(k8s_object_name(o)), VIEW_FMT(namespace));
    sd_add(b, PREFIX "namespace", namespace);
    sd_add_meta(b, "service", o, true);
    sd_add_namespace_meta(b, namespace);
    struct k8s_iter p = k8s_iter(k8s_at(root, "spec.ports"));
    while (k8s_next(&p)) {
        size_t mark = sd_mark(b);
        struct view port = k8s_text_at(p.value, "port");
        sd_add(b, "__address__", sd_join(b, view_of(host), port));
        sd_add(b, PREFIX "service_port_name", k8s_text_at(p.value, "name"));
        sd_add(b, PREFIX "service_port_number", port);
        sd_add(b, PREFIX "service_port_protocol", k8s_text_at(p.value, "protocol"));
        sd_add(b, PREFIX "service_type", type);
        if (view_is(type, "ExternalName")) {
            sd_add(b, PREFIX "service_external_name", k8s_text_at(root, "spec.externalName"));
        } else {
            sd_add(b, PREFIX "service_cluster_ip", k8s_text_at(root, "spec.clusterIP"));
        }
        if (view_is(type, "LoadBalancer")) {
            sd_add(b, PREFIX "service_loadbalancer_ip", balancer_ip(b, root));
        }
        sd_end_target(b, mark);
    }
}
