/* Dictionaries of label names.
 *
 * A discovered pod has twenty labels whose names are longer than their values and the same for every pod of the job. So
 * a build numbers the names it meets and its sets keep numbers. A dictionary belongs to one build: names are never
 * taken out, and when the last set of the build is gone it goes too, so that names which targets choose cannot pile up.
 *
 * Names live in an arena and never move; most look-ups see a name at an address seen before (a literal, a name of this
 * dictionary), which a small cache answers without hashing. An address is only trusted with equal bytes: callers reuse
 * memory. */
#include "model/label_names.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdatomic.h>
#include <stdlib.h>

#define CACHE_SLOTS 256

struct named {
    struct view name;
    uint32_t number;
};

struct label_names {
    _Atomic unsigned refs;
    struct arena *arena;
    struct hashmap map;              /* of struct named */
    VEC(const struct named *) items; /* by number */
    struct {
        const char *base;
        const struct named *entry;
    } cache[CACHE_SLOTS];
};

static bool named_equal(const void *entry, const void *key)
{
    return view_equal(((const struct named *)entry)->name, *(const struct view *)key);
}

struct label_names *label_names_new(void)
{
    struct label_names *n = mem_calloc(1, sizeof(*n));
    atomic_init(&n->refs, 1);
    n->arena = arena_new();
    hashmap_init(&n->map, named_equal);
    return n;
}

struct label_names *label_names_ref(struct label_names *names)
{
    atomic_fetch_add_explicit(&names->refs, 1, memory_order_relaxed);
    return names;
}

void label_names_unref(struct label_names *names)
{
    if (names != NULL && atomic_fetch_sub_explicit(&names->refs, 1, memory_order_acq_rel) == 1) {
        hashmap_done(&names->map);
        vec_done(&names->items);
        arena_free(&names->arena);
        free(names);
    }
}

static const struct named *find_or_add(struct label_names *names, struct view name)
{
    uint64_t hash = hash_view(name);
    struct named *entry = hashmap_get(&names->map, hash, &name);
    if (entry == NULL) {
        invariant(names->items.len < UINT32_MAX);
        entry = arena_alloc(names->arena, sizeof(*entry));
        entry->name = arena_view(names->arena, name);
        entry->number = (uint32_t)names->items.len;
        hashmap_add(&names->map, hash, entry);
        *vec_push(&names->items) = entry;
    }
    return entry;
}

uint32_t label_names_add(struct label_names *names, struct view name)
{
    size_t slot = ((uintptr_t)name.base ^ (uintptr_t)name.base >> 8) % CACHE_SLOTS;
    const struct named *cached = names->cache[slot].base == name.base ? names->cache[slot].entry : NULL;
    if (cached != NULL && view_equal(cached->name, name)) {
        return cached->number;
    }
    const struct named *entry = find_or_add(names, name);
    names->cache[slot].base = name.base;
    names->cache[slot].entry = entry;
    return entry->number;
}

struct view label_names_at(const struct label_names *names, uint32_t number)
{
    return names->items.items[number]->name;
}
