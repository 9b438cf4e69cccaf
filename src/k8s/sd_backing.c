/* Pods behind endpoints: an endpoint that names a pod gets the pod's labels and those of the container with its port;
 * container ports of these pods that no endpoint had become targets of their own, as in Prometheus. */
#include "k8s/sd.h"

struct seen_pod {
    const struct k8s_object *pod;
    struct view *ports;
    size_t count, cap;
};

struct sd_backing {
    struct sd_build *b;
    struct seen_pod *pods;
    size_t count, cap;
};

struct sd_backing *sd_backing_new(struct sd_build *b)
{
    struct sd_backing *k = arena_alloc(b->arena, sizeof(*k));
    k->b = b;
    return k;
}

static struct seen_pod *seen_get(struct sd_backing *k, const struct k8s_object *pod)
{
    for (size_t i = k->count; i-- > 0;) { /* the last one first: endpoints of a pod often stand together */
        if (k->pods[i].pod == pod) {
            return &k->pods[i];
        }
    }
    if (k->count == k->cap) {
        size_t cap = k->cap != 0 ? k->cap * 2 : 16;
        struct seen_pod *grown = arena_alloc(k->b->arena, cap * sizeof(*grown));
        if (k->count != 0) {
            memcpy(grown, k->pods, k->count * sizeof(*grown));
        }
        k->pods = grown;
        k->cap = cap;
    }
    k->pods[k->count] = (struct seen_pod){.pod = pod};
    return &k->pods[k->count++];
}

static void seen_port(struct sd_backing *k, struct seen_pod *s, struct view port)
{
    if (s->count == s->cap) {
        size_t cap = s->cap != 0 ? s->cap * 2 : 4;
        struct view *grown = arena_alloc(k->b->arena, cap * sizeof(*grown));
        if (s->count != 0) {
            memcpy(grown, s->ports, s->count * sizeof(*grown));
        }
        s->ports = grown;
        s->cap = cap;
    }
    s->ports[s->count++] = port;
}

/* Init containers count in Prometheus 3 only. */
static size_t list_count(const struct sd_build *b)
{
    return b->major >= PROMETHEUS_3 ? 2 : 1;
}

/* Containers, then init containers; the last container with the port counts. */
static void add_container_of(struct sd_build *b, const struct k8s_object *pod, struct view number,
                             const struct view *protocol)
{
    static const char *const LISTS[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < list_count(b); i++) {
        struct k8s_iter c = k8s_iter(k8s_at(k8s_object_root(pod), LISTS[i]));
        while (k8s_next(&c)) {
            struct k8s_iter p = k8s_iter(k8s_get(c.value, "ports"));
            while (k8s_next(&p)) {
                if (view_equal(k8s_text_at(p.value, "containerPort"), number)) {
                    sd_add_port(b, c.value, i == 1, p.value, protocol != NULL ? *protocol : view_make(NULL, 0));
                    break;
                }
            }
        }
    }
}

void sd_backing_add(struct sd_backing *k, struct k8s_value ref, struct view port, const struct view *protocol)
{
    if (!view_is(k8s_text_at(ref, "kind"), "Pod")) {
        return;
    }
    const struct k8s_object *pod = sd_find(k->b, SD_KIND_POD, k8s_text_at(ref, "namespace"), k8s_text_at(ref, "name"));
    if (pod == NULL) {
        return;
    }
    sd_add_pod(k->b, pod);
    struct seen_pod *s = seen_get(k, pod);
    if (port.len != 0) {
        add_container_of(k->b, pod, port, protocol);
        seen_port(k, s, port);
    }
}

static bool has_port(const struct seen_pod *s, struct view port)
{
    for (size_t i = 0; i < s->count; i++) {
        if (view_equal(s->ports[i], port)) {
            return true;
        }
    }
    return false;
}

static void rest_of_container(struct sd_backing *k, const struct seen_pod *s, struct k8s_value container, bool is_init)
{
    struct view ip = k8s_text_at(k8s_object_root(s->pod), "status.podIP");
    struct k8s_iter p = k8s_iter(k8s_get(container, "ports"));
    while (k8s_next(&p)) {
        struct view number = k8s_text_at(p.value, "containerPort");
        if (!has_port(s, number)) {
            size_t mark = sd_mark(k->b);
            sd_add(k->b, "__address__", sd_join(k->b, ip, number));
            sd_add_port(k->b, container, is_init, p.value, view_make(NULL, 0));
            sd_add_pod(k->b, s->pod);
            sd_end_target(k->b, mark);
        }
    }
}

void sd_backing_rest(struct sd_backing *k)
{
    static const char *const LISTS[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < k->count; i++) {
        struct k8s_value root = k8s_object_root(k->pods[i].pod);
        bool has_ip = k8s_text_at(root, "status.podIP").len != 0;
        for (size_t l = 0; l < list_count(k->b) && has_ip; l++) {
            struct k8s_iter c = k8s_iter(k8s_at(root, LISTS[l]));
            while (k8s_next(&c)) {
                rest_of_container(k, &k->pods[i], c.value, l == 1);
            }
        }
    }
}
