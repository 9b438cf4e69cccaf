/* Reading an item of kubernetes_sd_configs: see sd.h. What Prometheus refuses is refused, with file, line and
 * column. */
#include "k8s/sd.h"

#include "discovery/file_paths.h"
#include "k8s/selector.h"

#include <stdlib.h>

static const char *const ROLES[] = {
    [SD_NODE] = "node",           [SD_POD] = "pod",
    [SD_SERVICE] = "service",     [SD_ENDPOINTS] = "endpoints",
    [SD_SLICE] = "endpointslice", [SD_INGRESS] = "ingress",
};

/* Selector roles that a role may have, as bits. */
static const unsigned SELECTABLE[] = {
    [SD_NODE] = 1 << SD_NODE,
    [SD_POD] = 1 << SD_POD | 1 << SD_NODE,
    [SD_SERVICE] = 1 << SD_SERVICE,
    [SD_ENDPOINTS] = 1 << SD_POD | 1 << SD_SERVICE | 1 << SD_ENDPOINTS,
    [SD_SLICE] = 1 << SD_POD | 1 << SD_SERVICE | 1 << SD_SLICE,
    [SD_INGRESS] = 1 << SD_INGRESS,
};

struct reader {
    struct sd_config *c;
    const char *file;
    struct errctx *err;
};

static int fail(const struct reader *r, const struct yaml_node *at, const char *what, const char *detail)
{
    return errctx_set(r->err, ERR_INVALID, "%s:%d:%d: kubernetes_sd_configs: %s%s", r->file, at->line, at->column, what,
                      detail);
}

static const char *text_of(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    return n != NULL && n->kind == YAML_SCALAR && !yaml_is_null(n) ? n->value.base : "";
}

static bool flag_of(const struct yaml_node *mapping, const char *key)
{
    bool on = false;
    const struct yaml_node *n = yaml_get(mapping, key);
    return n != NULL && yaml_bool(n, &on) && on;
}

static int role_of(const char *word, enum sd_role *ret)
{
    for (size_t i = 0; i < SD_ROLE_COUNT; i++) {
        if (strcmp(ROLES[i], word) == 0) {
            *ret = (enum sd_role)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int read_namespaces(const struct reader *r, const struct yaml_node *conf)
{
    const struct yaml_node *n = yaml_get(conf, "namespaces"), *names = yaml_get(n, "names");
    size_t count = names != NULL && names->kind == YAML_SEQUENCE ? names->count : 0;
    if (count > SD_NAMESPACES_MAX) {
        return fail(r, names, "namespaces: too many names", "");
    }
    r->c->own_namespace = flag_of(n, "own_namespace");
    r->c->namespaces = arena_alloc(r->c->arena, (count + 2) * sizeof(*r->c->namespaces));
    for (size_t i = 0; i < count; i++) {
        if (names->items[i]->kind != YAML_SCALAR) {
            return fail(r, names->items[i], "namespaces: expected a name", "");
        }
        const char *name = arena_strdup(r->c->arena, names->items[i]->value.base);
        size_t k = 0;
        while (k < r->c->namespace_count && strcmp(r->c->namespaces[k], name) != 0) {
            k++;
        }
        r->c->namespaces[k] = name;
        r->c->namespace_count += k == r->c->namespace_count;
    }
    return 0;
}

static int read_selectors(const struct reader *r, const struct yaml_node *conf)
{
    const struct yaml_node *list = yaml_get(conf, "selectors");
    for (size_t i = 0; list != NULL && list->kind == YAML_SEQUENCE && i < list->count; i++) {
        const struct yaml_node *n = list->items[i];
        enum sd_role role;
        if (role_of(text_of(n, "role"), &role) != 0 || (SELECTABLE[r->c->role] & 1U << role) == 0) {
            return fail(r, n, "selectors: expected a selector role that goes with the role ", ROLES[r->c->role]);
        }
        if (r->c->selectors[role].label != NULL) {
            return fail(r, n, "selectors: duplicated selector role ", ROLES[role]);
        }
        const char *fault = selector_label_fault(view_of(text_of(n, "label")));
        if (fault != NULL) {
            return fail(r, yaml_get(n, "label"), "selectors: label: ", fault);
        }
        fault = selector_field_fault(view_of(text_of(n, "field")));
        if (fault != NULL) {
            return fail(r, yaml_get(n, "field"), "selectors: field: ", fault);
        }
        r->c->selectors[role].label = arena_strdup(r->c->arena, text_of(n, "label"));
        r->c->selectors[role].field = arena_strdup(r->c->arena, text_of(n, "field"));
    }
    return 0;
}

/* The text of the item without what differs between items that may share a client. */
static int client_key(const struct reader *r, const struct yaml_node *conf, const char *base_dir)
{
    static const char *const OTHERS[] = {"role", "namespaces", "selectors", "attach_metadata"};
    struct yaml_node *copy = yaml_copy(r->c->arena, conf);
    struct bytes text;
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        yaml_remove(copy, OTHERS[i]);
    }
    bytes_init(&text, (size_t)4 << 20);
    int rc = yaml_write(copy, &text, r->err);
    if (rc == 0) {
        r->c->client_key = arena_printf(r->c->arena, "%s\n%s", base_dir, bytes_view(&text).base);
    }
    bytes_done(&text);
    return rc;
}

static int read_server(const struct reader *r, const struct yaml_node *conf, const char *base_dir)
{
    const char *kubeconfig = text_of(conf, "kubeconfig_file");
    r->c->api_server = arena_strdup(r->c->arena, text_of(conf, "api_server"));
    r->c->kubeconfig = "";
    if (kubeconfig[0] != '\0') {
        char *path = file_paths_join(base_dir, kubeconfig);
        r->c->kubeconfig = arena_strdup(r->c->arena, path);
        free(path);
    }
    if (r->c->kubeconfig[0] != '\0' && r->c->api_server[0] != '\0') {
        return fail(r, yaml_get(conf, "kubeconfig_file"), "kubeconfig_file together with api_server", "");
    }
    if (r->c->own_namespace && (r->c->kubeconfig[0] != '\0' || r->c->api_server[0] != '\0')) {
        return fail(r, conf, "own_namespace together with api_server or kubeconfig_file", "");
    }
    return promconf_http_client(r->c->arena, conf, r->file, base_dir, &r->c->http, r->err);
}

static int read_all(const struct reader *r, const struct yaml_node *conf, const char *base_dir)
{
    struct sd_config *c = r->c;
    const struct yaml_node *attach = yaml_get(conf, "attach_metadata");
    if (conf->kind != YAML_MAPPING) {
        return fail(r, conf, "expected a mapping with role", "");
    }
    if (role_of(text_of(conf, "role"), &c->role) != 0) {
        return fail(r, conf, "no known role; expected pod, service, endpoints, endpointslice, node or ingress", "");
    }
    c->attach_node = flag_of(attach, "node");
    c->attach_namespace = flag_of(attach, "namespace");
    c->attach_deployment = flag_of(attach, "deployment");
    c->attach_job = flag_of(attach, "job");
    c->attach_cronjob = flag_of(attach, "cronjob");
    int rc = read_namespaces(r, conf);
    rc = rc == 0 ? read_selectors(r, conf) : rc;
    rc = rc == 0 ? read_server(r, conf, base_dir) : rc;
    return rc == 0 ? client_key(r, conf, base_dir) : rc;
}

int sd_config_read(const char *file, const char *base_dir, const struct yaml_node *conf, struct sd_config *ret,
                   struct errctx *err)
{
    struct sd_config c = {.arena = arena_new()};
    const struct reader r = {.c = &c, .file = file, .err = err};
    int rc = read_all(&r, conf, base_dir);
    if (rc != 0) {
        arena_free(&c.arena);
        return rc;
    }
    *ret = c;
    return 0;
}

void sd_config_done(struct sd_config *c)
{
    arena_free(&c->arena);
}
