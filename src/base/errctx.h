/* Errors: a code callers branch on, and a sentence people read.
 *
 * Fallible calls return 0 or a negative `enum err_code` and take `struct errctx *err` last. The struct lives on the
 * caller's stack, holds no allocation and may be NULL. The first error wins; callers on the way up prefix the outer
 * "where", so that a message reads  prometheus.yml:41:7: job 'node': relabel_configs[2]: unknown action 'kep'. */
#ifndef KVASS_BASE_ERRCTX_H
#define KVASS_BASE_ERRCTX_H

#include <stddef.h>

enum err_code {
    ERR_OK = 0,
    ERR_AGAIN = -1000,    /* need more input; not a failure */
    ERR_PARSE = -1001,    /* input is not in the language it claims to be in */
    ERR_LIMIT = -1002,    /* input is larger than we accept */
    ERR_INVALID = -1003,  /* input parses, but its meaning is refused */
    ERR_IO = -1004,       /* the operating system said no */
    ERR_NOT_FOUND = -1005,
    ERR_CONFLICT = -1006, /* somebody newer owns this (epoch, generation) */
    ERR_UNAVAILABLE = -1007, /* a peer is away or not ready */
    ERR_TIMEOUT = -1008,
    ERR_UNSUPPORTED = -1009,
    ERR_UNAUTHORIZED = -1010,
    ERR_CANCELLED = -1011,
};

#define ERRCTX_MSG_MAX 512

struct errctx {
    int code;
    char msg[ERRCTX_MSG_MAX];
};

#define ERRCTX_INIT {0}
#define MUST_CHECK __attribute__((warn_unused_result))

/* Records the first error and returns `code`, so that `return errctx_set(...)` is one line. A later call on a context
 * that already holds an error changes nothing but still returns its own `code`. */
int errctx_set(struct errctx *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "where: " in front of the recorded message; returns `code`. No effect when no error is recorded. */
int errctx_prefix(struct errctx *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As errctx_set, with ": " and strerror(errno_value) behind the message; the code is ERR_IO (ERR_NOT_FOUND for
 * ENOENT). */
int errctx_set_errno(struct errctx *err, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void errctx_clear(struct errctx *err);

/* Static one-word name of a code, for logs and metrics: "parse", "limit", "io", ... */
const char *err_name(int code);

#endif
