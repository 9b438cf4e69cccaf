/* Any bytes as an answer of the helper Prometheus: what is taken is well formed, what is refused leaves nothing. */
#include "base/invariant.h"
#include "discovery/helper_child.h"
#include "discovery/helper_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_make((const char *)data, size);
    struct target_group *g = NULL;
    struct errctx err = ERRCTX_INIT;
    struct helper_figures figures;
    char words[32];
    if (helper_read_targets(text, "p", &g, &err) == 0) {
        for (size_t i = 0; i < g->count; i++) {
            invariant(!view_is(labels_get(g->targets[i], VIEW("job")), "p"));
        }
        target_group_unref(g);
    } else {
        invariant(g == NULL && err.msg[0] != '\0');
    }
    helper_read_metrics(text, "p", "m", &figures);
    invariant(!helper_log_error(text, words, sizeof(words)) || strnlen(words, sizeof(words)) < sizeof(words));
    return 0;
}
