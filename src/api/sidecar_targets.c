/* The assignment: taken from whoever calls, bound to the configuration, served by the proxy.
 *
 * Binding: a target on the wire is its labels. The URL follows from them and from the job's params, interval and
 * timeout from the job where the labels do not say: so it is done again whenever the configuration changes. A target of
 * a job that is not configured (yet) is kept: the configuration may be on its way.
 *
 * Fencing: an epoch smaller than the largest ever seen is refused; a caller without one is a script or an older Kvass
 * and is believed. */
#include "api/sidecar_impl.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

static const struct logctx LOG = {NULL, "component", "sidecar"};

/* Epochs grow by one with every take-over. One near the end of the numbers would fence everybody for good. */
#define EPOCH_STEP_MAX (UINT64_C(1) << 32)

/* ---------------------------------------------------------------- binding */

static int64_t label_or(const struct target *t, int64_t told_ms, const char *label, int64_t job_ms)
{
    return told_ms > 0 && labels_get(t->labels, view_of(label)).base != NULL ? told_ms : job_ms;
}

/* A new reference: t itself when nothing follows that it does not say already. */
static struct target *bind_target(const struct job_conf *job, const struct target *t)
{
    if (job == NULL) {
        return target_ref(t);
    }
    char *url = target_url(t->labels, job->params, job->param_count);
    int64_t interval_ms = label_or(t, t->interval_ms, "__scrape_interval__", job->interval_ms);
    int64_t timeout_ms = label_or(t, t->timeout_ms, "__scrape_timeout__", job->timeout_ms);
    struct target *bound;
    if (strcmp(url, t->url) == 0 && interval_ms == t->interval_ms && timeout_ms == t->timeout_ms) {
        bound = target_ref(t);
    } else {
        bound = target_new_with_hash(t->job, t->hash, labels_ref(t->labels), url, interval_ms, timeout_ms);
    }
    free(url);
    return bound;
}

/* A malloc'd array that owns its targets; LEAVING ones are left out. */
static struct assignment *bind_all(const struct promconf *conf, const struct assignment *items, size_t count,
                                   size_t *ret_count)
{
    struct assignment *out = mem_calloc(count + 1, sizeof(*out));
    const struct job_conf *job = NULL;
    const char *name = NULL;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].state == ASSIGNMENT_LEAVING) {
            continue;
        }
        if (name != items[i].target->job) {
            name = items[i].target->job;
            job = conf != NULL ? promconf_job(conf, name) : NULL;
        }
        out[n] = items[i];
        out[n++].target = bind_target(job, items[i].target);
    }
    *ret_count = n;
    return out;
}

void sidecar_rebind(struct sidecar *sc)
{
    size_t held, count;
    const struct assignment *items = sc->shard->ops->assignment(sc->shard, &held);
    struct assignment *bound = bind_all(sc->conf, items, held, &count);
    sc->shard->ops->set_assignment(sc->shard, bound, count, sc->generation, sc->epoch);
    wire_targets_free(bound, count);
}

/* ---------------------------------------------------------------- taking */

int sidecar_check_epoch(const struct sidecar *sc, const struct wire_push *push, struct errctx *err)
{
    if (push->has_epoch && push->epoch > sc->epoch && push->epoch - sc->epoch > EPOCH_STEP_MAX) {
        return errctx_set(err, ERR_INVALID, "epoch %llu is more than %llu above %llu, the largest seen here",
                          (unsigned long long)push->epoch, (unsigned long long)EPOCH_STEP_MAX,
                          (unsigned long long)sc->epoch);
    }
    if (push->has_epoch && push->epoch < sc->epoch) {
        return errctx_set(err, ERR_CONFLICT,
                          "epoch %llu is older than %llu, which was seen here: another coordinator leads",
                          (unsigned long long)push->epoch, (unsigned long long)sc->epoch);
    }
    return 0;
}

/* Without the option, samples of parts would be stored with the label that tells parts apart. Those that durable state
 * brought back are served on: whoever turned it off wants them moved, not lost. */
static int check_parts(const struct sidecar *sc, const struct assignment *items, size_t count, struct errctx *err)
{
    for (size_t i = 0; sc->o->split_max_parts < 2 && i < count; i++) {
        if (target_is_part(items[i].target)) {
            return errctx_set(err, ERR_INVALID,
                              "job '%.64s': %s is a part of a target, and --split.max-parts is 1 here",
                              items[i].target->job, items[i].target->url);
        }
    }
    return 0;
}

static int take_targets(struct sidecar *sc, const struct wire_push *push, const struct assignment *items, size_t count,
                        struct errctx *err)
{
    struct sidecar_change change = {
        .has_items = true,
        .generation = push->generation,
        .epoch = push->has_epoch ? push->epoch : sc->epoch,
    };
    int rc = sidecar_check_epoch(sc, push, err);
    rc = rc == 0 ? check_parts(sc, items, count, err) : rc;
    if (rc != 0) {
        return rc;
    }
    struct assignment *bound = bind_all(sc->conf, items, count, &change.count);
    change.items = bound;
    rc = sidecar_store(sc, &change, err);
    if (rc == 0) {
        sc->generation = change.generation;
        sc->epoch = change.epoch;
        sc->shard->ops->set_assignment(sc->shard, bound, change.count, sc->generation, sc->epoch);
        char generation[24], epoch[24];
        snprintf(generation, sizeof(generation), "%llu", (unsigned long long)sc->generation);
        snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)sc->epoch);
        log_info(&LOG, "assignment taken", "targets", log_num((int64_t)change.count), "generation", generation, "epoch",
                 epoch);
    }
    wire_targets_free(bound, change.count);
    sidecar_drop_view(sc);
    return rc;
}

int sidecar_take_targets(void *data, const struct wire_push *push, const struct assignment *items, size_t count,
                         struct errctx *err)
{
    struct sidecar *sc = data;
    int rc = take_targets(sc, push, items, count, err);
    metric_add(METRIC_SIDECAR_TARGETS_UPDATED, 1, rc == 0 ? "true" : "false");
    if (rc != 0) {
        log_warn(&LOG, "take assignment", "err", err->msg, "action", "keep the one in use");
    }
    return rc;
}

/* ---------------------------------------------------------------- serving */

void sidecar_publish(void *data)
{
    struct sidecar *sc = data;
    size_t count;
    sidecar_drop_view(sc);
    if (sc->conf == NULL) {
        return;
    }
    struct proxy_table *t = proxy_table_new(sc->conf, ++sc->table_generation);
    const struct assignment *items = sc->shard->ops->assignment(sc->shard, &count);
    proxy_table_add(t, sc->shard->id, items, count);
    proxy_table_set_stop_reason(t, sc->stop_reason);
    proxy_table_set_families(t, samples_demand_current(&sc->samples));
    proxy_table_unref(sc->table);
    sc->table = t;
    if (sc->d.proxy != NULL) {
        proxy_publish(sc->d.proxy, proxy_table_ref(t));
    }
}

void sidecar_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                            size_t *ret_expected, int64_t *ret_until_ms)
{
    struct sidecar *sc = data;
    const struct sidecar_view *v = sidecar_look(sc);
    char *part = mem_dup(job_substring.base, job_substring.len);
    size_t expected = 0;
    int64_t longest_ms = 0;
    bool is_new;
    for (size_t i = 0; i < v->count; i++) {
        const struct target *t = v->items[i].target;
        if (v->items[i].state != ASSIGNMENT_LEAVING && v->statuses[i].health == TARGET_HEALTH_UP &&
            strstr(t->job, part) != NULL) {
            expected++;
            longest_ms = t->interval_ms > longest_ms ? t->interval_ms : longest_ms;
        }
    }
    free(part);
    *ret_count = samples_demand_take(&sc->samples, job_substring, false, expected, longest_ms, &is_new);
    *ret_expected = sc->samples.expected;
    *ret_until_ms = sc->samples.until_ms;
    if (is_new) {
        sidecar_publish(sc);
    }
}

/* Sums by job: a label a target would be without bound. */
void sidecar_measure(struct sidecar *sc)
{
    const struct sidecar_view *v = sidecar_look(sc);
    size_t active = 0;
    metric_forget(METRIC_SIDECAR_PROXY_TARGET_SERIES);
    for (size_t i = 0; i < v->count; i++) {
        active += v->items[i].state != ASSIGNMENT_LEAVING;
        metric_add(METRIC_SIDECAR_PROXY_TARGET_SERIES, (double)v->statuses[i].series, v->items[i].target->job);
    }
    metric_set(METRIC_SIDECAR_TARGETS, (double)active);
}

void sidecar_on_record(void *data, const struct scrape_record *r)
{
    struct sidecar *sc = data;
    local_shard_record(sc->shard, r);
}

int sidecar_take_stop_reason(void *data, const char *reason, struct errctx *err)
{
    struct sidecar *sc = data;
    const struct sidecar_change change = {.stop_reason = reason, .epoch = sc->epoch};
    int rc = sidecar_store(sc, &change, err);
    if (rc != 0) {
        return rc;
    }
    free(sc->stop_reason);
    sc->stop_reason = mem_strdup(reason);
    log_warn(&LOG, reason[0] != '\0' ? "stop scraping" : "scrape again", "reason", reason);
    sidecar_publish(sc);
    return 0;
}
