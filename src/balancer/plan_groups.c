/* The groups of a round: limits, marks, what can be counted on, zones, and the sizes groups come in. */
#include "balancer/plan_round.h"

static uint64_t limit_of(uint64_t own, uint64_t common)
{
    uint64_t limit = own != 0 ? own : common;
    return limit == 0 || limit > LIMIT_OFF ? LIMIT_OFF : limit;
}

uint64_t round_mark(uint64_t limit, double share)
{
    return limit >= LIMIT_OFF ? LIMIT_OFF : (uint64_t)((double)limit * share + 1e-6);
}

static void group_init(const struct plan_round *r, struct round_group *g, size_t index)
{
    const struct plan_limits *l = &r->in->limits;
    const struct plan_group *in = &r->in->groups[index];
    *g = (struct round_group){.in = in, .in_index = index, .id = in->id};
    g->limit[DIM_SERIES] = limit_of(in->capacity_series, l->series);
    g->limit[DIM_SCRAPED] = limit_of(in->capacity_scraped, l->scraped);
    for (int d = 0; d < DIM_COUNT; d++) {
        g->low[d] = round_mark(g->limit[d], l->low);
        g->high[d] = round_mark(g->limit[d], l->high);
    }
    uint64_t head = in->head_series > in->left_series ? in->head_series - in->left_series : 0;
    g->head = head > LIMIT_OFF ? LIMIT_OFF : head;
    g->ready = in->health == SHARD_HEALTH_READY;
    g->answers = g->ready || in->health == SHARD_HEALTH_STARTING;
    bool silent = !g->ready && in->last_seen_ms > 0 && r->in->now_ms - in->last_seen_ms > l->failover_grace_ms;
    bool removed = in->health == SHARD_HEALTH_UNKNOWN && in->id >= r->in->desired_groups && r->in->complete;
    g->lost = silent || removed;
}

static int group_compare(const void *a, const void *b)
{
    const struct round_group *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int name_compare(const void *a, const void *b)
{
    const struct round_zone *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static const char *zone_name(const char *zone)
{
    return zone != NULL ? zone : "";
}

/* The zone of that name, or NULL. */
static struct round_zone *zone_find(struct plan_round *r, const char *name)
{
    struct round_zone key = {.name = zone_name(name)};
    return bsearch(&key, r->zones, r->zone_count, sizeof(key), name_compare);
}

static void zones_init(struct plan_round *r)
{
    r->zones = arena_alloc(r->arena, ((size_t)r->group_count + 1) * sizeof(*r->zones));
    for (uint32_t i = 0; i < r->group_count; i++) {
        r->zones[i].name = zone_name(r->groups[i].in->zone);
    }
    qsort(r->zones, r->group_count, sizeof(*r->zones), name_compare);
    for (uint32_t i = 0; i < r->group_count; i++) {
        if (r->zone_count == 0 || strcmp(r->zones[r->zone_count - 1].name, r->zones[i].name) != 0) {
            r->zones[r->zone_count++].name = r->zones[i].name;
        }
    }
    for (uint32_t i = 0; i < r->group_count; i++) {
        zone_find(r, r->groups[i].in->zone)->count++;
    }
    for (uint32_t z = 0; z < r->zone_count; z++) {
        r->zones[z].ids = arena_alloc(r->arena, ((size_t)r->zones[z].count) * sizeof(uint32_t));
        r->zones[z].count = 0;
    }
    for (uint32_t i = 0; i < r->group_count; i++) {
        struct round_zone *zone = zone_find(r, r->groups[i].in->zone);
        r->groups[i].zone = (uint32_t)(zone - r->zones);
        r->groups[i].zone_pos = zone->count;
        zone->ids[zone->count++] = i;
    }
}

const struct round_zone *round_zone_find(const struct plan_round *r, const char *name)
{
    struct round_zone key = {.name = zone_name(name)};
    return key.name[0] == '\0' || r->zone_count == 0
               ? NULL
               : bsearch(&key, r->zones, r->zone_count, sizeof(key), name_compare);
}

static int size_compare(const void *a, const void *b)
{
    const struct need *x = a, *y = b;
    for (int d = 0; d < DIM_COUNT; d++) {
        if (x->v[d] != y->v[d]) {
            return x->v[d] < y->v[d] ? 1 : -1;
        }
    }
    return 0;
}

/* The sizes groups come in, largest first. One yet to come will be as large as the highest that exists: shards which
 * turn out smaller than configured never look like a reason for yet another one. */
static void sizes_init(struct plan_round *r)
{
    const struct plan_limits *l = &r->in->limits;
    r->fresh_limit = (struct need){{limit_of(0, l->series), limit_of(0, l->scraped)}};
    if (r->group_count > 0) {
        memcpy(r->fresh_limit.v, r->groups[r->group_count - 1].limit, sizeof(r->fresh_limit.v));
    }
    r->sizes = arena_alloc(r->arena, ((size_t)r->group_count + 1) * sizeof(*r->sizes));
    r->sizes[r->group_count] = r->fresh_limit;
    for (uint32_t i = 0; i < r->group_count; i++) {
        memcpy(r->sizes[i].v, r->groups[i].limit, sizeof(r->sizes[i].v));
    }
    qsort(r->sizes, (size_t)r->group_count + 1, sizeof(*r->sizes), size_compare);
    for (uint32_t i = 0; i <= r->group_count; i++) {
        if (r->size_count == 0 || size_compare(&r->sizes[r->size_count - 1], &r->sizes[i]) != 0) {
            r->sizes[r->size_count++] = r->sizes[i];
        }
    }
}

void round_groups_init(struct plan_round *r)
{
    const struct plan_input *in = r->in;
    r->group_count = (uint32_t)in->group_count;
    r->groups = arena_alloc(r->arena, (in->group_count + 1) * sizeof(*r->groups));
    for (size_t i = 0; i < in->group_count; i++) {
        group_init(r, &r->groups[i], i);
        r->ready_count += r->groups[i].ready;
        r->unread = r->unread || (in->groups[i].health == SHARD_HEALTH_UNKNOWN && !in->complete);
    }
    if (in->group_count > 0) {
        qsort(r->groups, in->group_count, sizeof(*r->groups), group_compare);
        zones_init(r);
    }
    sizes_init(r);
}
