/* Client settings from a file of their own: see http_config.h. What the keys mean is configgen's knowledge; here is
 * only the file around them. */
#include "shard/http_config.h"
#include "base/files.h"
#include "configgen/promconf.h"

#include <stdlib.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

static int check_keys(const char *path, const struct yaml_node *root, struct errctx *err)
{
    static const char *const KEYS[] = {"basic_auth",
                                       "authorization",
                                       "bearer_token",
                                       "bearer_token_file",
                                       "oauth2",
                                       "tls_config",
                                       "proxy_url",
                                       "no_proxy",
                                       "follow_redirects",
                                       "proxy_connect_header",
                                       "enable_http2",
                                       "http_headers",
                                       "proxy_from_environment"};
    if (root == NULL || root->kind != YAML_MAPPING) {
        return errctx_set(err, ERR_INVALID, "%s: expected a mapping with the keys of a Prometheus HTTP client", path);
    }
    for (size_t i = 0; i < root->count; i++) {
        const struct yaml_node *key = root->pairs[i].key;
        bool known = false;
        for (size_t k = 0; k < sizeof(KEYS) / sizeof(KEYS[0]); k++) {
            known = known || view_is(key->value, KEYS[k]);
        }
        if (!known) {
            return errctx_set(err, ERR_INVALID,
                              "%s:%d:%d: unknown key '%.60s'; expected those of a Prometheus HTTP client (basic_auth, "
                              "authorization, oauth2, tls_config, proxy_url, ...)",
                              path, key->line, key->column, key->value.base);
        }
    }
    return 0;
}

static char *folder_of(const char *path)
{
    char *absolute = realpath(path, NULL);
    char *slash = absolute != NULL ? strrchr(absolute, '/') : NULL;
    if (slash != NULL) {
        *(slash == absolute ? slash + 1 : slash) = '\0';
    }
    return absolute;
}

int http_config_load(const char *path, struct http_profile **ret, struct errctx *err)
{
    struct bytes text;
    struct yaml_node *root = NULL;
    struct http_client_conf conf;
    struct arena *arena = arena_new();
    char *folder = folder_of(path);
    bytes_init(&text, FILE_BYTES_MAX);
    int rc = files_read(path, &text, err);
    rc = rc != 0 ? rc : yaml_parse(arena, path, bytes_view(&text), &root, err);
    rc = rc != 0 ? rc : check_keys(path, root, err);
    rc = rc != 0 ? rc : promconf_http_client(arena, root, path, folder != NULL ? folder : ".", &conf, err);
    if (rc == 0) {
        *ret = http_profile_new(&conf);
    }
    bytes_done(&text);
    arena_free(&arena);
    free(folder);
    return rc;
}
