/* A shard's prometheus.yml out of the user's: everything that is not ours to change is carried over
 * as it was written.
 *
 * In each job, what finds targets, what relabels them and what says how to reach and authenticate
 * to them goes away, because all of it is done already or is the proxy's work; a target list and
 * the way to the proxy come instead. Credentials must never stay: they would be sent to the proxy
 * in clear. The tree of the configuration is shared and immutable, so mappings that change are
 * copied first. */
#include "base/mem.h"
#include "configgen/promconf_schema.h"
#include "configgen/render_parts.h"
#include "model/part.h"

#include <stdlib.h>

#define SELF_MONITOR_JOB "prometheus_shards"

static struct yaml_node *string_of(struct arena *arena, const char *s)
{
    return yaml_new_string(arena, view_of(s));
}

/* The mapping with its own array of pairs; keys and values stay shared. */
static struct yaml_node *shallow_copy(struct arena *arena, const struct yaml_node *n)
{
    struct yaml_node *copy = arena_dup(arena, n, sizeof(*n));
    copy->pairs = arena_dup(arena, n->pairs != NULL ? (const void *)n->pairs : "",
                            n->count * sizeof(*n->pairs));
    copy->cap = n->count;
    return copy;
}

/* For a mapping that shallow_copy made. */
static void keep_only(struct yaml_node *mapping, const char *const *keys)
{
    size_t kept = 0;
    for (size_t i = 0; i < mapping->count; i++) {
        bool is_kept = false;
        for (size_t k = 0; keys[k] != NULL; k++) {
            is_kept = is_kept || view_is(mapping->pairs[i].key->value, keys[k]);
        }
        if (is_kept) {
            mapping->pairs[kept++] = mapping->pairs[i];
        }
    }
    mapping->count = kept;
}

/* --- one job */

static bool is_replaced_key(struct view key)
{
    static const char *const names[] = {"scheme", "params", "relabel_configs", "target_limit"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (view_is(key, names[i])) {
            return true;
        }
    }
    return conf_is_mechanism_name(key) || conf_key_find(CONF_HTTP, key) != NULL;
}

static struct yaml_node *kept_keys(struct arena *arena, const struct yaml_node *job)
{
    struct yaml_node *copy = shallow_copy(arena, job);
    copy->count = 0;
    for (size_t i = 0; i < job->count; i++) {
        if (!is_replaced_key(job->pairs[i].key->value)) {
            copy->pairs[copy->count++] = job->pairs[i];
        }
    }
    return copy;
}

static struct yaml_node *restoring_rules(struct arena *arena, const struct job_conf *job)
{
    struct yaml_node *rules = yaml_new_sequence(arena);
    if (render_job_may_alias(job)) {
        struct yaml_node *rule = yaml_new_mapping(arena);
        yaml_set(arena, rule, "action", string_of(arena, "labelmap"));
        yaml_set(arena, rule, "regex", string_of(arena, INVALID_LABEL_PREFIX "(.+)"));
        yaml_set(arena, rule, "replacement", string_of(arena, "$1"));
        yaml_append(arena, rules, rule);
    }
    if (render_job_may_lose_job(job)) {
        struct yaml_node *rule = yaml_new_mapping(arena), *source = yaml_new_sequence(arena);
        yaml_append(arena, source, string_of(arena, NO_JOB_LABEL));
        yaml_set(arena, rule, "source_labels", source);
        yaml_set(arena, rule, "regex", string_of(arena, "1"));
        yaml_set(arena, rule, "target_label", string_of(arena, "job"));
        yaml_set(arena, rule, "replacement", string_of(arena, ""));
        yaml_append(arena, rules, rule);
    }
    return rules;
}

static struct yaml_node *static_list(struct arena *arena, const struct job_conf *job,
                                     const struct render_options *opts,
                                     const struct render_index *all)
{
    struct render_index list = render_index_job(all, job->name);
    struct yaml_node *groups = yaml_new_sequence(arena);
    for (size_t i = 0; i < list.count; i++) {
        struct rendered_target t;
        if (!render_target(arena, job, opts, list.items[i], &t)) {
            continue;
        }
        struct yaml_node *group = yaml_new_mapping(arena), *targets = yaml_new_sequence(arena);
        struct yaml_node *labels = yaml_new_mapping(arena);
        yaml_append(arena, targets, string_of(arena, t.address));
        for (size_t k = 0; k < t.label_count; k++) {
            yaml_set(arena, labels, arena_view(arena, t.labels[k].name).base,
                     yaml_new_string(arena, t.labels[k].value));
        }
        yaml_set(arena, group, "targets", targets);
        yaml_set(arena, group, "labels", labels);
        yaml_append(arena, groups, group);
    }
    return groups;
}

static struct yaml_node *file_list(struct arena *arena, const struct job_conf *job,
                                   const struct render_options *opts)
{
    struct yaml_node *list = yaml_new_sequence(arena), *item = yaml_new_mapping(arena);
    struct yaml_node *files = yaml_new_sequence(arena);
    char *name = render_target_file_name(job->name);
    yaml_append(arena, files,
                string_of(arena, arena_printf(arena, "%s/%s.json", opts->target_dir, name)));
    yaml_set(arena, item, "files", files);
    yaml_append(arena, list, item);
    free(name);
    return list;
}

static bool holds_parts(const char *job, const struct assignment *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (target_is_part(items[i].target) && (job == NULL || items[i].target->job == job)) {
            return true;
        }
    }
    return false;
}

/* The label that tells parts apart stays with up and scrape_*, which no rule reaches, and goes from
 * the samples before the user's rules look. */
static void drop_part_label(struct arena *arena, struct yaml_node *job)
{
    const struct yaml_node *own = yaml_get(job, "metric_relabel_configs");
    struct yaml_node *rules = yaml_new_sequence(arena), *rule = yaml_new_mapping(arena);
    yaml_set(arena, rule, "action", string_of(arena, "labeldrop"));
    yaml_set(arena, rule, "regex", string_of(arena, PART_LABEL));
    yaml_append(arena, rules, rule);
    for (size_t i = 0; !yaml_is_null(own) && i < own->count; i++) {
        yaml_append(arena, rules, own->items[i]);
    }
    yaml_set(arena, job, "metric_relabel_configs", rules);
}

static struct yaml_node *render_job(struct arena *arena, const struct job_conf *job,
                                    const struct render_options *opts,
                                    const struct render_index *all, bool split)
{
    struct yaml_node *out = kept_keys(arena, job->node), *rules = restoring_rules(arena, job);
    if (split) {
        drop_part_label(arena, out);
    }
    yaml_set(arena, out, "scheme", string_of(arena, "http"));
    yaml_set(arena, out, "proxy_url", string_of(arena, opts->proxy_url));
    yaml_set(arena, out, "follow_redirects", yaml_new_plain(arena, "false"));
    if (rules->count != 0) {
        yaml_set(arena, out, "relabel_configs", rules);
    }
    if (opts->form == TARGET_FORM_FILE) {
        yaml_set(arena, out, "file_sd_configs", file_list(arena, job, opts));
    } else {
        yaml_set(arena, out, "static_configs", static_list(arena, job, opts, all));
    }
    return out;
}

/* --- the rest of the file */

/* The shard's own Prometheus, scraped directly. The address may carry the path prefix it is served
 * under. */
static struct yaml_node *self_monitor_job(struct arena *arena, const struct render_options *opts)
{
    struct yaml_node *job = yaml_new_mapping(arena), *groups = yaml_new_sequence(arena);
    struct yaml_node *group = yaml_new_mapping(arena), *targets = yaml_new_sequence(arena);
    struct yaml_node *labels = yaml_new_mapping(arena);
    const char *shard = opts->shard_id != NULL ? opts->shard_id : "";
    const char *dash = strrchr(shard, '-');
    size_t host = strcspn(opts->prometheus_address, "/"), path = strlen(opts->prometheus_address);
    while (path > host && opts->prometheus_address[path - 1] == '/') {
        path--;
    }
    yaml_set(arena, job, "job_name", string_of(arena, SELF_MONITOR_JOB));
    yaml_set(arena, job, "metrics_path",
             string_of(arena, arena_printf(arena, "%.*s/metrics", (int)(path - host),
                                           opts->prometheus_address + host)));
    yaml_append(arena, targets, yaml_new_string(arena, view_make(opts->prometheus_address, host)));
    yaml_set(arena, labels, "replicate", string_of(arena, shard));
    yaml_set(arena, labels, "shard",
             string_of(arena, dash != NULL && dash[1] != '\0' ? dash + 1 : shard));
    yaml_set(arena, group, "targets", targets);
    yaml_set(arena, group, "labels", labels);
    yaml_append(arena, groups, group);
    yaml_set(arena, job, "static_configs", groups);
    return job;
}

/* ${SHARD} and ${REPLICA}, where they are known; "$$" protects what follows, as Prometheus' own
 * expansion has it. */
static const char *expand(struct arena *arena, struct view text, const struct render_options *opts)
{
    const struct {
        struct view name;
        const char *value;
    } known[] = {{VIEW("${SHARD}"), opts->shard_id}, {VIEW("${REPLICA}"), opts->replica}};
    size_t longest = (opts->shard_id != NULL ? strlen(opts->shard_id) : 0) +
                     (opts->replica != NULL ? strlen(opts->replica) : 0);
    struct bytes out;
    bytes_init(&out, (text.len + 1) * (longest + 1));
    for (size_t at = 0; at < text.len;) {
        struct view rest = view_make(text.base + at, text.len - at);
        size_t used = view_has_prefix(rest, VIEW("$$")) ? 2 : 1;
        const char *value = NULL;
        for (size_t i = 0; i < 2 && value == NULL; i++) {
            if (known[i].value != NULL && view_has_prefix(rest, known[i].name)) {
                value = known[i].value;
                used = known[i].name.len;
            }
        }
        bytes_append_view(&out, value != NULL ? view_of(value) : view_make(rest.base, used));
        at += used;
    }
    const char *result = arena_view(arena, bytes_view(&out)).base;
    bytes_done(&out);
    return result;
}

static void expand_external_labels(struct arena *arena, struct yaml_node *root,
                                   const struct render_options *opts)
{
    const struct yaml_node *global = yaml_get(root, "global"),
                           *labels = yaml_get(global, "external_labels");
    if (yaml_is_null(labels)) {
        return;
    }
    struct yaml_node *new_global = shallow_copy(arena, global),
                     *new_labels = shallow_copy(arena, labels);
    for (size_t i = 0; i < new_labels->count; i++) {
        struct yaml_node *value = new_labels->pairs[i].value;
        const char *text = expand(arena, value->value, opts);
        if (!view_is(value->value, text)) {
            new_labels->pairs[i].value = string_of(arena, text);
        }
    }
    yaml_set(arena, new_global, "external_labels", new_labels);
    yaml_set(arena, root, "global", new_global);
}

static int check_options(const struct promconf *conf, const struct render_options *opts,
                         struct errctx *err)
{
    if (opts->proxy_url == NULL || opts->proxy_url[0] == '\0') {
        return errctx_set(err, ERR_INVALID,
                          "render(%s): no proxy URL; expected one such as http://127.0.0.1:8008",
                          conf->path);
    }
    if (opts->form == TARGET_FORM_FILE &&
        (opts->target_dir == NULL || opts->target_dir[0] != '/')) {
        return errctx_set(err, ERR_INVALID,
                          "render(%s): no folder for target files; expected an absolute path",
                          conf->path);
    }
    if (opts->self_monitor &&
        (opts->prometheus_address == NULL || opts->prometheus_address[0] == '\0')) {
        return errctx_set(err, ERR_INVALID,
                          "render(%s): no Prometheus address to monitor; expected host:port",
                          conf->path);
    }
    return 0;
}

/* Prometheus in agent mode refuses rules and remote_read; vmagent refuses every section but two, and takes by flags
 * what the others say. What it refuses in a job stays: to leave a limit out would change what is stored. */
static void leave_out_for_server(struct arena *arena, struct yaml_node *root, const struct render_options *opts)
{
    static const char *const of_agents[] = {"rule_files", "alerting", "remote_read"};
    if (opts->server == RENDER_VMAGENT) {
        keep_only(root, (const char *const[]){"global", "scrape_configs", NULL});
        const struct yaml_node *global = yaml_get(root, "global");
        if (global != NULL && global->kind == YAML_MAPPING) {
            struct yaml_node *copy = shallow_copy(arena, global);
            keep_only(copy, (const char *const[]){"scrape_interval", "scrape_timeout", "external_labels", NULL});
            yaml_set(arena, root, "global", copy);
        }
        return;
    }
    size_t count = opts->server == RENDER_AGENT ? 3 : opts->drop_rules ? 2 : 0;
    for (size_t i = 0; i < count; i++) {
        yaml_remove(root, of_agents[i]);
    }
}

int render_config(const struct promconf *conf, const struct render_options *opts,
                  const struct assignment *items, size_t count, struct bytes *out,
                  struct errctx *err)
{
    int rc = check_options(conf, opts, err);
    if (rc != 0) {
        return rc;
    }
    struct arena *arena = arena_new();
    struct yaml_node *root = shallow_copy(arena, conf->root), *jobs = yaml_new_sequence(arena);
    yaml_remove(root, "scrape_config_files");
    leave_out_for_server(arena, root, opts);
    expand_external_labels(arena, root, opts);
    struct render_index all =
        render_index_build(arena, NULL, items, opts->form == TARGET_FORM_STATIC ? count : 0);
    bool parts = !opts->split && holds_parts(NULL, items, count);
    for (size_t i = 0; i < conf->job_count; i++) {
        const struct job_conf *job = &conf->jobs[i];
        bool split = opts->split || (parts && holds_parts(job->name, items, count));
        yaml_append(arena, jobs, render_job(arena, job, opts, &all, split));
    }
    if (opts->self_monitor && promconf_job(conf, SELF_MONITOR_JOB) == NULL) {
        yaml_append(arena, jobs, self_monitor_job(arena, opts));
    }
    yaml_set(arena, root, "scrape_configs", jobs);
    rc = yaml_write(root, out, err);
    arena_free(&arena);
    if (rc != 0) {
        return errctx_prefix(err, rc, "render(%s)", conf->path);
    }
    return bytes_check(out, err);
}

static bool list_has_url(const struct yaml_node *list, const char *url)
{
    for (size_t i = 0; i < list->count; i++) {
        if (view_is(yaml_get(list->items[i], "url")->value, url)) {
            return true;
        }
    }
    return false;
}

int render_querier(const char *const *prometheus_urls, size_t count, struct bytes *out,
                   struct errctx *err)
{
    struct arena *arena = arena_new();
    struct yaml_node *root = yaml_new_mapping(arena), *list = yaml_new_sequence(arena);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(prometheus_urls[i]);
        while (len > 0 && prometheus_urls[i][len - 1] == '/') {
            len--;
        }
        const char *url = arena_printf(arena, "%.*s/api/v1/read", (int)len, prometheus_urls[i]);
        if (list_has_url(list, url)) {
            continue; /* Prometheus refuses two equal entries */
        }
        struct yaml_node *item = yaml_new_mapping(arena);
        yaml_set(arena, item, "url", string_of(arena, url));
        yaml_set(arena, item, "read_recent", yaml_new_plain(arena, "true"));
        yaml_append(arena, list, item);
    }
    yaml_set(arena, root, "remote_read", list);
    int rc = yaml_write(root, out, err);
    arena_free(&arena);
    return rc != 0 ? rc : bytes_check(out, err);
}
