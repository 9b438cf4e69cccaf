/* The record ring: see records.h. head is written by the producer, tail by the consumer; each is read by the other with
 * acquire, so a slot's content is complete when it is seen. */
#include "proxy/records.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

struct record_ring {
    _Atomic unsigned head, tail;
    struct hashmap waiting; /* producer's: newest per (shard, job, hash) */
    struct scrape_record slots[RECORD_RING_SIZE];
};

static bool same_target(const void *entry, const void *key)
{
    const struct scrape_record *a = entry, *b = key;
    return a->hash == b->hash && a->job == b->job && a->shard == b->shard;
}

static uint64_t record_hash(const struct scrape_record *r)
{
    return hash_pair(hash_pair(r->hash, (uintptr_t)r->job), (uintptr_t)r->shard);
}

struct record_ring *record_ring_new(void)
{
    struct record_ring *ring = mem_calloc(1, sizeof(*ring));
    hashmap_init(&ring->waiting, same_target);
    return ring;
}

void record_ring_free(struct record_ring **ring)
{
    if (*ring == NULL) {
        return;
    }
    size_t it = 0;
    for (void *r; (r = hashmap_next(&(*ring)->waiting, &it)) != NULL;) {
        free(r);
    }
    hashmap_done(&(*ring)->waiting);
    free(*ring);
    *ring = NULL;
}

static bool put(struct record_ring *ring, const struct scrape_record *r)
{
    unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) == RECORD_RING_SIZE) {
        return false;
    }
    ring->slots[head % RECORD_RING_SIZE] = *r;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

static void wait_aside(struct record_ring *ring, const struct scrape_record *r)
{
    struct scrape_record *old = hashmap_get(&ring->waiting, record_hash(r), r);
    if (old != NULL) {
        *old = *r;
        metric_add(METRIC_PROXY_RECORDS_DROPPED, 1);
    } else if (ring->waiting.len < RECORD_WAITING_MAX) {
        hashmap_add(&ring->waiting, record_hash(r), mem_dup(r, sizeof(*r)));
    } else {
        metric_add(METRIC_PROXY_RECORDS_DROPPED, 1);
    }
}

bool record_ring_flush(struct record_ring *ring)
{
    bool any = false;
    while (ring->waiting.len > 0) {
        size_t it = 0;
        struct scrape_record *r = hashmap_next(&ring->waiting, &it);
        if (!put(ring, r)) {
            break;
        }
        hashmap_remove(&ring->waiting, record_hash(r), r);
        free(r);
        any = true;
    }
    return any;
}

bool record_ring_push(struct record_ring *ring, const struct scrape_record *r)
{
    (void)record_ring_flush(ring);
    if (ring->waiting.len > 0 || !put(ring, r)) {
        wait_aside(ring, r);
    }
    return true;
}

bool record_ring_pop(struct record_ring *ring, struct scrape_record *ret)
{
    unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire)) {
        return false;
    }
    *ret = ring->slots[tail % RECORD_RING_SIZE];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}
