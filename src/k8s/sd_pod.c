/* Role pod: a target for each container port, or for each container without ports. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

static void add_id(struct sd_build *b, struct k8s_value statuses, struct view container)
{
    struct k8s_iter it = k8s_iter(statuses);
    while (k8s_next(&it)) {
        if (view_equal(k8s_text_at(it.value, "name"), container)) {
            sd_add(b, PREFIX "pod_container_id", k8s_text_at(it.value, "containerID"));
            return;
        }
    }
}

static void end_container(struct sd_build *b, size_t mark, struct k8s_value root, struct k8s_value container,
                          bool is_init, const struct k8s_value *port)
{
    static const char *const STATUSES[] = {"status.containerStatuses", "status.initContainerStatuses"};
    sd_add_container(b, container, is_init, port);
    add_id(b, k8s_at(root, STATUSES[is_init]), k8s_text_at(container, "name"));
    sd_end_target(b, mark);
}

static void add_targets(struct sd_build *b, struct k8s_value root, struct k8s_value containers, bool is_init)
{
    struct view ip = k8s_text_at(root, "status.podIP");
    struct k8s_iter c = k8s_iter(containers);
    while (k8s_next(&c)) {
        size_t mark = sd_mark(b);
        struct k8s_iter p = k8s_iter(k8s_get(c.value, "ports"));
        if (p.left == 0) {
            sd_add(b, "__address__", ip);
            end_container(b, mark, root, c.value, is_init, NULL);
        }
        while (k8s_next(&p)) {
            sd_add(b, "__address__", sd_join(b, ip, k8s_text_at(p.value, "containerPort")));
            end_container(b, mark, root, c.value, is_init, &p.value);
        }
    }
}

void sd_build_pod(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o);
    if (k8s_text_at(root, "status.podIP").len == 0) {
        return;
    }
    sd_add_pod(b, o);
    sd_add(b, PREFIX "namespace", k8s_object_namespace(o));
    sd_add_namespace_meta(b, k8s_object_namespace(o));
    if (b->conf->attach_node) {
        (void)sd_add_node_meta(b, k8s_text_at(root, "spec.nodeName"));
    }
    add_targets(b, root, k8s_at(root, "spec.containers"), false);
    add_targets(b, root, k8s_at(root, "spec.initContainers"), true);
}
