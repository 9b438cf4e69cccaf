/* Lists of shards: see provider_list.h. A group number is what targets are assigned to, so it must not change because
 * somebody else's line was removed: with one replica it follows the id. Mirrored replicas are paired by position, there
 * the position is the meaning. */
#include "shard/provider_list.h"
#include "base/intern.h"

#include <stdio.h>

static const char *intern_url(const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    char *trimmed = mem_dup(url, len);
    const char *result = intern(trimmed);
    free(trimmed);
    return result;
}

static bool is_http_url(const char *url)
{
    return (strncmp(url, "http://", 7) == 0 && url[7] != '\0' && url[7] != '/') ||
           (strncmp(url, "https://", 8) == 0 && url[8] != '\0' && url[8] != '/');
}

int provider_list_add(struct provider_list *l, const char *id, const char *replica, unsigned group, const char *api_url,
                      const char *prometheus_url, struct provider_shard **ret, struct errctx *err)
{
    if (l->items.len == PROVIDER_SHARDS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d shards", PROVIDER_SHARDS_MAX);
    }
    if (id[0] == '\0' || strlen(id) > 253) {
        return errctx_set(err, ERR_INVALID, "a shard without a usable id; expected up to 253 characters");
    }
    if (!is_http_url(api_url) || (prometheus_url != NULL && !is_http_url(prometheus_url))) {
        return errctx_set(err, ERR_INVALID, "shard '%s': '%.100s' is no URL; expected http:// or https:// and a host",
                          id, is_http_url(api_url) ? prometheus_url : api_url);
    }
    const struct provider_shard fresh = {
        .id = intern(id),
        .replica = intern(replica),
        .group = group,
        .api_url = intern_url(api_url),
        .prometheus_url = intern_url(prometheus_url != NULL ? prometheus_url : api_url),
        .health = SHARD_HEALTH_READY,
        .zone = "",
    };
    vec_foreach(x, &l->items) {
        if (x->id == fresh.id && x->replica == fresh.replica) {
            return errctx_set(err, ERR_INVALID, "shard '%s' is listed twice; expected each id once", id);
        }
        if (x->api_url == fresh.api_url) {
            return errctx_set(err, ERR_INVALID, "shards '%s' and '%s' have one URL; expected one shard behind each",
                              x->id, id);
        }
    }
    *ret = vec_push(&l->items);
    **ret = fresh;
    return 0;
}

/* ---------------------------------------------------------------- groups */

static bool has_one_replica(const struct provider_list *l)
{
    vec_foreach(x, &l->items) {
        if (x->replica != l->items.items[0].replica) {
            return false;
        }
    }
    return true;
}

static bool is_taken(const struct provider_list *l, unsigned group)
{
    vec_foreach(x, &l->items) {
        if (x->group == group) {
            return true;
        }
    }
    return false;
}

static void keep_groups(struct provider_list *l, const struct provider_list *before)
{
    vec_foreach(x, &l->items) {
        for (size_t i = 0; x->group == PROVIDER_GROUP_NONE && i < before->items.len; i++) {
            const struct provider_shard *old = &before->items.items[i];
            if (old->id == x->id && old->group < PROVIDER_SHARDS_MAX && !is_taken(l, old->group)) {
                x->group = old->group;
            }
        }
    }
}

static void number_one_replica(struct provider_list *l)
{
    unsigned lowest = 0;
    for (size_t i = 0; i < l->items.len; i++) {
        if (l->items.items[i].group != PROVIDER_GROUP_NONE) {
            continue;
        }
        if (!is_taken(l, (unsigned)i)) {
            l->items.items[i].group = (unsigned)i;
            continue;
        }
        while (is_taken(l, lowest)) {
            lowest++;
        }
        l->items.items[i].group = lowest;
    }
}

static void number_by_position(struct provider_list *l)
{
    for (size_t i = 0; i < l->items.len; i++) {
        unsigned position = 0;
        for (size_t k = 0; k < i; k++) {
            position += l->items.items[k].replica == l->items.items[i].replica;
        }
        if (l->items.items[i].group == PROVIDER_GROUP_NONE) {
            l->items.items[i].group = position;
        }
    }
}

static bool make_ids_unique(struct provider_list *l)
{
    bool is_any_shared = false;
    for (size_t i = 0; i < l->items.len; i++) {
        const char *id = l->items.items[i].id;
        bool is_shared = false;
        for (size_t k = i + 1; k < l->items.len; k++) {
            if (l->items.items[k].id == id) {
                char *name = mem_printf("%s/%s", l->items.items[k].replica, id);
                l->items.items[k].id = intern(name);
                free(name);
                is_shared = is_any_shared = true;
            }
        }
        if (is_shared) {
            char *name = mem_printf("%s/%s", l->items.items[i].replica, id);
            l->items.items[i].id = intern(name);
            free(name);
        }
    }
    return is_any_shared;
}

/* A replica's name in front may make an id that somebody else has. */
static const char *doubled_id(const struct provider_list *l)
{
    for (size_t i = 0; i < l->items.len; i++) {
        for (size_t k = i + 1; k < l->items.len; k++) {
            if (l->items.items[k].id == l->items.items[i].id) {
                return l->items.items[k].id;
            }
        }
    }
    return NULL;
}

static int by_replica_and_group(const void *a, const void *b)
{
    const struct provider_shard *x = a, *y = b;
    int c = strcmp(x->replica, y->replica);
    return c != 0 ? c : (x->group > y->group) - (x->group < y->group);
}

int provider_list_finish(struct provider_list *l, const struct provider_list *before, struct errctx *err)
{
    if (has_one_replica(l)) {
        if (before != NULL && has_one_replica(before)) {
            keep_groups(l, before);
        }
        number_one_replica(l);
    } else {
        number_by_position(l);
    }
    const char *doubled = make_ids_unique(l) ? doubled_id(l) : NULL;
    if (doubled != NULL) {
        return errctx_set(err, ERR_INVALID,
                          "two shards would be called '%.300s'; expected ids without a replica in front", doubled);
    }
    if (l->items.len > 1) {
        qsort(l->items.items, l->items.len, sizeof(*l->items.items), by_replica_and_group);
    }
    for (size_t i = 1; i < l->items.len; i++) {
        const struct provider_shard *x = &l->items.items[i - 1], *y = &l->items.items[i];
        if (x->replica == y->replica && x->group == y->group) {
            return errctx_set(err, ERR_INVALID, "shards '%s' and '%s' of one replica are in group %u", x->id, y->id,
                              x->group);
        }
    }
    return 0;
}

unsigned provider_list_groups(const struct provider_list *l)
{
    unsigned groups = 0;
    vec_foreach(x, &l->items) {
        groups = x->group >= groups ? x->group + 1 : groups;
    }
    return groups;
}

static bool shard_equal(const struct provider_shard *a, const struct provider_shard *b)
{
    return a->id == b->id && a->replica == b->replica && a->group == b->group && a->api_url == b->api_url &&
           a->prometheus_url == b->prometheus_url && a->health == b->health && a->zone == b->zone &&
           a->capacity_series == b->capacity_series && strcmp(a->error, b->error) == 0;
}

bool provider_list_equal(const struct provider_list *a, const struct provider_list *b)
{
    for (size_t i = 0; i < a->items.len && a->items.len == b->items.len; i++) {
        if (!shard_equal(&a->items.items[i], &b->items.items[i])) {
            return false;
        }
    }
    return a->items.len == b->items.len;
}

void provider_list_done(struct provider_list *l)
{
    vec_done(&l->items);
}
