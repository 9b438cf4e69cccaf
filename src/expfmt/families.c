/* Figures and verdicts per metric name. Entries outlive the body, since a target exposes the same names scrape
 * after scrape; the figures carry the number of the body they belong to, so that beginning a body costs nothing. */
#include "expfmt/families.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>

static bool family_equal(const void *entry, const void *key)
{
    return view_equal(((const struct family *)entry)->name, *(const struct view *)key);
}

void families_init(struct families *f)
{
    *f = (struct families){.arena = arena_new(), .other = {.name = VIEW("other")}};
    hashmap_init(&f->map, family_equal);
}

void families_done(struct families *f)
{
    hashmap_done(&f->map);
    arena_free(&f->arena);
}

void families_begin(struct families *f)
{
    if (f->map.len >= FAMILIES_MAX) {
        hashmap_clear(&f->map);
        arena_reset(f->arena);
    }
    f->last = NULL;
    f->body++;
}

static struct family *family_current(struct families *f, struct family *e)
{
    if (e->body != f->body) {
        e->body = f->body;
        e->scraped = e->total = 0;
    }
    f->last = e;
    return e;
}

struct family *families_find(struct families *f, struct view name)
{
    if (f->last != NULL && view_equal(f->last->name, name)) {
        return f->last;
    }
    uint64_t hash = hash_view(name);
    struct family *e = hashmap_get(&f->map, hash, &name);
    if (e == NULL && (f->map.len >= FAMILIES_MAX || name.len > FAMILY_NAME_MAX)) {
        f->other.verdict = FAMILY_UNDECIDED;
        e = family_current(f, &f->other);
        f->last = NULL;
        return e;
    }
    if (e == NULL) {
        e = arena_alloc(f->arena, sizeof(*e));
        e->name = arena_view(f->arena, name);
        e->hash = hash;
        hashmap_add(&f->map, hash, e);
    }
    return family_current(f, e);
}

void families_each(const struct families *f,
                   void (*each)(void *data, struct view name, uint64_t scraped, uint64_t total), void *data)
{
    size_t it = 0;
    for (const struct family *e; (e = hashmap_next(&f->map, &it)) != NULL;) {
        if (e->body == f->body) {
            each(data, e->name, e->scraped, e->total);
        }
    }
    if (f->other.body == f->body && f->body != 0) {
        each(data, f->other.name, f->other.scraped, f->other.total);
    }
}

static int compare_names(const void *a, const void *b)
{
    return view_compare((*(struct family *const *)a)->name, (*(struct family *const *)b)->name);
}

static void write_one(const struct family *e, struct json_writer *w)
{
    json_key_view(w, e->name);
    json_object_begin(w);
    json_kv_u64(w, "scraped", e->scraped);
    json_kv_u64(w, "total", e->total);
    json_object_end(w);
}

void families_write(const struct families *f, struct json_writer *w)
{
    struct family **sorted = mem_alloc((f->map.len + 1) * sizeof(struct family *));
    size_t count = 0, it = 0;
    for (struct family *e; (e = hashmap_next(&f->map, &it)) != NULL;) {
        if (e->body == f->body) {
            sorted[count++] = e;
        }
    }
    qsort(sorted, count, sizeof(struct family *), compare_names);
    for (size_t i = 0; i < count; i++) {
        write_one(sorted[i], w);
    }
    if (f->other.body == f->body && f->body != 0) {
        write_one(&f->other, w);
    }
    free(sorted);
}
