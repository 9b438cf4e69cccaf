/* A remote shard: see remote.h. Here is what it is wished to hold and what it holds, in one table by hash; calls are in
 * remote_calls.c. The table is compact, a coordinator has one for every target: a full struct target_status is made
 * when somebody asks. It must never tell a status that is older than the wish it would prove. */
#include "base/timebase.h"
#include "model/wire.h"
#include "shard/remote_priv.h"

#include <stdio.h>

static struct remote_shard *remote_of(const struct shard *s)
{
    struct remote_shard *r = (struct remote_shard *)(uintptr_t)s;
    MAGIC_CHECK(r, REMOTE_MAGIC);
    return r;
}

int64_t remote_now_ms(const struct remote_shard *s)
{
    return s->env.now_ms != NULL ? s->env.now_ms(s->env.data) : timebase_monotonic_ms();
}

/* ---------------------------------------------------------------- entries */

static bool hash_equal(const void *entry, const void *key)
{
    return ((const struct remote_entry *)entry)->hash == *(const uint64_t *)key;
}

struct remote_entry *remote_find_hash(const struct remote_shard *s, uint64_t hash)
{
    return hashmap_get(&s->entries, hash, &hash);
}

struct remote_entry *remote_find(const struct remote_shard *s, const char *job, uint64_t hash)
{
    struct remote_entry *e = remote_find_hash(s, hash);
    while (e != NULL && (e->target == NULL || e->target->job != job)) {
        e = e->same;
    }
    return e;
}

/* An entry for the target; one that knew the hash alone becomes it. */
struct remote_entry *remote_add(struct remote_shard *s, const struct target *t, uint64_t hash)
{
    struct remote_entry *head = remote_find_hash(s, hash);
    if (head != NULL && t != NULL && head->target == NULL) {
        head->target = target_ref(t);
        return head;
    }
    struct remote_entry *e = mem_calloc(1, sizeof(*e));
    e->hash = hash;
    e->target = t != NULL ? target_ref(t) : NULL;
    if (head == NULL) {
        hashmap_add(&s->entries, hash, e);
    } else {
        e->same = head->same;
        head->same = e;
        e->is_held = head->is_held;
        e->held_state = head->held_state;
    }
    return e;
}

static void entry_free(struct remote_entry *e)
{
    target_unref(e->target);
    free(e->error);
    free(e);
}

static void entry_remove(struct remote_shard *s, struct remote_entry *e)
{
    struct remote_entry *head = remote_find_hash(s, e->hash);
    if (head == e) {
        (void)hashmap_remove(&s->entries, e->hash, &e->hash);
        if (e->same != NULL) {
            hashmap_add(&s->entries, e->hash, e->same);
        }
    } else {
        while (head->same != e) {
            head = head->same;
        }
        head->same = e->same;
    }
    entry_free(e);
}

#define each_entry(s, e)                                                                                               \
    for (size_t it_ = 0, more_ = 1; more_ != 0; more_ = 0)                                                             \
        for (struct remote_entry * head_; (head_ = hashmap_next(&(s)->entries, &it_)) != NULL;)                        \
            for (struct remote_entry *e = head_; e != NULL; e = e->same)

void remote_drop_unused(struct remote_shard *s)
{
    vec_clear(&s->doomed);
    s->unknown = 0;
    each_entry(s, e)
    {
        if (!e->is_wished && !e->is_held) {
            *vec_push(&s->doomed) = e;
        }
        s->unknown += e->is_held && e->target == NULL;
    }
    vec_foreach(e, &s->doomed) {
        entry_remove(s, *e);
    }
}

void remote_resolve(struct remote_shard *s)
{
    if (s->unknown == 0 || s->env.find == NULL) {
        return;
    }
    vec_clear(&s->doomed);
    each_entry(s, e)
    {
        if (e->is_held && e->target == NULL) {
            *vec_push(&s->doomed) = e;
        }
    }
    vec_foreach(ep, &s->doomed) {
        const struct target *found[REMOTE_SAME_HASH_MAX];
        size_t count = s->env.find(s->env.data, (*ep)->hash, found, REMOTE_SAME_HASH_MAX);
        s->unknown -= count > 0;
        for (size_t i = 0; i < count; i++) {
            (void)remote_add(s, found[i], (*ep)->hash);
        }
    }
}

/* ---------------------------------------------------------------- the wish */

bool remote_config_in_sync(const struct remote_shard *s)
{
    return s->conf == NULL || s->config_refused || strcmp(s->info.config_hash, s->conf->hash) == 0 ||
           (s->config_known[0] != '\0' && strcmp(s->info.config_hash, s->config_known) == 0);
}

static void remote_set_config(struct shard *base, struct promconf *conf, uint64_t config_generation)
{
    struct remote_shard *s = remote_of(base);
    bool same = s->conf != NULL && strcmp(s->conf->hash, conf->hash) == 0;
    promconf_unref(s->conf);
    s->conf = promconf_ref(conf);
    s->config_generation = config_generation;
    if (!same) {
        if (strcmp(s->config_hash, conf->hash) != 0) {
            s->config_known[0] = '\0';
        }
        s->config_hash[0] = '\0';
        s->config_learn = s->config_refused = false;
        remote_push_want(&s->config);
        s->config.is_due = !s->is_read || !remote_config_in_sync(s);
    }
    remote_calls_go(s);
}

static bool wish_is_held(const struct remote_shard *s)
{
    each_entry(s, e)
    {
        bool is_held = e->is_held && e->held_state != ASSIGNMENT_LEAVING;
        if (e->is_wished != is_held || (is_held && e->wish_state != e->held_state)) {
            return false;
        }
    }
    return true;
}

static void wish_one(struct remote_shard *s, const struct assignment *a, uint64_t generation)
{
    struct remote_entry *e = remote_find(s, a->target->job, a->target->hash);
    if (e == NULL) {
        e = remote_add(s, a->target, a->target->hash);
    }
    bool is_new = !e->is_held || e->held_state == ASSIGNMENT_LEAVING || e->is_dropped;
    if (is_new && e->since_generation == 0) {
        e->since_generation = generation;
        e->has_status = false;
    }
    if (e->target != a->target) {
        target_unref(e->target);
        e->target = target_ref(a->target);
    }
    e->is_wished = true;
    e->is_dropped = false;
    e->wish_state = a->state;
    e->since_ms = a->since_ms;
}

static void remote_set_assignment(struct shard *base, const struct assignment *items, size_t count, uint64_t generation,
                                  uint64_t epoch)
{
    struct remote_shard *s = remote_of(base);
    each_entry(s, e)
    {
        e->is_wished = false;
    }
    for (size_t i = 0; i < count; i++) {
        wish_one(s, &items[i], generation);
    }
    each_entry(s, e)
    {
        e->since_generation = e->is_wished ? e->since_generation : 0;
        e->is_dropped = !e->is_wished;
    }
    remote_drop_unused(s);
    s->has_wish = true;
    s->wish_generation = generation;
    s->epoch = epoch;
    s->mismatches = 0;
    if (s->is_read && !s->info.has_generation && wish_is_held(s)) {
        s->acked_generation = generation; /* a Go sidecar reloads at every push: spare it one that changes nothing */
        s->assign.is_due = false;
    } else {
        remote_push_want(&s->assign);
    }
    remote_calls_go(s);
}

static void remote_drop_wish(struct shard *base)
{
    struct remote_shard *s = remote_of(base);
    if (s->step == REMOTE_STEP_CONFIG || s->step == REMOTE_STEP_ASSIGN || s->step == REMOTE_STEP_STOP) {
        remote_calls_cancel(s);
    }
    each_entry(s, e)
    {
        e->is_wished = false;
        e->since_generation = 0;
    }
    remote_drop_unused(s);
    s->has_wish = s->assign.is_due = false;
    s->epoch = 0;
    s->next_read_ms = 0;
    remote_calls_go(s);
}

/* ---------------------------------------------------------------- what it holds */

static const struct assignment *remote_assignment(struct shard *base, size_t *ret_count)
{
    struct remote_shard *s = remote_of(base);
    remote_resolve(s);
    vec_clear(&s->view);
    each_entry(s, e)
    {
        if (e->is_held && e->target != NULL) {
            *vec_push(&s->view) = (struct assignment){e->target, e->held_state, e->since_ms};
        }
    }
    *ret_count = s->view.len;
    return s->view.items;
}

static const struct target_status *remote_status(const struct shard *base, const char *job, uint64_t hash)
{
    struct remote_shard *s = remote_of(base);
    const struct remote_entry *e = remote_find(s, job, hash);
    if (e == NULL || !e->has_status || e->held_state == ASSIGNMENT_LEAVING) {
        return NULL;
    }
    s->scratch = (struct target_status){
        .health = e->health,
        .last_scrape_ms = e->last_scrape_ms,
        .last_duration_us = e->duration_us,
        .series = e->series,
        .scraped = e->scraped,
        .history = {e->series},
        .history_len = e->last_scrape_ms > 0,
        .scrapes = e->scrapes,
        .good_scrapes = e->good_scrapes,
    };
    if (e->error != NULL) {
        snprintf(s->scratch.error, sizeof(s->scratch.error), "%s", e->error);
    }
    return &s->scratch;
}

static const struct shard_info *remote_info(const struct shard *base)
{
    return &remote_of(base)->info;
}

void remote_show_error(struct remote_shard *s)
{
    const char *const TEXTS[] = {s->read_error, s->assign.error, s->config.error, s->stop.error, s->shard_error};
    s->info.error[0] = '\0';
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        if (TEXTS[i][0] != '\0') {
            snprintf(s->info.error, sizeof(s->info.error), "%s", TEXTS[i]);
            return;
        }
    }
}

/* ---------------------------------------------------------------- life */

static void remote_free(struct shard *base)
{
    struct remote_shard *s = remote_of(base);
    remote_calls_cancel(s);
    loop_timer_free(&s->timer);
    vec_clear(&s->doomed);
    each_entry(s, e)
    {
        *vec_push(&s->doomed) = e;
    }
    vec_foreach(e, &s->doomed) {
        entry_free(*e);
    }
    hashmap_done(&s->entries);
    vec_done(&s->doomed);
    vec_done(&s->view);
    promconf_unref(s->conf);
    free(s->stop_reason);
    free(s->stop_found);
    s->magic = 0;
    free(s);
}

static void on_timer(void *data)
{
    remote_calls_go(data);
}

struct shard *remote_shard_new(const struct remote_env *env, const char *id, const char *replica, unsigned group,
                               const char *api_url)
{
    static const struct shard_ops OPS = {
        .set_config = remote_set_config,
        .set_assignment = remote_set_assignment,
        .assignment = remote_assignment,
        .status = remote_status,
        .info = remote_info,
        .drop_wish = remote_drop_wish,
        .free = remote_free,
    };
    struct remote_shard *s = mem_calloc(1, sizeof(*s));
    *s = (struct remote_shard){
        .base = {.ops = &OPS, .id = id, .replica = replica, .group = group, .prometheus_url = "", .api_url = api_url},
        .magic = REMOTE_MAGIC,
        .env = *env,
        .stop_reason = mem_strdup(""),
    };
    s->env.poll_ms = env->poll_ms > 0 ? env->poll_ms : 10000;
    s->env.read_timeout_ms = env->read_timeout_ms > 0 ? env->read_timeout_ms : 5000;
    s->env.write_timeout_ms = env->write_timeout_ms > 0 ? env->write_timeout_ms : 30000;
    hashmap_init(&s->entries, hash_equal);
    s->timer = env->loop != NULL ? loop_timer_new(env->loop, on_timer, s) : NULL;
    s->ticket.data = s;
    remote_calls_go(s);
    return &s->base;
}

void remote_shard_set_stop_reason(struct shard *base, const char *reason)
{
    struct remote_shard *s = remote_of(base);
    if (strcmp(s->stop_reason, reason) == 0) {
        return;
    }
    free(s->stop_reason);
    s->stop_reason = mem_strdup(reason);
    remote_push_want(&s->stop);
    remote_calls_go(s);
}

void remote_shard_set_word(struct shard *base, const char *config_hash, const char *word)
{
    struct remote_shard *s = remote_of(base);
    snprintf(s->config_hash, sizeof(s->config_hash), "%s", config_hash);
    snprintf(s->config_known, sizeof(s->config_known), "%s", word);
}

void remote_shard_read_soon(struct shard *base)
{
    struct remote_shard *s = remote_of(base);
    if (s->failures == 0) {
        s->next_read_ms = 0;
    }
    remote_calls_go(s);
}

void remote_shard_tick(struct shard *base)
{
    remote_calls_go(remote_of(base));
}
