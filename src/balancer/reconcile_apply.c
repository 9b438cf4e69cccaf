/* What a plan changes: the wish of the registry, the number of shards, and what people are told. The only place where a
 * decision becomes a deed; it decides nothing itself. */
#include "balancer/reconcile_priv.h"
#include "base/metrics.h"

#include <stdio.h>

#define ACTIONS_TOLD_MAX 20 /* of one round, at level info: a start with many targets is not to flood the log */

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

static void log_action(const struct reconcile *r, enum log_level level, const struct plan_action *a,
                       const struct target *t)
{
    int32_t group = a->to >= 0 ? a->to : a->from;
    size_t replica = group >= 0 ? (uint32_t)group / GROUPS_STRIDE : SIZE_MAX;
    if (!log_enabled(level)) {
        return;
    }
    char part[16] = "";
    if (target_is_part(t)) {
        snprintf(part, sizeof(part), "%u of %u", t->part, t->parts);
    }
    log_line(level, &RECONCILE_LOG, plan_action_name(a->type), "scrape_job", t->job, "url", t->url, "part",
             part[0] != '\0' ? part : NULL, "replica",
             replica < r->groups.replicas.len ? r->groups.replicas.items[replica] : NULL, "from",
             a->from >= 0 ? log_num(a->from % (int32_t)GROUPS_STRIDE) : NULL, "to",
             a->to >= 0 ? log_num(a->to % (int32_t)GROUPS_STRIDE) : NULL, "reason", a->reason, NULL);
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

void reconcile_leave_all(struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    while (e->owners.len > 0) {
        leave(r, e, e->owners.items[0].group, now_ms);
    }
}

static void note_decision(struct registry_entry *e, const struct plan_action *a, int64_t now_ms)
{
    free(e->decision.reason);
    e->decision = (struct entry_decision){
        .at_ms = now_ms,
        .type = a->type,
        .from = a->from,
        .to = a->to,
        .reason = mem_strdup(a->reason != NULL ? a->reason : ""),
    };
}

static void apply_action(struct reconcile *r, const struct plan_action *a, enum log_level level, int64_t now_ms)
{
    struct registry_entry *e = registry_find(&r->registry, a->job, a->hash);
    if (e == NULL) {
        return;
    }
    log_action(r, level, a, e->target);
    note_decision(e, a, now_ms);
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
        reconcile_drop_parts(r, e, now_ms);
        reconcile_leave_all(r, e, now_ms);
        explore_remove(r->explore, a->job, a->hash);
        registry_remove(&r->registry, e);
        break;
    }
    touch(r, a->from);
    touch(r, a->to);
}

void reconcile_take_wanted(struct reconcile *r, const struct plan *p, bool is_first)
{
    if (!is_first && p->wanted_groups <= r->wanted) {
        return;
    }
    if (r->wanted_reason == NULL || p->wanted_reason == NULL || strcmp(p->wanted_reason, r->wanted_reason) != 0) {
        free(r->wanted_reason);
        r->wanted_reason = mem_strdup(p->wanted_reason != NULL ? p->wanted_reason : "");
    }
    r->wanted = p->wanted_groups;
}

void reconcile_apply_scale(struct reconcile *r)
{
    unsigned desired = r->env.provider->ops->desired(r->env.provider);
    metric_set(METRIC_BALANCER_WANTED_GROUPS, r->wanted);
    if (r->env.provider->is_fixed) {
        return;
    }
    if (r->wanted != desired) {
        log_info(&RECONCILE_LOG, "scale", "from", log_num(desired), "to", log_num(r->wanted), "reason",
                 r->wanted_reason);
    }
    if (!r->conf.dry_run) {
        r->env.provider->ops->scale(r->env.provider, r->wanted, r->wanted_reason);
    }
}

void reconcile_take_verdicts(size_t count, const struct plan *p, struct registry_entry **entries, bool is_first)
{
    for (size_t i = 0; i < count; i++) {
        struct registry_entry *e = entries[i];
        const char *reason = p->target_reasons[i];
        if (!is_first && (p->target_states[i] == LEDGER_ASSIGNED || e->state != LEDGER_ASSIGNED)) {
            continue;
        }
        e->state = p->target_states[i];
        if (e->reason == NULL || reason == NULL || strcmp(e->reason, reason) != 0) {
            free(e->reason);
            e->reason = reason != NULL ? mem_strdup(reason) : NULL;
        }
    }
}

void reconcile_count_ledger(struct reconcile *r)
{
    memset(r->ledger, 0, sizeof(r->ledger));
    vec_foreach(e, &r->registry.entries) {
        if ((*e)->over_limit) {
            (*e)->state = LEDGER_OVER_LIMIT;
        }
        r->ledger[(*e)->state] += !target_is_part((*e)->target); /* parts are counted by their whole */
    }
    registry_add_rejects(&r->registry, r->ledger);
}

void reconcile_take_loads(struct reconcile *r, const struct plan *p, size_t count, uint32_t base, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct reconcile_group *g = groups_find(&r->groups, base + p->loads[i].id);
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

void reconcile_apply_actions(struct reconcile *r, const struct plan *p, uint32_t base, int64_t now_ms)
{
    for (size_t i = 0; i < p->action_count; i++) {
        struct plan_action a = p->actions[i];
        a.from += a.from >= 0 ? (int32_t)base : 0;
        a.to += a.to >= 0 ? (int32_t)base : 0;
        apply_action(r, &a, i < ACTIONS_TOLD_MAX ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, now_ms);
    }
    if (p->action_count > ACTIONS_TOLD_MAX) {
        log_info(&RECONCILE_LOG, "further actions", "count", log_num((int64_t)(p->action_count - ACTIONS_TOLD_MAX)),
                 "see", "kvass get targets, kvass get moves; log.level=debug has each");
    }
}

void reconcile_moves_done(struct reconcile *r)
{
    vec_foreach(m, &r->moves) {
        free(m->url);
        free(m->reason);
    }
    vec_done(&r->moves);
}
