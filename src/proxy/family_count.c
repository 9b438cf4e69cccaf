/* Sums per (job, family): see family_count.h. A target adds once, so that the sums are those of one scrape each. */
#include "proxy/family_count.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"
#include "expfmt/counter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    const char *job; /* interned */
    struct view name;
    double scraped, total;
};

struct done {
    const char *job; /* interned */
    uint64_t hash;
};

struct family_count {
    _Atomic unsigned refs;
    _Atomic bool closed;
    char *job_substring;
    bool per_second;
    pthread_mutex_t lock; /* of all below */
    struct arena *arena;
    struct hashmap sums, done;
};

static bool sum_equal(const void *entry, const void *key)
{
    const struct sum *a = entry, *b = key;
    return a->job == b->job && view_equal(a->name, b->name);
}

static bool done_equal(const void *entry, const void *key)
{
    const struct done *a = entry, *b = key;
    return a->hash == b->hash && a->job == b->job;
}

static uint64_t sum_hash(const struct sum *s)
{
    return hash_pair(hash_view(s->name), (uintptr_t)s->job);
}

static uint64_t done_hash(const struct done *d)
{
    return hash_pair(d->hash, (uintptr_t)d->job);
}

struct family_count *family_count_new(struct view job_substring, bool per_second)
{
    struct family_count *f = mem_calloc(1, sizeof(*f));
    f->refs = 1;
    f->per_second = per_second;
    f->job_substring = mem_dup(job_substring.base != NULL ? job_substring.base : "", job_substring.len);
    pthread_mutex_init(&f->lock, NULL);
    f->arena = arena_new();
    hashmap_init(&f->sums, sum_equal);
    hashmap_init(&f->done, done_equal);
    return f;
}

struct family_count *family_count_ref(struct family_count *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void family_count_unref(struct family_count *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    hashmap_done(&f->sums);
    hashmap_done(&f->done);
    arena_free(&f->arena);
    pthread_mutex_destroy(&f->lock);
    free(f->job_substring);
    free(f);
}

bool family_count_matches(const struct family_count *f, const char *job)
{
    return strstr(job, f->job_substring) != NULL;
}

bool family_count_is_for(const struct family_count *f, struct view job_substring)
{
    return view_is(job_substring, f->job_substring);
}

bool family_count_wants(struct family_count *f, const char *job, uint64_t hash)
{
    struct done d = {job, hash};
    if (atomic_load_explicit(&f->closed, memory_order_relaxed) || !family_count_matches(f, job)) {
        return false;
    }
    pthread_mutex_lock(&f->lock);
    bool wanted = f->done.len < FAMILY_COUNT_TARGETS_MAX && hashmap_get(&f->done, done_hash(&d), &d) == NULL;
    pthread_mutex_unlock(&f->lock);
    return wanted;
}

struct adding {
    struct family_count *to;
    const char *job;
    double weight;
};

static void add_figures(struct family_count *f, const char *job, struct view name, double scraped, double total)
{
    struct sum key = {.job = job, .name = name};
    struct sum *s = hashmap_get(&f->sums, sum_hash(&key), &key);
    if (s == NULL && f->sums.len >= FAMILY_COUNT_NAMES_MAX) {
        key.name = VIEW("other");
        s = hashmap_get(&f->sums, sum_hash(&key), &key);
    }
    if (s == NULL) {
        s = arena_alloc(f->arena, sizeof(*s));
        *s = key;
        s->name = arena_view(f->arena, key.name);
        hashmap_add(&f->sums, sum_hash(s), s);
    }
    s->scraped += scraped;
    s->total += total;
}

static void add_family(void *data, struct view name, uint64_t scraped, uint64_t total)
{
    const struct adding *a = data;
    add_figures(a->to, a->job, name, (double)scraped * a->weight, (double)total * a->weight);
}

static bool mark(struct family_count *f, const char *job, uint64_t hash)
{
    struct done key = {job, hash};
    if (atomic_load(&f->closed) || f->done.len >= FAMILY_COUNT_TARGETS_MAX ||
        hashmap_get(&f->done, done_hash(&key), &key) != NULL) {
        return false;
    }
    struct done *d = arena_alloc(f->arena, sizeof(*d));
    *d = key;
    hashmap_add(&f->done, done_hash(d), d);
    return true;
}

void family_count_add(struct family_count *f, const char *job, uint64_t hash, int64_t interval_ms,
                      const struct counter *counter)
{
    struct adding a = {f, job, f->per_second && interval_ms > 0 ? 1000.0 / (double)interval_ms : 1};
    pthread_mutex_lock(&f->lock);
    if (mark(f, job, hash)) {
        counter_each_family(counter, add_family, &a);
    }
    pthread_mutex_unlock(&f->lock);
}

void family_count_add_figures(struct family_count *f, const char *job, struct view name, double scraped, double total)
{
    pthread_mutex_lock(&f->lock);
    add_figures(f, job, name, scraped, total);
    pthread_mutex_unlock(&f->lock);
}

void family_count_mark(struct family_count *f, const char *job, uint64_t hash)
{
    pthread_mutex_lock(&f->lock);
    (void)mark(f, job, hash);
    pthread_mutex_unlock(&f->lock);
}

size_t family_count_targets(struct family_count *f)
{
    pthread_mutex_lock(&f->lock);
    size_t count = f->done.len;
    pthread_mutex_unlock(&f->lock);
    return count;
}

void family_count_close(struct family_count *f)
{
    atomic_store(&f->closed, true);
}

static int by_name(const void *a, const void *b)
{
    return view_compare((*(const struct sum *const *)a)->name, (*(const struct sum *const *)b)->name);
}

void family_count_each(struct family_count *f, const char *job,
                       void (*each)(void *data, struct view name, double scraped, double total), void *data)
{
    size_t it = 0, count = 0;
    pthread_mutex_lock(&f->lock);
    const struct sum **sorted = mem_calloc(f->sums.len + 1, sizeof(struct sum *));
    for (const struct sum *s; (s = hashmap_next(&f->sums, &it)) != NULL;) {
        if (s->job == job) {
            sorted[count++] = s;
        }
    }
    if (count > 1) {
        qsort(sorted, count, sizeof(struct sum *), by_name);
    }
    for (size_t i = 0; i < count; i++) {
        each(data, sorted[i]->name, sorted[i]->scraped, sorted[i]->total);
    }
    pthread_mutex_unlock(&f->lock);
    free(sorted);
}
