/* static_configs: the list in the configuration itself. Delivered once, from start; a change of it is a change of the
 * configuration and comes as a new discoverer. */
#include "base/mem.h"
#include "discovery/group_list.h"
#include "discovery/mechanism.h"

#include <stdlib.h>

struct discoverer {
    const struct mechanism *mechanism;
};

static int read_list(const char *file, enum prometheus_major major, const struct yaml_node *conf,
                     struct group_list *ret, struct errctx *err)
{
    const struct group_list_options opts = {.file = file, .major = major};
    return group_list_from_yaml(&opts, conf, ret, err);
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    struct group_list list;
    int rc = read_list(file, env->major, conf, &list, err);
    if (rc != 0) {
        return rc;
    }
    *ret = mem_calloc(1, sizeof(**ret));
    (*ret)->mechanism = &mechanism_static;
    sink->on_groups(sink->data, list.items, list.count);
    sink->on_ok(sink->data);
    group_list_done(&list);
    return 0;
}

static void stop(struct discoverer *d)
{
    free(d);
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    struct group_list list;
    (void)base_dir;
    int rc = read_list(file, major, conf, &list, err);
    if (rc == 0) {
        group_list_done(&list);
    }
    return rc;
}

const struct mechanism mechanism_static = {.key = "static_configs", .start = start, .stop = stop, .check = check};
