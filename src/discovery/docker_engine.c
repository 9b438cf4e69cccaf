/* The Engine API: see docker_engine.h.
 *
 * A refresh is a row of calls, one after the other: /_ping, whose header names the newest API version the engine
 * speaks, then the lists under the version chosen. Any call that fails ends the refresh and keeps the last good group;
 * the version is asked for anew each time, since engines are upgraded. HTTP client settings count for http:// and
 * https:// hosts only, as in Prometheus. */
#include "discovery/docker_engine.h"
#include "base/mem.h"
#include "configgen/promconf_values.h"
#include "discovery/poll.h"

#include <stdio.h>

#define REFRESH_DEFAULT_MS (60 * 1000)
#define VERSION_MINOR_MAX  47 /* 1.47: the newest whose answers are known to have these fields */
#define VERSION_OLDEST     24 /* engines that name none */
#define PATH_BYTES_MAX     ((size_t)16 << 20)

struct docker_engine {
    struct docker_engine_conf conf;
    struct sd_api *api;
    struct poll *poll;
    struct http_call *call; /* under way */
    char *filters;          /* "filters=..." or "" */
    int64_t refresh_ms;
    char version[16];
    size_t next; /* list to be asked for */
    json_t *answers[DOCKER_LISTS_MAX];
};

/* --- configuration */

struct docker_host {
    char *base_url, *unix_socket; /* owned; unix_socket NULL when none */
    bool has_http;
};

/* unix:///path, tcp://host:port[/path], http[s]://host:port[/path] */
static bool host_read(const char *host, struct docker_host *ret)
{
    static const char *const SCHEMES[] = {"unix://", "tcp://", "http://", "https://"};
    size_t at = 0;
    while (at < 4 && strncmp(host, SCHEMES[at], strlen(SCHEMES[at])) != 0) {
        at++;
    }
    if (at == 4 || host[strlen(SCHEMES[at])] == '\0') {
        return false;
    }
    const char *rest = host + strlen(SCHEMES[at]);
    int len = (int)strlen(rest);
    while (len > 0 && rest[len - 1] == '/') {
        len--;
    }
    *ret = (struct docker_host){.has_http = at >= 2};
    ret->unix_socket = at == 0 ? mem_strdup(rest) : NULL;
    ret->base_url = at == 0   ? mem_strdup("http://docker")
                    : at == 1 ? mem_printf("http://%.*s", len, rest)
                              : mem_printf("%s%.*s", SCHEMES[at], len, rest);
    return true;
}

static void host_done(struct docker_host *h)
{
    free(h->base_url);
    free(h->unix_socket);
}

int docker_engine_check(const char *key, const char *file, const char *base_dir, enum prometheus_major major,
                        const struct yaml_node *item, struct errctx *err)
{
    struct docker_host host;
    int rc = promconf_sd_check(key, file, base_dir, major, item, err);
    if (rc == 0 && !host_read(conf_string(item, "host", ""), &host)) {
        const struct yaml_node *n = yaml_get(item, "host");
        return errctx_set(
            err, ERR_INVALID,
            "%s:%d:%d: %s.host: \"%.100s\" is no address of an engine; expected unix:///path, tcp://host:port, "
            "http://host:port or https://host:port",
            file, n->line, n->column, key, n->value.base);
    }
    if (rc == 0) {
        host_done(&host);
    }
    return rc;
}

char *docker_filters_text(const struct yaml_node *filters)
{
    json_t *root = json_object();
    struct bytes text;
    size_t len;
    for (size_t i = 0; !yaml_is_null(filters) && i < filters->count; i++) {
        const char *name = conf_string(filters->items[i], "name", "");
        const struct yaml_node *values = yaml_get(filters->items[i], "values");
        for (size_t k = 0; !yaml_is_null(values) && k < values->count; k++) {
            json_t *set = json_object_get(root, name);
            if (set == NULL) {
                set = json_object();
                json_object_set_new(root, name, set);
            }
            json_object_set_new(set, values->items[k]->value.base, json_true());
        }
    }
    bytes_init(&text, PATH_BYTES_MAX);
    char *json = json_object_size(root) != 0 ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (json != NULL) {
        bytes_append_str(&text, "filters=");
        sd_escape(&text, view_of(json));
    }
    free(json);
    json_decref(root);
    return bytes_take(&text, &len);
}

const char *docker_version_choose(struct view header, char buf[16])
{
    unsigned minor = 0;
    bool ok = view_has_prefix(header, VIEW("1.")) && header.len > 2 && header.len < 6;
    for (size_t i = 2; ok && i < header.len; i++) {
        ok = header.base[i] >= '0' && header.base[i] <= '9';
        minor = minor * 10 + (unsigned)(header.base[i] - '0');
    }
    minor = !ok ? VERSION_OLDEST : minor > VERSION_MINOR_MAX ? VERSION_MINOR_MAX : minor;
    snprintf(buf, 16, "1.%u", minor);
    return buf;
}

/* --- what the readers share */

json_t *docker_index(const json_t *list, const char *member)
{
    json_t *index = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i), *id = json_object_get(item, member);
        if (json_is_string(id)) {
            json_object_set(index, json_string_value(id), item);
        }
    }
    return index;
}

void docker_put_network(struct sd_group *g, const char *prefix, const json_t *networks, struct view id)
{
    static const struct {
        const char *label, *key;
    } FIELDS[] = {{"id", "Id"}, {"name", "Name"}, {"scope", "Scope"}, {"internal", "Internal"}, {"ingress", "Ingress"}};
    const json_t *network = id.len != 0 ? json_object_getn(networks, id.base, id.len) : NULL, *labels;
    bool flag;
    if (network == NULL) {
        return;
    }
    for (size_t i = 0; i < 5; i++) {
        const char *name = arena_printf(g->arena, "%s%s", prefix, FIELDS[i].label);
        if (i < 3) {
            sd_group_put_text(g, name, network, FIELDS[i].key);
        } else if (sd_json_bool(network, FIELDS[i].key, &flag)) {
            sd_group_put_bool(g, name, flag);
        } else {
            sd_group_bad(g);
        }
    }
    if (!sd_json_object(network, "Labels", &labels)) {
        sd_group_bad(g);
    }
    sd_group_put_map(g, arena_printf(g->arena, "%slabel_", prefix), labels);
}

/* --- the refresh */

static void drop_answers(struct docker_engine *e)
{
    for (size_t i = 0; i < DOCKER_LISTS_MAX; i++) {
        json_decref(e->answers[i]);
        e->answers[i] = NULL;
    }
}

static void finish(struct docker_engine *e)
{
    struct sd_group g;
    sd_group_init(&g);
    e->conf.build(e->conf.data, e->answers, &g);
    struct target_group *group = sd_group_finish(&g, e->conf.source, NULL);
    drop_answers(e);
    poll_skipped(e->poll, g.skipped);
    sd_group_done(&g);
    poll_end(e->poll, &group, 1);
    target_group_unref(group);
}

static void fail(struct docker_engine *e, const struct errctx *err)
{
    drop_answers(e);
    poll_fail(e->poll, err);
}

static void on_list(void *data, const struct http_answer *answer);

static void ask_next(struct docker_engine *e)
{
    if (e->next == e->conf.list_count) {
        finish(e);
        return;
    }
    const struct docker_list *list = &e->conf.lists[e->next];
    size_t len = strcspn(list->path, "?");
    const char *query = list->path[len] == '?' ? list->path + len + 1 : "";
    const char *filters = list->has_filters ? e->filters : "";
    bool has_both = query[0] != '\0' && filters[0] != '\0', has_any = query[0] != '\0' || filters[0] != '\0';
    char *path = mem_printf("/v%s%.*s%s%s%s%s", e->version, (int)len, list->path, has_any ? "?" : "", filters,
                            has_both ? "&" : "", query);
    e->call = sd_api_get(e->api, path, e->refresh_ms, on_list, e);
    free(path);
}

static void on_list(void *data, const struct http_answer *answer)
{
    struct docker_engine *e = data;
    struct errctx err = ERRCTX_INIT;
    json_t *root = NULL;
    e->call = NULL;
    int rc = sd_api_json(e->api, answer, &root, &err);
    if (rc == 0 && !json_is_array(root) && !json_is_null(root)) {
        json_decref(root);
        rc = errctx_set(&err, ERR_INVALID, "expected a list");
    }
    if (rc != 0) {
        errctx_prefix(&err, rc, "%.*s", (int)strcspn(e->conf.lists[e->next].path, "?"), e->conf.lists[e->next].path);
        fail(e, &err);
        return;
    }
    e->answers[e->next++] = root;
    ask_next(e);
}

static void on_ping(void *data, const struct http_answer *answer)
{
    struct docker_engine *e = data;
    struct errctx err = ERRCTX_INIT;
    e->call = NULL;
    if (sd_api_check(e->api, answer, &err) != 0) {
        fail(e, &err);
        return;
    }
    docker_version_choose(answer->header, e->version);
    e->next = 0;
    ask_next(e);
}

static void refresh(void *data)
{
    struct docker_engine *e = data;
    e->call = sd_api_get(e->api, "/_ping", e->refresh_ms, on_ping, e);
}

/* --- life */

static int open_api(struct docker_engine *e, const struct discovery_env *env, const char *file,
                    const struct yaml_node *item, struct errctx *err)
{
    struct docker_host host = {0};
    struct arena *arena = arena_new();
    struct http_client_conf http;
    int rc = sd_api_read_http(arena, env, file, item, &http, err);
    if (rc == 0 && host_read(conf_string(item, "host", ""), &host)) {
        const struct sd_api_conf api = {
            .base_url = host.base_url, .unix_socket = host.unix_socket, .want_header = "Api-Version"};
        e->api = sd_api_new(env, host.has_http ? &http : NULL, &api);
        host_done(&host);
    }
    arena_free(&arena);
    return rc;
}

int docker_engine_new(const struct discovery_env *env, const char *file, const struct yaml_node *item,
                      const struct discovery_sink *sink, const struct docker_engine_conf *conf,
                      struct docker_engine **ret, struct errctx *err)
{
    int rc = docker_engine_check(conf->key, file, env->base_dir, env->major, item, err);
    if (rc != 0) {
        return rc;
    }
    struct docker_engine *e = mem_calloc(1, sizeof(*e));
    e->conf = *conf;
    e->refresh_ms = conf_duration(item, "refresh_interval");
    e->refresh_ms = e->refresh_ms != 0 ? e->refresh_ms : REFRESH_DEFAULT_MS;
    e->filters = docker_filters_text(yaml_get(item, "filters"));
    rc = open_api(e, env, file, item, err);
    if (rc != 0) {
        docker_engine_free(&e);
        return rc;
    }
    const struct poll_conf poll = {.mechanism = conf->key,
                                   .object = conf_string(item, "host", ""),
                                   .interval_ms = e->refresh_ms,
                                   .refresh = refresh,
                                   .data = e};
    e->poll = poll_new(env, sink, &poll);
    *ret = e;
    return 0;
}

void docker_engine_free(struct docker_engine **e)
{
    if (*e == NULL) {
        return;
    }
    if ((*e)->call != NULL) {
        http_call_cancel((*e)->call);
    }
    drop_answers(*e);
    poll_free(&(*e)->poll);
    sd_api_free(&(*e)->api);
    free((*e)->filters);
    MEM_FREE(*e);
}
