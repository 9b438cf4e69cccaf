/* A local shard: its assignment.
 *
 * set_assignment compares what shall be with what is, by (job, hash), and touches nothing when they agree (guarantee
 * 35). The order of ARCHITECTURE.md (invariant 6) is kept here: additions are published to the proxy first and written
 * second; removals are written first, and the proxy goes on serving them as LEAVING for a while, because Prometheus
 * scrapes on for some seconds after the file changed, and a refusal would be stored as up=0. The while begins only when
 * the file is known to be written (in the static form: reloaded), however long that takes.
 *
 * A proof of loading is a scrape that began after the write; status counters start anew when a target comes (back),
 * while its size history stays. Nothing is written before an assignment is known: after a restart of ours the files on
 * disk are still right, and an empty list in between would end every series. */
#include "shard/local.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "shard/local_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 1000

static struct local_shard *of(struct shard *s)
{
    struct local_shard *self = (struct local_shard *)s;
    MAGIC_CHECK(self, LOCAL_MAGIC);
    return self;
}

static const struct local_shard *of_const(const struct shard *s)
{
    const struct local_shard *self = (const struct local_shard *)s;
    MAGIC_CHECK(self, LOCAL_MAGIC);
    return self;
}

int64_t local_now_ms(const struct local_shard *s)
{
    return s->env.now_ms != NULL ? s->env.now_ms(s->env.data) : timebase_monotonic_ms();
}

/* --------------------------------------------------------------------------------------------------------------
 * entries */

struct entry_key {
    const char *job;
    uint64_t hash;
};

static bool entry_equal(const void *entry, const void *key)
{
    const struct local_entry *e = entry;
    const struct entry_key *k = key;
    return e->a.target->hash == k->hash && e->a.target->job == k->job;
}

struct local_entry *local_find(const struct local_shard *s, const char *job, uint64_t hash)
{
    struct entry_key key = {job, hash};
    return hashmap_get(&s->entries, target_key_hash(job, hash), &key);
}

static struct local_entry *entry_add(struct local_shard *s, const struct target *t)
{
    struct local_entry *e = mem_calloc(1, sizeof(*e));
    e->a.target = target_ref(t);
    e->a.state = ASSIGNMENT_ASSIGNED;
    hashmap_add(&s->entries, target_key_hash(t->job, t->hash), e);
    s->active++;
    s->view_stale = true;
    return e;
}

static void entry_remove(struct local_shard *s, struct local_entry *e)
{
    struct entry_key key = {e->a.target->job, e->a.target->hash};
    invariant(hashmap_remove(&s->entries, target_key_hash(key.job, key.hash), &key) == e);
    s->info.process_series -= e->status.scraped;
    s->leaving -= e->a.state == ASSIGNMENT_LEAVING;
    s->active -= e->a.state != ASSIGNMENT_LEAVING;
    s->view_stale = true;
    target_unref(e->a.target);
    free(e);
}

/* The only writer of an entry's state. */
static void entry_set_state(struct local_shard *s, struct local_entry *e, enum assignment_state state)
{
    if (e->a.state == state) {
        return;
    }
    bool was_leaving = e->a.state == ASSIGNMENT_LEAVING, is_leaving = state == ASSIGNMENT_LEAVING;
    if (was_leaving != is_leaving) {
        s->leaving += is_leaving ? 1 : (size_t)-1;
        s->active += is_leaving ? (size_t)-1 : 1;
        e->left_ms = 0;
    }
    e->a.state = state;
    e->a.since_ms = timebase_realtime_ms();
    s->view_stale = true;
}

static int compare_assignments(const void *a, const void *b)
{
    const struct target *x = ((const struct assignment *)a)->target, *y = ((const struct assignment *)b)->target;
    int c = x->job != y->job ? strcmp(x->job, y->job) : 0;
    return c != 0 ? c : (x->hash > y->hash) - (x->hash < y->hash);
}

const struct assignment *local_view(struct local_shard *s, size_t *ret_count)
{
    if (s->view_stale) {
        size_t it = 0;
        vec_clear(&s->view);
        vec_reserve(&s->view, s->entries.len);
        for (const struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
            *vec_push(&s->view) = e->a;
        }
        if (s->view.len > 1) {
            qsort(s->view.items, s->view.len, sizeof(*s->view.items), compare_assignments);
        }
        s->view_stale = false;
    }
    *ret_count = s->view.len;
    return s->view.items;
}

void local_mark_left(struct local_shard *s, const char *job)
{
    size_t it = 0;
    int64_t now_ms = local_now_ms(s);
    if (s->leaving == 0) {
        return;
    }
    for (struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        if (e->a.state == ASSIGNMENT_LEAVING && e->left_ms == 0 && (job == NULL || e->a.target->job == job)) {
            e->left_ms = now_ms;
        }
    }
}

/* Takes out what has been served long enough. */
static void expire_leaving(struct local_shard *s, int64_t now_ms)
{
    VEC(struct local_entry *) due = {0};
    size_t it = 0;
    if (s->leaving == 0) {
        return;
    }
    for (struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        if (e->a.state == ASSIGNMENT_LEAVING && e->left_ms != 0 &&
            now_ms >= e->left_ms + s->env.leave_ms + 2 * e->a.target->interval_ms) {
            *vec_push(&due) = e;
        }
    }
    vec_foreach(e, &due) {
        entry_remove(s, *e);
    }
    if (due.len != 0) {
        s->env.publish(s->env.data);
    }
    vec_done(&due);
}

/* -----------------------------------------------------------------------------------------------------------------
 * errors */

void local_show_error(struct local_shard *s)
{
    const char *text = s->write_error[0] != '\0'    ? s->write_error
                       : s->reload_error[0] != '\0' ? s->reload_error
                                                    : s->poll_error;
    memcpy(s->info.error, text, sizeof(s->info.error));
}

void local_acknowledge(struct local_shard *s)
{
    if (s->conf == NULL || s->config_dirty || s->reload_pending || s->write_error[0] != '\0') {
        return;
    }
    s->info.generation = s->generation;
    s->info.epoch = s->epoch;
    s->info.config_generation = s->config_generation;
    snprintf(s->info.config_hash, sizeof(s->info.config_hash), "%s", s->conf->hash);
}

/* ------------------------------------------------------------------------------------------------------- desired state
 * in */

static void update_idle(struct local_shard *s)
{
    if (s->active != 0) {
        s->info.idle_since_ms = 0;
    } else if (s->info.idle_since_ms == 0) {
        s->info.idle_since_ms = timebase_realtime_ms();
    }
}

void local_leave_job(struct local_shard *s, const char *job)
{
    size_t it = 0;
    for (struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        if (e->a.target->job == job) {
            entry_set_state(s, e, ASSIGNMENT_LEAVING);
        }
    }
    update_idle(s);
}

static void local_set_config(struct shard *shard, struct promconf *conf, uint64_t config_generation)
{
    struct local_shard *s = of(shard);
    if (s->conf == conf && s->config_generation == config_generation) {
        return;
    }
    s->config_generation = config_generation;
    local_files_set_config(s, conf);
    local_files_flush(s);
}

/* One wanted target: added, taken back from leaving, or its state changed. True when the proxy table has to change. */
static bool take_wanted(struct local_shard *s, const struct assignment *want)
{
    const struct target *t = want->target;
    struct local_entry *e = local_find(s, t->job, t->hash);
    bool is_new = e == NULL, is_back = !is_new && e->a.state == ASSIGNMENT_LEAVING;
    if (is_new) {
        e = entry_add(s, t);
    }
    struct target *old = e->a.target;
    bool replaced =
        old->interval_ms != t->interval_ms || old->timeout_ms != t->timeout_ms || strcmp(old->url, t->url) != 0;
    if (old != t) {
        e->a.target = target_ref(t);
        target_unref(old);
        s->view_stale = true;
    }
    entry_set_state(s, e, want->state == ASSIGNMENT_IN_TRANSFER ? ASSIGNMENT_IN_TRANSFER : ASSIGNMENT_ASSIGNED);
    if (is_new || is_back) {
        e->loaded_ms = e->a.since_ms = timebase_realtime_ms();
        e->status.scrapes = e->status.good_scrapes = 0;
    }
    if (is_new || is_back || replaced) {
        local_files_job_changed(s, t->job);
    }
    return is_new || replaced;
}

static bool wanted_equal(const void *entry, const void *key)
{
    const struct assignment *a = entry;
    const struct entry_key *k = key;
    return a->target->hash == k->hash && a->target->job == k->job;
}

static void leave_unwanted(struct local_shard *s, const struct hashmap *wanted)
{
    size_t it = 0;
    for (struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        struct entry_key key = {e->a.target->job, e->a.target->hash};
        if (e->a.state != ASSIGNMENT_LEAVING && hashmap_get(wanted, target_key_hash(key.job, key.hash), &key) == NULL) {
            entry_set_state(s, e, ASSIGNMENT_LEAVING);
            local_files_job_changed(s, key.job);
        }
    }
}

static void local_set_assignment(struct shard *shard, const struct assignment *items, size_t count, uint64_t generation,
                                 uint64_t epoch)
{
    struct local_shard *s = of(shard);
    struct hashmap wanted;
    bool publish = s->restored;
    if (epoch < s->epoch) {
        log_warn(&s->log, "take assignment", "err", "its epoch is older than the one already served", "action",
                 "refuse");
        return;
    }
    hashmap_init(&wanted, wanted_equal);
    hashmap_reserve(&wanted, count);
    for (size_t i = 0; i < count; i++) {
        struct entry_key key = {items[i].target->job, items[i].target->hash};
        uint64_t hash = target_key_hash(key.job, key.hash);
        if (items[i].state == ASSIGNMENT_LEAVING || hashmap_get(&wanted, hash, &key) != NULL) {
            continue;
        }
        union {
            const struct assignment *in;
            void *entry;
        } item = {&items[i]};
        hashmap_add(&wanted, hash, item.entry);
        publish = take_wanted(s, &items[i]) || publish;
    }
    leave_unwanted(s, &wanted);
    hashmap_done(&wanted);
    s->assigned = true;
    s->generation = generation;
    s->epoch = epoch;
    update_idle(s);
    if (publish) {
        s->env.publish(s->env.data);
    }
    s->restored = false;
    local_files_flush(s);
}

void local_shard_restore(struct shard *shard, const struct assignment *items, const struct target_status *statuses,
                         size_t count, uint64_t generation, uint64_t epoch)
{
    struct local_shard *s = of(shard);
    invariant(s->conf == NULL && s->entries.len == 0);
    for (size_t i = 0; i < count; i++) {
        const struct target *t = items[i].target;
        if (local_find(s, t->job, t->hash) != NULL) {
            continue;
        }
        struct local_entry *e = entry_add(s, t);
        entry_set_state(s, e, items[i].state);
        e->a.since_ms = e->loaded_ms = items[i].since_ms;
        e->status = statuses[i];
        s->info.process_series += e->status.scraped;
    }
    local_mark_left(s, NULL);
    s->assigned = s->restored = true;
    s->generation = generation;
    s->epoch = epoch;
    update_idle(s);
}

/* ---------------------------------------------------------------------------------------------------------- facts come
 * up */

void local_shard_record(struct shard *shard, const struct scrape_record *r)
{
    struct local_shard *s = of(shard);
    struct local_entry *e = r->shard == s->base.id ? local_find(s, r->job, r->hash) : NULL;
    if (e == NULL || r->started_ms < e->loaded_ms) {
        return;
    }
    s->info.process_series -= e->status.scraped;
    target_status_apply(&e->status, r);
    s->info.process_series += e->status.scraped;
}

static const struct assignment *local_assignment(struct shard *shard, size_t *ret_count)
{
    return local_view(of(shard), ret_count);
}

static const struct target_status *local_status(const struct shard *shard, const char *job, uint64_t hash)
{
    const struct local_entry *e = local_find(of_const(shard), job, hash);
    bool known = e != NULL && (e->status.scrapes != 0 || e->status.history_len != 0);
    return known ? &e->status : NULL;
}

static const struct shard_info *local_info(const struct shard *shard)
{
    return &of_const(shard)->info;
}

void local_shard_each(struct shard *shard,
                      void (*each)(void *data, const struct assignment *a, const struct target_status *status),
                      void *data)
{
    struct local_shard *s = of(shard);
    size_t count;
    const struct assignment *items = local_view(s, &count);
    for (size_t i = 0; i < count; i++) {
        const struct local_entry *e = local_find(s, items[i].target->job, items[i].target->hash);
        each(data, &items[i], &e->status);
    }
}

/* -------------------------------------------------------------------------------------------------------------- life
 * cycle */

void local_shard_tick(struct shard *shard)
{
    struct local_shard *s = of(shard);
    int64_t now_ms = local_now_ms(s);
    if (strcmp(s->url, s->base.prometheus_url) != 0) {
        local_shard_set_url(shard, s->base.prometheus_url);
    }
    if (s->write_error[0] != '\0' && now_ms >= s->next_write_ms) {
        local_files_flush(s);
    }
    expire_leaving(s, now_ms);
    local_files_retire_due(s, now_ms);
    local_calls_tick(s, now_ms);
}

static void on_timer(void *data)
{
    local_shard_tick(data);
}

int local_shard_prepare(struct shard *shard, struct errctx *err)
{
    struct local_shard *s = of(shard);
    if (s->conf == NULL || !s->assigned) {
        return errctx_set(err, ERR_AGAIN, "waits for its configuration");
    }
    local_files_all_changed(s);
    local_files_flush(s);
    return s->write_error[0] == '\0' ? 0 : errctx_set(err, ERR_IO, "%s", s->write_error);
}

void local_shard_set_version(struct shard *shard, const char *version)
{
    struct local_shard *s = of(shard);
    snprintf(s->info.prometheus_version, sizeof(s->info.prometheus_version), "%s", version);
    s->info.version_answered = true;
}

void local_shard_set_url(struct shard *shard, const char *prometheus_url)
{
    struct local_shard *s = of(shard);
    if (strcmp(s->url, prometheus_url) == 0) {
        return;
    }
    local_calls_cancel(s);
    char *url = mem_strdup(prometheus_url);
    free(s->url);
    s->url = url;
    s->base.prometheus_url = s->url;
    s->next_poll_ms = 0;
    if (s->env.self_monitor && s->conf != NULL) {
        s->config_dirty = true;
        local_files_flush(s);
    }
}

void local_shard_refresh(struct shard *shard)
{
    struct local_shard *s = of(shard);
    if (s->conf != NULL && s->assigned) {
        local_files_all_changed(s);
        local_files_flush(s);
        local_calls_want_reload(s);
    }
}

static void local_free(struct shard *shard)
{
    struct local_shard *s = of(shard);
    size_t it = 0;
    loop_timer_free(&s->timer);
    local_calls_cancel(s);
    for (struct local_entry *e; (e = hashmap_next(&s->entries, &it)) != NULL;) {
        target_unref(e->a.target);
        free(e);
    }
    hashmap_done(&s->entries);
    vec_done(&s->view);
    local_files_done(s);
    free(s->dir);
    free(s->target_dir);
    free(s->config_path);
    free(s->pending_path);
    free(s->url);
    s->magic = 0;
    free(s);
}

static const struct shard_ops LOCAL_OPS = {
    .set_config = local_set_config,
    .set_assignment = local_set_assignment,
    .assignment = local_assignment,
    .status = local_status,
    .info = local_info,
    .free = local_free,
};

static void env_defaults(struct local_env *env)
{
    env->poll_ms = env->poll_ms != 0 ? env->poll_ms : 10000;
    env->call_timeout_ms = env->call_timeout_ms != 0 ? env->call_timeout_ms : 5000;
    env->reload_timeout_ms = env->reload_timeout_ms != 0 ? env->reload_timeout_ms : 60000;
    env->leave_ms = env->leave_ms != 0 ? env->leave_ms : 30000;
}

static unsigned first_head_source(const struct local_env *env)
{
    return env->server == RENDER_VMAGENT ? HEAD_OF_VMAGENT
           : env->skip_head_series       ? HEAD_FROM_COUNTS
           : env->server == RENDER_AGENT ? HEAD_FROM_METRICS
                                         : HEAD_FROM_TSDB;
}

struct shard *local_shard_new(const struct local_env *env, const char *id, const char *replica, unsigned group,
                              const char *dir, const char *prometheus_url)
{
    struct local_shard *s = mem_calloc(1, sizeof(*s));
    s->magic = LOCAL_MAGIC;
    s->env = *env;
    env_defaults(&s->env);
    s->dir = mem_strdup(dir);
    s->target_dir = mem_printf("%s/targets", dir);
    s->config_path = env->config_path != NULL ? mem_strdup(env->config_path) : mem_printf("%s/prometheus.yml", dir);
    s->pending_path = env->pending_path != NULL ? mem_strdup(env->pending_path) : mem_printf("%s/reload.pending", dir);
    s->url = mem_strdup(prometheus_url);
    s->base = (struct shard){.ops = &LOCAL_OPS, .id = intern(id), .replica = intern(replica), .group = group};
    s->base.prometheus_url = s->url;
    s->log = (struct logctx){NULL, "shard", s->base.id};
    s->head_source = first_head_source(&s->env);
    s->info.health = SHARD_HEALTH_UNKNOWN;
    s->info.parts_max = env->parts_max;
    hashmap_init(&s->entries, entry_equal);
    update_idle(s);
    if (access(s->pending_path, F_OK) == 0) {
        local_calls_want_reload(s);
    }
    s->timer = loop_timer_new(env->loop, on_timer, s);
    loop_timer_start(s->timer, 0, TICK_MS);
    return &s->base;
}
