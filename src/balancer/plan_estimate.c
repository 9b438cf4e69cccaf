/* Sizes of targets that were never measured (down from the start, or assigned before their first scrape): the median
 * of the measured targets of their job, dimension by dimension, else a fixed default. An estimate never exceeds what
 * fits beside others, so a guess alone makes no target too big. Medians are only taken for jobs that need one. */
#include "balancer/plan_round.h"
#include "base/hash.h"

struct estimate {
    const char *job;
    struct need need;
    VEC(uint64_t) sizes[DIM_COUNT];
};

static bool estimate_equal(const void *entry, const void *key)
{
    const struct estimate *e = entry;
    return strcmp(e->job, key) == 0;
}

static uint64_t job_hash(const char *job)
{
    return hash_view(view_of(job));
}

static int size_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t median_of(uint64_t *sizes, size_t len)
{
    if (len == 0) {
        return DEFAULT_SERIES;
    }
    qsort(sizes, len, sizeof(*sizes), size_compare);
    return sizes[len / 2];
}

static uint64_t estimate_cap(const struct plan_round *r, int dim)
{
    uint64_t limit = r->fresh_limit.v[dim];
    return limit >= LIMIT_OFF ? NEED_MAX : (uint64_t)((double)limit * r->in->limits.low);
}

static void estimate_finish(struct plan_round *r, struct estimate *e)
{
    for (int d = 0; d < DIM_COUNT; d++) {
        uint64_t size = median_of(e->sizes[d].items, e->sizes[d].len);
        uint64_t cap = estimate_cap(r, d);
        size = size > NEED_MAX ? NEED_MAX : size;
        size += d == DIM_SERIES ? r->in->limits.per_target_overhead : 0;
        e->need.v[d] = size > cap ? cap : size;
        vec_done(&e->sizes[d]);
    }
}

static void estimates_collect(struct plan_round *r)
{
    const char *last_job = NULL;
    struct estimate *last = NULL;
    for (size_t i = 0; i < r->in->target_count; i++) {
        const struct plan_target *t = &r->in->targets[i];
        if (!t->size_known) {
            continue;
        }
        if (t->job != last_job) {
            last_job = t->job;
            last = hashmap_get(&r->estimates, job_hash(t->job), t->job);
        }
        if (last != NULL) {
            *vec_push(&last->sizes[DIM_SERIES]) = t->series;
            *vec_push(&last->sizes[DIM_SCRAPED]) = t->scraped;
        }
    }
}

void round_estimates_build(struct plan_round *r)
{
    hashmap_init(&r->estimates, estimate_equal);
    const char *last_job = NULL;
    for (size_t i = 0; i < r->in->target_count; i++) {
        const struct plan_target *t = &r->in->targets[i];
        if (t->size_known || t->job == last_job) {
            continue;
        }
        last_job = t->job;
        uint64_t hash = job_hash(t->job);
        if (hashmap_get(&r->estimates, hash, t->job) == NULL) {
            struct estimate *e = arena_alloc(r->arena, sizeof(*e));
            e->job = t->job;
            hashmap_add(&r->estimates, hash, e);
        }
    }
    if (r->estimates.len == 0) {
        return;
    }
    estimates_collect(r);
    size_t it = 0;
    for (struct estimate *e; (e = hashmap_next(&r->estimates, &it)) != NULL;) {
        estimate_finish(r, e);
    }
}

void round_estimates_done(struct plan_round *r)
{
    hashmap_done(&r->estimates);
}

struct need round_estimate(const struct plan_round *r, const char *job)
{
    const struct estimate *e = hashmap_get(&r->estimates, job_hash(job), job);
    invariant(e != NULL);
    return e->need;
}
