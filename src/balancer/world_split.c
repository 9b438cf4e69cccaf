/* Splitting in the simulated world: what reconcile_split.c does with the registry, on its targets. The decision is
 * split.h's in both; here are only the facts a coordinator would have, and the parts that come and go. A series of the
 * whole lies in exactly one part, in equal shares. */
#include "balancer/world.h"

#include "base/hash.h"

#define LIMIT_NONE       ((uint64_t)1 << 60)
#define LONG_INTERVAL_MS 120000

bool world_is_planned(const struct world_target *t)
{
    return !t->is_giant || (!t->is_found && split_has(&t->split, 1));
}

/* ---- room ---- */

static uint64_t limit_of(uint64_t own, uint64_t common)
{
    return own != 0 ? own : common != 0 ? common : LIMIT_NONE;
}

static struct split_room room_of(const struct world *w, struct need *limits)
{
    const struct plan_limits *l = &w->conf.limits;
    uint32_t most = l->max_groups != 0 ? l->max_groups : UINT32_MAX;
    limits[0] = (struct need){{limit_of(0, l->series), limit_of(0, l->scraped)}};
    for (size_t i = 0; i < w->shards.len; i++) {
        const struct world_shard *s = w->shards.items[i];
        limits[i] = (struct need){{limit_of(s->capacity_series, l->series), limit_of(s->capacity_scraped, l->scraped)}};
    }
    struct split_room room = {
        .limits = limits,
        .count = w->shards.len,
        .fresh = limits[w->shards.len > 0 ? w->shards.len - 1 : 0],
        .can_add = most > w->desired ? most - w->desired : 0,
        .overhead = l->per_target_overhead,
        .low = l->low,
        .high = l->high,
        .max_parts = l->max_parts > 1 ? l->max_parts < PARTS_MAX ? l->max_parts : PARTS_MAX : 1,
        .calm_ms = l->move_cool_down_ms,
    };
    vec_foreach(t, &w->targets) {
        if ((*t)->want_replicas == PLAN_EVERY_GROUP && !(*t)->forgotten) {
            room.base.v[DIM_SERIES] += (*t)->known_series + room.overhead;
            room.base.v[DIM_SCRAPED] += (*t)->known_scraped;
        }
    }
    return room;
}

/* ---- facts ---- */

struct generation {
    uint32_t count;
    bool held, placed, proven;
    int64_t since_ms;
};

static bool is_of(const struct world_target *t, const struct world_target *whole, uint32_t generation)
{
    return generation == 1 ? t == whole : t->whole == whole && t->parts == generation && !t->forgotten;
}

static struct generation see_generation(const struct world *w, const struct world_target *whole, uint32_t generation)
{
    struct generation g = {.placed = true, .proven = true};
    uint32_t scrapes = w->conf.limits.move_scrapes;
    uint32_t proof = whole->interval_ms > LONG_INTERVAL_MS || scrapes == 0 ? 1 : scrapes;
    vec_foreach(tp, &w->targets) {
        const struct world_target *t = *tp;
        uint32_t placed = 0, proven = 0;
        if (!is_of(t, whole, generation)) {
            continue;
        }
        vec_foreach(o, &t->owners) {
            if (o->dropped) {
                continue;
            }
            bool is_good = o->good_scrapes >= proof || (t->down && o->scrapes >= proof);
            g.held = true;
            g.since_ms = g.since_ms == 0 || o->since_ms < g.since_ms ? o->since_ms : g.since_ms;
            placed += o->state == OWNER_ASSIGNED;
            proven += o->state == OWNER_ASSIGNED && is_good && world_is_answering(w, world_find_shard(w, o->shard));
        }
        g.count++;
        g.placed = g.placed && placed >= t->want_replicas;
        g.proven = g.proven && proven >= t->want_replicas;
    }
    g.placed = g.placed && g.count == generation;
    g.proven = g.proven && g.count == generation;
    return g;
}

static void adopt(const struct world *w, struct world_target *whole)
{
    struct split_found found[PARTS_MAX + 1];
    size_t count = 0;
    for (uint32_t k = 1; k <= PARTS_MAX; k++) {
        struct generation g = see_generation(w, whole, k);
        if (g.held) {
            found[count++] = (struct split_found){k, g.placed, g.since_ms};
        }
    }
    split_adopt(&whole->split, found, count, w->now_ms);
    whole->is_found = false;
}

/* ---- parts ---- */

static void drop_owners(struct world *w, struct world_target *t)
{
    bool was = t->forgotten, is_giant = t->is_giant;
    t->is_giant = false; /* its parts stay */
    world_forget_target(w, t);
    t->forgotten = was;
    t->is_giant = is_giant;
}

static void make_part(struct world *w, struct world_target *whole, uint32_t part, uint32_t parts)
{
    whole->had_parts = true;
    vec_foreach(t, &w->targets) {
        if (is_of(*t, whole, parts) && (*t)->part == part) {
            return;
        }
    }
    struct world_target *t = world_add_target(w, whole->job, whole->index, 0, whole->series / parts);
    t->hash = hash_pair(whole->hash, ((uint64_t)parts << 16) + part);
    t->place_key = hash_pair(whole->place_key, part + UINT64_C(1));
    t->whole = whole;
    t->part = part;
    t->parts = parts;
    t->interval_ms = whole->interval_ms;
    t->want_replicas = whole->want_replicas;
    t->zone = whole->zone;
    t->size_known = t->explored = true;
}

static void make_entries(struct world *w, struct world_target *whole)
{
    for (size_t i = 0; i < w->targets.len; i++) {
        struct world_target *t = w->targets.items[i];
        if (t->whole == whole && !t->forgotten && !split_has(&whole->split, t->parts)) {
            world_forget_target(w, t);
        }
    }
    if (!split_has(&whole->split, 1)) {
        drop_owners(w, whole);
    }
    const uint32_t generations[] = {whole->split.running, whole->split.coming};
    for (int g = 0; g < 2; g++) {
        for (uint32_t i = 0; generations[g] > 1 && i < generations[g]; i++) {
            make_part(w, whole, i, generations[g]);
        }
    }
}

/* How many parts there are still. */
static size_t follow_whole(struct world *w, const struct world_target *whole)
{
    size_t count = 0;
    vec_foreach(tp, &w->targets) {
        struct world_target *t = *tp;
        if (t->whole == whole && !t->forgotten) {
            t->vanished_ms = whole->vanished_ms;
            t->interval_ms = whole->interval_ms;
            t->zone = whole->zone;
            if (t->owners.len == 0) {
                t->known_series = (whole->known_series + t->parts - 1) / t->parts;
                t->known_scraped = (whole->known_scraped + t->parts - 1) / t->parts;
            }
            count++;
        }
    }
    return count;
}

/* ---- the step ---- */

static void step_one(struct world *w, struct world_target *t, const struct split_room *room)
{
    if (t->vanished_ms == 0) {
        struct generation running = see_generation(w, t, t->split.running);
        struct split_facts f = {
            .now_ms = w->now_ms,
            .interval_ms = t->interval_ms,
            .size = {{t->known_series, t->known_scraped}},
            .running_held = running.held,
        };
        if (t->split.coming != 0) {
            struct generation coming = see_generation(w, t, t->split.coming);
            f.coming_held = coming.held;
            f.coming_placed = coming.placed;
            f.coming_proven = coming.proven;
        }
        split_step(&t->split, &f, room);
        make_entries(w, t);
    }
    size_t parts = follow_whole(w, t);
    if (parts == 0 && t->split.running == 1 && t->split.reason[0] == '\0' && t->split.retry_ms <= w->now_ms) {
        t->is_giant = false;
    } else if (parts == 0 && t->vanished_ms != 0 && !split_has(&t->split, 1)) {
        t->forgotten = true; /* the plan has forgotten the last part */
    }
}

static bool may_be_giant(const struct world_target *t)
{
    return !t->is_giant && t->parts == 0 && t->size_known && t->vanished_ms == 0 && !t->forgotten &&
           t->want_replicas != PLAN_EVERY_GROUP;
}

void world_split(struct world *w)
{
    bool is_on = w->conf.limits.max_parts > 1;
    size_t giants = 0;
    vec_foreach(t, &w->targets) {
        giants += (*t)->is_giant;
    }
    if ((!is_on && giants == 0) || !world_is_complete(w)) {
        return;
    }
    struct need *limits = mem_calloc(w->shards.len + 1, sizeof(*limits));
    struct split_room room = room_of(w, limits);
    for (size_t i = 0; i < w->targets.len; i++) {
        struct world_target *t = w->targets.items[i];
        struct need size = {{t->known_series, t->known_scraped}};
        if (is_on && may_be_giant(t) && !split_fits_whole(&room, &size)) {
            t->is_giant = true;
            split_init(&t->split);
        }
        if (t->is_giant && t->is_found) {
            adopt(w, t);
        }
        if (t->is_giant && !t->forgotten) {
            step_one(w, t, &room);
        }
    }
    free(limits);
}

/* A coordinator that knows nothing of splitting any more: parts that nobody has are gone with its memory. */
void world_split_restart(struct world *w)
{
    for (size_t i = 0; i < w->targets.len; i++) {
        struct world_target *t = w->targets.items[i];
        size_t held = 0;
        t->is_found = t->is_giant;
        vec_foreach(o, &t->owners) {
            held += !o->dropped;
        }
        if (t->parts > 0 && held == 0) {
            t->forgotten = true;
        }
    }
}

/* ---- facts for the plan ---- */

size_t world_count_discovered(const struct world *w)
{
    size_t count = 0;
    vec_foreach(t, &w->targets) {
        count += (*t)->parts == 0;
    }
    return count;
}

static const struct world_target *predecessor_of(const struct world *w, const struct world_target *t,
                                                 const struct world_target *whole)
{
    vec_foreach(p, &w->targets) {
        bool is_same = whole->split.running == 1 ? t->part == 0 : (*p)->part == t->part;
        if (is_same && is_of(*p, whole, whole->split.running)) {
            bool is_settled = (*p)->owners.len == 1 && (*p)->owners.items[0].state == OWNER_ASSIGNED &&
                              !(*p)->owners.items[0].dropped;
            return is_settled ? *p : NULL;
        }
    }
    return NULL;
}

uint64_t world_split_shared(const struct world *w, const struct world_target *t, uint32_t shard)
{
    const struct world_target *whole = t->whole != NULL ? t->whole : t;
    uint32_t generation = t->parts > 0 ? t->parts : 1;
    if (!whole->is_giant || whole->split.coming != generation) {
        return 0;
    }
    const struct world_target *before = predecessor_of(w, t, whole);
    return before != NULL && before->owners.items[0].shard == shard ? before->series : 0;
}

void world_split_freeze(const struct world *w, struct arena *arena, const struct world_target *t,
                        struct plan_target *ret)
{
    const struct world_target *whole = t->whole != NULL ? t->whole : t;
    uint32_t generation = t->parts > 0 ? t->parts : 1;
    ret->is_part = generation > 1;
    ret->pinned = whole->is_giant && whole->split.coming != 0;
    if (!ret->pinned || generation != whole->split.coming) {
        return;
    }
    const struct world_target *before = predecessor_of(w, t, whole);
    struct plan_take_over *to = arena_alloc(arena, sizeof(*to));
    to->gang = whole->hash;
    to->is_optional = generation < whole->split.running && w->conf.limits.max_parts > 1;
    ret->take_over = to;
    if (before == NULL || t->want_replicas > 1) {
        return;
    }
    to->follows = true;
    to->group = before->owners.items[0].shard;
    to->series = before->known_series;
    to->scraped = before->known_scraped;
    if (t->owners.len == 1 && t->owners.items[0].shard == to->group) {
        ret->series -= to->series < ret->series ? to->series : ret->series;
        ret->scraped -= to->scraped < ret->scraped ? to->scraped : ret->scraped;
    }
}

/* ---- in words ---- */

static void state_of_whole(const struct world *w, struct world_target *whole)
{
    bool coming_held = false;
    if (whole->split.running > 1) {
        whole->state = LEDGER_ASSIGNED;
    }
    vec_foreach(tp, &w->targets) {
        const struct world_target *t = *tp;
        bool is_running = t->parts == whole->split.running;
        if (t->whole != whole || t->forgotten) {
            continue;
        }
        coming_held = coming_held || (!is_running && t->owners.len > 0);
        if (is_running && split_badness(t->state) > split_badness(whole->state)) {
            whole->state = t->state;
            whole->reason = t->reason;
        }
    }
    coming_held = coming_held || (whole->split.coming == 1 && whole->owners.len > 0);
    if (whole->split.reason[0] != '\0') {
        whole->reason = whole->split.reason;
    }
    if (whole->vanished_ms != 0) {
        whole->state = LEDGER_LEAVING;
    } else if (whole->state == LEDGER_ASSIGNED && coming_held) {
        whole->state = LEDGER_IN_TRANSFER;
    }
}

void world_split_states(struct world *w)
{
    memset(w->ledger, 0, sizeof(w->ledger));
    vec_foreach(tp, &w->targets) {
        struct world_target *t = *tp;
        if (t->is_giant && !t->forgotten) {
            state_of_whole(w, t);
        }
        if (t->parts == 0 && !t->forgotten) {
            w->ledger[t->state]++;
        }
    }
}
