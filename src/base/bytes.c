/* Growing byte buffer with a cap: see bytes.h. */
#include "base/bytes.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_MAX (SIZE_MAX / 4) /* doubling a capacity never wraps below it */

void bytes_init(struct bytes *b, size_t max_bytes)
{
    *b = (struct bytes){.max = max_bytes};
}

void bytes_done(struct bytes *b)
{
    free(b->base);
    *b = (struct bytes){.max = b->max};
}

void bytes_clear(struct bytes *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->base != NULL) {
        b->base[0] = '\0';
    }
}

char *bytes_reserve(struct bytes *b, size_t len)
{
    size_t max = b->max < BYTES_MAX ? b->max : BYTES_MAX;
    if (len > max || b->len > max - len) {
        b->overflow = true;
        return NULL;
    }
    size_t need = b->len + len + 1;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need) {
            cap *= 2;
        }
        b->base = mem_realloc(b->base, cap);
        b->cap = cap;
    }
    return b->base + b->len;
}

void bytes_commit(struct bytes *b, size_t len)
{
    invariant(b->len + len < b->cap);
    b->len += len;
    b->base[b->len] = '\0';
}

void bytes_append(struct bytes *b, const void *base, size_t len)
{
    char *to = bytes_reserve(b, len);
    if (to == NULL) {
        return;
    }
    if (len != 0) {
        memcpy(to, base, len);
    }
    bytes_commit(b, len);
}

void bytes_append_view(struct bytes *b, struct view v)
{
    bytes_append(b, v.base, v.len);
}

void bytes_append_str(struct bytes *b, const char *cstr)
{
    bytes_append(b, cstr, strlen(cstr));
}

void bytes_append_char(struct bytes *b, char c)
{
    bytes_append(b, &c, 1);
}

void bytes_append_u64(struct bytes *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    bytes_append(b, digits + at, sizeof(digits) - at);
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : bytes_reserve(b, (size_t)n);
    if (to == NULL) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    bytes_commit(b, (size_t)n);
}

void bytes_consume(struct bytes *b, size_t len)
{
    invariant(len <= b->len);
    if (len != 0) {
        memmove(b->base, b->base + len, b->len - len + 1);
        b->len -= len;
    }
}

struct view bytes_view(const struct bytes *b)
{
    return view_make(b->base != NULL ? b->base : "", b->len);
}

int bytes_check(const struct bytes *b, struct errctx *err)
{
    return b->overflow ? errctx_set(err, ERR_LIMIT, "larger than %zu bytes", b->max) : 0;
}

char *bytes_take(struct bytes *b, size_t *ret_len)
{
    char *out = b->base != NULL ? b->base : mem_strdup("");
    if (ret_len != NULL) {
        *ret_len = b->len;
    }
    *b = (struct bytes){.max = b->max};
    return out;
}
