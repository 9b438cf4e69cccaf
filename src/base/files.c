/* Whole files: see files.h. */
#include "base/files.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int files_read(const char *path, struct bytes *out, struct errctx *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errctx_set_errno(err, errno, "open(%s)", path);
    }
    int rc = 0;
    for (;;) {
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = errctx_set_errno(err, errno, "read(%s)", path);
            break;
        }
        bytes_append(out, chunk, (size_t)n);
        if (n == 0 || out->overflow) {
            break;
        }
    }
    close(fd);
    if (rc == 0 && bytes_check(out, err) != 0) {
        rc = errctx_prefix(err, ERR_LIMIT, "%s", path);
    }
    return rc;
}

static int write_all(int fd, struct view content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.base, content.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        content.base += n;
        content.len -= (size_t)n;
    }
    return 0;
}

static void sync_folder_of(const char *path)
{
    char *folder = mem_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
    free(folder);
}

/* By a second name where the file system knows such, else by renaming. What is kept goes only when there is another. */
static int keep_old(const char *path, const char *old_path)
{
    if (old_path == NULL) {
        return 0;
    }
    char *second = mem_printf("%s.tmp.%d", old_path, (int)getpid());
    (void)!unlink(second);
    bool ok = link(path, second) == 0 ? rename(second, old_path) == 0 : rename(path, old_path) == 0;
    int failed = ok || errno == ENOENT ? 0 : errno;
    (void)!unlink(second); /* two names of one file: rename has left it */
    free(second);
    return failed;
}

static int replace(const char *path, const char *old_path, struct view content, mode_t mode, gid_t gid, bool is_durable,
                   struct errctx *err)
{
    char *temp = mem_printf("%s.tmp.%d", path, (int)getpid());
    int rc = 0, failed = 0;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        rc = errctx_set_errno(err, errno, "open(%s)", temp);
        free(temp);
        return rc;
    }
    if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid) != 0) {
        failed = errno;
    }
    if (failed == 0 && fchmod(fd, mode) != 0) {
        failed = errno;
    }
    if (failed == 0) {
        failed = write_all(fd, content);
    }
    if (failed == 0 && is_durable && fsync(fd) != 0) {
        failed = errno;
    }
    if (close(fd) != 0 && failed == 0) {
        failed = errno;
    }
    if (failed == 0) {
        failed = keep_old(path, old_path);
    }
    if (failed == 0 && rename(temp, path) != 0) {
        failed = errno;
    }
    if (failed != 0) {
        rc = errctx_set_errno(err, failed, "write(%s)", path);
        unlink(temp);
    } else if (is_durable) {
        sync_folder_of(path);
    }
    free(temp);
    return rc;
}

int files_write_atomic(const char *path, struct view content, mode_t mode, gid_t gid, struct errctx *err)
{
    return replace(path, NULL, content, mode, gid, true, err);
}

int files_write_keeping(const char *path, const char *old_path, struct view content, mode_t mode, struct errctx *err)
{
    return replace(path, old_path, content, mode, (gid_t)-1, true, err);
}

static int replace_if_changed(const char *path, struct view content, mode_t mode, gid_t gid, bool is_durable,
                              bool *ret_changed, struct errctx *err)
{
    struct bytes old;
    bytes_init(&old, content.len + 1);
    bool same = files_read(path, &old, NULL) == 0 && view_equal(bytes_view(&old), content);
    bytes_done(&old);
    int rc = same ? 0 : replace(path, NULL, content, mode, gid, is_durable, err);
    if (rc == 0 && ret_changed != NULL) {
        *ret_changed = !same;
    }
    return rc;
}

int files_write_if_changed(const char *path, struct view content, mode_t mode, gid_t gid, bool *ret_changed,
                           struct errctx *err)
{
    return replace_if_changed(path, content, mode, gid, true, ret_changed, err);
}

int files_remake_if_changed(const char *path, struct view content, mode_t mode, gid_t gid, bool *ret_changed,
                            struct errctx *err)
{
    return replace_if_changed(path, content, mode, gid, false, ret_changed, err);
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int files_make_dirs(const char *path, mode_t mode, struct errctx *err)
{
    if (*path == '\0') {
        return errctx_set(err, ERR_INVALID, "mkdir: the path is empty");
    }
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *at = copy + 1; rc == 0; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char old = *at;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && !is_dir(copy)) {
            rc = errctx_set_errno(err, errno, "mkdir(%s)", copy);
        }
        *at = old;
        if (old == '\0') {
            break;
        }
    }
    free(copy);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int files_remove_tree(const char *path, struct errctx *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return errctx_set_errno(err, errno, "remove(%s)", path);
    }
    return 0;
}
