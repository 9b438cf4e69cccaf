/* Events of a watch: see event.h. Types that are not known are left to be ignored, as the API asks of its clients. */
#include "k8s/event.h"

#include "k8s/client.h"
#include "k8s/schema.h"

static const char *const NAMES[] = {
    [K8S_EVENT_ADDED] = "ADDED",       [K8S_EVENT_MODIFIED] = "MODIFIED", [K8S_EVENT_DELETED] = "DELETED",
    [K8S_EVENT_BOOKMARK] = "BOOKMARK", [K8S_EVENT_ERROR] = "ERROR",       [K8S_EVENT_OTHER] = "OTHER",
};

const char *k8s_event_name(enum k8s_event_type type)
{
    return NAMES[type];
}

int k8s_event_read(struct view text, const struct k8s_schema *schema, struct k8s_event *ret, struct errctx *err)
{
    json_error_t where = {.text = "its brackets do not match"};
    json_t *tree = k8s_schema_load(schema, true, text, &where);
    const char *type = json_string_value(json_object_get(tree, "type"));
    const json_t *object = json_object_get(tree, "object");
    if (type == NULL || !json_is_object(object)) {
        int rc = errctx_set(err, ERR_PARSE, "a watch event that cannot be read: %s",
                            tree == NULL ? where.text : "expected the keys type and object");
        json_decref(tree);
        return rc;
    }
    struct k8s_event e = {.type = K8S_EVENT_ADDED, .object = object, .tree = tree};
    while (e.type < K8S_EVENT_OTHER && strcmp(type, NAMES[e.type]) != 0) {
        e.type++;
    }
    e.resource_version = k8s_json_str(object, "metadata.resourceVersion");
    const json_t *notes = k8s_json_at(object, "metadata.annotations");
    const char *end = json_string_value(json_object_get(notes, "k8s.io/initial-events-end"));
    e.ends_initial = e.type == K8S_EVENT_BOOKMARK && end != NULL && strcmp(end, "true") == 0;
    *ret = e;
    return 0;
}

void k8s_event_done(struct k8s_event *e)
{
    json_decref(e->tree);
    e->tree = NULL;
}
