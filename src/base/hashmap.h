/* Open-addressing hash map of pointers to entries that carry their own key. The caller hashes; the map stores hash and
 * pointer, compares by callback, owns nothing. Iteration order is not stable: decisions never depend on it. */
#ifndef KVASS_BASE_HASHMAP_H
#define KVASS_BASE_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_slot {
    uint64_t hash;
    void *entry; /* NULL = free */
};

struct hashmap {
    struct hashmap_slot *slots;
    size_t cap, len;
    bool (*equal)(const void *entry, const void *key);
};

void hashmap_init(struct hashmap *m, bool (*equal)(const void *entry, const void *key));
void hashmap_done(struct hashmap *m);
void hashmap_clear(struct hashmap *m);
void hashmap_reserve(struct hashmap *m, size_t count);

/* The entry equal to key, or NULL. */
void *hashmap_get(const struct hashmap *m, uint64_t hash, const void *key);

/* Adds entry under hash; the key must be absent (checked by the caller: get first). */
void hashmap_add(struct hashmap *m, uint64_t hash, void *entry);

/* Takes out and returns the entry equal to key, or NULL. */
void *hashmap_remove(struct hashmap *m, uint64_t hash, const void *key);

/* Walk: size_t it = 0; for (void *e; (e = hashmap_next(m, &it)) != NULL;) ...   No add or remove while walking. */
void *hashmap_next(const struct hashmap *m, size_t *it);

#endif
