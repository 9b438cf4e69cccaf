/* Request targets, queries and base64: see http_query.h.
 *
 * Everything here reads bytes a stranger chose: no allocation beyond the input's own length, one pass, no recursion.
 * The rules are those of Go's net/url, since that is what clients of the Go Kvass were written against: a pair with a
 * broken escape is dropped, '+' is a space in queries only. */
#include "net/http_query.h"

#include <stdint.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t http_percent_decode(struct view in, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.base[i];
        if (c == '%') {
            int high = in.len - i > 2 ? hex_value(in.base[i + 1]) : -1;
            int low = in.len - i > 2 ? hex_value(in.base[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return SIZE_MAX;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    return n;
}

static bool path_is_sound(struct view path)
{
    if (path.len == 0 || path.base[0] != '/' || memchr(path.base, '\0', path.len) != NULL) {
        return false;
    }
    size_t begin = 1;
    for (size_t i = 1; i <= path.len; i++) {
        if (i < path.len && path.base[i] != '/') {
            continue;
        }
        if (i - begin == 2 && path.base[begin] == '.' && path.base[begin + 1] == '.') {
            return false;
        }
        begin = i + 1;
    }
    return true;
}

static struct view strip_authority(struct view target)
{
    size_t skip = 0;
    if (view_has_prefix(target, VIEW("http://"))) {
        skip = 7;
    } else if (view_has_prefix(target, VIEW("https://"))) {
        skip = 8;
    } else {
        return target;
    }
    while (skip < target.len && target.base[skip] != '/' && target.base[skip] != '?') {
        skip++;
    }
    return view_make(target.base + skip, target.len - skip);
}

bool http_target_split(struct view target, struct arena *arena, struct view *ret_path, struct view *ret_query)
{
    target = strip_authority(target);
    const char *mark = target.len != 0 ? memchr(target.base, '?', target.len) : NULL;
    struct view raw = target, query = {NULL, 0};
    if (mark != NULL) {
        raw.len = (size_t)(mark - target.base);
        query = view_make(mark + 1, target.len - raw.len - 1);
    }
    char *decoded = arena_alloc(arena, raw.len + 1);
    size_t len = http_percent_decode(raw, false, decoded);
    if (len == SIZE_MAX || !path_is_sound(view_make(decoded, len))) {
        return false;
    }
    *ret_path = view_make(decoded, len);
    *ret_query = query;
    return true;
}

static bool name_matches(struct view raw, struct view name, struct arena *arena)
{
    if (memchr(raw.base, '%', raw.len) == NULL && memchr(raw.base, '+', raw.len) == NULL) {
        return view_equal(raw, name);
    }
    char *decoded = arena_alloc(arena, raw.len + 1);
    size_t len = http_percent_decode(raw, true, decoded);
    return len != SIZE_MAX && view_equal(view_make(decoded, len), name);
}

bool http_query_find(struct view query, struct view name, size_t index, struct arena *arena, struct view *ret)
{
    for (size_t at = 0; at < query.len;) {
        const char *amp = memchr(query.base + at, '&', query.len - at);
        size_t end = amp != NULL ? (size_t)(amp - query.base) : query.len;
        struct view pair = view_make(query.base + at, end - at);
        at = end + 1;
        if (pair.len == 0) {
            continue;
        }
        const char *eq = memchr(pair.base, '=', pair.len);
        struct view key = view_make(pair.base, eq != NULL ? (size_t)(eq - pair.base) : pair.len);
        struct view raw = eq != NULL ? view_make(eq + 1, pair.len - key.len - 1) : view_make(pair.base + pair.len, 0);
        if (!name_matches(key, name, arena)) {
            continue;
        }
        char *decoded = arena_alloc(arena, raw.len + 1);
        size_t len = http_percent_decode(raw, true, decoded);
        if (len != SIZE_MAX && index-- == 0) {
            *ret = view_make(decoded, len);
            return true;
        }
    }
    return false;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

size_t http_base64_decode(struct view in, char *out)
{
    if (in.len % 4 != 0) {
        return SIZE_MAX;
    }
    size_t pad = 0;
    while (pad < 2 && pad < in.len && in.base[in.len - 1 - pad] == '=') {
        pad++;
    }
    size_t n = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < in.len; i++) {
        int v = i >= in.len - pad ? 0 : base64_value(in.base[i]);
        if (v < 0) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 == 3) {
            out[n] = (char)(bits >> 16);
            out[n + 1] = (char)(bits >> 8);
            out[n + 2] = (char)bits;
            n += 3;
            bits = 0;
        }
    }
    return n - pad;
}
