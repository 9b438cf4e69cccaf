/* Between a mechanism and the manager: keeps what the mechanism sent, by source, and tells the manager when it changed.
 *
 * A group equal to the one held is no change: mechanisms that send everything every minute cause no rebuild. A failure
 * changes nothing but is logged, at most once a minute per provider. */
#include "discovery/provider.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "discovery/discovery.h"
#include "discovery/helper.h"

#include <stdlib.h>

#define ERROR_LOG_INTERVAL_MS 60000

static bool source_equal(const void *entry, const void *key)
{
    return strcmp(((const struct target_group *)entry)->source, key) == 0;
}

static void changed(struct provider *p)
{
    if (p->on_change != NULL) {
        p->on_change(p->data);
    }
}

static void report(struct provider *p, const char *message)
{
    uint64_t suppressed;
    metric_add(METRIC_DISCOVERY_REFRESH_FAILURES, 1, p->job->name, p->sd->key);
    if (log_limit_pass(&p->error_limit, timebase_monotonic_ms(), ERROR_LOG_INTERVAL_MS, &suppressed)) {
        log_warn(NULL, "discover targets", "job", p->job->name, "mechanism", p->sd->key, "err", message,
                 "suppressed", log_num((int64_t)suppressed), "action", "keep the last good list");
    }
}

/* True when it makes a difference. */
static bool take_group(struct provider *p, struct target_group *g)
{
    uint64_t hash = hash_view(view_of(g->source));
    struct target_group *held = hashmap_get(&p->groups, hash, g->source);
    if (held == NULL ? g->count == 0 : target_group_equal(held, g)) {
        return false;
    }
    if (held == NULL && p->groups.len == DISCOVERY_GROUPS_MAX) {
        report(p, "too many target groups");
        return false;
    }
    if (held != NULL) {
        target_group_unref(hashmap_remove(&p->groups, hash, g->source));
    }
    if (g->count != 0) {
        hashmap_add(&p->groups, hash, target_group_ref(g));
    }
    metric_add(METRIC_DISCOVERY_GROUPS, (g->count != 0) - (held != NULL), p->job->name, p->mechanism->key);
    return true;
}

static void on_groups(void *data, struct target_group *const *groups, size_t count)
{
    bool has_change = false;
    for (size_t i = 0; i < count; i++) {
        has_change = take_group(data, groups[i]) || has_change;
    }
    if (has_change) {
        changed(data);
    }
}

static void on_error(void *data, const struct errctx *err)
{
    report(data, err->msg);
}

static void on_ok(void *data)
{
    struct provider *p = data;
    if (!p->has_answered) {
        p->has_answered = true;
        changed(p);
    }
}

static int fail_unknown(const struct job_conf *job, const struct sd_conf *sd, struct errctx *err)
{
    struct bytes names;
    const struct mechanism *m;
    bytes_init(&names, ERRCTX_MSG_MAX);
    for (size_t i = 0; (m = mechanism_at(i)) != NULL; i++) {
        bytes_printf(&names, "%s%s", i != 0 ? ", " : "", m->key);
    }
    int rc =
        errctx_set(err, ERR_UNSUPPORTED, "%s:%d:%d: job '%s': %s: this version does not run it; expected one of %.*s",
                   job->file, sd->node->line, sd->node->column, job->name, sd->key, VIEW_FMT(bytes_view(&names)));
    bytes_done(&names);
    return rc;
}

int provider_new(const struct discovery_env *env, struct promconf *conf, const struct job_conf *job,
                 const struct sd_conf *sd, struct provider **ret, struct errctx *err)
{
    const struct mechanism *m = mechanism_find(sd->key);
    if (m == NULL && env->helper == NULL) {
        return fail_unknown(job, sd, err);
    }
    struct provider *p = mem_calloc(1, sizeof(*p));
    const struct discovery_sink sink = {.on_groups = on_groups, .on_error = on_error, .on_ok = on_ok, .data = p};
    p->mechanism = m != NULL ? m : &mechanism_helper;
    p->started_ms = timebase_monotonic_ms();
    hashmap_init(&p->groups, source_equal);
    provider_adopt(p, conf, job, sd);
    int rc = m != NULL ? m->start(env, job->file, sd->node, &sink, &p->discoverer, err)
                       : helper_start(env->helper, sd->key, sd->node, &sink, &p->discoverer, err);
    if (rc != 0) {
        provider_free(p);
        return m != NULL ? errctx_prefix(err, rc, "job '%s'", job->name)
                         : errctx_prefix(err, rc, "%s:%d:%d: job '%s': %s", job->file, sd->node->line, sd->node->column,
                                         job->name, sd->key);
    }
    *ret = p;
    return 0;
}

void provider_free(struct provider *p)
{
    if (p == NULL) {
        return;
    }
    if (p->discoverer != NULL) {
        p->mechanism->stop(p->discoverer);
    }
    size_t it = 0;
    for (void *g; (g = hashmap_next(&p->groups, &it)) != NULL;) {
        target_group_unref(g);
    }
    metric_add(METRIC_DISCOVERY_GROUPS, -(double)p->groups.len, p->job->name, p->mechanism->key);
    hashmap_done(&p->groups);
    promconf_unref(p->conf);
    free(p);
}

bool provider_fits(const struct provider *p, const struct promconf *conf, const struct job_conf *job,
                   const struct sd_conf *sd)
{
    return p->conf->major == conf->major && strcmp(p->sd->key, sd->key) == 0 &&
           strcmp(p->job->base_dir, job->base_dir) == 0 && yaml_equal(p->sd->node, sd->node);
}

void provider_adopt(struct provider *p, struct promconf *conf, const struct job_conf *job, const struct sd_conf *sd)
{
    struct promconf *old = p->conf;
    p->conf = promconf_ref(conf);
    p->job = job;
    p->sd = sd;
    promconf_unref(old);
}
