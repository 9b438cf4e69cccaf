/* The --inject.kubernetes-* options, for a coordinator outside of the cluster it discovers: every
 * kubernetes_sd_configs item is pointed at the given API server and proxy, and files below the
 * pod's service account folder are looked for in the given one.
 *
 * An item that meant "the cluster I run in" has its token and CA from that folder without saying
 * so; once it names a server it must say so. Items with a kubeconfig_file have their server from
 * there and are left alone, for both together are refused. */
#include "configgen/promconf_parts.h"

#define ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

static bool is_given(const char *option)
{
    return option != NULL && option[0] != '\0';
}

static struct yaml_node *string_of(struct arena *arena, const char *s)
{
    return yaml_new_string(arena, view_of(s));
}

static bool has_own_client(const struct yaml_node *item)
{
    static const char *const keys[] = {"basic_auth",   "authorization",     "oauth2",
                                       "bearer_token", "bearer_token_file", "tls_config"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (!yaml_is_null(yaml_get(item, keys[i]))) {
            return true;
        }
    }
    return false;
}

static void use_account(struct arena *arena, struct yaml_node *item, const char *folder)
{
    struct yaml_node *authorization = yaml_new_mapping(arena), *tls = yaml_new_mapping(arena);
    yaml_set(arena, authorization, "credentials_file",
             string_of(arena, arena_printf(arena, "%s/token", folder)));
    yaml_set(arena, tls, "ca_file", string_of(arena, arena_printf(arena, "%s/ca.crt", folder)));
    yaml_set(arena, item, "authorization", authorization);
    yaml_set(arena, item, "tls_config", tls);
}

static void inject_item(struct arena *arena, struct yaml_node *item,
                        const struct promconf_options *opts)
{
    const char *folder =
        is_given(opts->kubernetes_sa_path) ? opts->kubernetes_sa_path : ACCOUNT_FOLDER;
    bool in_cluster = conf_string(item, "api_server", "")[0] == '\0';
    if (conf_string(item, "kubeconfig_file", "")[0] != '\0') {
        return;
    }
    if (is_given(opts->kubernetes_url)) {
        if (in_cluster && !has_own_client(item)) {
            use_account(arena, item, folder);
        }
        yaml_set(arena, item, "api_server", string_of(arena, opts->kubernetes_url));
    }
    if (is_given(opts->kubernetes_proxy) && (is_given(opts->kubernetes_url) || !in_cluster)) {
        yaml_set(arena, item, "proxy_url", string_of(arena, opts->kubernetes_proxy));
        yaml_remove(item, "proxy_from_environment");
    }
}

static struct yaml_node *moved_path(struct arena *arena, struct yaml_node *n, const char *folder)
{
    size_t len = strlen(ACCOUNT_FOLDER);
    if (n->kind != YAML_SCALAR || !view_has_prefix(n->value, VIEW(ACCOUNT_FOLDER)) ||
        (n->value.len > len && n->value.base[len] != '/')) {
        return n;
    }
    struct yaml_node *moved =
        string_of(arena, arena_printf(arena, "%s%s", folder, n->value.base + len));
    moved->line = n->line;
    moved->column = n->column;
    return moved;
}

static void move_paths(struct arena *arena, const struct yaml_node *n, const char *folder)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->kind == YAML_SEQUENCE) {
            n->items[i] = moved_path(arena, n->items[i], folder);
            move_paths(arena, n->items[i], folder);
            continue;
        }
        struct yaml_pair *pair = &n->pairs[i];
        if (conf_is_path_key(pair->key->value)) {
            pair->value = moved_path(arena, pair->value, folder);
        } else if (pair->value->kind != YAML_SEQUENCE || view_is(pair->key->value, "files") ||
                   conf_is_mechanism_name(pair->key->value)) {
            move_paths(arena, pair->value, folder);
        }
    }
}

void conf_inject_kubernetes(struct arena *arena, const struct yaml_node *job,
                            const struct promconf_options *opts)
{
    const struct yaml_node *list = yaml_get(job, "kubernetes_sd_configs");
    if (is_given(opts->kubernetes_sa_path)) {
        move_paths(arena, job, opts->kubernetes_sa_path);
    }
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        inject_item(arena, list->items[i], opts);
    }
}
