/* Inside of schemas (k8s/object.h): which members are kept, and cutting JSON text down to them before it is parsed. */
#ifndef KVASS_K8S_SCHEMA_H
#define KVASS_K8S_SCHEMA_H

#include "base/bytes.h"
#include "base/vec.h"
#include "k8s/object.h"

struct k8s_schema {
    struct view key;
    bool is_unique;
    bool is_json; /* packed as one text */
    bool is_head; /* needed to tell what an object or event is: parsed, not packed */
    VEC(struct k8s_schema *) members; /* none: everything */
    struct k8s_schema *event; /* of the root: {"type", "object": this} */
};

/* The member that is packed under this key; NULL when it is left out. */
const struct k8s_schema *k8s_schema_member(const struct k8s_schema *s, struct view key);

/* Appends the text of an object, or of an event that holds one, without the members that are not needed. What is left
 * out is skipped by its brackets and strings; what is kept is for the parser to judge. ERR_PARSE, ERR_LIMIT. */
int k8s_schema_prune(const struct k8s_schema *s, bool is_event, struct view text, struct bytes *out) MUST_CHECK;

/* Prunes and parses; NULL when either fails (*where only by the parser). */
json_t *k8s_schema_load(const struct k8s_schema *s, bool is_event, struct view text, json_error_t *where);

#endif
