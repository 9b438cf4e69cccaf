/* Any bytes as an answer or body of the API: whatever reads as a target list reads back the same after writing. */
#include "base/invariant.h"
#include "model/wire_push.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct assignment *a, const struct assignment *b)
{
    invariant(a->target->job == b->target->job && a->target->hash == b->target->hash && a->state == b->state);
    invariant(labels_equal(a->target->labels, b->target->labels));
    invariant(strcmp(a->target->url, b->target->url) == 0 && a->target->interval_ms == b->target->interval_ms);
}

/* Two jobs whose lists are both written under one key would be read as one: keys are distinct, so order is all that
 * matters. */
static void round_trip(const struct assignment *items, size_t count)
{
    struct bytes out;
    struct json_writer w;
    struct assignment *again;
    size_t again_count;
    bytes_init(&out, (size_t)64 << 20);
    json_writer_init(&w, &out);
    wire_write_targets(&w, items, count);
    invariant(bytes_check(&out, NULL) == 0);
    json_t *root = wire_parse(bytes_view(&out), SIZE_MAX / 4, NULL);
    invariant(root != NULL && wire_read_targets(root, &again, &again_count, NULL) == 0 && again_count == count);
    for (size_t i = 0; i < count; i++) {
        check_same(&items[i], &again[i]);
    }
    wire_targets_free(again, again_count);
    json_decref(root);
    bytes_done(&out);
}

static void read_push(const json_t *root)
{
    struct wire_push push;
    struct view text;
    char *reason = NULL;
    (void)!wire_read_push(root, view_make(NULL, 0), &push, NULL);
    (void)!wire_read_raw_config(root, &text, NULL);
    (void)wire_count_new_jobs(root);
    if (wire_read_stop_reason(root, &reason, NULL) == 0) {
        free(reason);
    }
}

static void read_all(const json_t *root)
{
    struct errctx err = ERRCTX_INIT;
    struct target_status status;
    struct shard_info info;
    enum assignment_state state;
    struct assignment *items;
    size_t count;
    int64_t idle_ms;
    const json_t *data = wire_data(root, &err);
    if (data != NULL && json_is_object(data)) {
        (void)!wire_read_runtimeinfo(data, &info, NULL);
    }
    (void)!wire_read_runtimeinfo(root, &info, NULL);
    read_push(root);
    (void)!wire_read_status(root, &state, &status, NULL);
    if (wire_read_old_store(root, &items, &count, &idle_ms, NULL) == 0) {
        wire_targets_free(items, count);
    }
    if (wire_read_targets(root, &items, &count, NULL) == 0) {
        round_trip(items, count);
        wire_targets_free(items, count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct errctx err = ERRCTX_INIT;
    json_t *root = wire_parse(view_make((const char *)data, size), 1 << 20, &err);
    if (root == NULL) {
        invariant(err.code == ERR_PARSE || err.code == ERR_LIMIT);
        return 0;
    }
    read_all(root);
    json_decref(root);
    return 0;
}
