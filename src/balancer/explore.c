/* Exploring: the first scrape of a target, before it has a place, so that its size is known when it gets one.
 *
 * Every entry is either under way (a list, oldest first) or waits for a moment (a heap by due time, then by order of
 * arrival): for its first probe, for the pause after a failure, or for the end of its result's life, after which it
 * is probed again while the old result still answers. A probe whose record never comes counts as failed after a
 * while, so that a lost one cannot use up the concurrency for good. Nothing here blocks or asks for the time. */
#include "balancer/explore.h"

#include "base/hashmap.h"
#include "base/vec.h"

#define BACKOFF_MAX_MS INT64_C(60000)
#define LOST_MS        INT64_C(180000) /* longer than any scrape timeout worth waiting for */

struct entry {
    const struct target *target;
    int64_t due_ms; /* waiting: when; under way: when it counts as lost */
    uint64_t order;
    size_t heap_pos;
    struct entry *prev, *next; /* while under way */
    bool running;
    unsigned failures;
    enum explore_verdict verdict;
    uint64_t series, scraped;
    char error[SCRAPE_ERROR_MAX];
};

struct explore {
    struct explore_conf conf;
    struct hashmap by_key;
    VEC(struct entry *) heap;
    struct entry *oldest, *newest;
    unsigned running;
    uint64_t order;
};

struct key {
    const char *job;
    uint64_t hash;
};

static bool entry_equal(const void *entry, const void *key)
{
    const struct entry *e = entry;
    const struct key *k = key;
    return e->target->hash == k->hash && strcmp(e->target->job, k->job) == 0;
}

/* ---- the heap of those that wait ---- */

static bool is_before(const struct entry *a, const struct entry *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void heap_put(struct explore *e, size_t pos, struct entry *x)
{
    e->heap.items[pos] = x;
    x->heap_pos = pos;
}

static void heap_up(struct explore *e, size_t pos, struct entry *x)
{
    while (pos > 0 && is_before(x, e->heap.items[(pos - 1) / 2])) {
        heap_put(e, pos, e->heap.items[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    heap_put(e, pos, x);
}

static void heap_down(struct explore *e, size_t pos, struct entry *x)
{
    for (size_t child; (child = 2 * pos + 1) < e->heap.len; pos = child) {
        if (child + 1 < e->heap.len && is_before(e->heap.items[child + 1], e->heap.items[child])) {
            child++;
        }
        if (!is_before(e->heap.items[child], x)) {
            break;
        }
        heap_put(e, pos, e->heap.items[child]);
    }
    heap_put(e, pos, x);
}

static void heap_add(struct explore *e, struct entry *x)
{
    (void)vec_push(&e->heap);
    heap_up(e, e->heap.len - 1, x);
}

static void heap_take(struct explore *e, struct entry *x)
{
    size_t pos = x->heap_pos;
    struct entry *last = e->heap.items[--e->heap.len];
    if (last == x) {
        return;
    }
    if (pos > 0 && is_before(last, e->heap.items[(pos - 1) / 2])) {
        heap_up(e, pos, last);
    } else {
        heap_down(e, pos, last);
    }
}

/* ---- states ---- */

static void begin(struct explore *e, struct entry *x, int64_t now_ms)
{
    heap_take(e, x);
    x->running = true;
    x->due_ms = now_ms + LOST_MS;
    x->prev = e->newest;
    x->next = NULL;
    *(e->newest != NULL ? &e->newest->next : &e->oldest) = x;
    e->newest = x;
    e->running++;
}

static void unlink_running(struct explore *e, struct entry *x)
{
    *(x->prev != NULL ? &x->prev->next : &e->oldest) = x->next;
    *(x->next != NULL ? &x->next->prev : &e->newest) = x->prev;
    x->running = false;
    e->running--;
}

static void wait_until(struct explore *e, struct entry *x, int64_t due_ms)
{
    unlink_running(e, x);
    x->due_ms = due_ms;
    x->order = e->order++;
    heap_add(e, x);
}

static void succeed(struct explore *e, struct entry *x, const struct scrape_record *r, int64_t now_ms)
{
    x->verdict = EXPLORE_DONE;
    x->failures = 0;
    x->series = r->series;
    x->scraped = r->scraped;
    x->error[0] = '\0';
    wait_until(e, x, now_ms + e->conf.result_ttl_ms);
}

static void fail(struct explore *e, struct entry *x, const char *error, int64_t now_ms)
{
    size_t len = strnlen(error, SCRAPE_ERROR_MAX - 1);
    memcpy(x->error, error, len);
    x->error[len] = '\0';
    x->failures++;
    if (x->failures >= e->conf.attempts) {
        x->verdict = EXPLORE_FAILED;
        x->failures = 0;
        wait_until(e, x, now_ms + e->conf.result_ttl_ms);
        return;
    }
    int64_t pause_ms = e->conf.backoff_ms;
    for (unsigned i = 1; i < x->failures && pause_ms < BACKOFF_MAX_MS; i++) {
        pause_ms *= 2;
    }
    wait_until(e, x, now_ms + (pause_ms < BACKOFF_MAX_MS ? pause_ms : BACKOFF_MAX_MS));
}

static void entry_free(struct entry *x)
{
    target_unref(x->target);
    free(x);
}

/* ---- the interface ---- */

struct explore *explore_new(const struct explore_conf *conf)
{
    struct explore *e = mem_calloc(1, sizeof(*e));
    e->conf = *conf;
    hashmap_init(&e->by_key, entry_equal);
    return e;
}

void explore_free(struct explore **handle)
{
    struct explore *e = *handle;
    if (e == NULL) {
        return;
    }
    size_t it = 0;
    for (struct entry *x; (x = hashmap_next(&e->by_key, &it)) != NULL;) {
        entry_free(x);
    }
    hashmap_done(&e->by_key);
    vec_done(&e->heap);
    free(e);
    *handle = NULL;
}

static struct entry *find(const struct explore *e, const char *job, uint64_t hash)
{
    const struct key key = {job, hash};
    return hashmap_get(&e->by_key, target_key_hash(job, hash), &key);
}

void explore_add(struct explore *e, const struct target *t, int64_t now_ms)
{
    if (find(e, t->job, t->hash) != NULL) {
        return;
    }
    struct entry *x = mem_calloc(1, sizeof(*x));
    x->target = target_ref(t);
    x->verdict = EXPLORE_WAITING;
    x->due_ms = now_ms;
    x->order = e->order++;
    hashmap_add(&e->by_key, target_key_hash(t->job, t->hash), x);
    heap_add(e, x);
}

void explore_remove(struct explore *e, const char *job, uint64_t hash)
{
    const struct key key = {job, hash};
    struct entry *x = hashmap_remove(&e->by_key, target_key_hash(job, hash), &key);
    if (x == NULL) {
        return;
    }
    if (x->running) {
        unlink_running(e, x);
    } else {
        heap_take(e, x);
    }
    entry_free(x);
}

const struct target *explore_next(struct explore *e, int64_t now_ms)
{
    while (e->oldest != NULL && e->oldest->due_ms <= now_ms) {
        fail(e, e->oldest, "the probe never reported", now_ms);
    }
    if (e->running >= e->conf.concurrency || e->heap.len == 0 || e->heap.items[0]->due_ms > now_ms) {
        return NULL;
    }
    struct entry *x = e->heap.items[0];
    begin(e, x, now_ms);
    return x->target;
}

int64_t explore_next_due_ms(const struct explore *e)
{
    int64_t due_ms = e->oldest != NULL ? e->oldest->due_ms : -1;
    if (e->running < e->conf.concurrency && e->heap.len > 0 && (due_ms < 0 || e->heap.items[0]->due_ms < due_ms)) {
        due_ms = e->heap.items[0]->due_ms;
    }
    return due_ms;
}

void explore_result(struct explore *e, const struct scrape_record *r, int64_t now_ms)
{
    struct entry *x = find(e, r->job, r->hash);
    if (x == NULL || !x->running) {
        return;
    }
    if (r->health == TARGET_HEALTH_UP) {
        succeed(e, x, r, now_ms);
    } else {
        fail(e, x, r->error, now_ms);
    }
}

enum explore_verdict explore_verdict(const struct explore *e, const char *job, uint64_t hash, uint64_t *ret_series,
                                     uint64_t *ret_scraped, char ret_error[SCRAPE_ERROR_MAX])
{
    const struct entry *x = find(e, job, hash);
    if (x == NULL) {
        return EXPLORE_UNKNOWN;
    }
    if (x->verdict == EXPLORE_DONE) {
        *ret_series = x->series;
        *ret_scraped = x->scraped;
    }
    if (ret_error != NULL) {
        memcpy(ret_error, x->error, SCRAPE_ERROR_MAX);
    }
    return x->verdict;
}
