/* Error contexts: see errctx.h. Messages are cut at ERRCTX_MSG_MAX, never allocated: an error path must not fail. */
#include "base/errctx.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void put(struct errctx *err, int code, const char *fmt, va_list ap)
{
    if (err == NULL || err->code != 0) {
        return;
    }
    err->code = code;
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
}

int errctx_set(struct errctx *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put(err, code, fmt, ap);
    va_end(ap);
    return code;
}

int errctx_prefix(struct errctx *err, int code, const char *fmt, ...)
{
    char old[ERRCTX_MSG_MAX];
    va_list ap;
    if (err == NULL || err->code == 0) {
        return code;
    }
    memcpy(old, err->msg, sizeof(old));
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg) - 3) {
        snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %.*s",
                 (int)(sizeof(err->msg) - (size_t)n - 3), old);
    }
    return code;
}

int errctx_set_errno(struct errctx *err, int errno_value, const char *fmt, ...)
{
    int code = errno_value == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    va_list ap;
    if (err == NULL || err->code != 0) {
        return code;
    }
    err->code = code;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg)) {
        snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror(errno_value));
    }
    return code;
}

void errctx_clear(struct errctx *err)
{
    if (err != NULL) {
        err->code = 0;
        err->msg[0] = '\0';
    }
}

const char *err_name(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_AGAIN:
        return "again";
    case ERR_PARSE:
        return "parse";
    case ERR_LIMIT:
        return "limit";
    case ERR_INVALID:
        return "invalid";
    case ERR_IO:
        return "io";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_UNAUTHORIZED:
        return "unauthorized";
    case ERR_CANCELLED:
        return "cancelled";
    default:
        return "unknown";
    }
}
