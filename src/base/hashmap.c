/* Linear probing, power-of-two table at most 3/4 full, removal by backward shift so that no tombstones pile up. */
#include "base/hashmap.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static size_t slot_of(const struct hashmap *m, uint64_t hash)
{
    return (size_t)((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (m->cap - 1);
}

void hashmap_init(struct hashmap *m, bool (*equal)(const void *entry, const void *key))
{
    *m = (struct hashmap){.equal = equal};
}

void hashmap_done(struct hashmap *m)
{
    free(m->slots);
    hashmap_init(m, m->equal);
}

void hashmap_clear(struct hashmap *m)
{
    if (m->slots != NULL) {
        memset(m->slots, 0, m->cap * sizeof(*m->slots));
    }
    m->len = 0;
}

static void place(struct hashmap *m, uint64_t hash, void *entry)
{
    size_t i = slot_of(m, hash);
    while (m->slots[i].entry != NULL) {
        i = (i + 1) & (m->cap - 1);
    }
    m->slots[i] = (struct hashmap_slot){hash, entry};
}

void hashmap_reserve(struct hashmap *m, size_t count)
{
    size_t cap = m->cap != 0 ? m->cap : 16;
    while (count > cap / 4 * 3) {
        cap *= 2;
    }
    if (cap == m->cap) {
        return;
    }
    struct hashmap old = *m;
    m->cap = cap;
    m->slots = mem_calloc(cap, sizeof(*m->slots));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].entry != NULL) {
            place(m, old.slots[i].hash, old.slots[i].entry);
        }
    }
    free(old.slots);
}

void *hashmap_get(const struct hashmap *m, uint64_t hash, const void *key)
{
    if (m->len == 0) {
        return NULL;
    }
    for (size_t i = slot_of(m, hash); m->slots[i].entry != NULL; i = (i + 1) & (m->cap - 1)) {
        if (m->slots[i].hash == hash && m->equal(m->slots[i].entry, key)) {
            return m->slots[i].entry;
        }
    }
    return NULL;
}

void hashmap_add(struct hashmap *m, uint64_t hash, void *entry)
{
    invariant(entry != NULL);
    hashmap_reserve(m, m->len + 1);
    place(m, hash, entry);
    m->len++;
}

static void close_gap(struct hashmap *m, size_t gap)
{
    size_t mask = m->cap - 1;
    for (size_t i = (gap + 1) & mask; m->slots[i].entry != NULL; i = (i + 1) & mask) {
        size_t home = slot_of(m, m->slots[i].hash);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->slots[gap] = m->slots[i];
            gap = i;
        }
    }
    m->slots[gap] = (struct hashmap_slot){0};
}

void *hashmap_remove(struct hashmap *m, uint64_t hash, const void *key)
{
    if (m->len == 0) {
        return NULL;
    }
    for (size_t i = slot_of(m, hash); m->slots[i].entry != NULL; i = (i + 1) & (m->cap - 1)) {
        if (m->slots[i].hash == hash && m->equal(m->slots[i].entry, key)) {
            void *entry = m->slots[i].entry;
            close_gap(m, i);
            m->len--;
            return entry;
        }
    }
    return NULL;
}

void *hashmap_next(const struct hashmap *m, size_t *it)
{
    while (*it < m->cap) {
        void *entry = m->slots[(*it)++].entry;
        if (entry != NULL) {
            return entry;
        }
    }
    return NULL;
}
