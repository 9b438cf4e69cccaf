/* Routing: the first line is the request target, the rest a URL it is compared with. What is accepted has its parts inside the
 * input, and matches the URL made of them. */
#include "base/invariant.h"
#include "base/mem.h"
#include "proxy/route.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t len = end != NULL ? (size_t)(end - text) : size;
    struct route r;
    if (route_parse(view_make(text, len), &r, NULL) != 0) {
        return 0;
    }
    invariant(r.host.base >= text && r.host.base + r.host.len <= text + len);
    invariant(r.path.base >= text && r.path.base + r.path.len <= text + len && r.path.base[0] == '/');
    invariant(r.job_len > 0 && strlen(r.job) == r.job_len && strlen(r.shard) == r.shard_len);
    char *url = end != NULL ? mem_dup(end + 1, size - len - 1) : mem_strdup("");
    (void)route_matches(&r, url);
    free(url);
    if (memchr(r.host.base, '\0', r.host.len) == NULL && memchr(r.path.base, '\0', r.path.len) == NULL &&
        memchr(r.path.base, '#', r.path.len) == NULL && memchr(r.host.base, '#', r.host.len) == NULL) {
        url = mem_printf("http://%.*s:%u%.*s", VIEW_FMT(r.host), r.port, VIEW_FMT(r.path));
        invariant(route_matches(&r, url));
        free(url);
    }
    return 0;
}
