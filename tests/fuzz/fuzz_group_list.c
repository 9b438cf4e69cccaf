/* Any bytes as a target list: J<text> is JSON, anything else YAML. What is taken is well formed, what is refused leaves nothing. */
#include "base/invariant.h"
#include "discovery/group_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct group_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct target_group *g = l->items[i];
        invariant(g->source[0] == 's' && labels_get(g->common, VIEW("__meta_filepath")).len == 1);
        for (size_t k = 0; k < g->count; k++) {
            invariant(labels_count(g->targets[k]) <= 1);
        }
    }
}

static int read_yaml(const struct group_list_options *opts, struct view text, struct group_list *ret, struct errctx *err)
{
    struct arena *arena = arena_new();
    struct yaml_node *root = NULL;
    int rc = yaml_parse(arena, opts->file, text, &root, err);
    if (rc == 0) {
        rc = group_list_from_yaml(opts, root, ret, err);
    }
    arena_free(&arena);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct label extra = {VIEW("__meta_filepath"), VIEW("f")};
    struct view text = view_make((const char *)data, size);
    for (enum prometheus_major major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major++) {
        const struct group_list_options opts = {.file = "f", .source = "s", .extra = &extra, .major = major};
        struct group_list list = {0};
        struct errctx err = ERRCTX_INIT;
        bool is_json = size > 0 && data[0] == 'J';
        int rc = is_json ? group_list_from_json(&opts, view_make(text.base + 1, size - 1), &list, &err)
                         : read_yaml(&opts, text, &list, &err);
        invariant(rc == err.code && (rc == 0 || list.items == NULL));
        check(&list);
        group_list_done(&list);
    }
    return 0;
}
