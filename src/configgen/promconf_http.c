/* The HTTP client block that jobs, discovery sections and remote endpoints have in common: read
 * into http_client_conf, with the combinations refused that Prometheus refuses. Whether files exist
 * is not asked: Prometheus finds out scrape by scrape. */
#include "configgen/promconf_parts.h"

#include <strings.h>

static bool is_set(const struct yaml_node *mapping, const char *key)
{
    return conf_string(mapping, key, "")[0] != '\0';
}

/* How many of a NULL-terminated list of keys hold text. */
static int count_set(const struct yaml_node *mapping, const char *const *keys)
{
    int n = 0;
    for (; *keys != NULL; keys++) {
        n += is_set(mapping, *keys);
    }
    return n;
}

static int at_most_one(struct conf_reader *r, const struct yaml_node *mapping,
                       const char *const *keys)
{
    if (count_set(mapping, keys) > 1) {
        return conf_fail(r, mapping, "%s together with %s; expected at most one of them", keys[0],
                         keys[1]);
    }
    return 0;
}

static const char *optional(const struct yaml_node *mapping, const char *key)
{
    return conf_string(mapping, key, NULL);
}

static const char *optional_path(struct conf_reader *r, const struct yaml_node *mapping,
                                 const char *key)
{
    const char *path = conf_string(mapping, key, NULL);
    return path != NULL ? conf_path_join(r->arena, r->base_dir, path) : NULL;
}

static bool tls_version_known(const char *v)
{
    return v == NULL || v[0] == '\0' || strcmp(v, "TLS10") == 0 || strcmp(v, "TLS11") == 0 ||
           strcmp(v, "TLS12") == 0 || strcmp(v, "TLS13") == 0;
}

static int read_tls(struct conf_reader *r, const struct yaml_node *n, struct tls_conf *ret)
{
    static const char *const forms[][4] = {{"ca", "ca_file", "ca_ref", NULL},
                                           {"cert", "cert_file", "cert_ref", NULL},
                                           {"key", "key_file", "key_ref", NULL}};
    *ret = (struct tls_conf){
        .ca = optional(n, "ca"),
        .ca_file = optional_path(r, n, "ca_file"),
        .cert = optional(n, "cert"),
        .cert_file = optional_path(r, n, "cert_file"),
        .key = optional(n, "key"),
        .key_file = optional_path(r, n, "key_file"),
        .server_name = optional(n, "server_name"),
        .min_version = optional(n, "min_version"),
        .max_version = optional(n, "max_version"),
        .insecure_skip_verify = conf_bool(n, "insecure_skip_verify", false),
    };
    for (size_t i = 0; i < 3; i++) {
        if (at_most_one(r, n, forms[i]) != 0) {
            return ERR_INVALID;
        }
    }
    if (count_set(n, forms[1]) != count_set(n, forms[2])) {
        bool has_cert = count_set(n, forms[1]) != 0;
        return conf_fail(r, n, "client %s without client %s; expected both or none",
                         has_cert ? "certificate" : "key", has_cert ? "key" : "certificate");
    }
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "min_version" : "max_version";
        if (!tls_version_known(optional(n, key))) {
            return conf_fail(r, yaml_get(n, key),
                             "unknown TLS version: %s; expected TLS10, TLS11, TLS12 or TLS13",
                             optional(n, key));
        }
    }
    return 0;
}

static int read_tls_in(struct conf_reader *r, const struct yaml_node *mapping, struct tls_conf *ret)
{
    size_t old = conf_push(r, VIEW("tls_config"));
    int rc = read_tls(r, yaml_get(mapping, "tls_config"), ret);
    conf_pop(r, old);
    return rc;
}

static int read_proxy(struct conf_reader *r, const struct yaml_node *n, struct http_proxy_conf *ret)
{
    *ret = (struct http_proxy_conf){
        .url = optional(n, "proxy_url"),
        .no_proxy = optional(n, "no_proxy"),
        .from_environment = conf_bool(n, "proxy_from_environment", false),
    };
    ret->connect_headers =
        conf_list_pairs(r->arena, n, "proxy_connect_header", &ret->connect_header_count);
    bool url = is_set(n, "proxy_url"), none = is_set(n, "no_proxy");
    if (ret->from_environment && (url || none)) {
        return conf_fail(r, yaml_get(n, "proxy_from_environment"),
                         "proxy_from_environment together with %s; expected one of them",
                         url ? "proxy_url" : "no_proxy");
    }
    if (none && !url) {
        return conf_fail(r, yaml_get(n, "no_proxy"), "no_proxy without proxy_url; expected both");
    }
    if (ret->connect_header_count > 0 && !url && !ret->from_environment) {
        return conf_fail(r, yaml_get(n, "proxy_connect_header"),
                         "proxy_connect_header without proxy_url; expected both");
    }
    return 0;
}

/* Prometheus 2 sends an inline password without the white space around it. */
static const char *trimmed(struct conf_reader *r, const char *text)
{
    static const char blank[] = " \t\n\v\f\r";
    if (text == NULL || r->major >= PROMETHEUS_3) {
        return text;
    }
    text += strspn(text, blank);
    size_t len = strlen(text);
    while (len > 0 && strchr(blank, text[len - 1]) != NULL) {
        len--;
    }
    return arena_dup(r->arena, text, len);
}

static int read_basic_auth(struct conf_reader *r, const struct yaml_node *mapping,
                           struct http_client_conf *ret)
{
    static const char *const passwords[] = {"password", "password_file", "password_ref", NULL};
    static const char *const names[] = {"username", "username_file", "username_ref", NULL};
    const struct yaml_node *n = yaml_get(mapping, "basic_auth");
    if (yaml_is_null(n)) {
        return 0;
    }
    ret->has_basic_auth = true;
    ret->username = optional(n, "username");
    ret->username_file = optional_path(r, n, "username_file");
    ret->password = trimmed(r, optional(n, "password"));
    ret->password_file = optional_path(r, n, "password_file");
    size_t old = conf_push(r, VIEW("basic_auth"));
    int rc = at_most_one(r, n, passwords);
    if (rc == 0) {
        rc = at_most_one(r, n, names);
    }
    conf_pop(r, old);
    return rc;
}

static int read_authorization(struct conf_reader *r, const struct yaml_node *mapping,
                              struct http_client_conf *ret)
{
    static const char *const bearers[] = {"bearer_token", "bearer_token_file", NULL};
    static const char *const forms[] = {"credentials", "credentials_file", "credentials_ref", NULL};
    const struct yaml_node *n = yaml_get(mapping, "authorization");
    int bearer = count_set(mapping, bearers);
    if (at_most_one(r, mapping, bearers) != 0) {
        return ERR_INVALID;
    }
    if (bearer > 0) {
        ret->has_authorization = true;
        ret->auth_type = "Bearer";
        ret->credentials = optional(mapping, "bearer_token");
        ret->credentials_file = optional_path(r, mapping, "bearer_token_file");
    }
    if (yaml_is_null(n)) {
        return 0;
    }
    if (bearer > 0) {
        return conf_fail(
            r, n,
            "authorization together with bearer_token or bearer_token_file; expected one of them");
    }
    ret->has_authorization = true;
    ret->auth_type = is_set(n, "type") ? optional(n, "type") : "Bearer";
    ret->credentials = optional(n, "credentials");
    ret->credentials_file = optional_path(r, n, "credentials_file");
    size_t old = conf_push(r, VIEW("authorization"));
    int rc = at_most_one(r, n, forms);
    if (rc == 0 && strcasecmp(ret->auth_type, "basic") == 0) {
        rc = conf_fail(r, yaml_get(n, "type"),
                       "type \"%s\"; expected another one, or basic_auth instead", ret->auth_type);
    }
    conf_pop(r, old);
    return rc;
}

static int fill_oauth2(struct conf_reader *r, const struct yaml_node *n, struct oauth2_conf *o)
{
    static const char *const secrets[] = {"client_secret", "client_secret_file",
                                          "client_secret_ref", NULL};
    o->client_id = optional(n, "client_id");
    o->client_secret = optional(n, "client_secret");
    o->client_secret_file = optional_path(r, n, "client_secret_file");
    o->token_url = optional(n, "token_url");
    o->scopes = conf_strings(r->arena, n, "scopes", &o->scope_count);
    o->endpoint_params = conf_pairs(r->arena, n, "endpoint_params", &o->endpoint_param_count);
    for (size_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "client_id" : "token_url";
        if (!is_set(n, key)) {
            return conf_fail(r, n, "no %s; expected one", key);
        }
    }
    if (at_most_one(r, n, secrets) != 0) {
        return ERR_INVALID;
    }
    if (r->major < PROMETHEUS_2_53 && count_set(n, secrets) == 0) {
        return conf_fail(r, n, "no secret; expected client_secret or client_secret_file");
    }
    int rc = read_tls_in(r, n, &o->tls);
    return rc != 0 ? rc : read_proxy(r, n, &o->proxy);
}

static int read_oauth2(struct conf_reader *r, const struct yaml_node *mapping,
                       struct http_client_conf *ret)
{
    const struct yaml_node *n = yaml_get(mapping, "oauth2");
    if (yaml_is_null(n)) {
        return 0;
    }
    struct oauth2_conf *o = arena_alloc(r->arena, sizeof(*o));
    size_t old = conf_push(r, VIEW("oauth2"));
    int rc = fill_oauth2(r, n, o);
    conf_pop(r, old);
    ret->oauth2 = o;
    return rc;
}

static bool header_reserved(struct view name)
{
    static const char *const names[] = {
        "Authorization",
        "Host",
        "Content-Encoding",
        "Content-Length",
        "Content-Type",
        "User-Agent",
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Accept-Encoding",
        "X-Prometheus-Remote-Write-Version",
        "X-Prometheus-Remote-Read-Version",
        "X-Prometheus-Scrape-Timeout-Seconds",
        "X-Amz-Date",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == name.len && strncasecmp(names[i], name.base, name.len) == 0) {
            return true;
        }
    }
    return false;
}

static void fill_header(struct conf_reader *r, const struct yaml_node *n,
                        struct http_header_conf *h)
{
    size_t values, secrets;
    const char **plain = conf_strings(r->arena, n, "values", &values);
    const char **hidden = conf_strings(r->arena, n, "secrets", &secrets);
    h->value_count = values + secrets;
    h->values = arena_alloc(r->arena, (h->value_count + 1) * sizeof(*h->values));
    for (size_t i = 0; i < h->value_count; i++) {
        h->values[i] = i < values ? plain[i] : hidden[i - values];
    }
    h->files = conf_strings(r->arena, n, "files", &h->file_count);
    for (size_t i = 0; i < h->file_count; i++) {
        h->files[i] = conf_path_join(r->arena, r->base_dir, h->files[i]);
    }
}

static int read_headers(struct conf_reader *r, const struct yaml_node *mapping,
                        struct http_client_conf *ret)
{
    const struct yaml_node *n = yaml_get(mapping, "http_headers");
    size_t count = yaml_is_null(n) ? 0 : n->count;
    struct http_header_conf *list = arena_alloc(r->arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        if (header_reserved(n->pairs[i].key->value)) {
            return conf_fail(r, n->pairs[i].key,
                             "http_headers: \"%s\" is a reserved header; expected another name",
                             n->pairs[i].key->value.base);
        }
        list[i].name = n->pairs[i].key->value.base;
        fill_header(r, n->pairs[i].value, &list[i]);
    }
    ret->headers = list;
    ret->header_count = count;
    return 0;
}

static int check_one_authentication(struct conf_reader *r, const struct yaml_node *mapping,
                                    const struct http_client_conf *c)
{
    if (c->has_basic_auth + c->has_authorization + (c->oauth2 != NULL) > 1) {
        return conf_fail(
            r, mapping,
            "several kinds of authentication; expected at most one of basic_auth, authorization, "
            "oauth2, bearer_token and bearer_token_file");
    }
    return 0;
}

int conf_http_read(struct conf_reader *r, const struct yaml_node *mapping,
                   struct http_client_conf *ret)
{
    struct http_client_conf c = {0};
    int rc = read_basic_auth(r, mapping, &c);
    if (rc == 0) {
        rc = read_authorization(r, mapping, &c);
    }
    if (rc == 0) {
        rc = read_oauth2(r, mapping, &c);
    }
    if (rc == 0) {
        rc = check_one_authentication(r, mapping, &c);
    }
    if (rc == 0) {
        rc = read_tls_in(r, mapping, &c.tls);
    }
    if (rc == 0) {
        rc = read_proxy(r, mapping, &c.proxy);
    }
    if (rc == 0) {
        rc = read_headers(r, mapping, &c);
    }
    if (rc == 0) {
        c.follow_redirects = conf_bool(mapping, "follow_redirects", true);
        c.enable_http2 = conf_bool(mapping, "enable_http2", true);
        *ret = c;
    }
    return rc;
}

int promconf_http_client(struct arena *arena, const struct yaml_node *mapping, const char *file,
                         const char *base_dir, struct http_client_conf *ret, struct errctx *err)
{
    struct conf_reader r = {
        .arena = arena, .file = file, .base_dir = base_dir, .major = PROMETHEUS_3, .err = err};
    for (size_t i = 0; mapping != NULL && mapping->kind == YAML_MAPPING && i < mapping->count;
         i++) {
        const struct conf_key *key = conf_key_find(CONF_HTTP, mapping->pairs[i].key->value);
        int rc = key != NULL ? conf_walk_key(&r, &mapping->pairs[i], key) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return conf_http_read(&r, mapping, ret);
}
