/* What Prometheus refuses in discovery sections when it loads a file. Mechanisms that are not
 * native here are not looked into: the Prometheus that runs them for us does. */
#include "configgen/promconf_parts.h"

#include <stdio.h>

static int fail_key(struct conf_reader *r, const struct yaml_node *n, const char *key,
                    const char *what)
{
    const struct yaml_node *value = yaml_get(n, key);
    conf_push(r, view_of(key));
    return conf_fail(r, value != NULL ? value : n, "%s", what);
}

static bool word_in(const char *word, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(word, *list) == 0) {
            return true;
        }
    }
    return false;
}

int conf_check_label_name(struct conf_reader *r, const struct yaml_node *name)
{
    struct view v = name->value;
    bool ok = v.len > 0;
    for (size_t i = 0; i < v.len && r->major < PROMETHEUS_3; i++) {
        char c = v.base[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        ok = ok && (letter || (i > 0 && c >= '0' && c <= '9'));
    }
    if (!ok) {
        return conf_fail(
            r, name, "\"%.*s\" is not a valid label name; expected letters, digits and underscores",
            VIEW_FMT(v));
    }
    return 0;
}

static int check_static(struct conf_reader *r, const struct yaml_node *n)
{
    const struct yaml_node *labels = yaml_get(n, "labels");
    for (size_t i = 0; !yaml_is_null(labels) && i < labels->count; i++) {
        size_t old = conf_push(r, VIEW("labels"));
        if (conf_check_label_name(r, labels->pairs[i].key) != 0) {
            return ERR_INVALID;
        }
        conf_pop(r, old);
    }
    return 0;
}

static int check_static_hosts(struct conf_reader *r, const struct yaml_node *n)
{
    const struct yaml_node *targets = yaml_get(n, "targets");
    for (size_t i = 0; !yaml_is_null(targets) && i < targets->count; i++) {
        const struct yaml_node *t = targets->items[i];
        if (memchr(t->value.base, '/', t->value.len) != NULL) {
            /* Whatever stands before an '@' may be a password. */
            const char *at = memrchr(t->value.base, '@', t->value.len);
            size_t skip = at != NULL ? (size_t)(at + 1 - t->value.base) : 0;
            conf_push(r, VIEW("targets"));
            return conf_fail(
                r, t,
                "\"%.*s\" is not a valid hostname; expected host:port without scheme and path",
                VIEW_FMT(view_make(t->value.base + skip, t->value.len - skip)));
        }
    }
    return 0;
}

/* ^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$ */
static bool file_pattern_ok(struct view v)
{
    static const char *const endings[] = {".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"};
    const char *star = memchr(v.base, '*', v.len);
    bool ending = false;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        ending = ending || view_has_suffix(v, view_of(endings[i]));
    }
    return ending && (star == NULL || memchr(star, '/', v.len - (size_t)(star - v.base)) == NULL);
}

static int check_file(struct conf_reader *r, const struct yaml_node *n)
{
    const struct yaml_node *files = yaml_get(n, "files");
    if (yaml_is_null(files) || files->count == 0) {
        return fail_key(r, n, "files", "no file; expected at least one path");
    }
    for (size_t i = 0; i < files->count; i++) {
        if (!file_pattern_ok(files->items[i]->value)) {
            conf_push(r, VIEW("files"));
            return conf_fail(r, files->items[i],
                             "path name \"%.*s\" is not valid for file discovery; expected one "
                             "ending in .json, .yml or "
                             ".yaml, with * in its last part only",
                             VIEW_FMT(files->items[i]->value));
        }
    }
    return 0;
}

static int check_http(struct conf_reader *r, const struct yaml_node *n)
{
    struct view url = view_of(conf_string(n, "url", ""));
    if (url.len == 0) {
        return fail_key(r, n, "url", "URL is missing; expected http://host/path");
    }
    size_t scheme = view_has_prefix(url, VIEW("http://"))    ? 7
                    : view_has_prefix(url, VIEW("https://")) ? 8
                                                             : 0;
    if (scheme == 0) {
        return fail_key(r, n, "url",
                        "URL scheme is neither http nor https; expected http://host/path");
    }
    if (scheme == url.len || strchr("/?#", url.base[scheme]) != NULL) {
        return fail_key(r, n, "url", "host is missing in URL; expected http://host/path");
    }
    return 0;
}

static int check_dns(struct conf_reader *r, const struct yaml_node *n)
{
    static const char *const types[] = {"SRV", "A", "AAAA", "MX", "NS", NULL};
    const struct yaml_node *names = yaml_get(n, "names");
    if (yaml_is_null(names) || names->count == 0) {
        return fail_key(r, n, "names", "no name; expected at least one");
    }
    char type[16];
    snprintf(type, sizeof(type), "%s", conf_string(n, "type", "SRV"));
    for (char *c = type; *c != '\0'; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    if (!word_in(type, types)) {
        return fail_key(r, n, "type", "unknown record type; expected SRV, A, AAAA, MX or NS");
    }
    if (strcmp(type, "SRV") != 0 && conf_uint(n, "port") == 0) {
        return fail_key(r, n, "port", "no port; expected one for all record types but SRV");
    }
    return 0;
}

static int check_consul(struct conf_reader *r, const struct yaml_node *n)
{
    if (conf_string(n, "server", "localhost:8500")[0] == '\0') {
        return fail_key(r, n, "server", "no server; expected host:port");
    }
    if ((conf_string(n, "username", "")[0] != '\0' || conf_string(n, "password", "")[0] != '\0') &&
        !yaml_is_null(yaml_get(n, "basic_auth"))) {
        return fail_key(r, n, "basic_auth",
                        "basic_auth together with username or password; expected one of them");
    }
    if (conf_string(n, "token", "")[0] != '\0' &&
        (!yaml_is_null(yaml_get(n, "authorization")) || !yaml_is_null(yaml_get(n, "oauth2")))) {
        return fail_key(r, n, "token", "token together with authorization or oauth2; expected one of them");
    }
    return 0;
}

static int check_docker(struct conf_reader *r, const struct yaml_node *n)
{
    if (conf_string(n, "host", "")[0] == '\0') {
        return fail_key(r, n, "host",
                        "no host; expected unix://, tcp:// or http:// and an address");
    }
    return 0;
}

static int check_dockerswarm(struct conf_reader *r, const struct yaml_node *n)
{
    static const char *const roles[] = {"services", "tasks", "nodes", NULL};
    if (!word_in(conf_string(n, "role", ""), roles)) {
        return fail_key(r, n, "role", "no known role; expected services, tasks or nodes");
    }
    return check_docker(r, n);
}

static int check_kubernetes_selectors(struct conf_reader *r, const struct yaml_node *n,
                                      const char *role)
{
    static const struct {
        const char *role, *allowed[5];
    } rows[] = {
        {"pod", {"pod", "node", NULL}},
        {"service", {"service", NULL}},
        {"endpoints", {"pod", "service", "endpoints", NULL}},
        {"endpointslice", {"pod", "service", "endpointslice", NULL}},
        {"node", {"node", NULL}},
        {"ingress", {"ingress", NULL}},
    };
    const struct yaml_node *list = yaml_get(n, "selectors");
    size_t row = 0;
    while (strcmp(rows[row].role, role) != 0) {
        row++;
    }
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        const char *of = conf_string(list->items[i], "role", "");
        size_t old = conf_push(r, VIEW("selectors"));
        if (!word_in(of, rows[row].allowed)) {
            return conf_fail(r, list->items[i],
                             "selector role \"%s\" with role %s; expected one it can have", of,
                             role);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(of, conf_string(list->items[k], "role", "")) == 0) {
                return conf_fail(r, list->items[i],
                                 "duplicated selector role \"%s\"; expected each once", of);
            }
        }
        conf_pop(r, old);
    }
    return 0;
}

/* True when the HTTP client block says anything but the defaults. */
static bool has_http_settings(const struct yaml_node *n)
{
    for (size_t i = 0; i < n->count; i++) {
        const char *key = n->pairs[i].key->value.base;
        bool flag = strcmp(key, "follow_redirects") == 0 || strcmp(key, "enable_http2") == 0;
        if (conf_key_find(CONF_HTTP, n->pairs[i].key->value) != NULL &&
            !yaml_is_null(n->pairs[i].value) && !(flag && conf_bool(n, key, true))) {
            return true;
        }
    }
    return false;
}

static int check_kubernetes(struct conf_reader *r, const struct yaml_node *n)
{
    static const char *const roles[] = {"pod",  "service", "endpoints", "endpointslice",
                                        "node", "ingress", NULL};
    const char *role = conf_string(n, "role", "");
    bool server = conf_string(n, "api_server", "")[0] != '\0';
    bool file = conf_string(n, "kubeconfig_file", "")[0] != '\0';
    if (!word_in(role, roles)) {
        return fail_key(
            r, n, "role",
            "no known role; expected pod, service, endpoints, endpointslice, node or ingress");
    }
    if (file && server) {
        return fail_key(r, n, "kubeconfig_file",
                        "kubeconfig_file together with api_server; expected one of them");
    }
    if (file && has_http_settings(n)) {
        return fail_key(r, n, "kubeconfig_file",
                        "kubeconfig_file together with HTTP client settings; expected one of them");
    }
    if (!server && has_http_settings(n)) {
        return conf_fail(r, n, "HTTP client settings without api_server; expected both");
    }
    if (conf_bool(yaml_get(n, "namespaces"), "own_namespace", false) && (server || file)) {
        return fail_key(
            r, n, "namespaces",
            "own_namespace together with api_server or kubeconfig_file; expected one of them");
    }
    return check_kubernetes_selectors(r, n, role);
}

static const struct section {
    const char *key;
    int (*check)(struct conf_reader *r, const struct yaml_node *n);
    bool has_http;
} SECTIONS[] = {
    {"static_configs", check_static, false},   {"file_sd_configs", check_file, false},
    {"http_sd_configs", check_http, true},     {"dns_sd_configs", check_dns, false},
    {"consul_sd_configs", check_consul, true}, {"kubernetes_sd_configs", check_kubernetes, true},
    {"docker_sd_configs", check_docker, true}, {"dockerswarm_sd_configs", check_dockerswarm, true},
};

static int check_section(struct conf_reader *r, const struct section *s,
                         const struct yaml_node *list, bool has_rules)
{
    struct http_client_conf unused;
    size_t outer = conf_push(r, view_of(s->key));
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node *n = list->items[i];
        size_t old = conf_push_index(r, i);
        int rc = s->check(r, n);
        if (rc == 0 && s->has_http) {
            rc = conf_http_read(r, n, &unused);
        }
        if (rc == 0 && s->check == check_static && !has_rules) {
            rc = check_static_hosts(r, n);
        }
        if (rc != 0) {
            return rc;
        }
        conf_pop(r, old);
    }
    conf_pop(r, outer);
    return 0;
}

int conf_discovery_check(struct conf_reader *r, const struct yaml_node *mapping, bool has_rules)
{
    for (size_t i = 0; i < sizeof(SECTIONS) / sizeof(SECTIONS[0]); i++) {
        const struct yaml_node *list = yaml_get(mapping, SECTIONS[i].key);
        int rc = yaml_is_null(list) ? 0 : check_section(r, &SECTIONS[i], list, has_rules);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int promconf_sd_check(const char *key, const char *file, const char *base_dir, enum prometheus_major major,
                      const struct yaml_node *item, struct errctx *err)
{
    const struct conf_key *row = conf_mechanism_find(view_of(key));
    struct arena *arena = arena_new();
    struct conf_reader r = {.arena = arena, .file = file, .base_dir = base_dir, .major = major, .err = err};
    struct http_client_conf unused;
    const struct section *s = SECTIONS;
    while (strcmp(s->key, key) != 0) {
        s++;
    }
    conf_push(&r, view_of(key));
    int rc = item->kind == YAML_MAPPING ? conf_walk(&r, item, row->inner)
                                        : conf_fail(&r, item, "expected a mapping");
    rc = rc == 0 ? s->check(&r, item) : rc;
    if (rc == 0 && s->has_http) {
        rc = conf_http_read(&r, item, &unused);
    }
    if (rc == 0 && yaml_get(item, "refresh_interval") != NULL && conf_duration(item, "refresh_interval") == 0) {
        rc = fail_key(&r, item, "refresh_interval", "no time between refreshes; expected a duration such as 30s");
    }
    arena_free(&arena);
    return rc;
}
