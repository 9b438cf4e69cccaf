/* Any bytes as the lists of an Engine API: a JSON array of up to four lists (containers or services, tasks, nodes,
 * networks), read in every role. What is taken has an address; what is not is counted. */
#include "base/invariant.h"
#include "discovery/docker_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct sd_group *g)
{
    struct target_group *group = sd_group_finish(g, "s", NULL);
    for (size_t i = 0; i < group->count; i++) {
        invariant(labels_count(group->targets[i]) <= SD_GROUP_LABELS_MAX);
    }
    target_group_unref(group);
    sd_group_done(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root;
    struct errctx err = ERRCTX_INIT;
    if (sd_json_load("x", view_make((const char *)data, size), JSON_DECODE_INT_AS_REAL, &root, &err) != 0) {
        invariant(err.code == ERR_PARSE);
        return 0;
    }
    const json_t *list[4];
    for (size_t i = 0; i < 4; i++) {
        list[i] = json_array_get(root, i);
    }
    for (unsigned role = 0; role < 5; role++) {
        const struct docker_rules rules = {80, "localhost", role == 0, role == 0};
        struct sd_group g;
        sd_group_init(&g);
        if (role < 2) {
            docker_read_containers(&rules, list[0], list[3], &g);
        } else if (role == 2) {
            swarm_read_services(80, list[0], list[3], &g);
        } else if (role == 3) {
            swarm_read_tasks(80, list[1], list[0], list[2], list[3], &g);
        } else {
            swarm_read_nodes(80, list[2], &g);
        }
        check(&g);
    }
    json_decref(root);
    return 0;
}
