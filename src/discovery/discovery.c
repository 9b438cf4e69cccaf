/* The discovery manager.
 *
 * A run is a job being discovered: its compiled rules, its providers, and while some of those are new and have not all
 * answered, the groups of the providers they replaced. So an edit of a job never makes its targets vanish for a moment:
 * at worst old and new lists are merged, and equal targets are one.
 *
 * Providers only mark their run; one timer builds what is marked, at most every DISCOVERY_SETTLE_MS. A configuration is
 * prepared completely beside the running one (providers started, rules compiled) and then swapped in, or dropped whole.
 *
 * What must never happen: an on_job that takes targets away because something failed or has not answered yet. */
#include "discovery/discovery.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "discovery/provider.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_BUILD_MS 50 /* a burst of first answers is one build */

struct run {
    struct discovery *owner;
    const struct job_conf *job; /* of owner->conf */
    struct relabel_rules *rules;
    VEC(struct provider *) providers;
    VEC(bool) is_kept;                   /* providers taken over from the run this one replaces (while preparing) */
    VEC(struct target_group *) replaced; /* groups of providers that are gone, until the new ones have answered */
    bool is_dirty;
    bool was_built; /* under this configuration */
};

struct discovery {
    struct loop *loop;
    struct http_client *http;
    struct helper *helper; /* or NULL */
    struct discovery_calls calls;
    struct discovery_events events;
    struct promconf *conf;
    VEC(struct run *) runs;
    VEC(const char *) vanished; /* jobs whose last, empty on_job is due */
    struct loop_timer *timer;
    bool is_timer_set;
    int64_t last_build_ms;
    size_t failed_job;
};

static struct run *run_find(struct discovery *d, const char *name)
{
    for (size_t i = 0; i < d->runs.len; i++) {
        if (strcmp(d->runs.items[i]->job->name, name) == 0) {
            return d->runs.items[i];
        }
    }
    return NULL;
}

static void schedule(struct discovery *d)
{
    if (d->is_timer_set) {
        return;
    }
    int64_t rest_ms = d->last_build_ms + DISCOVERY_SETTLE_MS - timebase_monotonic_ms();
    d->is_timer_set = true;
    loop_timer_start(d->timer, d->last_build_ms != 0 && rest_ms > FIRST_BUILD_MS ? rest_ms : FIRST_BUILD_MS, 0);
}

static void run_mark(void *data)
{
    struct run *r = data;
    r->is_dirty = true;
    schedule(r->owner);
}

static void replaced_drop(struct run *r)
{
    for (size_t i = 0; i < r->replaced.len; i++) {
        target_group_unref(r->replaced.items[i]);
    }
    vec_done(&r->replaced);
}

static void run_free(struct run *r)
{
    for (size_t i = 0; i < r->providers.len; i++) {
        provider_free(r->providers.items[i]);
    }
    replaced_drop(r);
    vec_done(&r->providers);
    vec_done(&r->is_kept);
    relabel_rules_free(&r->rules);
    free(r);
}

static bool all_answered(const struct run *r)
{
    for (size_t i = 0; i < r->providers.len; i++) {
        if (!r->providers.items[i]->has_answered) {
            return false;
        }
    }
    return true;
}

static void export_states(const struct built_job *b)
{
    size_t counts[LEDGER_STATE_COUNT] = {0};
    for (size_t i = 0; i < b->count; i++) {
        counts[b->items[i].state]++;
    }
    counts[LEDGER_PENDING] = b->good;
    static const enum ledger_state STATES[] = {LEDGER_PENDING, LEDGER_OVER_LIMIT, LEDGER_DUPLICATE, LEDGER_INVALID,
                                               LEDGER_DROPPED};
    for (size_t i = 0; i < sizeof(STATES) / sizeof(STATES[0]); i++) {
        const char *name = STATES[i] == LEDGER_PENDING ? "good" : ledger_state_name(STATES[i]);
        metric_set(METRIC_DISCOVERY_TARGETS, (double)counts[STATES[i]], b->job, name);
    }
}

static void run_build(struct run *r)
{
    VEC(struct target_group *) groups = {0};
    struct built_job built;
    if (r->replaced.len != 0 && all_answered(r)) {
        replaced_drop(r);
    }
    for (size_t i = 0; i < r->providers.len; i++) {
        size_t it = 0;
        for (void *g; (g = hashmap_next(&r->providers.items[i]->groups, &it)) != NULL;) {
            *vec_push(&groups) = g;
        }
    }
    for (size_t i = 0; i < r->replaced.len; i++) {
        *vec_push(&groups) = r->replaced.items[i];
    }
    for (size_t i = 0; i < r->providers.len; i++) {
        r->providers.items[i]->is_handed_out = r->providers.items[i]->has_answered;
    }
    r->is_dirty = false;
    r->was_built = true;
    target_build(r->job, r->owner->conf->major, r->rules, groups.items, groups.len, &built);
    vec_done(&groups);
    export_states(&built);
    r->owner->events.on_job(r->owner->events.data, &built);
}

static void end_vanished(struct discovery *d)
{
    for (size_t i = 0; i < d->vanished.len; i++) {
        struct built_job empty = {.job = d->vanished.items[i]};
        if (run_find(d, empty.job) == NULL) {
            export_states(&empty);
            d->events.on_job(d->events.data, &empty);
        }
    }
    vec_clear(&d->vanished);
}

static void build_dirty(void *data)
{
    struct discovery *d = data;
    d->is_timer_set = false;
    d->last_build_ms = timebase_monotonic_ms();
    end_vanished(d);
    for (size_t i = 0; i < d->runs.len; i++) {
        if (d->runs.items[i]->is_dirty) {
            run_build(d->runs.items[i]);
        }
    }
}

struct discovery *discovery_new(struct loop *loop, struct http_client *http, const struct discovery_events *events)
{
    struct discovery *d = mem_calloc(1, sizeof(*d));
    d->loop = loop;
    d->http = http;
    d->events = *events;
    d->timer = loop_timer_new(loop, build_dirty, d);
    return d;
}

void discovery_set_helper(struct discovery *d, struct helper *helper)
{
    d->helper = helper;
}

void discovery_set_calls(struct discovery *d, const struct discovery_calls *calls)
{
    d->calls = *calls;
}

void discovery_free(struct discovery **d)
{
    if (*d == NULL) {
        return;
    }
    for (size_t i = 0; i < (*d)->runs.len; i++) {
        run_free((*d)->runs.items[i]);
    }
    vec_done(&(*d)->runs);
    vec_done(&(*d)->vanished);
    loop_timer_free(&(*d)->timer);
    promconf_unref((*d)->conf);
    MEM_FREE(*d);
}

static bool run_has(const struct run *r, const struct provider *p)
{
    for (size_t i = 0; i < r->providers.len; i++) {
        if (r->providers.items[i] == p) {
            return true;
        }
    }
    return false;
}

/* The old run's provider for this entry, if it is not yet spoken for. */
static struct provider *provider_reusable(const struct run *old, const struct run *fresh, const struct promconf *conf,
                                          const struct sd_conf *sd)
{
    for (size_t i = 0; old != NULL && i < old->providers.len; i++) {
        struct provider *p = old->providers.items[i];
        if (!run_has(fresh, p) && provider_fits(p, conf, fresh->job, sd)) {
            return p;
        }
    }
    return NULL;
}

/* Forgets the providers that still belong to the old run, then frees. */
static void run_abandon(struct run *r)
{
    size_t own = 0;
    for (size_t i = 0; i < r->providers.len; i++) {
        if (!r->is_kept.items[i]) {
            r->providers.items[own++] = r->providers.items[i];
        }
    }
    r->providers.len = own;
    run_free(r);
}

static int run_prepare(struct discovery *d, struct promconf *conf, const struct job_conf *job, struct run **ret,
                       struct errctx *err)
{
    struct run *r = mem_calloc(1, sizeof(*r)), *old = run_find(d, job->name);
    const struct discovery_env env = {.loop = d->loop,
                                      .http = d->http,
                                      .base_dir = job->base_dir,
                                      .job = job->name,
                                      .major = conf->major,
                                      .calls = d->calls,
                                      .helper = d->helper};
    r->owner = d;
    r->job = job;
    int rc = relabel_rules_compile(job->relabel, job->relabel_count, conf->major, "relabel_configs", &r->rules, err);
    if (rc != 0) {
        rc = errctx_prefix(err, rc, "%s:%d:%d: job '%s'", job->file, job->line, job->column, job->name);
    }
    for (size_t i = 0; rc == 0 && i < job->sd_count; i++) {
        struct provider *p = provider_reusable(old, r, conf, &job->sd[i]);
        bool is_kept = p != NULL;
        rc = is_kept ? 0 : provider_new(&env, conf, job, &job->sd[i], &p, err);
        if (rc == 0) {
            *vec_push(&r->providers) = p;
            *vec_push(&r->is_kept) = is_kept;
        }
    }
    if (rc != 0) {
        run_abandon(r);
        return rc;
    }
    *ret = r;
    return 0;
}

/* Moves kept providers from old into fresh; the groups of the others live on in `replaced`. */
static void run_take_over(struct run *fresh, struct run *old)
{
    size_t gone = 0;
    for (size_t i = 0; i < old->providers.len; i++) {
        struct provider *p = old->providers.items[i];
        if (run_has(fresh, p)) {
            continue;
        }
        size_t it = 0;
        for (struct target_group *g; (g = hashmap_next(&p->groups, &it)) != NULL;) {
            *vec_push(&fresh->replaced) = target_group_ref(g);
        }
        old->providers.items[gone++] = p;
    }
    for (size_t i = 0; i < old->replaced.len; i++) {
        *vec_push(&fresh->replaced) = target_group_ref(old->replaced.items[i]);
    }
    old->providers.len = gone;
    fresh->is_dirty = old->is_dirty || old->job->text_hash != fresh->job->text_hash;
    fresh->was_built = old->was_built && old->job->text_hash == fresh->job->text_hash;
}

static void run_begin(struct run *r, struct promconf *conf)
{
    for (size_t i = 0; i < r->providers.len; i++) {
        struct provider *p = r->providers.items[i];
        provider_adopt(p, conf, r->job, &r->job->sd[i]);
        p->on_change = run_mark;
        p->data = r;
    }
    vec_done(&r->is_kept);
}

/* The old runs give what is kept to the fresh ones and end. */
static void commit(struct discovery *d, struct promconf *conf, struct run **fresh, size_t count)
{
    struct promconf *old_conf = d->conf;
    for (size_t i = 0; i < count; i++) {
        struct run *before = run_find(d, fresh[i]->job->name);
        fresh[i]->is_dirty = true;
        if (before != NULL) {
            run_take_over(fresh[i], before);
            fresh[i]->is_dirty = fresh[i]->is_dirty || old_conf->major != conf->major;
            fresh[i]->was_built = fresh[i]->was_built && old_conf->major == conf->major;
        }
    }
    size_t old_count = d->runs.len;
    for (size_t i = 0; i < count; i++) {
        *vec_push(&d->runs) = fresh[i];
    }
    for (size_t i = 0; i < old_count; i++) {
        *vec_push(&d->vanished) = d->runs.items[i]->job->name; /* end_vanished looks who really is */
        run_free(d->runs.items[i]);
    }
    if (count > 0) {
        memmove(d->runs.items, d->runs.items + old_count, count * sizeof(*d->runs.items));
    }
    d->runs.len = count;
    d->conf = promconf_ref(conf);
    promconf_unref(old_conf);
    for (size_t i = 0; i < count; i++) {
        run_begin(fresh[i], conf);
    }
    schedule(d);
}

int discovery_apply(struct discovery *d, struct promconf *conf, struct errctx *err)
{
    VEC(struct run *) fresh = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < conf->job_count; i++) {
        struct run *r = NULL;
        d->failed_job = i;
        rc = run_prepare(d, conf, &conf->jobs[i], &r, err);
        if (rc == 0) {
            *vec_push(&fresh) = r;
        }
    }
    if (rc == 0) {
        commit(d, conf, fresh.items, fresh.len);
    } else {
        for (size_t i = 0; i < fresh.len; i++) {
            run_abandon(fresh.items[i]);
        }
    }
    vec_done(&fresh);
    return rc;
}

size_t discovery_failed_job(const struct discovery *d)
{
    return d->failed_job;
}

void discovery_each_failing(struct discovery *d, struct promconf *conf, size_t first,
                            void (*each)(void *data, size_t job, const struct errctx *err), void *data)
{
    for (size_t i = first; i < conf->job_count; i++) {
        struct errctx err = ERRCTX_INIT;
        struct run *r = NULL;
        if (run_prepare(d, conf, &conf->jobs[i], &r, &err) != 0) {
            each(data, i, &err);
        } else {
            run_abandon(r);
        }
    }
}

/* The provider that a job's first targets wait for. Later changes do not count: where something changes all the time,
 * nothing would ever be decided. */
static const struct provider *awaited_provider(const struct run *r, int64_t now_ms, int64_t init_timeout_ms)
{
    for (size_t i = 0; i < r->providers.len; i++) {
        const struct provider *p = r->providers.items[i];
        if (p->has_answered ? !p->is_handed_out : now_ms - p->started_ms < init_timeout_ms) {
            return p;
        }
    }
    return NULL;
}

bool discovery_is_initial_done(const struct discovery *d, int64_t now_ms, int64_t init_timeout_ms)
{
    for (size_t i = 0; i < d->runs.len; i++) {
        const struct run *r = d->runs.items[i];
        if (!r->was_built || awaited_provider(r, now_ms, init_timeout_ms) != NULL) {
            return false;
        }
    }
    return true;
}

size_t discovery_awaits(const struct discovery *d, int64_t now_ms, int64_t init_timeout_ms, char *ret, size_t size)
{
    const struct run *first = NULL;
    const struct provider *awaited = NULL;
    size_t count = 0;
    for (size_t i = 0; i < d->runs.len; i++) {
        const struct provider *p = awaited_provider(d->runs.items[i], now_ms, init_timeout_ms);
        bool waits = p != NULL || !d->runs.items[i]->was_built;
        bool is_worse = p != NULL && !p->has_answered; /* than one that is about to be built */
        if (waits && (first == NULL || (is_worse && (awaited == NULL || awaited->has_answered)))) {
            first = d->runs.items[i];
            awaited = p;
        }
        count += waits;
    }
    if (first != NULL && awaited != NULL && !awaited->has_answered) {
        snprintf(ret, size, "job '%.80s' waits for an answer to its %s, %zu of %zu jobs are awaited", first->job->name,
                 awaited->sd->key, count, d->runs.len);
    } else if (first != NULL) {
        snprintf(ret, size, "the targets of job '%.80s' are being built, %zu of %zu jobs are awaited", first->job->name,
                 count, d->runs.len);
    }
    return count;
}
