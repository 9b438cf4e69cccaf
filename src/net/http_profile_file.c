#include "net/http_profile_file.h"
#include "base/files.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <stdlib.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define LOOK_EVERY_MS  1000

void profile_file_init(struct profile_file *f, const char *path, const char *inline_value)
{
    *f = (struct profile_file){0};
    bytes_init(&f->content, FILE_BYTES_MAX);
    if (path != NULL && path[0] != '\0') {
        f->path = mem_strdup(path);
    } else if (inline_value != NULL) {
        bytes_append_str(&f->content, inline_value);
        f->loaded = true;
    }
}

void profile_file_done(struct profile_file *f)
{
    bytes_done(&f->content);
    free(f->path);
}

bool profile_file_is_set(const struct profile_file *f)
{
    return f->path != NULL || f->content.len > 0;
}

static bool is_unchanged(struct profile_file *f, const struct stat *now)
{
    return f->loaded && now->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
           now->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec && now->st_size == f->seen.st_size &&
           now->st_ino == f->seen.st_ino && now->st_dev == f->seen.st_dev;
}

static int reload(struct profile_file *f, struct errctx *err)
{
    struct stat now;
    int64_t now_ms = timebase_monotonic_ms();
    if (f->loaded && now_ms < f->next_look_ms) {
        return 0;
    }
    f->next_look_ms = now_ms + LOOK_EVERY_MS;
    if (stat(f->path, &now) == 0 && is_unchanged(f, &now)) {
        return 0;
    }
    f->loaded = false;
    bytes_clear(&f->content);
    int rc = files_read(f->path, &f->content, err);
    if (rc == 0) {
        f->loaded = true;
        f->seen = now;
    }
    return rc;
}

int profile_file_get(struct profile_file *f, bool trim, struct view *ret, struct errctx *err)
{
    int rc = f->path != NULL ? reload(f, err) : 0;
    if (rc != 0) {
        return rc;
    }
    struct view v = bytes_view(&f->content);
    while (trim && v.len > 0 && strchr(" \t\r\n", v.base[v.len - 1]) != NULL) {
        v.len--;
    }
    while (trim && v.len > 0 && strchr(" \t\r\n", v.base[0]) != NULL) {
        v = view_make(v.base + 1, v.len - 1);
    }
    *ret = v;
    return 0;
}
