/* What counts as an answer of an http_sd server: see http_list.h.
 *
 * The rule for the type is Prometheus', to the letter: an answer of another type is some proxy's or error page's, and
 * must never be taken for an empty list. */
#include "discovery/http_list.h"

#include <strings.h>

/* application/json, alone or with charset=utf-8, in any case, quoted or not. */
static bool is_json_type(struct view type)
{
    static const char *const CHARSETS[] = {"charset=utf-8", "charset=\"utf-8\""};
    static const char NAME[] = "application/json";
    size_t at = sizeof(NAME) - 1;
    if (type.len < at || strncasecmp(type.base, NAME, at) != 0) {
        return false;
    }
    if (type.len == at) {
        return true;
    }
    if (type.base[at++] != ';') {
        return false;
    }
    while (at < type.len && (type.base[at] == ' ' || type.base[at] == '\t')) {
        at++;
    }
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(CHARSETS[i]);
        if (type.len - at == len && strncasecmp(type.base + at, CHARSETS[i], len) == 0) {
            return true;
        }
    }
    return false;
}

int http_list_read(const char *url, enum prometheus_major major, struct view content_type, struct view body,
                   struct group_list *ret, struct errctx *err)
{
    const struct label extra = {VIEW("__meta_url"), view_of(url)};
    const struct group_list_options opts = {.file = "the answer", .source = url, .extra = &extra, .major = major};
    if (!is_json_type(content_type)) {
        return errctx_set(err, ERR_INVALID, "unsupported content type \"%.*s\"; expected application/json",
                          content_type.len < 100 ? (int)content_type.len : 100,
                          content_type.base != NULL ? content_type.base : "");
    }
    return group_list_from_json(&opts, body, ret, err);
}
