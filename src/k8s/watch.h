/* The watch cache: what a collection of the API holds, kept current. One watch per (client, resource, namespace,
 * selectors, schema), shared by all its users; the last one to leave ends it. Control loop only.
 *
 * It lists (streamed by the server where that can), then watches from there with bookmarks, goes on where a connection
 * ended, lists anew when the server has forgotten the place, and tells the difference; a failure keeps what is held.
 * Objects are packed (k8s/object.h); a change that touches no kept field is no change. */
#ifndef KVASS_K8S_WATCH_H
#define KVASS_K8S_WATCH_H

#include "k8s/client.h"
#include "k8s/object.h"

#define K8S_WATCH_OBJECTS_MAX 2000000

struct k8s_watch_spec {
    const struct k8s_resource *resource;
    const char *namespace, *label_selector, *field_selector; /* NULL or "" = all */
    const char *schema;                                      /* see object.h; must outlive the watch */
    bool consistent; /* the first list, too, shows the present rather than what the server has in memory */
};

enum k8s_change { K8S_ADDED, K8S_MODIFIED, K8S_DELETED };

struct k8s_watch_events {
    /* Once, from the loop: the content is complete; walk it with k8s_watcher_next. */
    void (*on_synced)(void *data);
    /* After on_synced: what changed. now: NULL when deleted; before: NULL when added. Both valid during the call. */
    void (*on_change)(void *data, enum k8s_change change, const struct k8s_object *before,
                      const struct k8s_object *now);
    /* A list or watch failed and is tried again; the content stays. May be NULL. */
    void (*on_error)(void *data, const struct k8s_answer *answer);
    void *data;
};

struct k8s_watcher; /* one user of a watch */

struct k8s_watcher *k8s_watch_open(struct k8s_client *c, const struct k8s_watch_spec *spec,
                                   const struct k8s_watch_events *events);
void k8s_watch_close(struct k8s_watcher **w); /* no callback afterwards; also from within one */

bool k8s_watcher_is_synced(const struct k8s_watcher *w);
size_t k8s_watcher_count(const struct k8s_watcher *w);
/* NULL when absent. */
const struct k8s_object *k8s_watcher_find(const struct k8s_watcher *w, struct view namespace, struct view name);
/* Walk: size_t it = 0; while ((o = k8s_watcher_next(w, &it)) != NULL) ...  in no particular order. */
const struct k8s_object *k8s_watcher_next(const struct k8s_watcher *w, size_t *it);

#endif
