/* The registry: see registry.h. Discovery results replace a job's set as a whole; what is missing is not removed here
 * but marked as vanished, because only the plan may decide to forget (grace, completeness). */
#include "balancer/registry.h"

#include "model/scrape_record.h"

struct key {
    const char *job;
    uint64_t hash;
};

static bool entry_equal(const void *entry, const void *key)
{
    const struct registry_entry *e = entry;
    const struct key *k = key;
    return e->target->job == k->job && e->target->hash == k->hash;
}

void registry_init(struct registry *r)
{
    *r = (struct registry){0};
    hashmap_init(&r->by_key, entry_equal);
}

static void entry_free(struct registry_entry *e)
{
    if (e->giant != NULL) {
        vec_done(&e->giant->parts);
        free(e->giant);
    }
    target_unref(e->target);
    labels_unref(e->discovered);
    free(e->error);
    free(e->reason);
    free(e->decision.reason);
    vec_done(&e->owners);
    free(e);
}

static void clear_rejects(struct registry_job *j)
{
    vec_foreach(x, &j->rejects) {
        labels_unref(x->discovered);
        free(x->error);
    }
    vec_clear(&j->rejects);
    memset(j->counts, 0, sizeof(j->counts));
}

void registry_done(struct registry *r)
{
    vec_foreach(e, &r->entries) {
        entry_free(*e);
    }
    vec_foreach(j, &r->jobs) {
        clear_rejects(*j);
        vec_done(&(*j)->rejects);
        free(*j);
    }
    vec_done(&r->entries);
    vec_done(&r->giants);
    vec_done(&r->jobs);
    hashmap_done(&r->by_key);
}

struct registry_entry *registry_find(const struct registry *r, const char *job, uint64_t hash)
{
    struct key k = {job, hash};
    return hashmap_get(&r->by_key, target_key_hash(job, hash), &k);
}

struct registry_entry *registry_restore(struct registry *r, const struct target *t)
{
    struct registry_entry *e = registry_find(r, t->job, t->hash);
    if (e != NULL) {
        return e;
    }
    e = mem_calloc(1, sizeof(*e));
    e->target = target_ref(t);
    e->state = LEDGER_EXPLORING;
    hashmap_add(&r->by_key, target_key_hash(t->job, t->hash), e);
    e->index = r->entries.len;
    *vec_push(&r->entries) = e;
    registry_note_part(r, e);
    return e;
}

void registry_remove(struct registry *r, struct registry_entry *e)
{
    struct key k = {e->target->job, e->target->hash};
    registry_unlink(r, e);
    hashmap_remove(&r->by_key, target_key_hash(k.job, k.hash), &k);
    struct registry_entry *last = r->entries.items[r->entries.len - 1];
    r->entries.items[e->index] = last;
    last->index = e->index;
    r->entries.len--;
    entry_free(e);
}

static struct registry_job *job_of(struct registry *r, const char *job)
{
    vec_foreach(j, &r->jobs) {
        if ((*j)->job == job) {
            return *j;
        }
    }
    struct registry_job *j = mem_calloc(1, sizeof(*j));
    j->job = job;
    *vec_push(&r->jobs) = j;
    return j;
}

/* keep_dropped_targets bounds what is remembered of dropped ones, never what is counted. */
static void take_reject(struct registry_job *j, struct built_target *b, uint64_t keep_dropped)
{
    uint64_t count = ++j->counts[b->state];
    if (b->state == LEDGER_DROPPED && keep_dropped != 0 && count > keep_dropped) {
        return;
    }
    *vec_push(&j->rejects) = (struct registry_reject){b->state, b->discovered, b->error};
    b->discovered = NULL;
    b->error = NULL;
}

static void take_item(struct registry *r, struct built_target *b, size_t *added)
{
    struct registry_entry *e = registry_find(r, b->target->job, b->target->hash);
    if (e != NULL && target_is_part(e->target)) { /* a shard lied: discovery knows no parts */
        registry_remove(r, e);
        e = NULL;
    }
    if (e == NULL) {
        e = registry_restore(r, b->target);
        ++*added;
    }
    e->replaced = strcmp(e->target->url, b->target->url) != 0 || e->target->interval_ms != b->target->interval_ms ||
                  e->target->timeout_ms != b->target->timeout_ms;
    target_unref(e->target);
    e->target = b->target;
    b->target = NULL;
    labels_unref(e->discovered);
    e->discovered = b->discovered;
    b->discovered = NULL;
    e->over_limit = b->state == LEDGER_OVER_LIMIT;
    e->discovered_now = true;
    e->vanished_ms = 0;
    e->mark = r->mark;
}

static bool place_equal(const void *entry, const void *key)
{
    return ((const struct registry_entry *)entry)->target->place_key == *(const uint64_t *)key;
}

/* A label edit makes a new hash at an old place: the newcomer is as large as the one it replaces. */
static void inherit_sizes(struct registry *r, const char *job)
{
    struct hashmap vanished;
    hashmap_init(&vanished, place_equal);
    vec_foreach(e, &r->entries) {
        struct registry_entry *old = *e;
        if (old->target->job == job && old->vanished_ms != 0 && old->size_known &&
            hashmap_get(&vanished, old->target->place_key, &old->target->place_key) == NULL) {
            hashmap_add(&vanished, old->target->place_key, old);
        }
    }
    for (size_t i = 0; vanished.len > 0 && i < r->entries.len; i++) {
        struct registry_entry *e = r->entries.items[i];
        const struct registry_entry *old = NULL;
        if (e->target->job == job && !e->size_known && e->vanished_ms == 0) {
            old = hashmap_get(&vanished, e->target->place_key, &e->target->place_key);
        }
        if (old != NULL) {
            e->series = old->series;
            e->scraped = old->scraped;
            e->size_known = true;
            if (old->giant != NULL && e->owners.len == 0) { /* as many parts: each keeps its shard */
                registry_giant(r, e)->split.running = old->giant->split.running;
            }
        }
    }
    hashmap_done(&vanished);
}

void registry_take_job(struct registry *r, struct built_job *b, int64_t now_ms, size_t *ret_added)
{
    struct registry_job *j = job_of(r, b->job);
    size_t added = 0;
    r->mark++;
    clear_rejects(j);
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].state == LEDGER_PENDING || b->items[i].state == LEDGER_OVER_LIMIT) {
            take_item(r, &b->items[i], &added);
        } else {
            take_reject(j, &b->items[i], b->keep_dropped);
        }
    }
    vec_foreach(e, &r->entries) {
        bool is_missing = (*e)->target->job == b->job && (*e)->mark != r->mark;
        if (is_missing && !target_is_part((*e)->target)) {
            (*e)->discovered_now = false;
            if ((*e)->vanished_ms == 0) {
                (*e)->vanished_ms = now_ms;
            }
        }
    }
    inherit_sizes(r, b->job);
    built_job_done(b);
    *ret_added = added;
}

void registry_add_rejects(const struct registry *r, uint64_t ledger[LEDGER_STATE_COUNT])
{
    vec_foreach(j, &r->jobs) {
        for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
            ledger[s] += (*j)->counts[s];
        }
    }
}

/* A change by more than half is taken at once: a target that grew must not look small for two more scrapes. */
static void take_size(struct registry_entry *e, const struct scrape_record *rec)
{
    uint64_t mean = 0;
    uint64_t gap = rec->series > e->series ? rec->series - e->series : e->series - rec->series;
    if (e->history_len > 0 && gap > e->series / 2) {
        e->history_len = 0;
    }
    memmove(&e->history[1], &e->history[0], 2 * sizeof(e->history[0]));
    e->history[0] = rec->series;
    e->history_len = e->history_len < 3 ? e->history_len + 1 : 3;
    for (uint32_t i = 0; i < e->history_len; i++) {
        mean += e->history[i];
    }
    e->series = mean / e->history_len;
    e->scraped = rec->scraped;
    e->size_known = true;
}

struct registry_entry *registry_record(struct registry *r, const struct scrape_record *rec)
{
    struct registry_entry *e = registry_find(r, rec->job, rec->hash);
    if (e == NULL) {
        return NULL;
    }
    e->health = rec->health;
    e->last_scrape_ms = rec->started_ms;
    e->last_duration_us = rec->duration_us;
    MEM_FREE(e->error);
    if (rec->error[0] != '\0') {
        e->error = mem_strdup(rec->error);
    }
    if (rec->health == TARGET_HEALTH_UP) {
        take_size(e, rec);
    }
    if (rec->health == TARGET_HEALTH_UP && e->whole != NULL && rec->whole_scraped != 0) {
        struct scrape_record whole = *rec;
        whole.series = rec->whole_series;
        whole.scraped = rec->whole_scraped;
        take_size(e->whole, &whole);
    }
    return e;
}

void registry_status(struct registry_entry *e, const struct target_status *st, int64_t now_ms)
{
    int64_t at_ms = st->last_scrape_ms < now_ms ? st->last_scrape_ms : now_ms;
    bool is_older = at_ms < e->last_scrape_ms && e->last_scrape_ms <= now_ms;
    if (at_ms <= 0 || is_older) {
        return;
    }
    e->health = st->health;
    e->last_scrape_ms = at_ms;
    e->last_duration_us = st->last_duration_us;
    if (st->error[0] == '\0') {
        MEM_FREE(e->error);
    } else if (e->error == NULL || strcmp(e->error, st->error) != 0) {
        free(e->error);
        e->error = mem_strdup(st->error);
    }
    if (st->health == TARGET_HEALTH_UP || st->series > 0) { /* the mean is the shard's, over its own scrapes */
        e->series = e->history[0] = st->series;
        e->history_len = 1;
        e->scraped = st->scraped;
        e->size_known = true;
    }
    if (e->whole != NULL && st->whole_scraped != 0) {
        e->whole->series = e->whole->history[0] = st->whole_series;
        e->whole->history_len = 1;
        e->whole->scraped = st->whole_scraped;
        e->whole->size_known = true;
    }
}

bool registry_has_job(const struct registry *r, const char *job)
{
    vec_foreach(j, &r->jobs) {
        if ((*j)->job == job) {
            return true;
        }
    }
    return false;
}

size_t registry_find_hash(const struct registry *r, uint64_t hash, const struct target **ret, size_t max)
{
    size_t count = 0;
    vec_foreach(j, &r->jobs) {
        const struct registry_entry *e = count < max ? registry_find(r, (*j)->job, hash) : NULL;
        if (e != NULL) {
            ret[count++] = e->target;
        }
    }
    return count;
}

struct owner *entry_owner(struct registry_entry *e, uint32_t group)
{
    vec_foreach(o, &e->owners) {
        if (o->group == group) {
            return o;
        }
    }
    return NULL;
}

void entry_set_owner(struct registry_entry *e, uint32_t group, enum owner_state state, int64_t now_ms)
{
    struct owner *o = entry_owner(e, group);
    if (o == NULL) {
        o = vec_push(&e->owners);
        o->group = group;
        o->since_ms = now_ms;
    } else if (o->state != state) {
        o->since_ms = now_ms;
    }
    o->state = state;
}

void entry_drop_owner(struct registry_entry *e, uint32_t group)
{
    for (size_t i = 0; i < e->owners.len; i++) {
        if (e->owners.items[i].group == group) {
            vec_remove(&e->owners, i);
            return;
        }
    }
}
