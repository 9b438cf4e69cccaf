/* Shared texts: see texts.h. An entry is one block; its number is its place in the table, reused once it is free, so
 * that numbers stay small and pack into one to three bytes. */
#include "k8s/texts.h"

#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdlib.h>

struct text {
    uint32_t refs, id, len;
    char base[];
};

struct k8s_texts {
    struct hashmap by_text;
    VEC(struct text *) by_id; /* NULL: free */
    VEC(uint32_t) free_ids;
};

static bool text_equal(const void *entry, const void *key)
{
    const struct text *t = entry;
    return view_equal(view_make(t->base, t->len), *(const struct view *)key);
}

struct k8s_texts *k8s_texts_new(void)
{
    struct k8s_texts *t = mem_calloc(1, sizeof(*t));
    hashmap_init(&t->by_text, text_equal);
    return t;
}

void k8s_texts_free(struct k8s_texts **handle)
{
    struct k8s_texts *t = *handle;
    *handle = NULL;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->by_id.len; i++) {
        free(t->by_id.items[i]);
    }
    vec_done(&t->by_id);
    vec_done(&t->free_ids);
    hashmap_done(&t->by_text);
    free(t);
}

uint32_t k8s_texts_ref(struct k8s_texts *t, struct view text)
{
    uint64_t hash = hash_view(text);
    struct text *e = hashmap_get(&t->by_text, hash, &text);
    if (e != NULL) {
        e->refs++;
        return e->id;
    }
    e = mem_alloc(sizeof(*e) + text.len);
    e->refs = 1;
    e->len = (uint32_t)text.len;
    memcpy(e->base, text.base, text.len);
    if (t->free_ids.len != 0) {
        e->id = t->free_ids.items[--t->free_ids.len];
    } else {
        e->id = (uint32_t)t->by_id.len;
        *vec_push(&t->by_id) = NULL;
    }
    t->by_id.items[e->id] = e;
    hashmap_add(&t->by_text, hash, e);
    return e->id;
}

void k8s_texts_unref(struct k8s_texts *t, uint32_t id)
{
    struct text *e = t->by_id.items[id];
    if (--e->refs == 0) {
        struct view text = view_make(e->base, e->len);
        hashmap_remove(&t->by_text, hash_view(text), &text);
        t->by_id.items[id] = NULL;
        *vec_push(&t->free_ids) = id;
        free(e);
    }
}

struct view k8s_texts_get(const struct k8s_texts *t, uint32_t id)
{
    const struct text *e = t->by_id.items[id];
    return view_make(e->base, e->len);
}

size_t k8s_texts_count(const struct k8s_texts *t)
{
    return t->by_text.len;
}
