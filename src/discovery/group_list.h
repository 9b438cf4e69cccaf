/* Lists of {targets: [...], labels: {...}} as static_configs, file_sd and http_sd spell them, to target groups. */
#ifndef KVASS_DISCOVERY_GROUP_LIST_H
#define KVASS_DISCOVERY_GROUP_LIST_H

#include "discovery/mechanism.h"

#define GROUP_LIST_TARGETS_MAX 2000000           /* in one list */
#define GROUP_LIST_BYTES_MAX   ((size_t)2 << 30) /* of labels of groups, counted for each of their targets */

struct group_list {
    struct target_group **items;
    size_t count;
};

struct group_list_options {
    const char *file;            /* for messages: file:line:column */
    const char *source;          /* sources are "<source>:<index>", or "<index>" when NULL */
    const struct label *extra;   /* added to every group's labels and wins (__meta_filepath, __meta_url); NULL = none */
    enum prometheus_major major; /* which label names are valid */
};

/* All or nothing, as Prometheus: one bad entry refuses the list. ERR_INVALID, ERR_LIMIT. list NULL or null is empty. */
int group_list_from_yaml(const struct group_list_options *opts, const struct yaml_node *list, struct group_list *ret,
                         struct errctx *err) MUST_CHECK;
/* Also ERR_PARSE. Keys match whatever their case, null counts as empty, bytes that are no UTF-8 become U+FFFD, as in
 * Go. */
int group_list_from_json(const struct group_list_options *opts, struct view text, struct group_list *ret,
                         struct errctx *err) MUST_CHECK;
void group_list_done(struct group_list *l);

/* An empty group that deletes its source. */
struct target_group *group_list_tombstone(const char *source, size_t index);

#endif
