/* The table of what may be scraped: see table.h. One map per shard, keyed by the bytes of the job's name and the hash,
 * so that a look-up needs nothing but the request. Immutable once published: the map of a sealed table is only read. */
#include "proxy/table.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/vec.h"
#include "proxy/family_count.h"

struct table_shard {
    const char *id;
    struct hashmap targets;
};

struct proxy_table {
    _Atomic unsigned refs;
    struct promconf *conf;
    uint64_t generation;
    char *stop_reason;
    struct family_count *families;
    VEC(struct table_shard *) shards;
};

struct table_key {
    struct view job;
    uint64_t hash;
};

static bool target_equal(const void *entry, const void *key)
{
    const struct target *t = entry;
    const struct table_key *k = key;
    return t->hash == k->hash && view_is(k->job, t->job);
}

static uint64_t key_hash(const struct table_key *k)
{
    return hash_pair(hash_view(k->job), k->hash);
}

struct proxy_table *proxy_table_new(struct promconf *conf, uint64_t generation)
{
    struct proxy_table *t = mem_calloc(1, sizeof(*t));
    t->refs = 1;
    t->conf = promconf_ref(conf);
    t->generation = generation;
    t->stop_reason = mem_strdup("");
    return t;
}

static struct table_shard *shard_get(struct proxy_table *t, const char *id)
{
    vec_foreach(s, &t->shards) {
        if ((*s)->id == id) {
            return *s;
        }
    }
    struct table_shard *s = mem_calloc(1, sizeof(*s));
    s->id = id;
    hashmap_init(&s->targets, target_equal);
    *vec_push(&t->shards) = s;
    return s;
}

void proxy_table_add(struct proxy_table *t, const char *shard_interned, const struct assignment *items, size_t count)
{
    struct table_shard *s = shard_get(t, shard_interned);
    hashmap_reserve(&s->targets, s->targets.len + count);
    for (size_t i = 0; i < count; i++) {
        const struct target *target = items[i].target;
        struct table_key k = {view_of(target->job), target->hash};
        if (hashmap_get(&s->targets, key_hash(&k), &k) == NULL) {
            hashmap_add(&s->targets, key_hash(&k), target_ref(target));
        }
    }
}

void proxy_table_set_stop_reason(struct proxy_table *t, const char *reason)
{
    free(t->stop_reason);
    t->stop_reason = mem_strdup(reason);
}

void proxy_table_set_families(struct proxy_table *t, struct family_count *f)
{
    family_count_unref(t->families);
    t->families = f != NULL ? family_count_ref(f) : NULL;
}

struct family_count *proxy_table_families(const struct proxy_table *t)
{
    return t->families;
}

struct proxy_table *proxy_table_ref(struct proxy_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void proxy_table_unref(struct proxy_table *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    vec_foreach(sp, &t->shards) {
        struct table_shard *s = *sp;
        size_t it = 0;
        for (struct target *target; (target = hashmap_next(&s->targets, &it)) != NULL;) {
            target_unref(target);
        }
        hashmap_done(&s->targets);
        free(s);
    }
    vec_done(&t->shards);
    promconf_unref(t->conf);
    family_count_unref(t->families);
    free(t->stop_reason);
    free(t);
}

uint64_t proxy_table_generation(const struct proxy_table *t)
{
    return t->generation;
}

const char *proxy_table_stop_reason(const struct proxy_table *t)
{
    return t->stop_reason;
}

struct promconf *proxy_table_conf(const struct proxy_table *t)
{
    return t->conf;
}

const struct target *proxy_table_find(const struct proxy_table *t, struct view shard, struct view job, uint64_t hash,
                                      const char **ret_shard)
{
    struct table_key k = {job, hash};
    vec_foreach(sp, &t->shards) {
        if (shard.len == 0 ? t->shards.len == 1 : view_is(shard, (*sp)->id)) {
            *ret_shard = (*sp)->id;
            return hashmap_get(&(*sp)->targets, key_hash(&k), &k);
        }
    }
    return NULL;
}
