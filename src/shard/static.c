/* Shards from a file: see static.h. The list is replaced as a whole by one that was read without an error. A changed
 * file that cannot be used is tried again only when it changes again. */
#include "shard/static.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/log.h"
#include "configgen/yamltree.h"
#include "shard/provider_list.h"

#include <stdio.h>
#include <sys/stat.h>

#define LOOK_EVERY_MS  3000
#define FILE_BYTES_MAX ((size_t)16 << 20)

static const struct logctx LOG = {NULL, "component", "static"};

struct static_provider {
    struct provider base; /* first: the handle is cast */
    char *path;
    struct loop_timer *timer;
    struct stat seen;
    struct provider_list list;
};

/* ---------------------------------------------------------------- reading */

struct reader {
    const char *file;
    struct provider_list list;
    struct errctx *err;
};

static int fail(struct reader *r, const struct yaml_node *at, const char *what)
{
    return errctx_set(r->err, ERR_INVALID, "%s:%d:%d: %s", r->file, at->line, at->column, what);
}

static int check_keys(struct reader *r, const struct yaml_node *mapping, const char *what, const char *const *keys)
{
    if (mapping->kind != YAML_MAPPING) {
        return fail(r, mapping, what);
    }
    for (size_t i = 0; i < mapping->count; i++) {
        const struct yaml_node *key = mapping->pairs[i].key;
        bool known = false;
        for (size_t k = 0; keys[k] != NULL; k++) {
            known = known || view_is(key->value, keys[k]);
        }
        if (!known) {
            return errctx_set(r->err, ERR_INVALID, "%s:%d:%d: unknown key '%.60s'; %s", r->file, key->line, key->column,
                              key->value.base, what);
        }
    }
    return 0;
}

/* A scalar's text, "" when absent. */
static int text_of(struct reader *r, const struct yaml_node *mapping, const char *key, const char **ret)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    *ret = "";
    if (yaml_is_null(n)) {
        return 0;
    }
    if (n->kind != YAML_SCALAR) {
        return fail(r, n, "expected a text");
    }
    *ret = n->value.base;
    return 0;
}

static int capacity_of(struct reader *r, const struct yaml_node *mapping, uint64_t *ret)
{
    const struct yaml_node *n = yaml_get(mapping, "capacity");
    char *end;
    *ret = 0;
    if (yaml_is_null(n)) {
        return 0;
    }
    double value = n->kind == YAML_SCALAR ? strtod(n->value.base, &end) : -1;
    if (n->kind != YAML_SCALAR || end == n->value.base || *end != '\0' || !(value >= 1 && value <= 1e12)) {
        return fail(r, n, "capacity: expected a number of series from 1 to 1e12");
    }
    *ret = (uint64_t)value;
    return 0;
}

static int read_shard(struct reader *r, const struct yaml_node *n, const char *replica)
{
    static const char *const KEYS[] = {"id", "url", "capacity", "zone", "prometheus_url", NULL};
    const char *id, *url, *zone, *prometheus_url;
    uint64_t capacity;
    struct provider_shard *shard;
    struct errctx err = ERRCTX_INIT;
    int rc = check_keys(r, n, "expected a shard with id and url (capacity, zone, prometheus_url)", KEYS);
    rc = rc != 0 ? rc : text_of(r, n, "id", &id);
    rc = rc != 0 ? rc : text_of(r, n, "url", &url);
    rc = rc != 0 ? rc : text_of(r, n, "zone", &zone);
    rc = rc != 0 ? rc : text_of(r, n, "prometheus_url", &prometheus_url);
    rc = rc != 0 ? rc : capacity_of(r, n, &capacity);
    if (rc != 0) {
        return rc;
    }
    rc = provider_list_add(&r->list, id, replica, PROVIDER_GROUP_NONE, url,
                           prometheus_url[0] != '\0' ? prometheus_url : NULL, &shard, &err);
    if (rc != 0) {
        return fail(r, n, err.msg);
    }
    shard->zone = intern(zone);
    shard->capacity_series = capacity;
    return 0;
}

static int read_replica(struct reader *r, const struct yaml_node *n, size_t index, size_t replicas)
{
    static const char *const KEYS[] = {"name", "shards", NULL};
    char number[32];
    const char *name;
    int rc = check_keys(r, n, "expected a replica with shards (and a name)", KEYS);
    rc = rc != 0 ? rc : text_of(r, n, "name", &name);
    if (rc != 0) {
        return rc;
    }
    snprintf(number, sizeof(number), "%zu", index);
    name = name[0] != '\0' ? name : replicas > 1 ? number : "";
    const struct yaml_node *shards = yaml_get(n, "shards");
    if (!yaml_is_null(shards) && shards->kind != YAML_SEQUENCE) {
        return fail(r, shards, "shards: expected a list");
    }
    for (size_t i = 0; rc == 0 && !yaml_is_null(shards) && i < shards->count; i++) {
        rc = read_shard(r, shards->items[i], name);
    }
    return rc;
}

static int read_root(struct reader *r, const struct yaml_node *root)
{
    static const char *const KEYS[] = {"replicas", NULL};
    if (yaml_is_null(root)) {
        return errctx_set(r->err, ERR_INVALID, "%s: empty; expected replicas with their shards", r->file);
    }
    int rc = check_keys(r, root, "expected replicas: a list", KEYS);
    const struct yaml_node *replicas = rc == 0 ? yaml_get(root, "replicas") : NULL;
    if (rc == 0 && (yaml_is_null(replicas) || replicas->kind != YAML_SEQUENCE)) {
        return fail(r, root, "expected replicas: a list");
    }
    for (size_t i = 0; rc == 0 && i < replicas->count; i++) {
        rc = read_replica(r, replicas->items[i], i, replicas->count);
    }
    return rc;
}

static int read_file(const char *path, const struct provider_list *before, struct provider_list *ret,
                     struct errctx *err)
{
    struct bytes text;
    struct yaml_node *root = NULL;
    struct arena *arena = arena_new();
    struct reader r = {.file = path, .err = err};
    bytes_init(&text, FILE_BYTES_MAX);
    int rc = files_read(path, &text, err);
    rc = rc != 0 ? rc : yaml_parse(arena, path, bytes_view(&text), &root, err);
    rc = rc != 0 ? rc : read_root(&r, root);
    if (rc == 0) {
        rc = provider_list_finish(&r.list, before, err);
        if (rc != 0) {
            errctx_prefix(err, rc, "%s", path);
        }
    }
    bytes_done(&text);
    arena_free(&arena);
    if (rc != 0) {
        provider_list_done(&r.list);
        return rc;
    }
    *ret = r.list;
    return 0;
}

/* ---------------------------------------------------------------- the provider */

static struct static_provider *static_of(const struct provider *p)
{
    return (struct static_provider *)(uintptr_t)p;
}

static void look(const struct static_provider *p, struct stat *ret)
{
    if (stat(p->path, ret) != 0) {
        *ret = (struct stat){0};
    }
}

int static_provider_reload(struct provider *base, struct errctx *err)
{
    struct static_provider *p = static_of(base);
    struct errctx own = ERRCTX_INIT;
    struct provider_list fresh = {0};
    err = err != NULL ? err : &own;
    look(p, &p->seen);
    int rc = read_file(p->path, &p->list, &fresh, err);
    if (rc != 0) {
        log_error(&LOG, "read shards", "err", err->msg, "action", "the last good list stays");
        return rc;
    }
    if (provider_list_equal(&p->list, &fresh)) {
        provider_list_done(&fresh);
        return 0;
    }
    log_info(&LOG, "read shards", "file", p->path, "shards", log_num((int64_t)fresh.items.len));
    provider_list_done(&p->list);
    p->list = fresh;
    if (base->on_change != NULL) {
        base->on_change(base->data);
    }
    return 0;
}

static void look_due(void *data)
{
    struct static_provider *p = data;
    struct errctx err = ERRCTX_INIT;
    struct stat now;
    look(p, &now);
    if (now.st_mtim.tv_sec != p->seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != p->seen.st_mtim.tv_nsec ||
        now.st_size != p->seen.st_size || now.st_ino != p->seen.st_ino) {
        (void)!static_provider_reload(&p->base, &err);
    }
}

static void static_scale(struct provider *p, unsigned wanted_groups, const char *reason)
{
    (void)p;
    (void)reason;
    (void)wanted_groups;
}

static const struct provider_shard *static_list(struct provider *p, size_t *ret_count)
{
    *ret_count = static_of(p)->list.items.len;
    return static_of(p)->list.items.items;
}

static unsigned static_desired(struct provider *p)
{
    return provider_list_groups(&static_of(p)->list);
}

static bool static_is_known(const struct provider *p)
{
    (void)p;
    return true;
}

static void static_stop(struct provider *p, void (*on_stopped)(void *data), void *data)
{
    loop_timer_stop(static_of(p)->timer);
    on_stopped(data);
}

static void static_free(struct provider *base)
{
    struct static_provider *p = static_of(base);
    loop_timer_free(&p->timer);
    provider_list_done(&p->list);
    free(p->path);
    free(p);
}

int static_provider_new(struct loop *loop, const char *path, struct provider **ret, struct errctx *err)
{
    static const struct provider_ops OPS = {
        .scale = static_scale,
        .list = static_list,
        .desired = static_desired,
        .is_known = static_is_known,
        .stop = static_stop,
        .free = static_free,
    };
    struct provider_list list = {0};
    int rc = read_file(path, NULL, &list, err);
    if (rc != 0) {
        return rc;
    }
    struct static_provider *p = mem_calloc(1, sizeof(*p));
    p->base.ops = &OPS;
    p->base.is_fixed = true;
    p->path = mem_strdup(path);
    p->list = list;
    look(p, &p->seen);
    p->timer = loop_timer_new(loop, look_due, p);
    loop_timer_start(p->timer, LOOK_EVERY_MS, LOOK_EVERY_MS);
    *ret = &p->base;
    return 0;
}
