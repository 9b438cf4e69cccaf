/* What an entry of consul_sd_configs asks for: see consul_conf.h.
 *
 * Everything of the file is percent-encoded on its way into a request target. A request that carries the token follows
 * no redirect: libcurl would send that header to wherever it leads. */
#include "discovery/consul_conf.h"
#include "base/files.h"
#include "base/mem.h"
#include "configgen/promconf_values.h"
#include "discovery/sd_api.h"

#include <stdlib.h>

#define REFRESH_DEFAULT_MS (30 * 1000)
#define PATH_BYTES_MAX     ((size_t)16 << 20)
#define TOKEN_BYTES_MAX    ((size_t)64 << 10)

static int read_token(const struct yaml_node *item, struct consul_conf *c, struct errctx *err)
{
    const char *token = conf_string(item, "token", ""), *path = getenv("CONSUL_HTTP_TOKEN_FILE");
    struct bytes text;
    int rc = 0;
    bytes_init(&text, TOKEN_BYTES_MAX);
    if (token[0] == '\0' && path != NULL && path[0] != '\0') {
        rc = files_read(path, &text, err);
        token = text.base != NULL ? text.base : "";
    } else if (token[0] == '\0') {
        token = getenv("CONSUL_HTTP_TOKEN");
        token = token != NULL ? token : "";
    }
    int len = (int)strcspn(token, "\r\n");
    if (rc == 0 && len != 0) {
        c->headers[0] = arena_printf(c->arena, "X-Consul-Token: %.*s", len, token);
        c->http.follow_redirects = false;
    }
    bytes_done(&text);
    return rc;
}

/* server: host:port, http://host:port, https://host:port or unix:///path. */
static void read_server(const struct yaml_node *item, struct consul_conf *c)
{
    const char *server = conf_string(item, "server", "localhost:8500"), *mark = strstr(server, "://");
    const char *scheme = conf_string(item, "scheme", "http");
    struct view prefix = view_of(conf_string(item, "path_prefix", ""));
    if (view_has_prefix(view_of(server), VIEW("unix://"))) {
        c->unix_socket = arena_strdup(c->arena, server + 7);
        scheme = "http";
        server = "localhost";
    } else if (mark != NULL) {
        scheme = server[4] == 's' ? "https" : scheme;
        server = mark + 3;
    }
    while (prefix.len != 0 && prefix.base[0] == '/') {
        prefix = view_make(prefix.base + 1, prefix.len - 1);
    }
    while (prefix.len != 0 && prefix.base[prefix.len - 1] == '/') {
        prefix.len--;
    }
    c->base_url = arena_printf(c->arena, "%s://%.*s%s%.*s", scheme, (int)strcspn(server, "/"), server,
                               prefix.len != 0 ? "/" : "", VIEW_FMT(prefix));
}

static void read_selection(const struct yaml_node *item, struct consul_conf *c)
{
    const char *datacenter = conf_string(item, "datacenter", "");
    c->names_datacenter = datacenter[0] != '\0';
    c->datacenter = c->names_datacenter ? arena_strdup(c->arena, datacenter) : NULL;
    c->namespace_name = arena_strdup(c->arena, conf_string(item, "namespace", ""));
    c->partition = arena_strdup(c->arena, conf_string(item, "partition", ""));
    c->filter = arena_strdup(c->arena, conf_string(item, "filter", ""));
    c->health_filter = arena_strdup(c->arena, conf_string(item, "health_filter", ""));
    c->tag_separator = arena_strdup(c->arena, conf_string(item, "tag_separator", ","));
    c->wanted.names = conf_strings(c->arena, item, "services", &c->wanted.name_count);
    c->wanted.tags = conf_strings(c->arena, item, "tags", &c->wanted.tag_count);
    for (size_t i = 0; i < c->wanted.name_count; i++) {
        c->wanted.names[i] = arena_strdup(c->arena, c->wanted.names[i]);
    }
    for (size_t i = 0; i < c->wanted.tag_count; i++) {
        c->wanted.tags[i] = arena_strdup(c->arena, c->wanted.tags[i]);
    }
    c->node_meta = conf_pairs(c->arena, item, "node_meta", &c->node_meta_count);
    struct label *meta = arena_alloc(c->arena, (c->node_meta_count + 1) * sizeof(*meta));
    for (size_t i = 0; i < c->node_meta_count; i++) {
        meta[i] =
            (struct label){arena_view(c->arena, c->node_meta[i].name), arena_view(c->arena, c->node_meta[i].value)};
    }
    c->node_meta = meta;
    c->allow_stale = conf_bool(item, "allow_stale", true);
}

static int check_server(const char *file, const struct yaml_node *item, struct errctx *err)
{
    const struct yaml_node *n = yaml_get(item, "server");
    static const char *const SCHEMES[] = {"http://", "https://", "unix://"};
    if (n == NULL || strstr(n->value.base, "://") == NULL) {
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (view_has_prefix(n->value, view_of(SCHEMES[i]))) {
            return 0;
        }
    }
    return errctx_set(err, ERR_INVALID,
                      "%s:%d:%d: " CONSUL_KEY
                      ".server: unknown protocol in \"%.100s\"; expected host:port, http://, https:// "
                      "or unix://",
                      file, n->line, n->column, n->value.base);
}

int consul_conf_read(const struct discovery_env *env, const char *file, const struct yaml_node *item,
                     struct consul_conf *ret, struct errctx *err)
{
    int rc = promconf_sd_check(CONSUL_KEY, file, env->base_dir, env->major, item, err);
    rc = rc == 0 ? check_server(file, item, err) : rc;
    if (rc != 0) {
        return rc;
    }
    struct consul_conf c = {.arena = arena_new()};
    rc = sd_api_read_http(c.arena, env, file, item, &c.http, err);
    if (rc == 0) {
        const char *user = conf_string(item, "username", ""), *password = conf_string(item, "password", "");
        if (user[0] != '\0' || password[0] != '\0') {
            c.http.has_basic_auth = true;
            c.http.username = arena_strdup(c.arena, user);
            c.http.password = arena_strdup(c.arena, password);
        }
        rc = read_token(item, &c, err);
    }
    if (rc != 0) {
        arena_free(&c.arena);
        return rc;
    }
    read_server(item, &c);
    read_selection(item, &c);
    c.refresh_ms = conf_duration(item, "refresh_interval");
    c.refresh_ms = c.refresh_ms != 0 ? c.refresh_ms : REFRESH_DEFAULT_MS;
    *ret = c;
    return 0;
}

void consul_conf_done(struct consul_conf *c)
{
    arena_free(&c->arena);
}

bool consul_needs_catalog(const struct consul_conf *c)
{
    return c->wanted.name_count == 0 || c->wanted.tag_count != 0;
}

static void put_param(struct bytes *b, const char *name, const char *value)
{
    if (value[0] != '\0') {
        bytes_printf(b, "&%s=", name);
        sd_escape(b, view_of(value));
    }
}

static void begin_path(const struct consul_conf *c, struct bytes *b, const char *path, const char *service,
                       uint64_t index, int wait_ms)
{
    bytes_init(b, PATH_BYTES_MAX);
    bytes_append_str(b, path);
    sd_escape(b, view_of(service));
    bytes_printf(b, "?wait=%dms", wait_ms);
    if (index != 0) {
        bytes_append_str(b, "&index=");
        bytes_append_u64(b, index);
    }
    bytes_append_str(b, c->allow_stale ? "&stale=" : "");
    put_param(b, "dc", c->names_datacenter ? c->datacenter : "");
    put_param(b, "ns", c->namespace_name);
    put_param(b, "partition", c->partition);
    for (size_t i = 0; i < c->node_meta_count; i++) {
        bytes_append_str(b, "&node-meta=");
        sd_escape(b, c->node_meta[i].name);
        bytes_append_str(b, "%3A");
        sd_escape(b, c->node_meta[i].value);
    }
}

char *consul_catalog_path(const struct consul_conf *c, uint64_t index, int wait_ms)
{
    struct bytes b;
    size_t len;
    begin_path(c, &b, "/v1/catalog/services", "", index, wait_ms);
    put_param(&b, "filter", c->filter);
    return bytes_take(&b, &len);
}

char *consul_health_path(const struct consul_conf *c, const char *service, uint64_t index, int wait_ms)
{
    struct bytes b;
    size_t len;
    begin_path(c, &b, "/v1/health/service/", service, index, wait_ms);
    put_param(&b, "filter", c->health_filter);
    for (size_t i = 0; i < c->wanted.tag_count; i++) {
        put_param(&b, "tag", c->wanted.tags[i]);
    }
    return bytes_take(&b, &len);
}
