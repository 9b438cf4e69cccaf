/* Whole files: read with a cap, replaced atomically. */
#ifndef KVASS_BASE_FILES_H
#define KVASS_BASE_FILES_H

#include "base/bytes.h"
#include "base/errctx.h"

#include <sys/types.h>

/* Appends the file's content to out (whose max is the cap). ERR_NOT_FOUND, ERR_IO, ERR_LIMIT; the message names the
 * path. */
int files_read(const char *path, struct bytes *out, struct errctx *err) MUST_CHECK;

/* Writes a temporary file beside path, fsyncs it, renames it over path and fsyncs the folder. The old file stays whole
 * on every failure (full disk included). gid (gid_t)-1 leaves the group alone. */
int files_write_atomic(const char *path, struct view content, mode_t mode, gid_t gid, struct errctx *err) MUST_CHECK;

/* As files_write_atomic, and the content before, if there is one, replaces old_path. At every moment one of the
 * two is whole; when path is missing after a crash, old_path has what was there. */
int files_write_keeping(const char *path, const char *old_path, struct view content, mode_t mode,
                        struct errctx *err) MUST_CHECK;

/* As files_write_atomic, but touches nothing when the file already holds these bytes; *ret_changed tells (may be
 * NULL). */
int files_write_if_changed(const char *path, struct view content, mode_t mode, gid_t gid, bool *ret_changed,
                           struct errctx *err) MUST_CHECK;

/* The same for files that can be made again from what is durable: replaced atomically for every reader, but without
 * waiting for the disk. After a power cut the file may be torn or old, so whoever makes it compares it at its start. */
int files_remake_if_changed(const char *path, struct view content, mode_t mode, gid_t gid, bool *ret_changed,
                            struct errctx *err) MUST_CHECK;

/* mkdir -p. */
int files_make_dirs(const char *path, mode_t mode, struct errctx *err) MUST_CHECK;

/* Removes a file or a tree below path; a missing one is fine. */
int files_remove_tree(const char *path, struct errctx *err) MUST_CHECK;

#endif
