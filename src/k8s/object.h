/* Objects of the API as the watch cache keeps them: pruned to the fields of a schema, packed into one block, with texts
 * that repeat (keys, label values, images, node names) shared. A pod takes some 400 bytes. Scalars are kept as text:
 * true, 8080, "Running" are views. Immutable; equal content packed with one table is equal bytes. */
#ifndef KVASS_K8S_OBJECT_H
#define KVASS_K8S_OBJECT_H

#include "base/view.h"

#include <jansson.h>
#include <stdint.h>

/* --- shared texts */

struct k8s_texts;

struct k8s_texts *k8s_texts_new(void);
void k8s_texts_free(struct k8s_texts **t); /* after all objects made with it */

/* --- schemas: what is kept */

/* "metadata(uid! labels annotations) spec(containers(name image ports(name containerPort)))": a name keeps a member,
 * with all it holds unless members are named in brackets; lists are stepped into. '!' marks texts that hardly repeat,
 * which are not shared. '=' keeps whatever the member holds as one text, its JSON with sorted keys: for those who need
 * to tell 80 from "80". metadata.name and metadata.namespace are always kept. The text must outlive the schema. */
struct k8s_schema;
struct k8s_schema *k8s_schema_new(const char *text); /* invariant: well formed */
void k8s_schema_free(struct k8s_schema **s);

/* --- objects */

struct k8s_object;

/* NULL when the tree is no object with a name, or holds too much. */
struct k8s_object *k8s_object_new(const json_t *tree, const struct k8s_schema *schema, struct k8s_texts *texts);
void k8s_object_free(struct k8s_object *o, struct k8s_texts *texts);
bool k8s_object_equal(const struct k8s_object *a, const struct k8s_object *b); /* of one table */
struct view k8s_object_name(const struct k8s_object *o);
struct view k8s_object_namespace(const struct k8s_object *o); /* "" for cluster-scoped ones */
size_t k8s_object_bytes(const struct k8s_object *o);

/* A place in an object; valid as long as the object. */
struct k8s_value {
    const unsigned char *at; /* NULL: absent */
    const struct k8s_texts *texts;
};

struct k8s_value k8s_object_root(const struct k8s_object *o);
struct k8s_value k8s_get(struct k8s_value map, const char *key);
struct k8s_value k8s_at(struct k8s_value map, const char *path); /* "spec.nodeName" */
struct view k8s_text(struct k8s_value scalar);                   /* "" when absent or no scalar */
struct view k8s_text_at(struct k8s_value map, const char *path);
bool k8s_has(struct k8s_value v);

/* Walk: struct k8s_iter it = k8s_iter(list); while (k8s_next(&it)) ... it.key, it.value */
struct k8s_iter {
    struct view key; /* of maps */
    struct k8s_value value;
    const unsigned char *next;
    size_t left;
    bool is_map;
};
struct k8s_iter k8s_iter(struct k8s_value list_or_map);
bool k8s_next(struct k8s_iter *it);

#endif
