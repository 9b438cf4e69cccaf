/* Label sets of discovered targets: names and rules of Prometheus' kubernetes discovery. Texts made here live in the
 * arena of the group being built; sets copy what they keep. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

void sd_add(struct sd_build *b, const char *name, struct view value)
{
    *vec_push(&b->labels) = (struct label){view_of(name), value};
}

void sd_add_text(struct sd_build *b, const char *name, const char *value)
{
    sd_add(b, name, view_of(value));
}

/* prefix and key as one label name: what is no letter, digit or underscore becomes one. */
static struct view mapped_name(struct sd_build *b, const char *prefix, struct view key)
{
    size_t len = strlen(prefix);
    char *name = arena_alloc(b->arena, len + key.len + 1);
    memcpy(name, prefix, len);
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.base[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c < 0x80 || c >= 0xc0) { /* a character of several bytes is one */
            name[len++] = ok ? (char)c : '_';
        }
    }
    return view_make(name, len);
}

void sd_add_mapped(struct sd_build *b, const char *prefix, struct view key, struct view value)
{
    struct view name = mapped_name(b, prefix, key);
    *vec_push(&b->labels) = (struct label){name, value};
}

static void add_pairs(struct sd_build *b, const char *kind, const char *what, struct k8s_value map)
{
    const char *value_prefix = arena_printf(b->arena, PREFIX "%s_%s_", kind, what);
    const char *present_prefix = arena_printf(b->arena, PREFIX "%s_%spresent_", kind, what);
    struct k8s_iter it = k8s_iter(map);
    while (k8s_next(&it)) {
        sd_add_mapped(b, value_prefix, it.key, k8s_text(it.value));
        sd_add_mapped(b, present_prefix, it.key, VIEW("true"));
    }
}

void sd_add_meta(struct sd_build *b, const char *kind, const struct k8s_object *o, bool with_name)
{
    struct k8s_value metadata = k8s_get(k8s_object_root(o), "metadata");
    if (with_name) {
        sd_add(b, arena_printf(b->arena, PREFIX "%s_name", kind), k8s_object_name(o));
    }
    add_pairs(b, kind, "label", k8s_get(metadata, "labels"));
    add_pairs(b, kind, "annotation", k8s_get(metadata, "annotations"));
}

void sd_add_namespace_meta(struct sd_build *b, struct view namespace)
{
    if (b->conf->attach_namespace) {
        const struct k8s_object *o = sd_find(b, SD_KIND_NAMESPACE, VIEW(""), namespace);
        if (o != NULL) {
            sd_add_meta(b, "namespace", o, false);
        }
    }
}

bool sd_add_node_meta(struct sd_build *b, struct view node)
{
    const struct k8s_object *o = node.len != 0 ? sd_find(b, SD_KIND_NODE, VIEW(""), node) : NULL;
    if (o != NULL) {
        sd_add_meta(b, "node", o, true);
    }
    return o != NULL;
}

struct view sd_join(struct sd_build *b, struct view host, struct view port)
{
    struct view number = port.len != 0 ? port : VIEW("0");
    bool is_v6 = memchr(host.base, ':', host.len) != NULL;
    return view_of(
        arena_printf(b->arena, "%s%.*s%s:%.*s", is_v6 ? "[" : "", VIEW_FMT(host), is_v6 ? "]" : "", VIEW_FMT(number)));
}

struct view sd_lower(struct sd_build *b, struct view text)
{
    char *out = arena_dup(b->arena, text.base, text.len);
    for (size_t i = 0; i < text.len; i++) {
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] + 32 : out[i]);
    }
    return view_make(out, text.len);
}

size_t sd_mark(const struct sd_build *b)
{
    return b->labels.len;
}

struct labels *sd_take(struct sd_build *b, size_t mark)
{
    struct labels *l = labels_make_shared(b->names, b->labels.items + mark, b->labels.len - mark);
    b->labels.len = mark;
    return l;
}

void sd_end_target(struct sd_build *b, size_t mark)
{
    struct labels *l = sd_take(b, mark);
    *vec_push(&b->targets) = l;
}

/* --- pods */

/* kind and name of the owner that controls o; false when there is none. */
static bool controller_of(const struct k8s_object *o, struct view *ret_kind, struct view *ret_name)
{
    struct k8s_iter it = k8s_iter(k8s_at(k8s_object_root(o), "metadata.ownerReferences"));
    while (k8s_next(&it)) {
        if (view_is(k8s_text_at(it.value, "controller"), "true")) {
            *ret_kind = k8s_text_at(it.value, "kind");
            *ret_name = k8s_text_at(it.value, "name");
            return true;
        }
    }
    return false;
}

static void add_controller(struct sd_build *b, const struct k8s_object *pod)
{
    struct view kind, name, above_kind, above;
    if (!controller_of(pod, &kind, &name)) {
        return;
    }
    sd_add(b, PREFIX "pod_controller_kind", kind);
    sd_add(b, PREFIX "pod_controller_name", name);
    bool is_set = view_is(kind, "ReplicaSet"), is_job = view_is(kind, "Job");
    if (is_job && b->conf->attach_job) {
        sd_add(b, PREFIX "pod_job_name", name);
    }
    enum sd_kind owner_kind = is_set ? SD_KIND_REPLICASET : SD_KIND_JOB;
    bool wanted = (is_set && b->conf->attach_deployment) || (is_job && b->conf->attach_cronjob);
    const struct k8s_object *owner = wanted ? sd_find(b, owner_kind, k8s_object_namespace(pod), name) : NULL;
    if (owner != NULL && controller_of(owner, &above_kind, &above)) {
        if (is_set && view_is(above_kind, "Deployment")) {
            sd_add(b, PREFIX "pod_deployment_name", above);
        } else if (is_job && view_is(above_kind, "CronJob")) {
            sd_add(b, PREFIX "pod_cronjob_name", above);
        }
    }
}

static struct view ready_of(struct sd_build *b, struct k8s_value root)
{
    struct k8s_iter it = k8s_iter(k8s_at(root, "status.conditions"));
    while (k8s_next(&it)) {
        if (view_is(k8s_text_at(it.value, "type"), "Ready")) {
            return sd_lower(b, k8s_text_at(it.value, "status"));
        }
    }
    return VIEW("unknown");
}

void sd_add_pod(struct sd_build *b, const struct k8s_object *pod)
{
    struct k8s_value root = k8s_object_root(pod);
    sd_add(b, PREFIX "pod_ip", k8s_text_at(root, "status.podIP"));
    sd_add(b, PREFIX "pod_ready", ready_of(b, root));
    sd_add(b, PREFIX "pod_phase", k8s_text_at(root, "status.phase"));
    sd_add(b, PREFIX "pod_node_name", k8s_text_at(root, "spec.nodeName"));
    sd_add(b, PREFIX "pod_host_ip", k8s_text_at(root, "status.hostIP"));
    sd_add(b, PREFIX "pod_uid", k8s_text_at(root, "metadata.uid"));
    sd_add_meta(b, "pod", pod, true);
    add_controller(b, pod);
}

static void add_container(struct sd_build *b, struct k8s_value container)
{
    sd_add(b, PREFIX "pod_container_name", k8s_text_at(container, "name"));
    sd_add(b, PREFIX "pod_container_image", k8s_text_at(container, "image"));
}

static void add_port(struct sd_build *b, struct k8s_value port, struct view protocol)
{
    sd_add(b, PREFIX "pod_container_port_name", k8s_text_at(port, "name"));
    sd_add(b, PREFIX "pod_container_port_number", k8s_text_at(port, "containerPort"));
    sd_add(b, PREFIX "pod_container_port_protocol", protocol.base != NULL ? protocol : k8s_text_at(port, "protocol"));
}

void sd_add_container(struct sd_build *b, struct k8s_value container, bool is_init, const struct k8s_value *port)
{
    add_container(b, container);
    sd_add_text(b, PREFIX "pod_container_init", is_init ? "true" : "false");
    if (port != NULL) {
        add_port(b, *port, view_make(NULL, 0));
    }
}

void sd_add_port(struct sd_build *b, struct k8s_value container, bool is_init, struct k8s_value port,
                 struct view protocol)
{
    add_container(b, container);
    if (b->major >= PROMETHEUS_3) {
        sd_add_text(b, PREFIX "pod_container_init", is_init ? "true" : "false");
    }
    add_port(b, port, protocol);
}
