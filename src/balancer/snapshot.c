/* Facts for a plan: see snapshot.h. Mirrored replicas of a group are seen as one: ready when one of them is, a target
 * is proven there when the slowest replica has proved it. */
#include "balancer/snapshot.h"
#include "balancer/groups.h"

#define LEFT_WINDOW_MS  (INT64_C(3) * 3600 * 1000)
#define REPLAY_AFTER_MS 30000

static const struct reconcile_group *find_group(const struct snapshot_source *src, uint32_t id)
{
    size_t lo = 0, hi = src->group_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (src->groups[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < src->group_count && src->groups[lo].id == id ? &src->groups[lo] : NULL;
}

void snapshot_owner(const struct reconcile_group *g, const struct registry_entry *e, struct plan_owner *o)
{
    bool first = true;
    for (size_t i = 0; g != NULL && i < g->replicas.len; i++) {
        const struct shard *s = g->replicas.items[i].shard;
        const struct target_status *st = s->ops->status(s, e->target->job, e->target->hash);
        if (st == NULL) {
            continue;
        }
        if (first || st->good_scrapes < o->good_scrapes) {
            o->good_scrapes = st->good_scrapes;
        }
        if (first || st->scrapes < o->scrapes) {
            o->scrapes = st->scrapes;
        }
        if (first || st->health == TARGET_HEALTH_UP) {
            o->health = st->health;
        }
        first = false;
    }
}

/* Only zones that shards are in can matter: their names are the ones to point at. */
static const char *zone_of(const struct snapshot_source *src, const struct registry_entry *e)
{
    struct view zone = policy_zone(src->policy, e->target->labels, e->discovered);
    for (size_t i = 0; zone.len > 0 && i < src->group_count; i++) {
        if (src->groups[i].zone != NULL && view_is(zone, src->groups[i].zone)) {
            return src->groups[i].zone;
        }
    }
    return "";
}

static void take_owners(struct arena *arena, const struct snapshot_source *src, const struct registry_entry *e,
                        struct plan_target *t)
{
    t->owners = arena_alloc(arena, sizeof(*t->owners) * (e->owners.len + 1));
    vec_foreach(o, &e->owners) {
        if (o->group / GROUPS_STRIDE == src->group_base / GROUPS_STRIDE) {
            struct plan_owner *to = &t->owners[t->owner_count++];
            *to = (struct plan_owner){.group = o->group, .state = o->state, .since_ms = o->since_ms};
            snapshot_owner(find_group(src, o->group), e, to);
            to->group -= src->group_base;
        }
    }
}

/* The entry of the running generation whose series e shares: parts are drawn so that part i of fewer holds part i of
 * more, and the whole holds all. NULL when it is not on one group alone. */
static const struct registry_entry *predecessor_of(const struct registry_entry *e, const struct registry_entry *whole)
{
    const struct registry_entry *found = NULL;
    uint32_t running = whole->giant->split.running;
    if (running == 1) {
        found = e->target->part == 0 ? whole : NULL;
    }
    vec_foreach(p, &whole->giant->parts) {
        if ((*p)->target->parts == running && (*p)->target->part == e->target->part) {
            found = *p;
        }
    }
    bool is_settled = found != NULL && found->owners.len == 1 && found->owners.items[0].state == OWNER_ASSIGNED;
    return is_settled ? found : NULL;
}

/* Beside what it takes over from, an entry needs what it has more. */
static void follow(const struct snapshot_source *src, struct registry_entry *e, const struct registry_entry *before,
                   struct plan_target *t, struct plan_take_over *to)
{
    uint32_t group = before->owners.items[0].group;
    if (group / GROUPS_STRIDE != src->group_base / GROUPS_STRIDE || t->want_replicas > 1) {
        return;
    }
    to->follows = true;
    to->group = group - src->group_base;
    to->series = before->series;
    to->scraped = before->scraped;
    if (entry_owner(e, group) != NULL && e->owners.len == 1) {
        t->series -= before->series < t->series ? before->series : t->series;
        t->scraped -= before->scraped < t->scraped ? before->scraped : t->scraped;
    }
}

/* What is to take over from something that runs begins together; fewer parts, or the whole again, only where there is
 * room. Nothing of either is moved meanwhile. */
static void take_split(struct arena *arena, const struct snapshot_source *src, struct registry_entry *e,
                       struct plan_target *t)
{
    const struct registry_entry *whole = e->whole != NULL ? e->whole : e;
    uint32_t generation = target_is_part(e->target) ? e->target->parts : 1;
    t->is_part = generation > 1;
    t->pinned = whole->giant != NULL && whole->giant->split.coming != 0;
    if (!t->pinned || generation != whole->giant->split.coming) {
        return;
    }
    const struct registry_entry *before = predecessor_of(e, whole);
    struct plan_take_over *to = arena_alloc(arena, sizeof(*to));
    to->gang = whole->target->hash;
    to->is_optional = generation < whole->giant->split.running && src->limits.max_parts > 1;
    t->take_over = to;
    if (before != NULL) {
        follow(src, e, before, t, to);
    }
}

static void take_target(struct arena *arena, const struct snapshot_source *src, struct registry_entry *e,
                        struct plan_target *t)
{
    uint64_t series = 0, scraped = 0;
    *t = (struct plan_target){
        .job = e->target->job,
        .hash = e->target->hash,
        .place_key = e->target->place_key,
        .series = e->series,
        .scraped = e->scraped,
        .size_known = e->size_known,
        .explored = e->size_known || e->owners.len > 0,
        .vanished = e->vanished_ms != 0,
        .gone = e->vanished_ms != 0 && src->now_ms - e->vanished_ms > src->vanish_grace_ms,
        .health = e->health,
        .interval_ms = e->target->interval_ms,
        .last_move_ms = e->last_move_ms,
        .want_replicas = policy_want(src->policy, e->target->job),
        .zone = zone_of(src, e),
    };
    take_split(arena, src, e, t);
    take_owners(arena, src, e, t);
    if (!t->explored) {
        enum explore_verdict v = explore_verdict(src->explore, t->job, t->hash, &series, &scraped, NULL);
        t->explored = v == EXPLORE_DONE || v == EXPLORE_FAILED;
    }
}

static uint64_t left_series(struct reconcile_group *g, int64_t now_ms)
{
    uint64_t sum = 0;
    while (g->left.len > 0 && now_ms - g->left.items[0].at_ms > LEFT_WINDOW_MS) {
        vec_remove(&g->left, 0);
    }
    vec_foreach(l, &g->left) {
        sum += l->series;
    }
    return sum;
}

static enum shard_health replica_health(const struct reconcile_shard *r)
{
    const struct shard_info *info = r->shard->ops->info(r->shard);
    return r->provider_health == SHARD_HEALTH_READY ? info->health : r->provider_health;
}

enum shard_health snapshot_group_health(const struct reconcile_group *g)
{
    enum shard_health all = SHARD_HEALTH_UNKNOWN;
    vec_foreach(r, &g->replicas) {
        enum shard_health health = replica_health(r);
        if (health == SHARD_HEALTH_READY || all != SHARD_HEALTH_READY) {
            all = health;
        }
    }
    return all;
}

uint32_t snapshot_group_parts(const struct reconcile_group *g)
{
    uint32_t parts = PARTS_MAX;
    vec_foreach(r, &g->replicas) {
        const struct shard_info *info = r->shard->ops->info(r->shard);
        uint32_t most = info->parts_max > 1 ? info->parts_max : 1;
        parts = info->last_seen_ms != 0 && most < parts ? most : parts;
    }
    return parts;
}

/* A shard that keeps running but is not ready yet replays its WAL: alive. One that crashes again and again never runs
 * for long. */
static bool is_replaying(struct reconcile_shard *r, int64_t now_ms)
{
    if (r->provider_health != SHARD_HEALTH_STARTING || r->provider_error[0] != '\0') {
        r->starting_since_ms = 0;
        return false;
    }
    if (r->starting_since_ms == 0) {
        r->starting_since_ms = now_ms;
    }
    return now_ms - r->starting_since_ms > REPLAY_AFTER_MS;
}

static void take_group(const struct snapshot_source *src, struct reconcile_group *g, struct plan_group *p)
{
    *p = (struct plan_group){
        .id = g->id - src->group_base,
        .health = snapshot_group_health(g),
        .capacity_series = g->capacity_series,
        .left_series = left_series(g, src->now_ms),
        .idle_since_ms = g->idle_since_ms,
        .whole_only = snapshot_group_parts(g) < 2,
        .zone = g->zone != NULL ? g->zone : "",
    };
    vec_foreach(r, &g->replicas) {
        const struct shard_info *info = r->shard->ops->info(r->shard);
        p->head_series = info->head_series > p->head_series ? info->head_series : p->head_series;
        g->last_seen_ms = info->last_seen_ms > g->last_seen_ms ? info->last_seen_ms : g->last_seen_ms;
        if (is_replaying(r, src->now_ms)) {
            g->last_seen_ms = src->now_ms;
        }
    }
    if (g->listed_ms == 0) {
        g->listed_ms = src->now_ms;
    }
    /* One that never answered this process is silent since it was listed: it, too, fails over after the grace. */
    p->last_seen_ms = g->last_seen_ms != 0 ? g->last_seen_ms : g->listed_ms;
}

void snapshot_build(struct arena *arena, const struct snapshot_source *src, struct plan_input *ret,
                    struct registry_entry ***ret_entries)
{
    size_t count = src->registry->entries.len, kept = 0;
    *ret = (struct plan_input){
        .now_ms = src->now_ms,
        .limits = src->limits,
        .desired_groups = src->desired_groups,
        .complete = src->complete,
        .group_count = src->group_count,
    };
    ret->groups = arena_alloc(arena, sizeof(*ret->groups) * (src->group_count + 1));
    ret->targets = arena_alloc(arena, sizeof(*ret->targets) * (count + 1));
    *ret_entries = arena_alloc(arena, sizeof(**ret_entries) * (count + 1));
    for (size_t i = 0; i < src->group_count; i++) {
        take_group(src, &src->groups[i], &ret->groups[i]);
    }
    vec_foreach(e, &src->registry->entries) {
        if (entry_is_planned(*e)) {
            (*ret_entries)[kept] = *e;
            take_target(arena, src, *e, &ret->targets[kept++]);
        }
    }
    ret->target_count = kept;
}
