/* Role endpointslice: a target for each endpoint, port and address, with the labels of the service and of the pod
 * behind it. Reads discovery.k8s.io v1 and v1beta1, where zone and host are in a map called topology. */
#include "k8s/sd.h"

#define PREFIX       "__meta_kubernetes_"
#define SLICE        PREFIX "endpointslice_"
#define SERVICE_NAME "kubernetes.io/service-name"

/* A label for a field that is there, even when it is empty. */
static void add_field(struct sd_build *b, const char *name, struct k8s_value field)
{
    if (k8s_has(field)) {
        sd_add(b, name, k8s_text(field));
    }
}

static void add_topology(struct sd_build *b, struct k8s_value endpoint)
{
    struct k8s_value map = k8s_get(endpoint, "deprecatedTopology");
    struct k8s_iter it = k8s_iter(k8s_has(map) ? map : k8s_get(endpoint, "topology"));
    while (k8s_next(&it)) {
        sd_add_mapped(b, SLICE "endpoint_topology_", it.key, k8s_text(it.value));
        sd_add_mapped(b, SLICE "endpoint_topology_present_", it.key, VIEW("true"));
    }
}

static void add_endpoint(struct sd_build *b, struct k8s_value endpoint, struct k8s_value ref)
{
    struct k8s_value node = k8s_get(endpoint, "nodeName");
    add_field(b, SLICE "endpoint_conditions_ready", k8s_at(endpoint, "conditions.ready"));
    add_field(b, SLICE "endpoint_conditions_serving", k8s_at(endpoint, "conditions.serving"));
    add_field(b, SLICE "endpoint_conditions_terminating", k8s_at(endpoint, "conditions.terminating"));
    add_field(b, SLICE "endpoint_hostname", k8s_get(endpoint, "hostname"));
    add_field(b, SLICE "address_target_kind", k8s_get(ref, "kind"));
    add_field(b, SLICE "address_target_name", k8s_get(ref, "name"));
    add_field(b, SLICE "endpoint_node_name", node);
    add_field(b, SLICE "endpoint_zone", k8s_get(endpoint, "zone"));
    add_topology(b, endpoint);
    if (b->conf->attach_node) {
        bool is_node = view_is(k8s_text_at(ref, "kind"), "Node");
        (void)sd_add_node_meta(b, is_node ? k8s_text_at(ref, "name") : k8s_text(node));
    }
}

static void add_address(struct sd_build *b, struct sd_backing *pods, struct view address, struct k8s_value endpoint,
                        struct k8s_value port)
{
    size_t mark = sd_mark(b);
    struct k8s_value ref = k8s_get(endpoint, "targetRef"), number = k8s_get(port, "port");
    sd_add(b, "__address__", k8s_has(number) ? sd_join(b, address, k8s_text(number)) : address);
    add_field(b, SLICE "port_name", k8s_get(port, "name"));
    add_field(b, SLICE "port_protocol", k8s_get(port, "protocol"));
    add_field(b, SLICE "port", number);
    add_field(b, SLICE "port_app_protocol", k8s_get(port, "appProtocol"));
    add_endpoint(b, endpoint, ref);
    sd_backing_add(pods, ref, k8s_text(number), NULL);
    sd_end_target(b, mark);
}

/* A slice of the second address family of a service with two: the same endpoints once more. Prometheus 3 leaves them
 * out. */
static bool is_second_family(const struct sd_build *b, const struct k8s_object *service, struct view type)
{
    if (service == NULL || b->major < PROMETHEUS_3) {
        return false;
    }
    struct view policy = k8s_text_at(k8s_object_root(service), "spec.ipFamilyPolicy");
    struct k8s_iter families = k8s_iter(k8s_at(k8s_object_root(service), "spec.ipFamilies"));
    return (view_is(policy, "PreferDualStack") || view_is(policy, "RequireDualStack")) && k8s_next(&families) &&
           !view_equal(k8s_text(families.value), type);
}

static void add_targets(struct sd_build *b, struct k8s_value root)
{
    struct sd_backing *pods = sd_backing_new(b);
    struct k8s_iter e = k8s_iter(k8s_get(root, "endpoints"));
    while (k8s_next(&e)) {
        struct k8s_iter p = k8s_iter(k8s_get(root, "ports"));
        while (k8s_next(&p)) {
            struct k8s_iter a = k8s_iter(k8s_get(e.value, "addresses"));
            while (k8s_next(&a)) {
                add_address(b, pods, k8s_text(a.value), e.value, p.value);
            }
        }
    }
    sd_backing_rest(pods);
}

void sd_build_slice(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o);
    struct view namespace = k8s_object_namespace(o), type = k8s_text_at(root, "addressType");
    struct view name = k8s_text(k8s_get(k8s_at(root, "metadata.labels"), SERVICE_NAME));
    const struct k8s_object *service = name.len != 0 ? sd_find(b, SD_KIND_SERVICE, namespace, name) : NULL;
    sd_add(b, PREFIX "namespace", namespace);
    sd_add(b, SLICE "address_type", type);
    sd_add_meta(b, "endpointslice", o, true);
    if (service != NULL) {
        sd_add_meta(b, "service", service, true);
    }
    sd_add_namespace_meta(b, namespace);
    if (!is_second_family(b, service, type)) {
        add_targets(b, root);
    }
}
