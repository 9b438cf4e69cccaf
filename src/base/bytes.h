/* A growing byte buffer with a stated cap.
 *
 * Appends never fail on the spot: going over `max` sets a sticky flag, drops the append, and the builder checks once at
 * the end (bytes_check). The content is always NUL-terminated behind `len`. */
#ifndef KVASS_BASE_BYTES_H
#define KVASS_BASE_BYTES_H

#include "base/errctx.h"
#include "base/view.h"

#include <stdarg.h>
#include <stdint.h>

struct bytes {
    char *base;
    size_t len, cap, max;
    bool overflow;
};

void bytes_init(struct bytes *b, size_t max_bytes);
void bytes_done(struct bytes *b);                       /* frees; b may be reused after bytes_init */
void bytes_clear(struct bytes *b);                      /* keeps the memory, resets the overflow flag */
void bytes_append(struct bytes *b, const void *base, size_t len);
void bytes_append_view(struct bytes *b, struct view v);
void bytes_append_str(struct bytes *b, const char *cstr);
void bytes_append_char(struct bytes *b, char c);
void bytes_append_u64(struct bytes *b, uint64_t n);     /* decimal */
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for `len` more bytes to be written at the returned place; bytes_commit tells how many were. NULL when over
 * max. */
char *bytes_reserve(struct bytes *b, size_t len);
void bytes_commit(struct bytes *b, size_t len);

/* Drops the first `len` bytes. */
void bytes_consume(struct bytes *b, size_t len);

struct view bytes_view(const struct bytes *b);

/* ERR_LIMIT when an append was dropped, else 0. */
int bytes_check(const struct bytes *b, struct errctx *err) MUST_CHECK;

/* Hands the memory over to the caller (free()); b becomes empty. NUL-terminated, never NULL. */
char *bytes_take(struct bytes *b, size_t *ret_len);

#endif
