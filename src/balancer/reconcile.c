/* The round: see reconcile.h. Callbacks record facts and at most ask for a round soon; decisions are made in round()
 * alone, at the daemon's own pace. A plan is applied to the wish (registry owners), the wish is pushed to the shards as
 * a whole, and what the shards acknowledge comes back as facts of the next round. */
#include "balancer/rebuild.h"
#include "balancer/reconcile_priv.h"
#include "balancer/snapshot.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>

#define KICK_MS       300
#define PROBE_TICK_MS 200
#define ROUND_PAUSE   4 /* times its length: long rounds leave the loop to what brings the facts */

const struct logctx RECONCILE_LOG = {NULL, "component", "balancer"};

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

static void drop_over_limit(struct reconcile *r, int64_t now_ms)
{
    vec_foreach(e, &r->registry.entries) {
        if ((*e)->over_limit && (*e)->owners.len > 0) {
            reconcile_leave_all(r, *e, now_ms);
        }
    }
}

/* A platform that cannot scale has what it has: then that is the most, and no reason to say otherwise. */
static struct plan_limits limits_now(const struct reconcile *r, unsigned desired)
{
    struct plan_limits l = r->conf.limits;
    l.series = groups_memory_series(&r->groups, &r->conf.memory, l.series);
    if (r->env.provider->is_fixed) {
        l.min_groups = l.max_groups = desired;
        l.max_idle_ms = 0;
    }
    return l;
}

/* Of one replica of a fixed platform, what is listed of it. */
static unsigned desired_of(const struct reconcile *r, const struct reconcile_group *groups, size_t count)
{
    if (r->conf.independent && r->env.provider->is_fixed) {
        return count > 0 ? groups[count - 1].id % GROUPS_STRIDE + 1 : 0;
    }
    return r->env.provider->ops->desired(r->env.provider);
}

static void plan_replica(struct reconcile *r, size_t replica, bool is_first, int64_t now_ms, bool *changed)
{
    struct arena *arena = arena_new();
    struct plan_input in;
    struct registry_entry **entries;
    size_t first, count;
    groups_range(&r->groups, replica, &first, &count);
    struct reconcile_group *groups = r->groups.items.items + first;
    unsigned desired = desired_of(r, groups, count);
    const struct snapshot_source src = {
        .registry = &r->registry,
        .explore = r->explore,
        .groups = groups,
        .group_count = count,
        .group_base = (uint32_t)replica * GROUPS_STRIDE,
        .policy = r->conf.policy,
        .limits = limits_now(r, desired),
        .now_ms = now_ms,
        .vanish_grace_ms = r->conf.vanish_grace_ms,
        .desired_groups = desired,
        .complete = reconcile_is_complete(r, now_ms),
    };
    snapshot_build(arena, &src, &in, &entries);
    struct plan *p = plan_build(&in);
    reconcile_take_verdicts(in.target_count, p, entries, is_first);
    reconcile_take_loads(r, p, count, src.group_base, now_ms);
    if (!r->conf.dry_run) {
        reconcile_apply_actions(r, p, src.group_base, now_ms);
    }
    reconcile_take_wanted(r, p, is_first);
    *changed = *changed || p->action_count > 0;
    plan_free(&p);
    arena_free(&arena);
}

/* Targets that were restored, or found with a shard, of a job that was taken out of the configuration meanwhile: no
 * discovery will tell that they are gone. */
static void vanish_unknown_jobs(struct reconcile *r, int64_t now_ms)
{
    vec_foreach(ep, &r->registry.entries) {
        struct registry_entry *e = *ep;
        if (!e->discovered_now && e->vanished_ms == 0 && r->promconf != NULL &&
            promconf_job(r->promconf, e->target->job) == NULL) {
            e->vanished_ms = now_ms;
        }
    }
}

/* Mirrored replicas are one; independent ones are planned one after the other, the largest number of shards counts. */
static void plan_and_apply(struct reconcile *r, int64_t now_ms)
{
    vanish_unknown_jobs(r, now_ms);
    bool changed = reconcile_split(r, now_ms), is_first = true;
    size_t replicas = r->groups.replicas.len > 0 ? r->groups.replicas.len : 1, first, count;
    drop_over_limit(r, now_ms);
    for (size_t i = 0; i < replicas; i++) {
        groups_range(&r->groups, i, &first, &count);
        if (count > 0 || (i + 1 == replicas && is_first)) {
            plan_replica(r, i, is_first, now_ms, &changed);
            is_first = false;
        }
    }
    reconcile_split_states(r);
    reconcile_count_ledger(r);
    reconcile_apply_scale(r);
    if (changed) {
        r->env.save(r->env.data);
    }
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
        .shards_own = r->conf.shards_own,
    };
    bool changed = groups_sync(&r->groups, &env, somebody_owns, r);
    groups_learn_memory(&r->groups, &r->conf.memory, r->conf.limits.series, now_ms);
    if (reconcile_may_act(r, now_ms)) {
        plan_and_apply(r, now_ms);
    } else if (r->conf.shards_own && reconcile_is_discovered(r)) {
        rebuild_owners(&r->registry, &r->groups, true, now_ms);
        reconcile_attach_parts(r, now_ms);
        rebuild_states(&r->registry, r->blocked);
        reconcile_split_states(r);
        reconcile_count_ledger(r);
    }
    if (!r->conf.shards_own || (r->acting && !r->conf.dry_run)) {
        groups_push(&r->groups, &r->registry, r->epoch);
    }
    export_ledger(r);
    groups_export(&r->groups, r->conf.limits.series, changed);
    int64_t took_us = timebase_monotonic_us() - begin_us;
    r->rounds++;
    r->last_round_ms = took_us / 1000;
    metric_cell_observe(metric_cell(METRIC_BALANCER_ROUND_DURATION_SECONDS), (double)took_us / 1e6);
    loop_timer_start(r->round_timer, r->conf.interval_ms, 0);
}

static void probe_due(void *data)
{
    struct reconcile *r = data;
    int64_t now_ms = timebase_realtime_ms();
    const struct target *t;
    if (r->conf.shards_own && !r->acting) {
        return; /* what the shards have need not be measured, and another balancer may be at it */
    }
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
    r->groups.independent = conf->independent;
    reconcile_acting_init(r);
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
    reconcile_moves_done(r);
    free(r->wanted_reason);
    promconf_unref(r->promconf);
    free(r);
    *handle = NULL;
}

void reconcile_start(struct reconcile *r)
{
    r->started = true;
    if (r->env.lock != NULL) {
        r->env.lock->ops->start(r->env.lock);
    }
    /* The first shard need not wait for the first plan: there is always one. */
    if (r->env.provider->ops->is_known(r->env.provider) && r->env.provider->ops->desired(r->env.provider) == 0 &&
        r->conf.limits.min_groups > 0 && !r->conf.dry_run && !r->conf.shards_own) {
        r->env.provider->ops->scale(r->env.provider, r->conf.limits.min_groups, "the first shards");
    }
    loop_timer_start(r->probe_timer, PROBE_TICK_MS, PROBE_TICK_MS);
    round_run(r);
}

void reconcile_kick(struct reconcile *r)
{
    /* Not put off by further kicks: facts that keep coming must not keep the round away. */
    if (r->started && !r->kicked) {
        int64_t pause_ms = r->last_round_ms * ROUND_PAUSE > KICK_MS ? r->last_round_ms * ROUND_PAUSE : KICK_MS;
        r->kicked = true;
        loop_timer_start(r->round_timer, pause_ms < r->conf.interval_ms ? pause_ms : r->conf.interval_ms, 0);
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
        if ((*e)->target->job == job && (*e)->owners.len == 0 && !(*e)->size_known && (*e)->vanished_ms == 0 &&
            !target_is_part((*e)->target)) {
            explore_add(r->explore, (*e)->target, now_ms);
        }
        push_replaced(r, *e);
    }
    log_info(&RECONCILE_LOG, "discovered", "scrape_job", job, "new", log_num((int64_t)added));
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

void reconcile_status(struct reconcile *r, const struct target *t, const struct target_status *status)
{
    struct registry_entry *e = registry_find(&r->registry, t->job, t->hash);
    if (e != NULL) {
        registry_status(e, status, timebase_realtime_ms());
    }
}

size_t reconcile_find_hash(const struct reconcile *r, uint64_t hash, const struct target **ret, size_t max)
{
    return registry_find_hash(&r->registry, hash, ret, max);
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
