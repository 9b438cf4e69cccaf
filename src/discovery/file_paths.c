/* Which names file discovery takes, and how a relative one becomes a path. The joined path is also the value of
 * __meta_filepath, so it must come out as Go's filepath.Join prints it. */
#include "discovery/file_paths.h"
#include "base/mem.h"

#include <stdlib.h>

bool file_paths_is_pattern(struct view path)
{
    static const char *const ENDINGS[] = {".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"};
    size_t stem = path.len + 1;
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
        if (view_has_suffix(path, view_of(ENDINGS[i]))) {
            stem = path.len - strlen(ENDINGS[i]);
        }
    }
    if (stem > path.len || memchr(path.base, '\n', path.len) != NULL) {
        return false;
    }
    const char *star = stem != 0 ? memchr(path.base, '*', stem) : NULL;
    return star == NULL || memchr(star, '/', stem - (size_t)(star - path.base)) == NULL;
}

bool file_paths_is_json(const char *path)
{
    struct view v = view_of(path);
    return view_has_suffix(v, VIEW(".json")) || view_has_suffix(v, VIEW(".JSON"));
}

/* Appends the segments of text, resolving "." and ".."; *len is the length of out. */
static void append_segments(char *out, size_t *len, struct view text, bool is_rooted)
{
    for (size_t at = 0; at < text.len;) {
        const char *slash = memchr(text.base + at, '/', text.len - at);
        struct view segment =
            view_make(text.base + at, slash != NULL ? (size_t)(slash - text.base) - at : text.len - at);
        at += segment.len + 1;
        if (segment.len == 0 || view_is(segment, ".")) {
            continue;
        }
        size_t last = *len;
        while (last > 0 && out[last - 1] != '/') {
            last--;
        }
        struct view before = view_make(out + last, *len - last);
        if (view_is(segment, "..") && before.len != 0 && !view_is(before, "..")) {
            *len = last > 1 ? last - 1 : last;
            continue;
        }
        if (view_is(segment, "..") && is_rooted && before.len == 0) {
            continue;
        }
        if (*len > 0 && out[*len - 1] != '/') {
            out[(*len)++] = '/';
        }
        memcpy(out + *len, segment.base, segment.len);
        *len += segment.len;
    }
}

char *file_paths_join(const char *folder, const char *path)
{
    if (path[0] == '/' || path[0] == '\0') {
        return mem_strdup(path);
    }
    char *out = mem_alloc(strlen(folder) + strlen(path) + 3);
    size_t len = 0;
    bool is_rooted = folder[0] == '/';
    if (is_rooted) {
        out[len++] = '/';
    }
    append_segments(out, &len, view_of(folder), is_rooted);
    append_segments(out, &len, view_of(path), is_rooted);
    if (len == 0) {
        out[len++] = '.';
    }
    out[len] = '\0';
    return out;
}

char *file_paths_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return mem_strdup(".");
    }
    return slash == path ? mem_strdup("/") : mem_dup(path, (size_t)(slash - path));
}
