/* A discovery API over HTTP: base URL or unix socket, the client settings of the list item, common headers. Answers are
 * whole, capped, and only status 200 counts. */
#ifndef KVASS_DISCOVERY_SD_API_H
#define KVASS_DISCOVERY_SD_API_H

#include "discovery/mechanism.h"

#include <jansson.h>

#define SD_API_ANSWER_BYTES_MAX ((size_t)64 << 20)

struct sd_api;

struct sd_api_conf {
    const char *base_url;       /* "http://host:8500"; paths are appended as they are. Copied, as all of it */
    const char *unix_socket;    /* NULL = none */
    const char *const *headers; /* "Name: value", NULL-ended; NULL = none */
    const char *want_header;    /* static; in the answers' `header` */
};

/* http NULL: plain calls without redirects. */
struct sd_api *sd_api_new(const struct discovery_env *env, const struct http_client_conf *http,
                          const struct sd_api_conf *conf);
void sd_api_free(struct sd_api **a); /* no call may be under way */

/* Reads the HTTP settings of the item; they live as long as the arena. */
int sd_api_read_http(struct arena *arena, const struct discovery_env *env, const char *file,
                     const struct yaml_node *item, struct http_client_conf *ret, struct errctx *err) MUST_CHECK;

/* GET base URL + path. */
struct http_call *sd_api_get(struct sd_api *a, const char *path, int64_t timeout_ms, http_done_fn *on_done, void *data);

/* Percent-encodes everything that has a meaning in a path or a query. */
void sd_escape(struct bytes *b, struct view v);

/* 0 for an answer of status 200; the message names what was asked. */
int sd_api_check(const struct sd_api *a, const struct http_answer *answer, struct errctx *err) MUST_CHECK;
/* Also that it is JSON: all numbers come as reals, so that large integers of fields nobody reads do no harm; bytes that
 * are no UTF-8 become U+FFFD. Caller json_decref's *ret. */
int sd_api_json(const struct sd_api *a, const struct http_answer *answer, json_t **ret, struct errctx *err) MUST_CHECK;

/* JSON of others as Go takes it (UTF-8 repaired, U+0000 allowed); flags as of jansson. ERR_PARSE: "name:line:column:
 * ...". */
int sd_json_load(const char *name, struct view text, size_t flags, json_t **ret, struct errctx *err) MUST_CHECK;

/* A member that may be absent or null (then empty, 0, false); false when it has another type. */
bool sd_json_text(const json_t *object, const char *key, struct view *ret);
bool sd_json_uint(const json_t *object, const char *key, uint64_t max, uint64_t *ret);
bool sd_json_bool(const json_t *object, const char *key, bool *ret);
/* Of a list or an object: NULL when absent or null. */
bool sd_json_list(const json_t *object, const char *key, const json_t **ret);
bool sd_json_object(const json_t *object, const char *key, const json_t **ret);

#endif
