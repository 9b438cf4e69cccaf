/* Shard groups: see groups.h. */
#include "balancer/groups.h"
#include "base/metrics.h"

static void shard_drop(struct shard *s)
{
    s->ops->free(s);
}

static void group_done(struct reconcile_group *g)
{
    vec_foreach(r, &g->replicas) {
        shard_drop(r->shard);
    }
    vec_done(&g->replicas);
    vec_done(&g->left);
}

void groups_done(struct groups *g)
{
    vec_foreach(x, &g->items) {
        group_done(x);
    }
    vec_done(&g->items);
    vec_done(&g->replicas);
}

static uint32_t base_of(struct groups *g, const char *replica)
{
    if (!g->independent) {
        return 0;
    }
    for (size_t i = 0; i < g->replicas.len; i++) {
        if (g->replicas.items[i] == replica) {
            return (uint32_t)i * GROUPS_STRIDE;
        }
    }
    *vec_push(&g->replicas) = replica;
    return (uint32_t)(g->replicas.len - 1) * GROUPS_STRIDE;
}

void groups_range(const struct groups *g, size_t replica, size_t *ret_first, size_t *ret_count)
{
    size_t first = 0, count = 0;
    vec_foreach(x, &g->items) {
        first += x->id / GROUPS_STRIDE < replica;
        count += x->id / GROUPS_STRIDE == replica;
    }
    *ret_first = first;
    *ret_count = count;
}

static size_t group_position(const struct groups *g, uint32_t id)
{
    size_t lo = 0, hi = g->items.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->items.items[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < g->items.len && g->items.items[lo].id == id ? lo : SIZE_MAX;
}

struct reconcile_group *groups_find(const struct groups *g, uint32_t id)
{
    size_t at = group_position(g, id);
    return at != SIZE_MAX ? &g->items.items[at] : NULL;
}

struct reconcile_group *groups_get(struct groups *g, uint32_t id)
{
    size_t at = 0;
    while (at < g->items.len && g->items.items[at].id < id) {
        at++;
    }
    if (at < g->items.len && g->items.items[at].id == id) {
        return &g->items.items[at];
    }
    vec_push(&g->items);
    memmove(&g->items.items[at + 1], &g->items.items[at], (g->items.len - 1 - at) * sizeof(*g->items.items));
    g->items.items[at] = (struct reconcile_group){.id = id, .dirty = true};
    return &g->items.items[at];
}

static struct reconcile_shard *find_replica(struct reconcile_group *g, const char *id)
{
    vec_foreach(r, &g->replicas) {
        if (r->shard->id == id) {
            return r;
        }
    }
    return NULL;
}

static const struct provider_shard *find_listed(struct groups *g, const struct provider_shard *list, size_t count,
                                                const char *id, uint32_t group)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].id == id && base_of(g, list[i].replica) + list[i].group == group) {
            return &list[i];
        }
    }
    return NULL;
}

static bool take_listed(struct groups *g, const struct groups_env *env, const struct provider_shard *ps)
{
    struct reconcile_group *group = groups_get(g, base_of(g, ps->replica) + ps->group);
    struct reconcile_shard *r = find_replica(group, ps->id);
    bool added = false;
    if (r == NULL) {
        struct shard *s = env->make_shard(env->data, ps);
        if (s == NULL) {
            return false;
        }
        r = vec_push(&group->replicas);
        r->shard = s;
        r->is_unread = env->shards_own;
        group->dirty = true;
        added = true;
        if (env->conf != NULL) {
            s->ops->set_config(s, env->conf, env->config_generation);
        }
    }
    bool changed = added || r->provider_health != ps->health;
    r->provider_health = ps->health;
    memcpy(r->provider_error, ps->error, sizeof(r->provider_error));
    r->shard->prometheus_url = ps->prometheus_url;
    r->shard->api_url = ps->api_url;
    group->capacity_series = ps->capacity_series;
    group->zone = ps->zone != NULL && ps->zone[0] != '\0' ? ps->zone : group->zone;
    return changed;
}

static bool drop_unlisted(struct groups *g, struct reconcile_group *group, const struct groups_env *env,
                          const struct provider_shard *list, size_t count)
{
    bool changed = false;
    for (size_t i = 0; i < group->replicas.len;) {
        struct shard *s = group->replicas.items[i].shard;
        if (find_listed(g, list, count, s->id, group->id) != NULL) {
            i++;
            continue;
        }
        const char *id = s->id;
        shard_drop(s);
        vec_remove(&group->replicas, i);
        env->on_shard_gone(env->data, id);
        changed = true;
    }
    return changed;
}

bool groups_sync(struct groups *g, const struct groups_env *env, bool (*keep)(void *data, uint32_t id), void *keep_data)
{
    size_t count;
    bool changed = false;
    const struct provider_shard *list = env->provider->ops->list(env->provider, &count);
    vec_foreach(group, &g->items) {
        changed |= drop_unlisted(g, group, env, list, count);
    }
    for (size_t i = 0; i < count; i++) {
        changed |= take_listed(g, env, &list[i]);
    }
    for (size_t i = 0; i < g->items.len;) {
        struct reconcile_group *group = &g->items.items[i];
        if (group->replicas.len == 0 && !keep(keep_data, group->id)) {
            group_done(group);
            vec_remove(&g->items, i);
            continue;
        }
        i++;
    }
    return changed;
}

/* ---------------------------------------------------------------- limits from memory */

static bool is_ready(const struct reconcile_shard *r)
{
    return r->provider_health == SHARD_HEALTH_READY && r->shard->ops->info(r->shard)->health == SHARD_HEALTH_READY;
}

static void learn(struct reconcile_group *group, const struct memory_conf *conf, int64_t now_ms)
{
    struct memory_reading most = {.now_ms = now_ms};
    vec_foreach(r, &group->replicas) {
        const struct shard_info *info = r->shard->ops->info(r->shard);
        const struct memory_reading one = {info->resident_bytes, info->resident_series, info->process_started_ms,
                                           now_ms};
        bool is_old_enough = one.started_ms > 0 && now_ms - one.started_ms >= conf->after_ms;
        if (is_ready(r) && is_old_enough && one.resident_bytes > most.resident_bytes) {
            most = one; /* of replicas the one that takes most counts */
        }
    }
    (void)memory_learn(&group->memory, conf, &most);
}

/* Before anything is learnt, what is there is no reason to move anything: room for a quarter more. */
static uint64_t not_learnt_yet(const struct reconcile_group *group, uint64_t limit)
{
    uint64_t head = 0;
    vec_foreach(r, &group->replicas) {
        uint64_t series = r->shard->ops->info(r->shard)->head_series;
        head = series > head ? series : head;
    }
    return head + head / 4 > limit ? head + head / 4 : limit;
}

static uint64_t smaller(uint64_t memory, uint64_t configured)
{
    return configured != 0 && configured < memory ? configured : memory;
}

void groups_learn_memory(struct groups *g, const struct memory_conf *conf, uint64_t limit_series, int64_t now_ms)
{
    double sum = 0;
    unsigned learnt = 0;
    if (conf->max_bytes == 0) {
        return;
    }
    vec_foreach(group, &g->items) {
        learn(group, conf, now_ms);
        sum += group->memory.bytes_per_series;
        learnt += group->memory.bytes_per_series > 0;
    }
    g->fleet.bytes_per_series = learnt > 0 ? sum / learnt : g->fleet.bytes_per_series;
    uint64_t fleet = memory_limit(&g->fleet, conf);
    vec_foreach(group, &g->items) {
        bool has_learnt = group->memory.bytes_per_series > 0;
        uint64_t limit = has_learnt ? memory_limit(&group->memory, conf) : not_learnt_yet(group, fleet);
        uint64_t configured = group->capacity_series != 0 ? group->capacity_series : limit_series;
        group->capacity_series = smaller(limit, configured);
        group->limited_by_memory = group->capacity_series != configured;
    }
}

uint64_t groups_memory_series(const struct groups *g, const struct memory_conf *conf, uint64_t limit_series)
{
    uint64_t fit = g->fleet.limit != 0 ? g->fleet.limit : memory_fit(conf, 0);
    return conf->max_bytes == 0 ? limit_series : smaller(fit, limit_series);
}

static int by_key(const void *a, const void *b)
{
    const struct assignment *x = a, *y = b;
    int c = strcmp(x->target->job, y->target->job);
    return c != 0 ? c : (x->target->hash > y->target->hash) - (x->target->hash < y->target->hash);
}

struct wish *groups_wishes(const struct groups *g, const struct registry *r, bool only_dirty)
{
    struct wish *wishes = mem_calloc(g->items.len + 1, sizeof(*wishes));
    vec_foreach(ep, &r->entries) {
        const struct registry_entry *e = *ep;
        vec_foreach(o, &e->owners) {
            size_t at = group_position(g, o->group);
            if (at == SIZE_MAX || (only_dirty && !g->items.items[at].dirty)) {
                continue;
            }
            *vec_push(&wishes[at].items) = (struct assignment){
                .target = e->target,
                .state = o->state == OWNER_IN_TRANSFER ? ASSIGNMENT_IN_TRANSFER : ASSIGNMENT_ASSIGNED,
                .since_ms = o->since_ms,
            };
        }
    }
    for (size_t i = 0; i < g->items.len; i++) {
        if (wishes[i].items.len > 1) {
            qsort(wishes[i].items.items, wishes[i].items.len, sizeof(struct assignment), by_key);
        }
    }
    return wishes;
}

void groups_wishes_free(struct wish **wishes, const struct groups *g)
{
    for (size_t i = 0; *wishes != NULL && i < g->items.len; i++) {
        vec_done(&(*wishes)[i].items);
    }
    MEM_FREE(*wishes);
}

static bool any_dirty(const struct groups *g)
{
    vec_foreach(group, &g->items) {
        if (group->dirty && group->replicas.len > 0) {
            return true;
        }
    }
    return false;
}

void groups_push(struct groups *g, const struct registry *r, uint64_t epoch)
{
    if (!any_dirty(g)) {
        return;
    }
    struct wish *wishes = groups_wishes(g, r, true);
    for (size_t i = 0; i < g->items.len; i++) {
        struct reconcile_group *group = &g->items.items[i];
        if (!group->dirty || group->replicas.len == 0) {
            continue;
        }
        group->generation++;
        vec_foreach(rep, &group->replicas) {
            if (rep->is_unread) { /* what it holds is not known yet: adopting it makes the group dirty again */
                continue;
            }
            rep->shard->ops->set_assignment(rep->shard, wishes[i].items.items, wishes[i].items.len, group->generation,
                                            epoch);
        }
        group->dirty = false;
    }
    groups_wishes_free(&wishes, g);
}

void groups_export(const struct groups *g, uint64_t limit_series, bool vanished)
{
    static const enum metric_id ROWS[] = {METRIC_BALANCER_SHARD_HEAD_SERIES,     METRIC_BALANCER_SHARD_LIMIT_SERIES,
                                          METRIC_BALANCER_SHARD_LOAD_SERIES,     METRIC_BALANCER_SHARD_READY,
                                          METRIC_BALANCER_SHARD_TARGETS,         METRIC_BALANCER_SHARD_RESIDENT_BYTES,
                                          METRIC_BALANCER_SHARD_BYTES_PER_SERIES};
    for (size_t i = 0; vanished && i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        metric_forget(ROWS[i]);
    }
    vec_foreach(group, &g->items) {
        vec_foreach(r, &group->replicas) {
            const struct shard *s = r->shard;
            const struct shard_info *info = r->shard->ops->info(r->shard);
            uint64_t limit = group->capacity_series != 0 ? group->capacity_series : limit_series;
            if (info->resident_bytes > 0) {
                metric_set(METRIC_BALANCER_SHARD_RESIDENT_BYTES, (double)info->resident_bytes, s->id, s->replica);
            }
            if (group->memory.bytes_per_series > 0) {
                metric_set(METRIC_BALANCER_SHARD_BYTES_PER_SERIES, group->memory.bytes_per_series, s->id, s->replica);
            }
            metric_set(METRIC_BALANCER_SHARD_HEAD_SERIES, (double)info->head_series, s->id, s->replica);
            metric_set(METRIC_BALANCER_SHARD_LIMIT_SERIES, (double)limit, s->id, s->replica);
            metric_set(METRIC_BALANCER_SHARD_LOAD_SERIES, (double)group->load_series, s->id, s->replica);
            metric_set(METRIC_BALANCER_SHARD_READY, is_ready(r), s->id, s->replica);
            metric_set(METRIC_BALANCER_SHARD_TARGETS, group->targets, s->id, s->replica);
        }
    }
}
