/* State on disk: the registry's wish and sizes, saved before a wish is pushed, restored before the first round; with
 * what the shards know: proofs of moves, and targets that are leaving, for they are served for a while yet. */
#include "api/appliance_impl.h"
#include "base/intern.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "shard/local.h"
#include "shard/state.h"

#include <stdio.h>

static const struct logctx LOG = {NULL, "component", "appliance"};

static void status_of(const struct registry_entry *e, struct target_status *ret)
{
    *ret = (struct target_status){
        .health = e->health,
        .last_scrape_ms = e->last_scrape_ms,
        .last_duration_us = e->last_duration_us,
        .series = e->series,
        .scraped = e->scraped,
        .history_len = e->history_len,
    };
    memcpy(ret->history, e->history, sizeof(ret->history));
}

struct owned {
    uint32_t group;
    enum owner_state state;
    int64_t since_ms;
    const struct registry_entry *entry;
};

static int by_group(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    return (x->group > y->group) - (x->group < y->group);
}

/* The proofs of a move are the shard's, the size is everybody's. */
static void add_proofs(const struct appliance *a, const char *shard_id, const struct owned *o,
                       struct target_status *status)
{
    const struct target *t = o->entry->target;
    const struct shard *s = reconcile_shard_by_id(a->reconcile, shard_id);
    const struct target_status *known = s != NULL ? s->ops->status(s, t->job, t->hash) : NULL;
    if (known != NULL) {
        status->scrapes = known->scrapes;
        status->good_scrapes = known->good_scrapes;
    }
}

static void add_owned(const struct appliance *ap, struct state_shard *shard, const struct owned *o)
{
    struct target_status status;
    const struct assignment a = {
        .target = o->entry->target,
        .state = o->state == OWNER_IN_TRANSFER ? ASSIGNMENT_IN_TRANSFER : ASSIGNMENT_ASSIGNED,
        .since_ms = o->since_ms,
    };
    status_of(o->entry, &status);
    add_proofs(ap, shard->id, o, &status);
    state_add_target(shard, &a, &status);
}

struct leaving {
    struct state *st;
    const struct registry *reg;
    const char *shard_id;
    unsigned group;
    struct state_shard *to; /* NULL until there is something to add */
};

/* Held, but not wished for any more: whether the shard was told yet or not, it leaves. */
static void add_leaving(void *data, const struct assignment *held, const struct target_status *status)
{
    struct leaving *l = data;
    struct registry_entry *e = registry_find(l->reg, held->target->job, held->target->hash);
    struct assignment a = *held;
    if (e != NULL && entry_owner(e, l->group) != NULL) {
        return;
    }
    for (size_t i = 0; l->to == NULL && i < l->st->shard_count; i++) {
        l->to = l->st->shards[i].id == l->shard_id ? &l->st->shards[i] : NULL;
    }
    l->to = l->to != NULL ? l->to : state_add_shard(l->st, l->shard_id);
    a.state = ASSIGNMENT_LEAVING;
    state_add_target(l->to, &a, status);
}

static void add_all_leaving(struct state *st, const struct appliance *a)
{
    size_t group_count;
    const struct reconcile_group *groups = reconcile_groups(a->reconcile, &group_count);
    for (size_t i = 0; i < group_count; i++) {
        vec_foreach(r, &groups[i].replicas) {
            struct leaving l = {st, reconcile_registry(a->reconcile), r->shard->id, groups[i].id, NULL};
            local_shard_each(r->shard, add_leaving, &l);
        }
    }
}

static void add_shards(struct state *st, const struct appliance *a)
{
    const struct registry *reg = reconcile_registry(a->reconcile);
    VEC(struct owned) all = {0};
    struct state_shard *shard = NULL;
    vec_foreach(ep, &reg->entries) {
        vec_foreach(o, &(*ep)->owners) {
            *vec_push(&all) = (struct owned){o->group, o->state, o->since_ms, *ep};
        }
    }
    if (all.len > 1) {
        qsort(all.items, all.len, sizeof(*all.items), by_group);
    }
    for (size_t i = 0; i < all.len; i++) {
        if (i == 0 || all.items[i].group != all.items[i - 1].group) {
            char id[32];
            snprintf(id, sizeof(id), "shard-%u", all.items[i].group);
            shard = state_add_shard(st, intern(id));
        }
        add_owned(a, shard, &all.items[i]);
    }
    vec_done(&all);
}

void appliance_save(void *data)
{
    struct appliance *a = data;
    struct errctx err = ERRCTX_INIT;
    struct state *st = state_new();
    st->saved_ms = timebase_realtime_ms();
    st->generation = a->table_generation;
    st->wanted_groups = a->provider->ops->desired(a->provider);
    st->stop_reason = mem_strdup(a->stop_reason);
    add_shards(st, a);
    add_all_leaving(st, a);
    if (state_save(a->state_path, st, &err) != 0) {
        metric_add(METRIC_SHARD_STATE_SAVE_FAILURES, 1);
        log_error(&LOG, "save state", "err", err.msg, "action", "go on, try again within a minute");
    }
    state_free(&st);
}

static void restore_shard(struct appliance *a, const struct state_shard *shard)
{
    unsigned group;
    if (sscanf(shard->id, "shard-%u", &group) != 1) {
        return;
    }
    for (size_t i = 0; i < shard->target_count; i++) {
        const struct state_target *t = &shard->targets[i];
        if (t->a.state == ASSIGNMENT_LEAVING) {
            continue;
        }
        struct registry_entry *e = reconcile_restore(a->reconcile, t->a.target);
        if (t->status.history_len > 0) {
            e->series = t->status.series;
            e->scraped = t->status.scraped;
            memcpy(e->history, t->status.history, sizeof(e->history));
            e->history_len = t->status.history_len;
            e->size_known = true;
        }
        e->health = t->status.health;
        e->last_scrape_ms = t->status.last_scrape_ms;
        entry_set_owner(e, group, t->a.state == ASSIGNMENT_IN_TRANSFER ? OWNER_IN_TRANSFER : OWNER_ASSIGNED,
                        t->a.since_ms);
    }
}

void appliance_restore(struct appliance *a)
{
    struct errctx err = ERRCTX_INIT;
    struct state *st = NULL;
    int rc = state_read(a->state_path, &st, &err);
    if (rc == ERR_NOT_FOUND) {
        errctx_clear(&err);
        rc = state_import(a->o->store_path, intern("shard-0"), &st, &err);
    }
    if (rc != 0) {
        if (rc != ERR_NOT_FOUND) {
            log_error(&LOG, "load state", "err", err.msg, "action", "begin with an empty assignment");
        }
        return;
    }
    if (st->fallback != NULL) {
        log_error(&LOG, "load state", "err", st->fallback, "action", "begin with what was stored the time before");
    }
    size_t targets = 0;
    for (size_t i = 0; i < st->shard_count; i++) {
        restore_shard(a, &st->shards[i]);
        targets += st->shards[i].target_count;
    }
    a->table_generation = st->generation;
    if (st->stop_reason != NULL) {
        free(a->stop_reason);
        a->stop_reason = mem_strdup(st->stop_reason);
    }
    log_info(&LOG, "load state", "targets", log_num((int64_t)targets), "shards", log_num((int64_t)st->shard_count));
    a->restored = st;
}

/* Once per shard: a later one of the same name is another. */
void appliance_restore_shard(struct appliance *a, struct shard *s)
{
    for (size_t i = 0; a->restored != NULL && i < a->restored->shard_count; i++) {
        struct state_shard *from = &a->restored->shards[i];
        if (from->id == s->id) {
            local_shard_restore_state(s, from, from->generation, from->epoch);
            from->id = "";
        }
    }
}
