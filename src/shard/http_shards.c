/* The answer of a shard service (docs/shard-http.md), read whole or not at all. What is taken over is interned, so
 * texts are bounded. */
#include "shard/http_shards.h"
#include "base/intern.h"
#include "model/wire.h"

#include <stdio.h>

#define TEXT_BYTES_MAX 2048 /* of an id, a URL, a name */

static int text_at(const json_t *o, const char *key, const char **ret, struct errctx *err)
{
    const json_t *value = json_object_get(o, key);
    *ret = "";
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value)) {
        return errctx_set(err, ERR_INVALID, "%s: expected a string", key);
    }
    if (json_string_length(value) > TEXT_BYTES_MAX) {
        return errctx_set(err, ERR_INVALID, "%s: longer than %d bytes", key, TEXT_BYTES_MAX);
    }
    *ret = json_string_value(value);
    return 0;
}

static int number_at(const json_t *o, const char *key, uint64_t max, uint64_t dflt, uint64_t *ret, struct errctx *err)
{
    const json_t *value = json_object_get(o, key);
    *ret = dflt;
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!wire_u64(value, ret) || *ret > max) {
        return errctx_set(err, ERR_INVALID, "%s: expected a number up to %llu", key, (unsigned long long)max);
    }
    return 0;
}

static int read_shard(const json_t *o, struct provider_list *list, struct errctx *err)
{
    const char *id, *url, *replica, *zone, *prometheus_url, *error;
    uint64_t group, capacity;
    struct provider_shard *shard;
    const json_t *ready = json_object_get(o, "ready");
    if (!json_is_object(o)) {
        return errctx_set(err, ERR_INVALID, "expected an object");
    }
    int rc = text_at(o, "id", &id, err);
    rc = rc != 0 ? rc : text_at(o, "url", &url, err);
    rc = rc != 0 ? rc : text_at(o, "replica", &replica, err);
    rc = rc != 0 ? rc : text_at(o, "zone", &zone, err);
    rc = rc != 0 ? rc : text_at(o, "prometheusUrl", &prometheus_url, err);
    rc = rc != 0 ? rc : text_at(o, "error", &error, err);
    rc = rc != 0 ? rc : number_at(o, "group", PROVIDER_SHARDS_MAX - 1, PROVIDER_GROUP_NONE, &group, err);
    rc = rc != 0 ? rc : number_at(o, "capacity", (uint64_t)1e12, 0, &capacity, err);
    if (rc == 0 && ready != NULL && !json_is_boolean(ready)) {
        rc = errctx_set(err, ERR_INVALID, "ready: expected true or false");
    }
    rc = rc != 0 ? rc
                 : provider_list_add(list, id, replica, (unsigned)group, url,
                                     prometheus_url[0] != '\0' ? prometheus_url : NULL, &shard, err);
    if (rc != 0) {
        return rc;
    }
    shard->zone = intern(zone);
    shard->capacity_series = capacity;
    shard->health = json_is_false(ready) ? SHARD_HEALTH_STARTING : SHARD_HEALTH_READY;
    snprintf(shard->error, sizeof(shard->error), "%s", json_is_false(ready) ? error : "");
    return 0;
}

int http_shards_read(struct view body, const struct provider_list *before, struct provider_list *ret,
                     unsigned *ret_desired, struct errctx *err)
{
    struct provider_list list = {0};
    uint64_t wanted = 0;
    json_t *root = wire_parse(body, HTTP_SHARDS_BYTES_MAX, err);
    const json_t *shards = json_object_get(root, "shards");
    int rc = root == NULL ? ERR_PARSE : 0;
    if (rc == 0 && !json_is_array(shards)) {
        rc = errctx_set(err, ERR_INVALID, "no list of shards");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(shards); i++) {
        rc = read_shard(json_array_get(shards, i), &list, err);
        if (rc != 0) {
            errctx_prefix(err, rc, "shards[%zu]", i);
        }
    }
    rc = rc != 0 ? rc : provider_list_finish(&list, before, err);
    rc = rc != 0 ? rc : number_at(root, "wanted", PROVIDER_SHARDS_MAX, provider_list_groups(&list), &wanted, err);
    json_decref(root);
    if (rc != 0) {
        provider_list_done(&list);
        return rc;
    }
    *ret = list;
    *ret_desired = (unsigned)wanted;
    return 0;
}
