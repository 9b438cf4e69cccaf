/* The table behind k8s_texts: refcounted texts with small numbers. Private to objects. */
#ifndef KVASS_K8S_TEXTS_H
#define KVASS_K8S_TEXTS_H

#include "k8s/object.h"

uint32_t k8s_texts_ref(struct k8s_texts *t, struct view text); /* adds it when it is new */
void k8s_texts_unref(struct k8s_texts *t, uint32_t id);
size_t k8s_texts_count(const struct k8s_texts *t);
struct view k8s_texts_get(const struct k8s_texts *t, uint32_t id);

#endif
