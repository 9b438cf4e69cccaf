/* Any bytes as the answer of an http_sd server: the first line is the content type, the rest the body. What is taken is
 * well formed and carries its URL; what is refused leaves nothing. */
#include "base/invariant.h"
#include "discovery/http_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size != 0 ? memchr(data, '\n', size) : NULL;
    struct view type = view_make(text, end != NULL ? (size_t)(end - text) : size);
    struct view body = end != NULL ? view_make(end + 1, size - type.len - 1) : VIEW("");
    for (enum prometheus_major major = PROMETHEUS_2; major <= PROMETHEUS_3; major++) {
        struct group_list list = {0};
        struct errctx err = ERRCTX_INIT;
        int rc = http_list_read("http://u/", major, type, body, &list, &err);
        invariant(rc == err.code && (rc == 0 || list.items == NULL));
        for (size_t i = 0; i < list.count; i++) {
            invariant(view_is(labels_get(list.items[i]->common, VIEW("__meta_url")), "http://u/"));
        }
        group_list_done(&list);
    }
    return 0;
}
