/* Any bytes as answers of a Consul agent: the first byte says of which call. What is taken carries the service's
 * labels, the number of targets is that of the sound entries, and an index never goes anywhere but forward or to 0. */
#include "base/invariant.h"
#include "discovery/consul_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_service(void *data, const char *name, bool is_wanted)
{
    size_t *count = data;
    *count += is_wanted && name != NULL;
}

static void read_instances(struct view body)
{
    const struct consul_instances of = {"s", "dc", ","};
    struct target_group *g = NULL;
    struct errctx err = ERRCTX_INIT;
    size_t skipped = 0;
    int rc = consul_read_instances(&of, body, &g, &skipped, &err);
    invariant(rc == err.code && (rc == 0) == (g != NULL));
    for (size_t i = 0; g != NULL && i < g->count; i++) {
        struct view tags = labels_get(g->targets[i], VIEW("__meta_consul_tags"));
        invariant(tags.len >= 2 && tags.base[0] == ',' && tags.base[tags.len - 1] == ',');
        invariant(labels_get(g->targets[i], VIEW("__address__")).len != 0);
    }
    target_group_unref(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *tags[] = {"a"};
    const struct consul_wanted wanted = {.tags = tags, .tag_count = 1};
    struct view body = view_make((const char *)data + (size != 0), size - (size != 0));
    struct errctx err = ERRCTX_INIT;
    struct arena *arena = arena_new();
    const char *datacenter = NULL;
    uint64_t index = 5;
    size_t count = 0;
    switch (size != 0 ? data[0] : 'H') {
    case 'C':
        invariant(consul_read_services(&wanted, body, on_service, &count, &err) == err.code);
        break;
    case 'S':
        invariant(consul_read_datacenter(body, arena, &datacenter, &err) == err.code);
        invariant((datacenter != NULL) == (err.code == 0));
        break;
    case 'I':
        invariant(consul_index_step(body, &index) ? index == 0 || index > 5 : index == 5);
        break;
    default:
        read_instances(body);
    }
    arena_free(&arena);
    return 0;
}
