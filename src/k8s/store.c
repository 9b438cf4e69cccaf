/* Objects of a watch: see store.h. An object that equals the one held is no change. */
#include "k8s/store.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdlib.h>

struct entry {
    struct k8s_object *object;
    unsigned mark; /* of the list that last showed it */
};

struct object_key {
    struct view namespace, name;
};

static bool entry_equal(const void *entry, const void *key)
{
    const struct entry *e = entry;
    const struct object_key *k = key;
    return view_equal(k8s_object_name(e->object), k->name) &&
           view_equal(k8s_object_namespace(e->object), k->namespace);
}

static uint64_t key_hash(struct object_key k)
{
    return hash_view(k.name) * 31 + hash_view(k.namespace);
}

static struct object_key key_of(const struct k8s_object *o)
{
    return (struct object_key){k8s_object_namespace(o), k8s_object_name(o)};
}

void k8s_store_init(struct k8s_store *s, const char *schema, struct k8s_texts *texts,
                    void (*on_change)(void *data, enum k8s_change change, const struct k8s_object *before,
                                      const struct k8s_object *now),
                    void *data)
{
    *s = (struct k8s_store){
        .schema = k8s_schema_new(schema), .texts = texts, .on_change = on_change, .data = data};
    hashmap_init(&s->objects, entry_equal);
}

void k8s_store_done(struct k8s_store *s)
{
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&s->objects, &it)) != NULL;) {
        k8s_object_free(e->object, s->texts);
        free(e);
    }
    hashmap_done(&s->objects);
    k8s_schema_free(&s->schema);
}

static void entry_remove(struct k8s_store *s, struct entry *e)
{
    struct object_key k = key_of(e->object);
    hashmap_remove(&s->objects, key_hash(k), &k);
    s->on_change(s->data, K8S_DELETED, e->object, NULL);
    k8s_object_free(e->object, s->texts);
    free(e);
}

static int object_add(struct k8s_store *s, struct k8s_object *o)
{
    if (s->objects.len >= K8S_WATCH_OBJECTS_MAX) {
        k8s_object_free(o, s->texts);
        return ERR_LIMIT;
    }
    struct entry *e = mem_calloc(1, sizeof(*e));
    e->object = o;
    e->mark = s->mark;
    hashmap_add(&s->objects, key_hash(key_of(o)), e);
    s->on_change(s->data, K8S_ADDED, NULL, o);
    return 0;
}

static void object_replace(struct k8s_store *s, struct entry *e, struct k8s_object *o)
{
    struct k8s_object *before = e->object;
    e->mark = s->mark;
    if (k8s_object_equal(before, o)) {
        k8s_object_free(o, s->texts);
        return;
    }
    e->object = o;
    s->on_change(s->data, K8S_MODIFIED, before, o);
    k8s_object_free(before, s->texts);
}

int k8s_store_take(struct k8s_store *s, const json_t *tree, bool is_deleted)
{
    struct k8s_object *o = k8s_object_new(tree, s->schema, s->texts);
    if (o == NULL) {
        return ERR_INVALID;
    }
    struct object_key k = key_of(o);
    struct entry *e = hashmap_get(&s->objects, key_hash(k), &k);
    if (is_deleted) {
        if (e != NULL) {
            entry_remove(s, e);
        }
        k8s_object_free(o, s->texts);
        return 0;
    }
    if (e == NULL) {
        return object_add(s, o);
    }
    object_replace(s, e, o);
    return 0;
}

void k8s_store_begin(struct k8s_store *s)
{
    s->mark++;
}

void k8s_store_sweep(struct k8s_store *s)
{
    VEC(struct entry *) gone = {0};
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&s->objects, &it)) != NULL;) {
        if (e->mark != s->mark) {
            *vec_push(&gone) = e;
        }
    }
    for (size_t i = 0; i < gone.len; i++) {
        entry_remove(s, gone.items[i]);
    }
    vec_done(&gone);
}

const struct k8s_object *k8s_store_find(const struct k8s_store *s, struct view namespace, struct view name)
{
    struct object_key k = {namespace, name};
    const struct entry *e = hashmap_get(&s->objects, key_hash(k), &k);
    return e != NULL ? e->object : NULL;
}

const struct k8s_object *k8s_store_next(const struct k8s_store *s, size_t *it)
{
    const struct entry *e = hashmap_next(&s->objects, it);
    return e != NULL ? e->object : NULL;
}
