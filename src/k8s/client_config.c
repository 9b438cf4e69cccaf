/* Where the API server is and who we are: the service account of a pod, or a kubeconfig file.
 *
 * Of a kubeconfig what a daemon can use is read: one context with its cluster and user, with certificates inline or in
 * files (relative to the kubeconfig). A user that needs a program to be run for its credentials is refused in words.
 * Files are not read here but by net/http_profile, again when they change, so that rotated tokens and certificates are
 * used; only the service account's token must exist now, for without it we are not in a cluster. */
#include "k8s/client_priv.h"

#include "base/arena.h"
#include "base/files.h"
#include "base/mem.h"
#include "configgen/yamltree.h"
#include "model/labels.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL_FILE_MAX ((size_t)1 << 20)

/* --- service account */

static int read_small(struct arena *arena, const char *folder, const char *name, const char **ret, struct errctx *err)
{
    struct bytes text;
    char *path = arena_printf(arena, "%s/%s", folder, name);
    bytes_init(&text, SMALL_FILE_MAX);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        struct view v = bytes_view(&text);
        while (v.len != 0 && strchr(" \r\n\t", v.base[v.len - 1]) != NULL) {
            v.len--;
        }
        *ret = arena_view(arena, v).base;
        rc = v.len != 0 ? 0 : errctx_set(err, ERR_INVALID, "%s: the file is empty", path);
    }
    bytes_done(&text);
    return rc;
}

int k8s_client_in_cluster(struct loop *loop, struct http_client *http, const char *folder, struct k8s_client **ret,
                          struct errctx *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    const char *token = NULL, *namespace = "";
    folder = folder != NULL && folder[0] != '\0' ? folder : K8S_ACCOUNT_FOLDER;
    if (host == NULL || host[0] == '\0' || port == NULL || port[0] == '\0') {
        return errctx_set(err, ERR_NOT_FOUND,
                          "not in a Kubernetes cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
                          "set");
    }
    struct arena *arena = arena_new();
    int rc = read_small(arena, folder, "token", &token, err);
    if (rc != 0) {
        rc = errctx_prefix(err, rc, "service account");
    } else if (access(arena_printf(arena, "%s/ca.crt", folder), R_OK) != 0) {
        rc = errctx_set(err, ERR_IO, "service account: %s/ca.crt cannot be read", folder);
    } else {
        const struct http_client_conf conf = {
            .has_authorization = true,
            .credentials_file = arena_printf(arena, "%s/token", folder),
            .tls = {.ca_file = arena_printf(arena, "%s/ca.crt", folder)},
        };
        bool is_v6 = strchr(host, ':') != NULL;
        const char *url =
            arena_printf(arena, "https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
        (void)read_small(arena, folder, "namespace", &namespace, NULL);
        *ret = k8s_client_new(loop, http, url, &conf, namespace);
    }
    arena_free(&arena);
    return rc;
}

/* --- kubeconfig */

struct kubeconfig {
    struct arena *arena;
    const char *path, *folder;
    const struct yaml_node *root;
    struct errctx *err;
};

static int fail(const struct kubeconfig *k, const struct yaml_node *at, const char *what, const char *detail)
{
    return errctx_set(k->err, ERR_INVALID, "%s:%d:%d: %s%s", k->path, at->line, at->column, what, detail);
}

/* "" when absent. */
static const char *text_of(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    return n != NULL && n->kind == YAML_SCALAR && !yaml_is_null(n) ? n->value.base : "";
}

static const char *path_of(const struct kubeconfig *k, const struct yaml_node *mapping, const char *key)
{
    const char *path = text_of(mapping, key);
    return path[0] == '\0' || path[0] == '/' ? path : arena_printf(k->arena, "%s/%s", k->folder, path);
}

/* The mapping under `inner` of the item of list `key` that has this name. */
static int named(const struct kubeconfig *k, const char *key, const char *inner, const char *name,
                 const struct yaml_node **ret)
{
    const struct yaml_node *list = yaml_get(k->root, key);
    for (size_t i = 0; list != NULL && list->kind == YAML_SEQUENCE && i < list->count; i++) {
        const struct yaml_node *item = list->items[i], *value = yaml_get(item, inner);
        if (strcmp(text_of(item, "name"), name) == 0 && value != NULL && value->kind == YAML_MAPPING) {
            *ret = value;
            return 0;
        }
    }
    return fail(k, list != NULL ? list : k->root, "no such entry: ", arena_printf(k->arena, "%s '%s'", key, name));
}

/* A "-data" key: base64 of a PEM text. NULL when absent. */
static int data_of(const struct kubeconfig *k, const struct yaml_node *mapping, const char *key, const char **ret)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    *ret = NULL;
    if (n == NULL || yaml_is_null(n)) {
        return 0;
    }
    char *packed = arena_alloc(k->arena, n->value.len + 1), *out = arena_alloc(k->arena, n->value.len + 4);
    size_t len = 0;
    for (size_t i = 0; n->kind == YAML_SCALAR && i < n->value.len; i++) {
        if (strchr(" \r\n\t", n->value.base[i]) == NULL) {
            packed[len++] = n->value.base[i];
        }
    }
    int decoded = len != 0 && len < (size_t)SMALL_FILE_MAX
                      ? EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)packed, (int)len)
                      : -1;
    if (decoded < 0) {
        return fail(k, n, key, ": expected base64 text");
    }
    out[decoded] = '\0';
    *ret = out;
    return 0;
}

static int read_cluster(const struct kubeconfig *k, const struct yaml_node *cluster, struct http_client_conf *conf,
                        const char **ret_url)
{
    const char *url = text_of(cluster, "server");
    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
        return fail(k, cluster, "server: expected a URL that begins with https:// or http://", "");
    }
    bool insecure = false;
    const struct yaml_node *flag = yaml_get(cluster, "insecure-skip-tls-verify");
    if (flag != NULL && !yaml_is_null(flag) && !yaml_bool(flag, &insecure)) {
        return fail(k, flag, "insecure-skip-tls-verify: expected true or false", "");
    }
    conf->tls.insecure_skip_verify = insecure;
    conf->tls.ca_file = path_of(k, cluster, "certificate-authority");
    conf->tls.server_name = text_of(cluster, "tls-server-name");
    conf->proxy.url = text_of(cluster, "proxy-url");
    *ret_url = url;
    int rc = data_of(k, cluster, "certificate-authority-data", &conf->tls.ca);
    if (rc == 0 && conf->tls.ca != NULL) {
        conf->tls.ca_file = NULL;
    }
    return rc;
}

static int read_impersonation(const struct kubeconfig *k, const struct yaml_node *user, struct http_client_conf *conf)
{
    const char *as = text_of(user, "as");
    if (as[0] == '\0') {
        return 0;
    }
    struct http_header_conf *h = arena_alloc(k->arena, 2 * sizeof(*h));
    const struct yaml_node *groups = yaml_get(user, "as-groups");
    size_t count = groups != NULL && groups->kind == YAML_SEQUENCE ? groups->count : 0;
    const char **names = arena_alloc(k->arena, (count + 1) * sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        names[i] = groups->items[i]->kind == YAML_SCALAR ? groups->items[i]->value.base : "";
    }
    const char **self = arena_alloc(k->arena, sizeof(*self));
    self[0] = as;
    h[0] = (struct http_header_conf){.name = "Impersonate-User", .values = self, .value_count = 1};
    h[1] = (struct http_header_conf){.name = "Impersonate-Group", .values = names, .value_count = count};
    conf->headers = h;
    conf->header_count = count != 0 ? 2 : 1;
    return 0;
}

static int read_user(const struct kubeconfig *k, const struct yaml_node *user, struct http_client_conf *conf)
{
    const struct yaml_node *foreign = yaml_get(user, "exec") != NULL ? yaml_get(user, "exec")
                                                                     : yaml_get(user, "auth-provider");
    if (foreign != NULL && !yaml_is_null(foreign)) {
        return errctx_set(k->err, ERR_UNSUPPORTED,
                          "%s:%d:%d: exec and auth-provider are not run by a daemon; expected a token or a client "
                          "certificate",
                          k->path, foreign->line, foreign->column);
    }
    conf->tls.cert_file = path_of(k, user, "client-certificate");
    conf->tls.key_file = path_of(k, user, "client-key");
    int rc = data_of(k, user, "client-certificate-data", &conf->tls.cert);
    rc = rc == 0 ? data_of(k, user, "client-key-data", &conf->tls.key) : rc;
    if (rc != 0) {
        return rc;
    }
    conf->tls.cert_file = conf->tls.cert != NULL ? NULL : conf->tls.cert_file;
    conf->tls.key_file = conf->tls.key != NULL ? NULL : conf->tls.key_file;
    const char *token = text_of(user, "token"), *token_file = path_of(k, user, "tokenFile");
    if (token[0] != '\0' || token_file[0] != '\0') {
        conf->has_authorization = true;
        conf->credentials = token_file[0] != '\0' ? NULL : token;
        conf->credentials_file = token_file;
    } else if (text_of(user, "username")[0] != '\0') {
        conf->has_basic_auth = true;
        conf->username = text_of(user, "username");
        conf->password = text_of(user, "password");
    }
    return read_impersonation(k, user, conf);
}

static int read_context(const struct kubeconfig *k, const char *name, struct loop *loop, struct http_client *http,
                        struct k8s_client **ret)
{
    const struct yaml_node *context, *cluster, *user = NULL;
    struct http_client_conf conf = {0};
    const char *url = NULL;
    name = name != NULL && name[0] != '\0' ? name : text_of(k->root, "current-context");
    if (name[0] == '\0') {
        return fail(k, k->root, "current-context: expected the name of a context", "");
    }
    int rc = named(k, "contexts", "context", name, &context);
    rc = rc == 0 ? named(k, "clusters", "cluster", text_of(context, "cluster"), &cluster) : rc;
    rc = rc == 0 ? read_cluster(k, cluster, &conf, &url) : rc;
    if (rc == 0 && text_of(context, "user")[0] != '\0') {
        rc = named(k, "users", "user", text_of(context, "user"), &user);
        rc = rc == 0 ? read_user(k, user, &conf) : rc;
    }
    if (rc == 0) {
        if (strncmp(url, "http://", 7) == 0) { /* as kubectl: credentials are for TLS */
            conf.has_authorization = conf.has_basic_auth = false;
        }
        *ret = k8s_client_new(loop, http, url, &conf, text_of(context, "namespace"));
    }
    return rc;
}

int k8s_client_kubeconfig(struct loop *loop, struct http_client *http, const char *path, const char *context,
                          struct k8s_client **ret, struct errctx *err)
{
    struct bytes text;
    struct yaml_node *root = NULL;
    struct arena *arena = arena_new();
    bytes_init(&text, SMALL_FILE_MAX);
    int rc = files_read(path, &text, err);
    rc = rc == 0 ? yaml_parse(arena, path, bytes_view(&text), &root, err) : rc;
    if (rc == 0 && (root == NULL || root->kind != YAML_MAPPING)) {
        rc = errctx_set(err, ERR_INVALID, "%s: expected a kubeconfig: clusters, users and contexts", path);
    }
    if (rc == 0) {
        const char *slash = strrchr(path, '/');
        const struct kubeconfig k = {
            .arena = arena,
            .path = path,
            .folder = slash == NULL ? "." : arena_printf(arena, "%.*s", (int)(slash - path), path),
            .root = root,
            .err = err,
        };
        rc = read_context(&k, context, loop, http, ret);
    }
    bytes_done(&text);
    arena_free(&arena);
    return rc;
}

int k8s_client_default(struct loop *loop, struct http_client *http, const char *kubeconfig, struct k8s_client **ret,
                       struct errctx *err)
{
    const char *path = kubeconfig != NULL && kubeconfig[0] != '\0' ? kubeconfig : getenv("KUBECONFIG");
    if (path == NULL || path[0] == '\0') {
        return k8s_client_in_cluster(loop, http, NULL, ret, err);
    }
    char *first = mem_dup(path, path == kubeconfig ? strlen(path) : strcspn(path, ":"));
    int rc = k8s_client_kubeconfig(loop, http, first, NULL, ret, err);
    free(first);
    return rc;
}
