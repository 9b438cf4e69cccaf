/* Role node: one target for each node, its kubelet. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

static struct view address_of(struct k8s_value addresses, const char *type)
{
    struct k8s_iter it = k8s_iter(addresses);
    while (k8s_next(&it)) {
        if (view_is(k8s_text_at(it.value, "type"), type)) {
            return k8s_text_at(it.value, "address");
        }
    }
    return VIEW("");
}

static struct view best_address(struct k8s_value addresses)
{
    static const char *const ORDER[] = {"InternalIP",  "InternalDNS",  "ExternalIP",
                                        "ExternalDNS", "LegacyHostIP", "Hostname"};
    struct view address = VIEW("");
    for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]) && address.len == 0; i++) {
        address = address_of(addresses, ORDER[i]);
    }
    return address;
}

/* Of several addresses of a type the first counts, so they are added last first. */
static void add_addresses(struct sd_build *b, struct k8s_value addresses)
{
    VEC(struct k8s_value) all = {0};
    struct k8s_iter it = k8s_iter(addresses);
    while (k8s_next(&it)) {
        *vec_push(&all) = it.value;
    }
    for (size_t i = all.len; i-- > 0;) {
        sd_add_mapped(b, PREFIX "node_address_", k8s_text_at(all.items[i], "type"),
                      k8s_text_at(all.items[i], "address"));
    }
    vec_done(&all);
}

static void add_conditions(struct sd_build *b, struct k8s_value conditions)
{
    struct k8s_iter it = k8s_iter(conditions);
    while (b->major >= PROMETHEUS_3 && k8s_next(&it)) {
        sd_add_mapped(b, PREFIX "node_condition_", sd_lower(b, k8s_text_at(it.value, "type")),
                      sd_lower(b, k8s_text_at(it.value, "status")));
    }
}

void sd_build_node(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o), addresses = k8s_at(root, "status.addresses");
    struct view address = best_address(addresses);
    if (address.len == 0) {
        return;
    }
    sd_add(b, PREFIX "node_provider_id", k8s_text_at(root, "spec.providerID"));
    add_conditions(b, k8s_at(root, "status.conditions"));
    sd_add_meta(b, "node", o, true);
    size_t mark = sd_mark(b);
    sd_add(b, "__address__", sd_join(b, address, k8s_text_at(root, "status.daemonEndpoints.kubeletEndpoint.Port")));
    sd_add(b, "instance", k8s_object_name(o));
    add_addresses(b, addresses);
    sd_end_target(b, mark);
}
