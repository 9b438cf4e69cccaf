/* Memory that never returns NULL: growth driven by input is capped by its owner (bytes.h, vec caps), so running out of
 * memory is not an input error, and the process aborts with a message. */
#ifndef KVASS_BASE_MEM_H
#define KVASS_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t size) __attribute__((returns_nonnull));
void *mem_dup(const void *base, size_t len) __attribute__((returns_nonnull)); /* adds a NUL behind */
char *mem_strdup(const char *s) __attribute__((returns_nonnull));
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Frees *p and nulls it. */
#define MEM_FREE(p) (free(p), (p) = NULL)

#endif
