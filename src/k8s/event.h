/* One event of a watch, read from its text. */
#ifndef KVASS_K8S_EVENT_H
#define KVASS_K8S_EVENT_H

#include "base/errctx.h"
#include "base/view.h"
#include "k8s/object.h"

#include <jansson.h>

enum k8s_event_type {
    K8S_EVENT_ADDED,
    K8S_EVENT_MODIFIED,
    K8S_EVENT_DELETED,
    K8S_EVENT_BOOKMARK, /* carries a resource version only */
    K8S_EVENT_ERROR,    /* object is a Status; the watch is over */
    K8S_EVENT_OTHER,    /* to be ignored */
};

struct k8s_event {
    enum k8s_event_type type;
    const json_t *object;         /* in tree; an object, or NULL (OTHER) */
    const char *resource_version; /* "" when there is none */
    bool ends_initial;            /* BOOKMARK behind the last object of a streamed list */
    json_t *tree;                 /* owned */
};

/* schema: what of the object is looked at. ERR_PARSE: no JSON object with type and object. */
int k8s_event_read(struct view text, const struct k8s_schema *schema, struct k8s_event *ret,
                   struct errctx *err) MUST_CHECK;
void k8s_event_done(struct k8s_event *e);
const char *k8s_event_name(enum k8s_event_type type);

#endif
