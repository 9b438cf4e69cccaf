/* Builds the published view: see view.h. */
#include "api/view.h"
#include "base/intern.h"

#include <stdio.h>

static const char *text(struct arena *arena, const char *s)
{
    return s != NULL && *s != '\0' ? arena_strdup(arena, s) : "";
}

static const struct reconcile_group *find_group(const struct reconcile_group *groups, size_t count, uint32_t id)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (groups[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < count && groups[lo].id == id ? &groups[lo] : NULL;
}

static const char *group_shard_id(const struct reconcile_group *groups, size_t count, int32_t id)
{
    const struct reconcile_group *g = id >= 0 ? find_group(groups, count, (uint32_t)id) : NULL;
    if (g != NULL && g->replicas.len > 0) {
        return g->replicas.items[0].shard->id;
    }
    char name[32];
    snprintf(name, sizeof(name), "shard-%d", (int)id);
    return id >= 0 ? intern(name) : "";
}

static unsigned take_owners(const struct reconcile_group *groups, size_t count, const struct registry_entry *e,
                            const char *shards[VIEW_OWNERS_MAX])
{
    unsigned taken = 0;
    for (int in_transfer = 0; in_transfer < 2; in_transfer++) {
        vec_foreach(o, &e->owners) {
            const struct reconcile_group *g = find_group(groups, count, o->group);
            size_t replicas = g != NULL ? g->replicas.len : 0;
            if ((o->state == OWNER_IN_TRANSFER) != (in_transfer == 1)) {
                continue;
            }
            for (size_t i = 0; taken < VIEW_OWNERS_MAX && i < (replicas > 0 ? replicas : 1); i++) {
                shards[taken++] =
                    replicas > 0 ? g->replicas.items[i].shard->id : group_shard_id(groups, count, (int32_t)o->group);
            }
        }
    }
    return taken;
}

static bool has_shard(const struct view_target *t, const char *id)
{
    for (unsigned i = 0; i < t->shard_count; i++) {
        if (t->shards[i] == id) {
            return true;
        }
    }
    return false;
}

/* The shards of a split target are those of its parts, each once, as many as are shown. */
static void take_parts(struct api_view *v, const struct reconcile_group *groups, size_t group_count,
                       const struct registry_entry *e, struct view_target *t)
{
    const struct giant *g = e->giant;
    t->parts = arena_alloc(v->arena, sizeof(*t->parts) * (g->parts.len + 1));
    vec_foreach(pp, &g->parts) {
        const struct registry_entry *p = *pp;
        struct view_part *out = &t->parts[t->part_count++];
        *out = (struct view_part){
            .target = target_ref(p->target),
            .is_coming = p->target->parts != g->split.running,
            .state = p->state,
            .health = p->health,
            .series = p->series,
            .scraped = p->scraped,
            .error = text(v->arena, p->error),
            .reason = text(v->arena, p->reason),
        };
        out->shard_count = take_owners(groups, group_count, p, out->shards);
        for (unsigned i = 0; i < out->shard_count && t->shard_count < VIEW_OWNERS_MAX; i++) {
            if (!has_shard(t, out->shards[i])) {
                t->shards[t->shard_count++] = out->shards[i];
            }
        }
    }
}

static int by_key(const void *a, const void *b)
{
    const struct view_target *x = a, *y = b;
    int c = strcmp(x->target->job, y->target->job);
    return c != 0 ? c : (x->target->hash > y->target->hash) - (x->target->hash < y->target->hash);
}

static struct view_decision decision_of(struct arena *arena, const struct reconcile_group *groups, size_t count,
                                        const struct entry_decision *d)
{
    return (struct view_decision){
        .at_ms = d->at_ms,
        .type = d->type,
        .from = d->at_ms != 0 ? group_shard_id(groups, count, d->from) : "",
        .to = d->at_ms != 0 ? group_shard_id(groups, count, d->to) : "",
        .reason = text(arena, d->reason),
    };
}

static void take_rejects(struct api_view *v, const struct registry *r)
{
    v->rejects = arena_alloc(v->arena, sizeof(*v->rejects) * (r->jobs.len + 1));
    vec_foreach(jp, &r->jobs) {
        const char *job = arena_strdup(v->arena, (*jp)->job);
        struct view_rejects *sum = &v->rejects[v->reject_job_count++];
        *sum = (struct view_rejects){.job = job};
        for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
            sum->count += (*jp)->counts[s];
        }
        vec_foreach(x, &(*jp)->rejects) {
            v->targets[v->target_count++] = (struct view_target){
                .job = job,
                .discovered = x->discovered != NULL ? labels_ref(x->discovered) : NULL,
                .state = x->state,
                .error = text(v->arena, x->error),
                .reason = "",
            };
        }
    }
}

static void take_targets(struct api_view *v, const struct registry *r, const struct reconcile_group *groups,
                         size_t group_count)
{
    size_t total = r->entries.len;
    vec_foreach(j, &r->jobs) {
        total += (*j)->rejects.len;
    }
    v->targets = arena_alloc(v->arena, sizeof(*v->targets) * (total + 1));
    vec_foreach(ep, &r->entries) {
        const struct registry_entry *e = *ep;
        if (e->whole != NULL) {
            continue; /* shown with its whole */
        }
        struct view_target *t = &v->targets[v->target_count++];
        *t = (struct view_target){
            .job = e->target->job,
            .target = target_ref(e->target),
            .discovered = e->discovered != NULL ? labels_ref(e->discovered) : NULL,
            .state = e->state,
            .health = e->health,
            .last_scrape_ms = e->last_scrape_ms,
            .last_duration_us = e->last_duration_us,
            .series = e->series,
            .scraped = e->scraped,
            .size_known = e->size_known,
            .error = text(v->arena, e->error),
            .reason = text(v->arena, e->reason),
            .last_move_ms = e->last_move_ms,
            .decision = decision_of(v->arena, groups, group_count, &e->decision),
        };
        t->shard_count = take_owners(groups, group_count, e, t->shards);
        if (e->giant != NULL) {
            take_parts(v, groups, group_count, e, t);
        }
    }
    v->good_count = v->target_count;
    qsort(v->targets, v->good_count, sizeof(*v->targets), by_key);
    take_rejects(v, r);
}

static void count_assignments(struct shard *s, struct view_shard *out)
{
    size_t count;
    const struct assignment *items = s->ops->assignment(s, &count);
    for (size_t i = 0; i < count; i++) {
        out->targets += items[i].state != ASSIGNMENT_LEAVING;
        out->in_transfer += items[i].state == ASSIGNMENT_IN_TRANSFER;
        out->leaving += items[i].state == ASSIGNMENT_LEAVING;
    }
}

/* Per group, targets it owns whose size is not known. */
static uint32_t *count_estimates(struct arena *arena, const struct registry *r, const struct reconcile_group *groups,
                                 size_t count)
{
    uint32_t *estimated = arena_alloc(arena, (count + 1) * sizeof(*estimated));
    memset(estimated, 0, (count + 1) * sizeof(*estimated));
    vec_foreach(ep, &r->entries) {
        vec_foreach(o, &(*ep)->owners) {
            const struct reconcile_group *g = (*ep)->size_known ? NULL : find_group(groups, count, o->group);
            if (g != NULL && o->state != OWNER_LEAVING) {
                estimated[g - groups]++;
            }
        }
    }
    return estimated;
}

static void take_shards(struct api_view *v, const struct view_source *src, const struct reconcile_group *groups,
                        size_t group_count)
{
    size_t total = 0;
    for (size_t i = 0; i < group_count; i++) {
        total += groups[i].replicas.len;
    }
    v->shards = arena_alloc(v->arena, sizeof(*v->shards) * (total + 1));
    const uint32_t *estimated = count_estimates(v->arena, reconcile_registry(src->reconcile), groups, group_count);
    for (size_t i = 0; i < group_count; i++) {
        vec_foreach(r, &groups[i].replicas) {
            const struct shard_info *info = r->shard->ops->info(r->shard);
            bool ready = r->provider_health == SHARD_HEALTH_READY;
            struct view_shard *out = &v->shards[v->shard_count++];
            *out = (struct view_shard){
                .id = r->shard->id,
                .replica = r->shard->replica,
                .prometheus_url = text(v->arena, r->shard->prometheus_url),
                .error = text(v->arena, ready ? info->error : r->provider_error),
                .group = r->shard->group,
                .health = ready ? info->health : r->provider_health,
                .info = *info,
                .load_series = groups[i].load_series,
                .load_scraped = groups[i].load_scraped,
                .limit_series = groups[i].capacity_series != 0 ? groups[i].capacity_series : src->limits.series,
                .limit_scraped = src->limits.scraped,
                .bytes_per_series = groups[i].memory.bytes_per_series,
                .limited_by_memory = groups[i].limited_by_memory,
                .estimated = estimated[i],
            };
            out->info.idle_since_ms = groups[i].idle_since_ms;
            count_assignments(r->shard, out);
        }
    }
}

static void take_moves(struct api_view *v, const struct reconcile *r, const struct reconcile_group *groups,
                       size_t group_count)
{
    v->moves = arena_alloc(v->arena, sizeof(*v->moves) * RECONCILE_MOVES_MAX);
    const struct reconcile_move *m;
    for (size_t i = 0; i < RECONCILE_MOVES_MAX && (m = reconcile_move_at(r, i)) != NULL; i++) {
        v->moves[v->move_count++] = (struct view_move){
            .started_ms = m->started_ms,
            .ended_ms = m->ended_ms,
            .state = m->state,
            .job = m->job,
            .hash = m->hash,
            .url = text(v->arena, m->url),
            .reason = text(v->arena, m->reason),
            .from = group_shard_id(groups, group_count, m->from),
            .to = group_shard_id(groups, group_count, m->to),
        };
    }
}

struct api_view *api_view_build(const struct view_source *src)
{
    struct api_view *v = mem_calloc(1, sizeof(*v));
    size_t group_count;
    const struct reconcile_group *groups = reconcile_groups(src->reconcile, &group_count);
    const char *reason;
    v->refs = 1;
    v->arena = arena_new();
    v->built_ms = src->now_ms;
    v->conf = src->conf != NULL ? promconf_ref(src->conf) : NULL;
    v->config_generation = reconcile_config_generation(src->reconcile);
    v->discovered = src->discovered;
    v->role = reconcile_role(src->reconcile);
    v->blocked = text(v->arena, reconcile_blocked(src->reconcile));
    v->epoch = reconcile_epoch(src->reconcile);
    v->limits = src->limits;
    v->wanted = reconcile_wanted(src->reconcile, &reason);
    v->wanted_reason = text(v->arena, reason);
    v->rounds = reconcile_rounds(src->reconcile);
    v->stop_reason = text(v->arena, src->stop_reason);
    v->version_mixture = text(v->arena, src->version_mixture);
    v->rules = text(v->arena, src->rules);
    v->last_reload_error = text(v->arena, src->last_reload_error);
    v->last_reload_diff = text(v->arena, src->last_reload_diff);
    memcpy(v->ledger, reconcile_ledger(src->reconcile), sizeof(v->ledger));
    take_targets(v, reconcile_registry(src->reconcile), groups, group_count);
    take_shards(v, src, groups, group_count);
    take_moves(v, src->reconcile, groups, group_count);
    return v;
}

struct api_view *api_view_ref(struct api_view *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void api_view_unref(struct api_view *v)
{
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < v->target_count; i++) {
        for (unsigned k = 0; k < v->targets[i].part_count; k++) {
            target_unref(v->targets[i].parts[k].target);
        }
        target_unref(v->targets[i].target);
        labels_unref(v->targets[i].discovered);
    }
    promconf_unref(v->conf);
    arena_free(&v->arena);
    free(v);
}
