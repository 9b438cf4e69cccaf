/* file_sd_configs: target lists in files.
 *
 * A refresh reads every file the patterns match, at start, every refresh_interval and a moment after inotify reports
 * anything in the folder of a pattern (folders, so that renaming into place works). Only lists whose bytes changed are
 * sent on. A file that cannot be read or parsed keeps its last good list; one that is gone, or that lists fewer groups,
 * has the rest deleted. A folder that appears later is found at the next refresh.
 *
 * Reading is synchronous: these are small local files, and the caps bound the worst case. */
#include "base/duration.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/vec.h"
#include "configgen/yamltree.h"
#include "discovery/file_paths.h"
#include "discovery/group_list.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX     ((size_t)64 << 20)
#define FILES_MAX          10000 /* of one file_sd_configs entry */
#define PATTERNS_MAX       1000
#define SETTLE_MS          50 /* a burst of events is one refresh */
#define REFRESH_DEFAULT_MS (5 * 60 * 1000)

struct file_conf {
    VEC(char *) patterns; /* joined */
    int64_t refresh_ms;
};

struct sd_file {
    char *path;
    uint64_t hash; /* of the last good content */
    size_t group_count;
    bool is_seen; /* in this refresh */
};

/* Lives until libuv has closed the handle. */
struct folder_watch {
    uv_fs_event_t handle;
    struct discoverer *owner; /* NULL once stopped */
    dev_t dev;
    ino_t ino;
};

struct folder {
    char *path;
    struct folder_watch *watch; /* NULL while the folder cannot be watched */
};

struct discoverer {
    struct loop *loop;
    struct discovery_sink sink;
    enum prometheus_major major;
    struct file_conf conf;
    VEC(struct sd_file) files;
    size_t next_file; /* where the next look-up will most likely hit: refreshes come in one order */
    VEC(struct folder) folders;
    struct loop_timer *refresh, *settle;
    bool is_settling;
};

static void conf_done(struct file_conf *c)
{
    for (size_t i = 0; i < c->patterns.len; i++) {
        free(c->patterns.items[i]);
    }
    vec_done(&c->patterns);
}

static int bad_conf(const char *file, const struct yaml_node *n, struct errctx *err, const char *what,
                    struct view value)
{
    return errctx_set(err, ERR_INVALID, "%s:%d:%d: file_sd_configs: %s%.*s", file, n->line, n->column, what,
                      VIEW_FMT(value));
}

static int read_patterns(struct file_conf *c, const char *file, const char *base_dir, const struct yaml_node *list,
                         struct errctx *err)
{
    if (list->kind != YAML_SEQUENCE) {
        return yaml_is_null(list) ? 0 : bad_conf(file, list, err, "files: expected a list of paths", VIEW(""));
    }
    if (list->count > PATTERNS_MAX) {
        return bad_conf(file, list, err, "files: too many paths", VIEW(""));
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node *n = list->items[i];
        if (n->kind != YAML_SCALAR || !file_paths_is_pattern(n->value)) {
            return bad_conf(file, n, err,
                            "path name is not valid for file discovery: expected *.json, *.yml or *.yaml, with at "
                            "most one * and only in the last segment: ",
                            n->kind == YAML_SCALAR ? n->value : VIEW(""));
        }
        *vec_push(&c->patterns) = file_paths_join(base_dir, n->value.base);
    }
    return 0;
}

static int read_conf(struct file_conf *c, const char *file, const char *base_dir, const struct yaml_node *conf,
                     struct errctx *err)
{
    *c = (struct file_conf){.refresh_ms = REFRESH_DEFAULT_MS};
    if (conf->kind != YAML_MAPPING) {
        return bad_conf(file, conf, err, "expected a mapping with files", VIEW(""));
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < conf->count; i++) {
        const struct yaml_node *key = conf->pairs[i].key, *value = conf->pairs[i].value;
        if (view_is(key->value, "files")) {
            rc = read_patterns(c, file, base_dir, value, err);
        } else if (!view_is(key->value, "refresh_interval")) {
            rc = bad_conf(file, key, err, "expected files or refresh_interval, not ", key->value);
        } else if (duration_parse_prometheus(value->value, &c->refresh_ms, NULL) != 0) {
            rc = bad_conf(file, value, err, "refresh_interval: not a valid duration: ", value->value);
        }
    }
    if (rc == 0 && c->patterns.len == 0) {
        rc = bad_conf(file, conf, err, "expected at least one path in files", VIEW(""));
    }
    if (rc != 0) {
        conf_done(c);
    }
    return rc;
}

static int parse_file(const struct discoverer *d, const char *path, struct view text, struct group_list *ret,
                      struct errctx *err)
{
    const struct label extra = {VIEW("__meta_filepath"), view_of(path)};
    const struct group_list_options opts = {.file = path, .source = path, .extra = &extra, .major = d->major};
    if (file_paths_is_json(path)) {
        return group_list_from_json(&opts, text, ret, err);
    }
    struct arena *arena = arena_new();
    struct yaml_node *root = NULL;
    int rc = yaml_parse(arena, path, text, &root, err);
    if (rc == 0) {
        rc = group_list_from_yaml(&opts, root, ret, err);
    }
    arena_free(&arena);
    return rc;
}

static void send_tombstones(struct discoverer *d, const char *path, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct target_group *g = group_list_tombstone(path, i);
        d->sink.on_groups(d->sink.data, &g, 1);
        target_group_unref(g);
    }
}

static struct sd_file *file_get(struct discoverer *d, const char *path)
{
    for (size_t i = 0; i < d->files.len; i++) {
        size_t at = (d->next_file + i) % d->files.len;
        if (strcmp(d->files.items[at].path, path) == 0) {
            d->next_file = at + 1;
            return &d->files.items[at];
        }
    }
    struct sd_file *f = vec_push(&d->files);
    f->path = mem_strdup(path);
    return f;
}

static int refresh_file(struct discoverer *d, struct sd_file *f, struct errctx *err)
{
    struct bytes text;
    struct group_list list;
    bytes_init(&text, FILE_BYTES_MAX);
    int rc = files_read(f->path, &text, err);
    uint64_t hash = hash_view(bytes_view(&text)) | 1; /* 0 is "none yet" */
    if (rc == 0 && hash != f->hash) {
        rc = parse_file(d, f->path, bytes_view(&text), &list, err);
        if (rc == 0) {
            d->sink.on_groups(d->sink.data, list.items, list.count);
            send_tombstones(d, f->path, list.count, f->group_count);
            f->group_count = list.count;
            f->hash = hash;
            group_list_done(&list);
        }
    }
    bytes_done(&text);
    return rc;
}

/* Reads what one pattern matches; the number of failures. */
static size_t refresh_pattern(struct discoverer *d, const char *pattern)
{
    glob_t found = {0};
    size_t failures = 0;
    if (glob(pattern, GLOB_PERIOD, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct errctx err = ERRCTX_INIT;
            struct sd_file *f = d->files.len < FILES_MAX ? file_get(d, found.gl_pathv[i]) : NULL;
            if (f != NULL && f->is_seen) {
                continue;
            }
            int rc = f != NULL ? refresh_file(d, f, &err)
                               : errctx_set(&err, ERR_LIMIT, "%s: more than %d files", pattern, FILES_MAX);
            if (f != NULL) {
                f->is_seen = true;
            }
            if (rc != 0) {
                failures++;
                (void)errctx_prefix(&err, rc, "read target file");
                d->sink.on_error(d->sink.data, &err);
            }
        }
    }
    globfree(&found);
    return failures;
}

static void forget_gone(struct discoverer *d)
{
    for (size_t i = d->files.len; i-- > 0;) {
        struct sd_file *f = &d->files.items[i];
        if (!f->is_seen) {
            send_tombstones(d, f->path, 0, f->group_count);
            free(f->path);
            vec_remove(&d->files, i);
        }
    }
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void watch_stop(struct folder *f)
{
    if (f->watch != NULL) {
        f->watch->owner = NULL;
        uv_close((uv_handle_t *)&f->watch->handle, on_watch_closed);
        f->watch = NULL;
    }
}

static void on_folder_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct folder_watch *w = handle->data;
    (void)name;
    (void)events;
    (void)status;
    if (w->owner != NULL && !w->owner->is_settling) {
        w->owner->is_settling = true;
        loop_timer_start(w->owner->settle, SETTLE_MS, 0);
    }
}

/* Watches the folder, anew when another one has taken its place. True when it was not watched before. */
static bool watch_start(struct discoverer *d, struct folder *f)
{
    struct stat st;
    bool exists = stat(f->path, &st) == 0;
    if (f->watch != NULL && exists && f->watch->dev == st.st_dev && f->watch->ino == st.st_ino) {
        return false;
    }
    watch_stop(f);
    if (!exists) {
        return false;
    }
    struct folder_watch *w = mem_calloc(1, sizeof(*w));
    w->handle.data = w;
    w->owner = d;
    w->dev = st.st_dev;
    w->ino = st.st_ino;
    uv_fs_event_init(loop_uv(d->loop), &w->handle);
    f->watch = w;
    if (uv_fs_event_start(&w->handle, on_folder_event, f->path, 0) != 0) {
        watch_stop(f); /* no inotify to be had: refresh_interval has to do */
        return false;
    }
    return true;
}

static bool watch_all(struct discoverer *d)
{
    bool is_new = false;
    for (size_t i = 0; i < d->folders.len; i++) {
        is_new = watch_start(d, &d->folders.items[i]) || is_new;
    }
    return is_new;
}

/* Watches first: what changes while the files are read causes an event. */
static void on_refresh(void *data)
{
    struct discoverer *d = data;
    size_t failures = 0;
    d->is_settling = false;
    (void)watch_all(d);
    for (size_t i = 0; i < d->files.len; i++) {
        d->files.items[i].is_seen = false;
    }
    for (size_t i = 0; i < d->conf.patterns.len; i++) {
        failures += refresh_pattern(d, d->conf.patterns.items[i]);
    }
    forget_gone(d);
    if (failures == 0) {
        d->sink.on_ok(d->sink.data);
    }
}

static void add_folders(struct discoverer *d)
{
    for (size_t i = 0; i < d->conf.patterns.len; i++) {
        char *path = file_paths_folder(d->conf.patterns.items[i]);
        bool is_known = false;
        for (size_t k = 0; k < d->folders.len; k++) {
            is_known = is_known || strcmp(d->folders.items[k].path, path) == 0;
        }
        if (is_known) {
            free(path);
        } else {
            vec_push(&d->folders)->path = path;
        }
    }
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    struct file_conf parsed;
    int rc = read_conf(&parsed, file, env->base_dir, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    d->loop = env->loop;
    d->sink = *sink;
    d->major = env->major;
    d->conf = parsed;
    d->refresh = loop_timer_new(env->loop, on_refresh, d);
    d->settle = loop_timer_new(env->loop, on_refresh, d);
    add_folders(d);
    *ret = d;
    on_refresh(d);
    if (d->conf.refresh_ms > 0) {
        loop_timer_start(d->refresh, d->conf.refresh_ms, d->conf.refresh_ms);
    }
    return 0;
}

static void stop(struct discoverer *d)
{
    for (size_t i = 0; i < d->folders.len; i++) {
        watch_stop(&d->folders.items[i]);
        free(d->folders.items[i].path);
    }
    for (size_t i = 0; i < d->files.len; i++) {
        free(d->files.items[i].path);
    }
    vec_done(&d->folders);
    vec_done(&d->files);
    conf_done(&d->conf);
    loop_timer_free(&d->refresh);
    loop_timer_free(&d->settle);
    free(d);
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    struct file_conf parsed;
    (void)major;
    int rc = read_conf(&parsed, file, base_dir, conf, err);
    if (rc == 0) {
        conf_done(&parsed);
    }
    return rc;
}

const struct mechanism mechanism_file = {.key = "file_sd_configs", .start = start, .stop = stop, .check = check};
