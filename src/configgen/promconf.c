/* One configuration generation: the main file and its scrape_config_files, read, checked and kept
 * as a tree with a typed view.
 *
 * Order: parse; walk along the schema (types, unknown keys, absolute paths); the Kubernetes
 * options; then the typed view with Prometheus' own checks. Afterwards nothing changes any more, so
 * threads share it by reference. The hash is over the bytes of all files, never over what we
 * understood of them. */
#include "configgen/promconf.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/invariant.h"
#include "base/vec.h"
#include "configgen/promconf_parts.h"

#include <glob.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct generation {
    struct promconf pub; /* first: callers hold its address */
    _Atomic unsigned refs;
    struct arena *arena;
};

struct load {
    struct generation *g;
    struct conf_reader reader;
    const struct promconf_options *opts;
    struct conf_global global;
    VEC(struct job_conf) jobs;
    struct hashmap names;
    uint64_t hash;
    size_t files, file_jobs;
};

struct name_entry {
    const char *name;
};

static bool name_equal(const void *entry, const void *key)
{
    return ((const struct name_entry *)entry)->name == key;
}

static bool has_injection(const struct promconf_options *o)
{
    const char *const options[] = {o->kubernetes_url, o->kubernetes_proxy, o->kubernetes_sa_path};
    for (size_t i = 0; i < 3; i++) {
        if (options[i] != NULL && options[i][0] != '\0') {
            return true;
        }
    }
    return false;
}

static int add_job(struct load *l, const struct yaml_node *node)
{
    struct job_conf job;
    int rc = conf_job_read(&l->reader, &l->global, node, &job);
    if (rc != 0) {
        return rc;
    }
    uint64_t hash = hash_view(view_of(job.name));
    if (hashmap_get(&l->names, hash, job.name) != NULL) {
        l->reader.job = job.name;
        conf_push(&l->reader, VIEW("job_name"));
        return conf_fail(
            &l->reader, yaml_get(node, "job_name"),
            "found multiple scrape configs with this job name; expected each name once");
    }
    struct name_entry *entry = arena_alloc(l->g->arena, sizeof(*entry));
    entry->name = job.name;
    hashmap_add(&l->names, hash, entry);
    *vec_push(&l->jobs) = job;
    return 0;
}

static int add_jobs(struct load *l, const struct yaml_node *root)
{
    const struct yaml_node *list = yaml_get(root, "scrape_configs");
    size_t outer = conf_push(&l->reader, VIEW("scrape_configs"));
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        if (has_injection(l->opts)) {
            /* a copy: parts of the job may be shared, by anchors, with sections that are none of
             * ours */
            list->items[i] = yaml_copy(l->g->arena, list->items[i]);
            conf_inject_kubernetes(l->g->arena, list->items[i], l->opts);
        }
        char where[CONF_WHERE_MAX];
        memcpy(where, l->reader.where, sizeof(where));
        if (conf_string(list->items[i], "job_name", "")[0] != '\0') {
            conf_pop(&l->reader, 0);
        } else {
            conf_push_index(&l->reader, i);
        }
        int rc = add_job(l, list->items[i]);
        if (rc != 0) {
            return rc;
        }
        memcpy(l->reader.where, where, sizeof(where));
        conf_pop(&l->reader, strlen(where));
    }
    conf_pop(&l->reader, outer);
    return 0;
}

static int parse_file(struct load *l, const char *path, const char *base_dir, struct view text,
                      enum conf_struct top, struct yaml_node **ret)
{
    struct conf_reader *r = &l->reader;
    struct yaml_node *root = NULL;
    r->file = path;
    r->base_dir = base_dir;
    l->hash = hash_pair(l->hash, hash_view(text));
    int rc = yaml_parse(r->arena, path, text, &root, r->err);
    if (rc != 0) {
        return rc;
    }
    if (yaml_is_null(root)) {
        root = yaml_new_mapping(r->arena);
    }
    *ret = root;
    return conf_walk(r, root, top);
}

static int add_included(struct load *l, const char *path)
{
    struct conf_reader outer = l->reader;
    struct bytes text;
    struct yaml_node *root;
    if (++l->files > PROMCONF_FILES_MAX) {
        return conf_fail(&l->reader, NULL, "more than %d scrape_config_files; expected fewer",
                         PROMCONF_FILES_MAX);
    }
    bytes_init(&text, YAML_INPUT_MAX_BYTES);
    int rc = files_read(path, &text, l->reader.err);
    if (rc == 0) {
        conf_pop(&l->reader, 0);
        rc =
            parse_file(l, arena_strdup(l->g->arena, path), conf_path_folder(l->g->arena, path), bytes_view(&text),
                       CONF_INCLUDED, &root);
    }
    bytes_done(&text);
    if (rc == 0) {
        rc = add_jobs(l, root);
    }
    l->reader.file = outer.file;
    l->reader.base_dir = outer.base_dir;
    return rc;
}

/* Patterns are absolute by now. One that matches nothing is fine. */
static int add_includes(struct load *l, const struct yaml_node *root)
{
    const struct yaml_node *list = yaml_get(root, "scrape_config_files");
    int rc = 0;
    for (size_t i = 0; rc == 0 && !yaml_is_null(list) && i < list->count; i++) {
        glob_t found = {0};
        int failed = glob(list->items[i]->value.base, GLOB_PERIOD, NULL, &found);
        if (failed != 0 && failed != GLOB_NOMATCH) {
            rc = conf_fail(&l->reader, list->items[i],
                           "scrape_config_files: cannot list %s; expected a readable folder",
                           list->items[i]->value.base);
        }
        for (size_t k = 0; rc == 0 && failed == 0 && k < found.gl_pathc; k++) {
            rc = add_included(l, found.gl_pathv[k]);
        }
        globfree(&found);
    }
    return rc;
}

/* All of its jobs, or none: the reader and what was gathered are as before when it is refused. */
static int add_extra(struct load *l, const struct promconf_extra *extra, const char *folder)
{
    const struct conf_reader before = l->reader;
    struct yaml_node *root;
    uint64_t hash = l->hash;
    size_t jobs = l->jobs.len;
    conf_pop(&l->reader, 0);
    int rc = parse_file(l, arena_strdup(l->g->arena, extra->name), folder, extra->text, CONF_INCLUDED, &root);
    rc = rc != 0 ? rc : add_jobs(l, root);
    for (; rc != 0 && l->jobs.len > jobs; l->jobs.len--) {
        const char *name = l->jobs.items[l->jobs.len - 1].name;
        (void)hashmap_remove(&l->names, hash_view(view_of(name)), name);
    }
    const struct conf_reader after = l->reader;
    l->reader = before;
    if (rc == 0) {
        l->reader.needs_version = after.needs_version;
        l->reader.needs_key = after.needs_key;
    } else {
        l->hash = hash;
    }
    return rc;
}

static void add_extras(struct load *l, const char *folder)
{
    struct errctx *outer = l->reader.err;
    for (size_t i = 0; i < l->opts->extra_count; i++) {
        struct errctx err = ERRCTX_INIT;
        l->reader.err = &err;
        if (add_extra(l, &l->opts->extras[i], folder) != 0 && l->opts->on_extra_refused != NULL) {
            l->opts->on_extra_refused(l->opts->extra_data, i, &err);
        }
    }
    l->reader.err = outer;
}

static int load_main(struct load *l, const char *path, struct view text)
{
    struct yaml_node *root = NULL;
    const char *folder = conf_path_folder(l->g->arena, path);
    int rc = parse_file(l, path, folder, text, CONF_TOP, &root);
    if (rc == 0) {
        l->g->pub.root = root;
        rc = conf_global_read(&l->reader, yaml_get(root, "global"), &l->global);
    }
    if (rc == 0) {
        rc = conf_check_top(&l->reader, root);
    }
    if (rc == 0) {
        rc = add_jobs(l, root);
    }
    rc = rc != 0 ? rc : add_includes(l, root);
    l->file_jobs = l->jobs.len;
    if (rc == 0) {
        add_extras(l, folder);
    }
    return rc;
}

static void finish(struct load *l)
{
    struct promconf *c = &l->g->pub;
    const struct conf_reader *r = &l->reader;
    c->job_count = l->jobs.len;
    c->file_job_count = l->file_jobs;
    c->jobs = arena_dup(l->g->arena, l->jobs.items != NULL ? (const void *)l->jobs.items : "",
                        l->jobs.len * sizeof(*c->jobs));
    c->scrape_interval_ms = l->global.interval_ms;
    c->evaluation_interval_ms = l->global.evaluation_ms;
    snprintf(c->hash, sizeof(c->hash), "%016llx", (unsigned long long)l->hash);
    if (r->needs_key != NULL) {
        c->needs_key = r->needs_key;
        c->needs_version =
            arena_printf(l->g->arena, "%u.%u", r->needs_version / 1000, r->needs_version % 1000);
    }
}

int promconf_parse(const char *path, struct view text, const struct promconf_options *opts,
                   struct promconf **ret, struct errctx *err)
{
    static const struct promconf_options defaults = {.major = PROMETHEUS_2};
    struct errctx own = ERRCTX_INIT;
    struct generation *g = mem_calloc(1, sizeof(*g));
    struct load l = {.g = g, .opts = opts != NULL ? opts : &defaults};
    g->arena = arena_new();
    atomic_init(&g->refs, 1);
    g->pub.path = arena_strdup(g->arena, path);
    g->pub.text = arena_view(g->arena, text);
    g->pub.major = l.opts->major != 0 ? l.opts->major : PROMETHEUS_2;
    g->pub.native_histograms = l.opts->native_histograms;
    l.reader = (struct conf_reader){.arena = g->arena,
                                    .major = g->pub.major,
                                    .native_histograms = l.opts->native_histograms,
                                    .make_absolute = true,
                                    .err = err != NULL ? err : &own};
    hashmap_init(&l.names, name_equal);
    int rc = load_main(&l, g->pub.path, text);
    if (rc == 0) {
        finish(&l);
        *ret = &g->pub;
    } else {
        arena_free(&g->arena);
        free(g);
    }
    hashmap_done(&l.names);
    vec_done(&l.jobs);
    return rc;
}

int promconf_load(const char *path, const struct promconf_options *opts, struct promconf **ret,
                  struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, YAML_INPUT_MAX_BYTES);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        rc = promconf_parse(path, bytes_view(&text), opts, ret, err);
    }
    bytes_done(&text);
    return rc;
}

static struct generation *generation_of(struct promconf *c)
{
    return (struct generation *)(void *)c;
}

struct promconf *promconf_ref(struct promconf *c)
{
    atomic_fetch_add_explicit(&generation_of(c)->refs, 1, memory_order_relaxed);
    return c;
}

void promconf_unref(struct promconf *c)
{
    if (c == NULL) {
        return;
    }
    struct generation *g = generation_of(c);
    if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1) {
        arena_free(&g->arena);
        free(g);
    }
}

int promconf_write_whole(const struct promconf *c, struct bytes *out, struct errctx *err)
{
    if (yaml_is_null(yaml_get(c->root, "scrape_config_files")) && c->file_job_count == c->job_count) {
        bytes_append_view(out, c->text);
        return bytes_check(out, err);
    }
    struct arena *arena = arena_new();
    struct yaml_node *root = yaml_copy(arena, c->root), *jobs = yaml_new_sequence(arena);
    for (size_t i = 0; i < c->job_count; i++) {
        yaml_append(arena, jobs, yaml_copy(arena, c->jobs[i].node));
    }
    yaml_remove(root, "scrape_config_files");
    yaml_set(arena, root, "scrape_configs", jobs);
    int rc = yaml_write(root, out, err);
    arena_free(&arena);
    return rc;
}

const struct job_conf *promconf_job(const struct promconf *c, const char *name)
{
    for (size_t i = 0; i < c->job_count; i++) {
        if (strcmp(c->jobs[i].name, name) == 0) {
            return &c->jobs[i];
        }
    }
    return NULL;
}
