/* Split targets in the round: the facts for split.h from the registry and the shards, and the entries that its state
 * asks for. Runs before the plan, which sees parts as targets like any other; nothing is placed or moved here, but what
 * a generation that has been relieved still owned is taken from it. What it came to is said in
 * reconcile_split_states.c. */
#include "balancer/reconcile_priv.h"
#include "balancer/snapshot.h"

#include <stdio.h>

#define LIMIT_NONE       ((uint64_t)1 << 60)
#define LONG_INTERVAL_MS 120000 /* as in plan_owners.c: one good scrape is proof */

/* ---------------------------------------------------------------- room */

struct room {
    struct split_room room;
    struct need *limits;
    char why_not[SPLIT_REASON_MAX];
};

static uint64_t limit_or_none(uint64_t limit)
{
    return limit == 0 ? LIMIT_NONE : limit;
}

/* Every shard must be able to take a part, or one of them would scrape the whole instead. */
static void room_parts(struct reconcile *r, struct room *ret)
{
    struct split_room *room = &ret->room;
    vec_foreach(g, &r->groups.items) {
        uint32_t most = snapshot_group_parts(g);
        if (most < 2 && room->why_not == NULL) {
            snprintf(ret->why_not, sizeof(ret->why_not),
                     "shard %.64s takes whole targets only (--split.max-parts of it, or a sidecar of another kind)",
                     g->replicas.items[0].shard->id);
            room->why_not = ret->why_not;
        }
        room->max_parts = most < room->max_parts && most >= 2 ? most : room->max_parts;
    }
}

static void room_base(struct reconcile *r, struct split_room *room)
{
    vec_foreach(ep, &r->registry.entries) {
        const struct registry_entry *e = *ep;
        if (policy_want(r->conf.policy, e->target->job) == PLAN_EVERY_GROUP && !e->over_limit) {
            room->base.v[DIM_SERIES] += e->series + room->overhead;
            room->base.v[DIM_SCRAPED] += e->scraped;
        }
    }
}

/* Of the first replica that has groups: the others are as large. */
static void room_make(struct reconcile *r, struct room *ret)
{
    const struct plan_limits *l = &r->conf.limits;
    size_t first = 0, count = 0, replicas = r->groups.replicas.len > 0 ? r->groups.replicas.len : 1;
    unsigned desired = r->env.provider->ops->desired(r->env.provider);
    for (size_t i = 0; i < replicas && count == 0; i++) {
        groups_range(&r->groups, i, &first, &count);
    }
    *ret = (struct room){.limits = mem_calloc(count + 1, sizeof(*ret->limits))};
    for (size_t i = 0; i <= count; i++) {
        const struct reconcile_group *g = i < count ? &r->groups.items.items[first + i] : NULL;
        uint64_t series = g != NULL && g->capacity_series != 0 ? g->capacity_series : l->series;
        ret->limits[i] = (struct need){{limit_or_none(series), limit_or_none(l->scraped)}};
    }
    uint32_t most = l->max_groups != 0 ? l->max_groups : UINT32_MAX;
    ret->room = (struct split_room){
        .limits = ret->limits,
        .count = count,
        .fresh = ret->limits[count > 0 ? count - 1 : 0],
        .can_add = r->env.provider->is_fixed || most <= desired ? 0 : most - desired,
        .overhead = l->per_target_overhead,
        .low = l->low,
        .high = l->high,
        .max_parts = l->max_parts > 1 ? l->max_parts : 1,
        .calm_ms = l->move_cool_down_ms,
    };
    room_base(r, &ret->room);
    if (l->max_parts > 1) {
        room_parts(r, ret);
    }
}

/* ---------------------------------------------------------------- facts */

struct generation {
    uint32_t parts, count;
    bool held, placed, proven, is_down; /* is_down: the target does not answer any entry of it */
    int64_t since_ms;                   /* oldest owner; 0 = none */
};

static struct need size_of(const struct registry_entry *e)
{
    return (struct need){{e->series, e->scraped}};
}

static bool is_proof(const struct reconcile *r, const struct registry_entry *e, const struct plan_owner *o,
                     bool attempts_do)
{
    uint32_t scrapes = r->conf.limits.move_scrapes;
    uint32_t proof = e->target->interval_ms > LONG_INTERVAL_MS || scrapes == 0 ? 1 : scrapes;
    return o->good_scrapes >= proof || (attempts_do && o->scrapes >= proof);
}

/* What an entry has in every replica that is balanced by itself (one, when they are mirrored). */
static void see_entry(const struct reconcile *r, const struct registry_entry *e, bool attempts_do,
                      struct generation *ret)
{
    size_t replicas = r->groups.replicas.len > 0 ? r->groups.replicas.len : 1, first, count;
    uint32_t want = policy_want(r->conf.policy, e->target->job);
    ret->count++;
    ret->held = ret->held || e->owners.len > 0;
    ret->is_down = ret->is_down && e->health == TARGET_HEALTH_DOWN;
    vec_foreach(o, &e->owners) {
        ret->since_ms = ret->since_ms == 0 || o->since_ms < ret->since_ms ? o->since_ms : ret->since_ms;
    }
    for (size_t i = 0; i < replicas; i++) {
        uint32_t placed = 0, proven = 0;
        groups_range(&r->groups, i, &first, &count);
        vec_foreach(o, &e->owners) {
            const struct reconcile_group *g = groups_find(&r->groups, o->group);
            struct plan_owner status = {0};
            if (g == NULL || o->state != OWNER_ASSIGNED || o->group / GROUPS_STRIDE != i) {
                continue;
            }
            snapshot_owner(g, e, &status);
            placed++;
            proven += snapshot_group_health(g) == SHARD_HEALTH_READY && is_proof(r, e, &status, attempts_do);
        }
        ret->placed = ret->placed && (count == 0 || placed >= want);
        ret->proven = ret->proven && (count == 0 || proven >= want);
    }
}

static struct generation see_generation(const struct reconcile *r, struct registry_entry *e, uint32_t parts,
                                        bool attempts_do)
{
    struct generation g = {.parts = parts, .placed = true, .proven = true, .is_down = true};
    if (parts == 1) {
        see_entry(r, e, attempts_do, &g);
    }
    vec_foreach(p, &e->giant->parts) {
        if ((*p)->target->parts == parts) {
            see_entry(r, *p, attempts_do, &g);
        }
    }
    g.placed = g.placed && g.count == parts;
    g.proven = g.proven && g.count == parts;
    return g;
}

static struct need largest_of(const struct registry_entry *e)
{
    struct need largest = {{0}};
    vec_foreach(pp, &e->giant->parts) {
        const struct registry_entry *p = *pp;
        if (p->target->parts != e->giant->split.running || p->history_len == 0) {
            continue;
        }
        largest.v[DIM_SERIES] = p->series > largest.v[DIM_SERIES] ? p->series : largest.v[DIM_SERIES];
        largest.v[DIM_SCRAPED] = p->scraped > largest.v[DIM_SCRAPED] ? p->scraped : largest.v[DIM_SCRAPED];
    }
    return largest;
}

static struct split_facts facts_of(const struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    const struct split *s = &e->giant->split;
    struct generation running = see_generation(r, e, s->running, false);
    struct split_facts f = {
        .now_ms = now_ms,
        .interval_ms = e->target->interval_ms,
        .size = size_of(e),
        .largest = largest_of(e),
        .running_held = running.held,
    };
    if (s->coming != 0) {
        struct generation coming = see_generation(r, e, s->coming, running.is_down);
        f.coming_held = coming.held;
        f.coming_placed = coming.placed;
        f.coming_proven = coming.proven;
    }
    return f;
}

/* ---------------------------------------------------------------- entries */

static void log_split(const struct registry_entry *e, const struct split *before, const struct split *now)
{
    const char *what = now->running != before->running ? "split done"
                       : now->coming != 0              ? "split begins"
                                                       : "split given up";
    log_info(&RECONCILE_LOG, what, "scrape_job", e->target->job, "url", e->target->url, "from",
             log_num(before->running), "to", log_num(now->coming != 0 ? now->coming : now->running), "reason",
             now->reason[0] != '\0' ? now->reason : NULL);
}

/* A part is as its whole is in everything but its labels; one that nobody scrapes has its share of the size, whatever
 * it had when it was scraped last. */
static void follow_whole(struct reconcile *r, const struct registry_entry *e, struct registry_entry *p)
{
    const struct target *whole = e->target, *part = p->target;
    p->vanished_ms = e->vanished_ms;
    p->discovered_now = e->discovered_now;
    p->over_limit = e->over_limit;
    if (p->owners.len == 0) {
        registry_share_size(e, p);
    }
    if (p->discovered != e->discovered) {
        labels_unref(p->discovered);
        p->discovered = e->discovered != NULL ? labels_ref(e->discovered) : NULL;
    }
    if (part->interval_ms != whole->interval_ms || part->timeout_ms != whole->timeout_ms ||
        strcmp(part->url, whole->url) != 0) {
        struct target *fresh = target_part(whole, part->part, part->parts);
        target_unref(part);
        p->target = fresh;
        vec_foreach(o, &p->owners) {
            groups_get(&r->groups, o->group)->dirty = true;
        }
    }
}

static void drop_part(struct reconcile *r, struct registry_entry *p, int64_t now_ms)
{
    reconcile_leave_all(r, p, now_ms);
    registry_remove(&r->registry, p);
}

static void make_generation(struct reconcile *r, struct registry_entry *e, uint32_t parts)
{
    for (uint32_t i = 0; parts > 1 && i < parts; i++) {
        (void)registry_part(&r->registry, e, i, parts);
    }
}

/* Entries for exactly the generations there are. */
static void make_entries(struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    struct giant *g = e->giant;
    for (size_t i = g->parts.len; i-- > 0;) {
        if (!split_has(&g->split, g->parts.items[i]->target->parts)) {
            drop_part(r, g->parts.items[i], now_ms);
        }
    }
    if (!split_has(&g->split, 1)) {
        reconcile_leave_all(r, e, now_ms);
        explore_remove(r->explore, e->target->job, e->target->hash);
    }
    size_t running = g->split.running > 1 ? g->split.running : 0, coming = g->split.coming > 1 ? g->split.coming : 0;
    if (g->parts.len != running + coming) {
        make_generation(r, e, g->split.running);
        make_generation(r, e, g->split.coming);
    }
}

/* ---------------------------------------------------------------- after a restart */

/* Whose part it is: the discovered target whose part of that number has that hash. */
static bool is_part_of(const struct registry_entry *e, const struct registry_entry *p)
{
    if (target_is_part(e->target) || e->target->job != p->target->job || strcmp(e->target->url, p->target->url) != 0) {
        return false;
    }
    struct target *t = target_part(e->target, p->target->part, p->target->parts);
    bool is_same = t->hash == p->target->hash;
    target_unref(t);
    return is_same;
}

struct entries {
    VEC(struct registry_entry *) orphans, wholes;
};

static int by_place(const void *a, const void *b)
{
    const struct registry_entry *const *x = a, *const *y = b;
    int c = strcmp((*x)->target->job, (*y)->target->job);
    return c != 0 ? c : strcmp((*x)->target->url, (*y)->target->url);
}

/* All orphans, by place, and what may be their wholes. */
static void find_orphans(const struct registry *r, struct entries *ret)
{
    vec_foreach(e, &r->entries) {
        if (target_is_part((*e)->target) && (*e)->whole == NULL) {
            *vec_push(&ret->orphans) = *e;
        }
    }
    qsort(ret->orphans.items, ret->orphans.len, sizeof(*ret->orphans.items), by_place);
    vec_foreach(e, &r->entries) {
        if (!target_is_part((*e)->target) &&
            bsearch(e, ret->orphans.items, ret->orphans.len, sizeof(*ret->orphans.items), by_place) != NULL) {
            *vec_push(&ret->wholes) = *e;
        }
    }
}

static struct registry_entry *whole_of(const struct entries *all, const struct registry_entry *part)
{
    vec_foreach(e, &all->wholes) {
        if (is_part_of(*e, part)) {
            return *e;
        }
    }
    return NULL;
}

/* Parts that belong to nothing discovered are as targets that vanished; what their whole was nobody can say. */
static void attach_orphan(struct reconcile *r, const struct entries *all, struct registry_entry *p, int64_t now_ms)
{
    struct registry_entry *e = whole_of(all, p);
    if (e != NULL) {
        bool is_new = e->giant == NULL;
        struct giant *g = registry_giant(&r->registry, e);
        g->is_found = g->is_found || is_new;
        registry_attach(&r->registry, e, p);
        follow_whole(r, e, p);
    } else if (p->vanished_ms == 0 && registry_has_job(&r->registry, p->target->job)) {
        p->vanished_ms = now_ms;
    }
}

/* The state follows from what the shards have: nothing else remembers it. */
static void adopt_generations(struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    struct split_found found[PARTS_MAX + 1];
    size_t count = 0;
    for (uint32_t k = 1; k <= PARTS_MAX; k++) {
        struct generation g = see_generation(r, e, k, false);
        if (g.held) {
            found[count++] = (struct split_found){k, g.placed, g.since_ms};
        }
    }
    split_adopt(&e->giant->split, found, count, now_ms);
    log_info(&RECONCILE_LOG, "split found", "scrape_job", e->target->job, "url", e->target->url, "parts",
             log_num(e->giant->split.running), "coming", log_num(e->giant->split.coming));
}

void reconcile_attach_parts(struct reconcile *r, int64_t now_ms)
{
    struct registry *reg = &r->registry;
    if (reg->orphan_count == 0) {
        return;
    }
    struct entries all = {0};
    find_orphans(reg, &all);
    vec_foreach(p, &all.orphans) {
        attach_orphan(r, &all, *p, now_ms);
    }
    vec_foreach(e, &reg->giants) {
        if ((*e)->giant->is_found) {
            (*e)->giant->is_found = false;
            adopt_generations(r, *e, now_ms);
        }
    }
    vec_done(&all.orphans);
    vec_done(&all.wholes);
}

void reconcile_drop_parts(struct reconcile *r, struct registry_entry *e, int64_t now_ms)
{
    while (e->giant != NULL && e->giant->parts.len > 0) {
        drop_part(r, e->giant->parts.items[e->giant->parts.len - 1], now_ms);
    }
}

/* ---------------------------------------------------------------- the step */

static bool may_be_giant(const struct reconcile *r, const struct registry_entry *e)
{
    return e->giant == NULL && e->size_known && !e->over_limit && e->vanished_ms == 0 && !target_is_part(e->target) &&
           policy_want(r->conf.policy, e->target->job) != PLAN_EVERY_GROUP;
}

static void find_giants(struct reconcile *r, const struct split_room *room)
{
    uint64_t plain[DIM_COUNT] = {UINT64_MAX, UINT64_MAX}; /* what fits every group needs no second look */
    for (size_t i = 0; i <= room->count; i++) {
        const struct need *limit = i < room->count ? &room->limits[i] : &room->fresh;
        for (int d = 0; d < DIM_COUNT; d++) {
            double most = (double)limit->v[d] * room->high - (double)room->base.v[d] - room->overhead;
            uint64_t fits = most > 0 ? (uint64_t)most : 0;
            plain[d] = fits < plain[d] ? fits : plain[d];
        }
    }
    for (size_t i = 0; i < r->registry.entries.len; i++) {
        struct registry_entry *e = r->registry.entries.items[i];
        if (e->series <= plain[DIM_SERIES] && e->scraped <= plain[DIM_SCRAPED]) {
            continue;
        }
        struct need size = size_of(e);
        if (may_be_giant(r, e) && !split_fits_whole(room, &size)) {
            (void)registry_giant(&r->registry, e);
        }
    }
}

/* True when entries came or went. */
static bool step_one(struct reconcile *r, struct registry_entry *e, const struct split_room *room, int64_t now_ms)
{
    struct giant *g = e->giant;
    struct split before = g->split;
    if (e->vanished_ms == 0 && !e->over_limit) {
        struct split_facts f = facts_of(r, e, now_ms);
        split_step(&g->split, &f, room);
        bool changed = g->split.running != before.running || g->split.coming != before.coming;
        if (changed) {
            log_split(e, &before, &g->split);
        }
        make_entries(r, e, now_ms);
        if (g->parts.len == 0 && g->split.reason[0] == '\0' && g->split.retry_ms <= now_ms && g->split.running == 1) {
            registry_giant_end(&r->registry, e);
            return changed;
        }
    }
    vec_foreach(p, &g->parts) {
        follow_whole(r, e, *p);
    }
    bool is_gone = e->vanished_ms != 0 && g->parts.len == 0 && !split_has(&g->split, 1);
    if (is_gone) { /* the plan has forgotten the last part */
        registry_remove(&r->registry, e);
        return true;
    }
    return g->split.running != before.running || g->split.coming != before.coming;
}

bool reconcile_split(struct reconcile *r, int64_t now_ms)
{
    struct room room;
    bool changed = false;
    reconcile_attach_parts(r, now_ms);
    if ((r->conf.limits.max_parts < 2 && r->registry.giants.len == 0) || r->conf.dry_run) {
        return false;
    }
    room_make(r, &room);
    if (r->conf.limits.max_parts > 1) {
        find_giants(r, &room.room);
    }
    for (size_t i = r->registry.giants.len; i-- > 0;) {
        changed = step_one(r, r->registry.giants.items[i], &room.room, now_ms) || changed;
    }
    free(room.limits);
    return changed;
}
