/* Calls of mechanisms that speak HTTP: see sd_api.h.
 *
 * One place decides what every such call has in common: the list item's own TLS, credentials and proxy, the cap of an
 * answer, whether connections are kept, and how foreign JSON is read. Reading is forgiving where Go is (absent and null
 * are the zero value) and strict about types, entry by entry, so that the mechanisms can leave out the one bad entry.
 * Must never follow another host with the credentials (the profile sees to that) or log an URL's query. */
#include "discovery/sd_api.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/vec.h"

#include <stdlib.h>

#define TIMEOUT_MS_MAX (24 * 3600 * 1000)

struct sd_api {
    struct http_client *http;
    struct http_profile *profile; /* NULL: plain */
    struct arena *arena;
    const char *base_url, *unix_socket, *want_header, *proxy_fallback;
    VEC(const char *) headers; /* NULL-ended */
    bool disable_keep_alive;
};

static const char *copy(struct arena *arena, const char *s)
{
    return s != NULL && s[0] != '\0' ? arena_strdup(arena, s) : NULL;
}

struct sd_api *sd_api_new(const struct discovery_env *env, const struct http_client_conf *http,
                          const struct sd_api_conf *conf)
{
    struct sd_api *a = mem_calloc(1, sizeof(*a));
    a->http = env->http;
    a->profile = http != NULL ? http_profile_new(http) : NULL;
    a->arena = arena_new();
    a->base_url = arena_strdup(a->arena, conf->base_url);
    a->unix_socket = copy(a->arena, conf->unix_socket);
    a->want_header = conf->want_header;
    a->proxy_fallback = copy(a->arena, conf->proxy_fallback);
    a->disable_keep_alive = env->calls.disable_keep_alive;
    for (const char *const *h = conf->headers; h != NULL && *h != NULL; h++) {
        *vec_push(&a->headers) = arena_strdup(a->arena, *h);
    }
    *vec_push(&a->headers) = NULL;
    return a;
}

void sd_api_free(struct sd_api **a)
{
    if (*a == NULL) {
        return;
    }
    http_profile_free(&(*a)->profile);
    arena_free(&(*a)->arena);
    vec_done(&(*a)->headers);
    MEM_FREE(*a);
}

int sd_api_read_http(struct arena *arena, const struct discovery_env *env, const char *file,
                     const struct yaml_node *item, struct http_client_conf *ret, struct errctx *err)
{
    return promconf_http_client(arena, item, file, env->base_dir, ret, err);
}

struct http_call *sd_api_get(struct sd_api *a, const char *path, int64_t timeout_ms, http_done_fn *on_done, void *data)
{
    char *url = mem_printf("%s%s", a->base_url, path);
    const struct http_request req = {
        .url = url,
        .headers = a->headers.items,
        .timeout_ms = timeout_ms < TIMEOUT_MS_MAX ? timeout_ms : TIMEOUT_MS_MAX,
        .answer_bytes_max = SD_API_ANSWER_BYTES_MAX,
        .profile = a->profile,
        .unix_socket = a->unix_socket,
        .proxy_fallback = a->proxy_fallback,
        .want_header = a->want_header,
        .no_keep_alive = a->disable_keep_alive,
    };
    struct http_call *call = http_client_send(a->http, &req, on_done, data);
    free(url);
    return call;
}

void sd_escape(struct bytes *b, struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        char c = v.base[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        (c != '\0' && strchr("-_.~", c) != NULL);
        if (is_plain) {
            bytes_append_char(b, c);
        } else {
            bytes_printf(b, "%%%02X", (unsigned char)c);
        }
    }
}

/* The URL without user, password and query. */
static int prefix_url(const struct sd_api *a, int code, struct errctx *err)
{
    const char *url = a->base_url, *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    size_t host_len = strcspn(host, "/?#"), skip = 0;
    for (size_t i = 0; i < host_len; i++) {
        skip = host[i] == '@' ? i + 1 : skip;
    }
    size_t len = strcspn(host + skip, "?#");
    return errctx_prefix(err, code, "%.*s%.*s", (int)(host - url), url, (int)len, host + skip);
}

int sd_api_check(const struct sd_api *a, const struct http_answer *answer, struct errctx *err)
{
    if (answer->err.code != 0) {
        return errctx_set(err, answer->err.code, "%s", answer->err.msg);
    }
    if (answer->status != 200) {
        struct view text = answer->body;
        text.len = text.len < 200 ? text.len : 200;
        while (text.len != 0 && (text.base[text.len - 1] == '\n' || text.base[text.len - 1] == '\r')) {
            text.len--;
        }
        int rc = errctx_set(err, ERR_UNAVAILABLE, "the server answered with HTTP status %d%s%.*s", answer->status,
                            text.len != 0 ? ": " : "", VIEW_FMT(text));
        return prefix_url(a, rc, err);
    }
    return 0;
}

int sd_api_json(const struct sd_api *a, const struct http_answer *answer, json_t **ret, struct errctx *err)
{
    int rc = sd_api_check(a, answer, err);
    if (rc != 0) {
        return rc;
    }
    rc = sd_json_load("the answer", answer->body, JSON_DECODE_INT_AS_REAL, ret, err);
    return rc != 0 ? prefix_url(a, rc, err) : 0;
}

/* Caller frees *ret_copy, NULL when text is fine as it is. */
static struct view repair_utf8(struct view text, char **ret_copy)
{
    *ret_copy = NULL;
    if (utf8_is_valid(text)) {
        return text;
    }
    struct bytes out;
    bytes_init(&out, text.len * 3);
    for (size_t at = 0; at < text.len;) {
        size_t step = utf8_sequence_len(text.base + at, text.len - at);
        bytes_append(&out, step != 0 ? text.base + at : "\xef\xbf\xbd", step != 0 ? step : 3);
        at += step != 0 ? step : 1;
    }
    size_t len;
    *ret_copy = bytes_take(&out, &len);
    return view_make(*ret_copy, len);
}

int sd_json_load(const char *name, struct view text, size_t flags, json_t **ret, struct errctx *err)
{
    char *copy_of_text;
    json_error_t error;
    struct view clean = repair_utf8(text, &copy_of_text);
    json_t *root =
        json_loadb(clean.base != NULL ? clean.base : "", clean.len, JSON_ALLOW_NUL | JSON_DECODE_ANY | flags, &error);
    free(copy_of_text);
    if (root == NULL) {
        return errctx_set(err, ERR_PARSE, "%s:%d:%d: %s", name, error.line, error.column, error.text);
    }
    *ret = root;
    return 0;
}

bool sd_json_text(const json_t *object, const char *key, struct view *ret)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v)) {
        *ret = VIEW("");
        return v == NULL || json_is_null(v);
    }
    *ret = view_make(json_string_value(v), json_string_length(v));
    return true;
}

bool sd_json_uint(const json_t *object, const char *key, uint64_t max, uint64_t *ret)
{
    const json_t *v = json_object_get(object, key);
    double n = json_number_value(v);
    *ret = 0;
    if (!json_is_number(v)) {
        return v == NULL || json_is_null(v);
    }
    if (!(n >= 0 && n <= (double)max) || (double)(uint64_t)n < n) {
        return false;
    }
    *ret = (uint64_t)n;
    return true;
}

bool sd_json_bool(const json_t *object, const char *key, bool *ret)
{
    const json_t *v = json_object_get(object, key);
    *ret = json_is_true(v);
    return v == NULL || json_is_null(v) || json_is_boolean(v);
}

bool sd_json_list(const json_t *object, const char *key, const json_t **ret)
{
    const json_t *v = json_object_get(object, key);
    *ret = json_is_array(v) ? v : NULL;
    return v == NULL || json_is_null(v) || json_is_array(v);
}

bool sd_json_object(const json_t *object, const char *key, const json_t **ret)
{
    const json_t *v = json_object_get(object, key);
    *ret = json_is_object(v) ? v : NULL;
    return v == NULL || json_is_null(v) || json_is_object(v);
}
