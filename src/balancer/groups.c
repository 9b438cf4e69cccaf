/* Shard groups: see groups.h. */
#include "balancer/groups.h"

static void shard_drop(struct shard *s)
{
    s->ops->free(s);
}

static void group_done(struct reconcile_group *g)
{
    vec_foreach(r, &g->replicas)
    {
        shard_drop(r->shard);
    }
    vec_done(&g->replicas);
    vec_done(&g->left);
}

void groups_done(struct groups *g)
{
    vec_foreach(x, &g->items)
    {
        group_done(x);
    }
    vec_done(&g->items);
}

struct reconcile_group *groups_find(struct groups *g, uint32_t id)
{
    vec_foreach(x, &g->items)
    {
        if (x->id == id) {
            return x;
        }
    }
    return NULL;
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
    vec_foreach(r, &g->replicas)
    {
        if (r->shard->id == id) {
            return r;
        }
    }
    return NULL;
}

static const struct provider_shard *find_listed(const struct provider_shard *list, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].id == id) {
            return &list[i];
        }
    }
    return NULL;
}

static bool take_listed(struct groups *g, const struct groups_env *env, const struct provider_shard *ps)
{
    struct reconcile_group *group = groups_get(g, ps->group);
    struct reconcile_shard *r = find_replica(group, ps->id);
    bool added = false;
    if (r == NULL) {
        struct shard *s = env->make_shard(env->data, ps);
        if (s == NULL) {
            return false;
        }
        r = vec_push(&group->replicas);
        r->shard = s;
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
    group->capacity_series = ps->capacity_series;
    return changed;
}

static bool drop_unlisted(struct reconcile_group *group, const struct groups_env *env, const struct provider_shard *list,
                          size_t count)
{
    bool changed = false;
    for (size_t i = 0; i < group->replicas.len;) {
        struct shard *s = group->replicas.items[i].shard;
        if (find_listed(list, count, s->id) != NULL) {
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
    for (size_t i = 0; i < count; i++) {
        changed |= take_listed(g, env, &list[i]);
    }
    for (size_t i = 0; i < g->items.len;) {
        struct reconcile_group *group = &g->items.items[i];
        changed |= drop_unlisted(group, env, list, count);
        if (group->replicas.len == 0 && !keep(keep_data, group->id)) {
            group_done(group);
            vec_remove(&g->items, i);
            continue;
        }
        i++;
    }
    return changed;
}

static int by_key(const void *a, const void *b)
{
    const struct assignment *x = a, *y = b;
    int c = strcmp(x->target->job, y->target->job);
    return c != 0 ? c : (x->target->hash > y->target->hash) - (x->target->hash < y->target->hash);
}

struct assignment *groups_wish(const struct registry *r, uint32_t group, size_t *ret_count)
{
    VEC(struct assignment) out = {0};
    vec_foreach(e, &r->entries)
    {
        const struct owner *o = entry_owner(*e, group);
        if (o != NULL) {
            *vec_push(&out) = (struct assignment){
                .target = (*e)->target,
                .state = o->state == OWNER_IN_TRANSFER ? ASSIGNMENT_IN_TRANSFER : ASSIGNMENT_ASSIGNED,
                .since_ms = o->since_ms,
            };
        }
    }
    if (out.len > 1) {
        qsort(out.items, out.len, sizeof(*out.items), by_key);
    }
    *ret_count = out.len;
    return out.items;
}

void groups_push(struct groups *g, const struct registry *r, uint64_t epoch)
{
    vec_foreach(group, &g->items)
    {
        if (!group->dirty || group->replicas.len == 0) {
            continue;
        }
        size_t count;
        struct assignment *wish = groups_wish(r, group->id, &count);
        group->generation++;
        vec_foreach(rep, &group->replicas)
        {
            rep->shard->ops->set_assignment(rep->shard, wish, count, group->generation, epoch);
        }
        group->dirty = false;
        free(wish);
    }
}
