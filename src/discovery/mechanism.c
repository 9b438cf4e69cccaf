/* The table of mechanisms, and target groups.
 *
 * Rows of this room are fixed; rooms further right add theirs once, at start, which is why a small array without a lock
 * does. Groups are immutable once made: a mechanism, the manager and a build may hold the same one. */
#include "discovery/mechanism.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

static const struct mechanism *const OWN[] = {&mechanism_static,     &mechanism_file,   &mechanism_http,
                                              &mechanism_dns,        &mechanism_consul, &mechanism_docker,
                                              &mechanism_dockerswarm};
#define OWN_COUNT (sizeof(OWN) / sizeof(OWN[0]))

static const struct mechanism *added[MECHANISM_ADDED_MAX];
static size_t added_count;

const struct mechanism *mechanism_at(size_t i)
{
    if (i < OWN_COUNT) {
        return OWN[i];
    }
    return i - OWN_COUNT < added_count ? added[i - OWN_COUNT] : NULL;
}

const struct mechanism *mechanism_find(const char *key)
{
    const struct mechanism *m;
    for (size_t i = 0; (m = mechanism_at(i)) != NULL; i++) {
        if (strcmp(m->key, key) == 0) {
            return m;
        }
    }
    return NULL;
}

void mechanism_register(const struct mechanism *m)
{
    invariant(added_count < MECHANISM_ADDED_MAX && mechanism_find(m->key) == NULL);
    added[added_count++] = m;
}

struct target_group *target_group_new(const char *source, struct labels *common, struct labels **targets, size_t count)
{
    struct target_group *g = mem_calloc(1, sizeof(*g));
    atomic_init(&g->refs, 1);
    g->source = mem_strdup(source);
    g->common = common != NULL ? common : labels_make(NULL, 0);
    g->targets = mem_dup(targets, count * sizeof(*targets));
    g->count = count;
    return g;
}

struct target_group *target_group_ref(struct target_group *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void target_group_unref(struct target_group *g)
{
    if (g == NULL || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < g->count; i++) {
        labels_unref(g->targets[i]);
    }
    labels_unref(g->common);
    free(g->targets);
    free(g->source);
    free(g);
}

bool target_group_equal(const struct target_group *a, const struct target_group *b)
{
    if (a == b) {
        return true;
    }
    if (a->count != b->count || strcmp(a->source, b->source) != 0 || !labels_equal(a->common, b->common)) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!labels_equal(a->targets[i], b->targets[i])) {
            return false;
        }
    }
    return true;
}
