/* A file whose content is a setting (password, token, certificate): read when it changed, looked at most once a second.
 */
#ifndef KVASS_NET_HTTP_PROFILE_FILE_H
#define KVASS_NET_HTTP_PROFILE_FILE_H

#include "base/bytes.h"

#include <sys/stat.h>

struct profile_file {
    char *path; /* NULL: the value is inline */
    struct bytes content;
    struct stat seen;
    int64_t next_look_ms;
    bool loaded;
};

/* path NULL or "": none; then inline_value (may be NULL) is the content for good. */
void profile_file_init(struct profile_file *f, const char *path, const char *inline_value);
void profile_file_done(struct profile_file *f);
bool profile_file_is_set(const struct profile_file *f);

/* The content, trimmed of white space at both ends when `trim`. ERR_IO etc. when it cannot be read: the message names
 * the path. */
int profile_file_get(struct profile_file *f, bool trim, struct view *ret, struct errctx *err) MUST_CHECK;

#endif
