/* Aborting allocation and invariants: see mem.h and invariant.h. */
#include "base/mem.h"
#include "base/invariant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void invariant_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "level=error op=invariant expr=\"%s\" file=%s line=%d func=%s action=abort\n", expr, file, line,
            func);
    abort();
}

static void *need(void *p, size_t size)
{
    if (p == NULL) {
        fprintf(stderr, "level=error op=alloc err=\"out of memory, %zu bytes\" action=abort\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return need(malloc(size != 0 ? size : 1), size);
}

void *mem_calloc(size_t count, size_t size)
{
    return need(calloc(count != 0 ? count : 1, size != 0 ? size : 1), count * size);
}

void *mem_realloc(void *old, size_t size)
{
    return need(realloc(old, size != 0 ? size : 1), size);
}

void *mem_dup(const void *base, size_t len)
{
    char *p = mem_alloc(len + 1);
    if (len != 0) {
        memcpy(p, base, len);
    }
    p[len] = '\0';
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    return need(n < 0 ? NULL : out, 0);
}
