/* Role ingress: a target for each path of each rule. */
#include "k8s/sd.h"

#define PREFIX "__meta_kubernetes_"

/* pattern is host itself, or "*." in place of its first label. */
static bool host_matches(struct view pattern, struct view host)
{
    if (view_equal(pattern, host)) {
        return true;
    }
    const char *dot = host.len != 0 ? memchr(host.base, '.', host.len) : NULL;
    return view_has_prefix(pattern, VIEW("*.")) && dot != NULL && dot != host.base &&
           view_equal(view_make(pattern.base + 1, pattern.len - 1),
                      view_make(dot, host.len - (size_t)(dot - host.base)));
}

static bool is_secure(struct k8s_value tls, struct view host)
{
    struct k8s_iter t = k8s_iter(tls);
    while (k8s_next(&t)) {
        struct k8s_iter h = k8s_iter(k8s_get(t.value, "hosts"));
        while (k8s_next(&h)) {
            if (host_matches(k8s_text(h.value), host)) {
                return true;
            }
        }
    }
    return false;
}

static void add_path(struct sd_build *b, struct view host, bool secure, struct view path)
{
    size_t mark = sd_mark(b);
    sd_add(b, "__address__", host);
    sd_add_text(b, PREFIX "ingress_scheme", secure ? "https" : "http");
    sd_add(b, PREFIX "ingress_host", host);
    sd_add(b, PREFIX "ingress_path", path.len != 0 ? path : VIEW("/"));
    sd_end_target(b, mark);
}

void sd_build_ingress(struct sd_build *b, const struct k8s_object *o)
{
    struct k8s_value root = k8s_object_root(o);
    sd_add(b, PREFIX "namespace", k8s_object_namespace(o));
    sd_add(b, PREFIX "ingress_class_name", k8s_text_at(root, "spec.ingressClassName"));
    sd_add_meta(b, "ingress", o, true);
    sd_add_namespace_meta(b, k8s_object_namespace(o));
    struct k8s_iter r = k8s_iter(k8s_at(root, "spec.rules"));
    while (k8s_next(&r)) {
        struct view host = k8s_text_at(r.value, "host");
        bool secure = is_secure(k8s_at(root, "spec.tls"), host);
        struct k8s_value http = k8s_get(r.value, "http");
        struct k8s_iter p = k8s_iter(k8s_get(http, "paths"));
        if (!k8s_has(http)) {
            add_path(b, host, secure, VIEW("/"));
        }
        while (k8s_next(&p)) {
            add_path(b, host, secure, k8s_text_at(p.value, "path"));
        }
    }
}
