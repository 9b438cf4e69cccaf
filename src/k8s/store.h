/* The objects of a watch by namespace and name: what a list shows stays, what it does not show goes. */
#ifndef KVASS_K8S_STORE_H
#define KVASS_K8S_STORE_H

#include "base/hashmap.h"
#include "k8s/watch.h"

struct k8s_store {
    struct hashmap objects;
    struct k8s_schema *schema;
    struct k8s_texts *texts; /* borrowed */
    unsigned mark;           /* of the list under way, or of the last one */
    void (*on_change)(void *data, enum k8s_change change, const struct k8s_object *before,
                      const struct k8s_object *now);
    void *data;
};

void k8s_store_init(struct k8s_store *s, const char *schema, struct k8s_texts *texts,
                    void (*on_change)(void *data, enum k8s_change change, const struct k8s_object *before,
                                      const struct k8s_object *now),
                    void *data);
void k8s_store_done(struct k8s_store *s); /* no on_change */

/* Packs and keeps an object, or removes it. ERR_INVALID when it cannot be read, ERR_LIMIT when there are too many. */
int k8s_store_take(struct k8s_store *s, const json_t *tree, bool is_deleted) MUST_CHECK;

/* A list begins; sweep, when it was complete, removes what it did not show. */
void k8s_store_begin(struct k8s_store *s);
void k8s_store_sweep(struct k8s_store *s);

const struct k8s_object *k8s_store_find(const struct k8s_store *s, struct view namespace, struct view name);
const struct k8s_object *k8s_store_next(const struct k8s_store *s, size_t *it);

#endif
