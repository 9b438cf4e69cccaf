/* The round: see reconcile.h. Callbacks record facts and at most ask for a round soon; decisions are made in round()
 * alone, at the daemon's own pace. A plan is applied to the wish (registry owners), the wish is pushed to the shards as
 * a whole, and what the shards acknowledge comes back as facts of the next round. */
#include "balancer/reconcile.h"
#include "balancer/groups.h"
#include "balancer/snapshot.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>

#define KICK_MS       300
#define PROBE_TICK_MS 200

static const struct logctx LOG = {NULL, "component", "balancer"};

struct reconcile {
    struct reconcile_conf conf;
    struct reconcile_env env;
    struct registry registry;
    struct groups groups;
    struct explore *explore;
    struct promconf *promconf;
    uint64_t config_generation;
    struct loop_timer *round_timer, *probe_timer;
    VEC(struct reconcile_move) moves; /* oldest first */
    uint64_t ledger[LEDGER_STATE_COUNT];
    unsigned wanted;
    char *wanted_reason;
    uint64_t rounds;
    bool started, kicked; /* kicked: a round is due within KICK_MS */
};

/* ---------------------------------------------------------------- moves, for people */

static void move_begin(struct reconcile *r, const struct plan_action *a, const struct target *t, int64_t now_ms)
{
    if (r->moves.len == RECONCILE_MOVES_MAX) {
        free(r->moves.items[0].url);
        free(r->moves.items[0].reason);
        vec_remove(&r->moves, 0);
    }
    *vec_push(&r->moves) = (struct reconcile_move){
        .started_ms = now_ms,
        .job = t->job,
        .hash = t->hash,
        .url = mem_strdup(t->url),
        .reason = mem_strdup(a->reason != NULL ? a->reason : ""),
        .from = a->from,
        .to = a->to,
    };
    metric_add(METRIC_BALANCER_MOVES_STARTED, 1);
}

static void move_end(struct reconcile *r, const struct plan_action *a, enum move_state state, int64_t now_ms)
{
    for (size_t i = r->moves.len; i-- > 0;) {
        struct reconcile_move *m = &r->moves.items[i];
        if (m->state == MOVE_RUNNING && m->job == a->job && m->hash == a->hash) {
            m->state = state;
            m->ended_ms = now_ms;
            break;
        }
    }
    metric_add(METRIC_BALANCER_MOVES_ENDED, 1, state == MOVE_FINISHED ? "finished" : "undone");
}

static void log_action(const struct plan_action *a, const struct target *t)
{
    log_info(&LOG, plan_action_name(a->type), "scrape_job", t->job, "url", t->url, "from",
             a->from >= 0 ? log_num(a->from) : NULL, "to", a->to >= 0 ? log_num(a->to) : NULL, "reason", a->reason);
}

/* ---------------------------------------------------------------- applying a plan */

static void touch(struct reconcile *r, int32_t group)
{
    if (group >= 0) {
        groups_get(&r->groups, (uint32_t)group)->dirty = true;
    }
}

static void leave(struct reconcile *r, struct registry_entry *e, uint32_t group, int64_t now_ms)
{
    entry_drop_owner(e, group);
    struct reconcile_group *g = groups_get(&r->groups, group);
    g->dirty = true;
    *vec_push(&g->left) = (struct left_series){now_ms, e->series};
}

static void leave_all(struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    while (e->owners.len > 0) {
        leave(r, e, e->owners.items[0].group, now_ms);
    }
}

static void apply_action(struct reconcile *r, const struct plan_action *a, int64_t now_ms)
{
    struct registry_entry *e = registry_find(&r->registry, a->job, a->hash);
    if (e == NULL) {
        return;
    }
    log_action(a, e->target);
    switch (a->type) {
    case PLAN_ASSIGN:
        entry_set_owner(e, (uint32_t)a->to, OWNER_ASSIGNED, now_ms);
        explore_remove(r->explore, a->job, a->hash);
        break;
    case PLAN_MOVE_START:
        entry_set_owner(e, (uint32_t)a->from, OWNER_IN_TRANSFER, now_ms);
        entry_set_owner(e, (uint32_t)a->to, OWNER_ASSIGNED, now_ms);
        e->last_move_ms = now_ms;
        move_begin(r, a, e->target, now_ms);
        break;
    case PLAN_MOVE_FINISH:
        leave(r, e, (uint32_t)a->from, now_ms);
        move_end(r, a, MOVE_FINISHED, now_ms);
        break;
    case PLAN_MOVE_UNDO:
        if (a->to >= 0) {
            leave(r, e, (uint32_t)a->to, now_ms);
        }
        if (a->from >= 0) {
            entry_set_owner(e, (uint32_t)a->from, OWNER_ASSIGNED, now_ms);
        }
        move_end(r, a, MOVE_UNDONE, now_ms);
        break;
    case PLAN_FORGET:
        leave_all(r, e, now_ms);
        explore_remove(r->explore, a->job, a->hash);
        registry_remove(&r->registry, e);
        break;
    }
    touch(r, a->from);
    touch(r, a->to);
}

static void apply_scale(struct reconcile *r, const struct plan *p)
{
    unsigned desired = r->env.provider->ops->desired(r->env.provider);
    if (p->wanted_groups != r->wanted || r->wanted_reason == NULL ||
        (p->wanted_reason != NULL && strcmp(p->wanted_reason, r->wanted_reason) != 0)) {
        free(r->wanted_reason);
        r->wanted_reason = mem_strdup(p->wanted_reason != NULL ? p->wanted_reason : "");
    }
    r->wanted = p->wanted_groups;
    metric_set(METRIC_BALANCER_WANTED_GROUPS, p->wanted_groups);
    if (p->wanted_groups != desired) {
        log_info(&LOG, "scale", "from", log_num(desired), "to", log_num(p->wanted_groups), "reason", r->wanted_reason);
    }
    if (!r->conf.dry_run) {
        r->env.provider->ops->scale(r->env.provider, p->wanted_groups, r->wanted_reason);
    }
}

static void take_verdicts(struct reconcile *r, const struct plan_input *in, const struct plan *p,
                          struct registry_entry **entries)
{
    memcpy(r->ledger, p->ledger, sizeof(r->ledger));
    for (size_t i = 0; i < in->target_count; i++) {
        struct registry_entry *e = entries[i];
        e->state = p->target_states[i];
        const char *reason = p->target_reasons[i];
        if (e->reason == NULL || reason == NULL || strcmp(e->reason, reason) != 0) {
            free(e->reason);
            e->reason = reason != NULL ? mem_strdup(reason) : NULL;
        }
    }
    vec_foreach(e, &r->registry.entries) {
        r->ledger[LEDGER_OVER_LIMIT] += (*e)->over_limit;
        if ((*e)->over_limit) {
            (*e)->state = LEDGER_OVER_LIMIT;
        }
    }
    vec_foreach(j, &r->registry.jobs) {
        vec_foreach(x, &(*j)->rejects) {
            r->ledger[x->state]++;
        }
    }
}

static void take_loads(struct reconcile *r, const struct plan *p, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct reconcile_group *g = groups_find(&r->groups, p->loads[i].id);
        if (g == NULL) {
            continue;
        }
        g->load_series = p->loads[i].series;
        g->load_scraped = p->loads[i].scraped;
        g->targets = p->loads[i].targets;
        if (g->targets > 0) {
            g->idle_since_ms = 0;
        } else if (g->idle_since_ms == 0) {
            g->idle_since_ms = now_ms;
        }
    }
}

static void export_ledger(const struct reconcile *r)
{
    uint64_t sum = 0;
    for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
        sum += r->ledger[s];
        metric_set(METRIC_BALANCER_LEDGER_TARGETS, (double)r->ledger[s], ledger_state_name((enum ledger_state)s));
    }
    metric_set(METRIC_BALANCER_DISCOVERED_TARGETS, (double)sum);
}

/* ---------------------------------------------------------------- the round */

/* Asked only for groups without a shard, which are few. */
static bool somebody_owns(void *data, uint32_t group)
{
    struct reconcile *r = data;
    vec_foreach(e, &r->registry.entries) {
        if (entry_owner(*e, group) != NULL) {
            return true;
        }
    }
    return false;
}

/* All providers listed, all first discoveries done, every existing shard heard of, or silent for longer than the grace.
 */
static bool is_complete(struct reconcile *r, int64_t now_ms)
{
    if (!r->env.provider->ops->is_known(r->env.provider) || !r->env.is_discovered(r->env.data)) {
        return false;
    }
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            bool given_up = g->listed_ms != 0 && now_ms - g->listed_ms > r->conf.limits.failover_grace_ms;
            if (rep->shard->ops->info(rep->shard)->last_seen_ms == 0 && !given_up) {
                return false;
            }
        }
    }
    return true;
}

static void drop_over_limit(struct reconcile *r, int64_t now_ms)
{
    vec_foreach(e, &r->registry.entries) {
        if ((*e)->over_limit && (*e)->owners.len > 0) {
            leave_all(r, *e, now_ms);
        }
    }
}

static void plan_and_apply(struct reconcile *r, int64_t now_ms)
{
    struct arena *arena = arena_new();
    struct plan_input in;
    struct registry_entry **entries;
    const struct snapshot_source src = {
        .registry = &r->registry,
        .explore = r->explore,
        .groups = r->groups.items.items,
        .group_count = r->groups.items.len,
        .limits = r->conf.limits,
        .now_ms = now_ms,
        .vanish_grace_ms = r->conf.vanish_grace_ms,
        .desired_groups = r->env.provider->ops->desired(r->env.provider),
        .complete = is_complete(r, now_ms),
    };
    snapshot_build(arena, &src, &in, &entries);
    struct plan *p = plan_build(&in);
    take_verdicts(r, &in, p, entries);
    take_loads(r, p, in.group_count, now_ms);
    for (size_t i = 0; !r->conf.dry_run && i < p->action_count; i++) {
        apply_action(r, &p->actions[i], now_ms);
    }
    apply_scale(r, p);
    if (p->action_count > 0) {
        r->env.save(r->env.data);
    }
    plan_free(&p);
    arena_free(&arena);
}

static void round_run(void *data)
{
    struct reconcile *r = data;
    int64_t now_ms = timebase_realtime_ms(), begin_us = timebase_monotonic_us();
    r->kicked = false;
    const struct groups_env env = {
        .provider = r->env.provider,
        .make_shard = r->env.make_shard,
        .on_shard_gone = r->env.on_shard_gone,
        .data = r->env.data,
        .conf = r->promconf,
        .config_generation = r->config_generation,
    };
    bool changed = groups_sync(&r->groups, &env, somebody_owns, r);
    /* Nothing is decided before every job has been discovered once: a partial view would scale and place wrongly. */
    if (r->promconf != NULL && r->env.is_discovered(r->env.data)) {
        drop_over_limit(r, now_ms);
        plan_and_apply(r, now_ms);
    }
    groups_push(&r->groups, &r->registry, 0);
    export_ledger(r);
    groups_export(&r->groups, r->conf.limits.series, changed);
    r->rounds++;
    metric_cell_observe(metric_cell(METRIC_BALANCER_ROUND_DURATION_SECONDS),
                        (double)(timebase_monotonic_us() - begin_us) / 1e6);
    loop_timer_start(r->round_timer, r->conf.interval_ms, 0);
}

static void probe_due(void *data)
{
    struct reconcile *r = data;
    int64_t now_ms = timebase_realtime_ms();
    const struct target *t;
    while ((t = explore_next(r->explore, now_ms)) != NULL) {
        r->env.probe(r->env.data, t);
    }
}

/* ---------------------------------------------------------------- life */

struct reconcile *reconcile_new(const struct reconcile_conf *conf, const struct reconcile_env *env)
{
    struct reconcile *r = mem_calloc(1, sizeof(*r));
    r->conf = *conf;
    r->env = *env;
    registry_init(&r->registry);
    r->explore = explore_new(&conf->explore);
    r->round_timer = loop_timer_new(env->loop, round_run, r);
    r->probe_timer = loop_timer_new(env->loop, probe_due, r);
    return r;
}

void reconcile_free(struct reconcile **handle)
{
    struct reconcile *r = *handle;
    if (r == NULL) {
        return;
    }
    loop_timer_free(&r->round_timer);
    loop_timer_free(&r->probe_timer);
    groups_done(&r->groups);
    explore_free(&r->explore);
    registry_done(&r->registry);
    vec_foreach(m, &r->moves) {
        free(m->url);
        free(m->reason);
    }
    vec_done(&r->moves);
    free(r->wanted_reason);
    promconf_unref(r->promconf);
    free(r);
    *handle = NULL;
}

void reconcile_start(struct reconcile *r)
{
    r->started = true;
    /* The first shard need not wait for the first plan: there is always one. */
    if (r->env.provider->ops->is_known(r->env.provider) && r->env.provider->ops->desired(r->env.provider) == 0 &&
        r->conf.limits.min_groups > 0 && !r->conf.dry_run) {
        r->env.provider->ops->scale(r->env.provider, r->conf.limits.min_groups, "the first shards");
    }
    loop_timer_start(r->probe_timer, PROBE_TICK_MS, PROBE_TICK_MS);
    round_run(r);
}

void reconcile_kick(struct reconcile *r)
{
    /* Not put off by further kicks: facts that keep coming must not keep the round away. */
    if (r->started && !r->kicked) {
        r->kicked = true;
        loop_timer_start(r->round_timer, KICK_MS, 0);
    }
}

void reconcile_set_config(struct reconcile *r, struct promconf *conf)
{
    promconf_unref(r->promconf);
    r->promconf = promconf_ref(conf);
    r->config_generation++;
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            rep->shard->ops->set_config(rep->shard, conf, r->config_generation);
        }
    }
    reconcile_kick(r);
}

uint64_t reconcile_config_generation(const struct reconcile *r)
{
    return r->config_generation;
}

/* ---------------------------------------------------------------- facts coming in */

static void push_replaced(struct reconcile *r, struct registry_entry *e)
{
    vec_foreach(o, &e->owners) {
        if (e->replaced) {
            groups_get(&r->groups, o->group)->dirty = true;
        }
    }
    e->replaced = false;
}

void reconcile_take_job(struct reconcile *r, struct built_job *b)
{
    size_t added;
    const char *job = b->job;
    int64_t now_ms = timebase_realtime_ms();
    registry_take_job(&r->registry, b, now_ms, &added);
    vec_foreach(e, &r->registry.entries) {
        if ((*e)->target->job == job && (*e)->owners.len == 0 && !(*e)->size_known && (*e)->vanished_ms == 0) {
            explore_add(r->explore, (*e)->target, now_ms);
        }
        push_replaced(r, *e);
    }
    log_info(&LOG, "discovered", "scrape_job", job, "new", log_num((int64_t)added));
    reconcile_kick(r);
}

void reconcile_record(struct reconcile *r, const struct scrape_record *rec)
{
    int64_t now_ms = timebase_realtime_ms();
    struct registry_entry *e = registry_record(&r->registry, rec);
    if (rec->shard != NULL) {
        return;
    }
    explore_result(r->explore, rec, now_ms);
    probe_due(r);
    if (e != NULL && e->owners.len == 0) {
        reconcile_kick(r);
    }
}

struct registry_entry *reconcile_restore(struct reconcile *r, const struct target *t)
{
    return registry_restore(&r->registry, t);
}

/* ---------------------------------------------------------------- reading */

const struct registry *reconcile_registry(const struct reconcile *r)
{
    return &r->registry;
}

const struct reconcile_group *reconcile_groups(const struct reconcile *r, size_t *ret_count)
{
    *ret_count = r->groups.items.len;
    return r->groups.items.items;
}

const struct reconcile_move *reconcile_move_at(const struct reconcile *r, size_t newest_first_index)
{
    return newest_first_index < r->moves.len ? &r->moves.items[r->moves.len - 1 - newest_first_index] : NULL;
}

const uint64_t *reconcile_ledger(const struct reconcile *r)
{
    return r->ledger;
}

unsigned reconcile_wanted(const struct reconcile *r, const char **ret_reason)
{
    *ret_reason = r->wanted_reason != NULL ? r->wanted_reason : "";
    return r->wanted;
}

uint64_t reconcile_rounds(const struct reconcile *r)
{
    return r->rounds;
}

struct shard *reconcile_shard_by_id(const struct reconcile *r, const char *id_interned)
{
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            if (rep->shard->id == id_interned) {
                return rep->shard;
            }
        }
    }
    return NULL;
}
