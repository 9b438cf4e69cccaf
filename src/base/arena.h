/* Arenas: memory with one lifetime (a configuration generation, a round, a request), freed as one.
 * Under AddressSanitizer every allocation is a malloc of its own, so overruns inside an arena are seen. */
#ifndef KVASS_BASE_ARENA_H
#define KVASS_BASE_ARENA_H

#include "base/view.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena **arena);
void arena_reset(struct arena *arena); /* drops everything allocated, keeps one block */

/* 16-byte aligned, zeroed; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_dup(struct arena *arena, const void *base, size_t len); /* adds a NUL behind */
char *arena_strdup(struct arena *arena, const char *s);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct view arena_view(struct arena *arena, struct view v);
size_t arena_size(const struct arena *arena); /* bytes held */

#endif
