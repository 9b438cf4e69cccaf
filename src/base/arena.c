/* A list of blocks, bump allocation in the newest. Requests over a quarter block get a block of their own. */
#include "base/arena.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES ((size_t)16384)
#define ALIGN       ((size_t)16)

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_EACH_APART 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_EACH_APART 1
#endif
#endif
#ifndef ARENA_EACH_APART
#define ARENA_EACH_APART 0
#endif

struct block {
    struct block *next;
    size_t used, size;
    char data[] __attribute__((aligned(16)));
};

struct arena {
    struct block *blocks;
    size_t held;
};

static struct block *block_add(struct arena *arena, size_t size, int behind)
{
    struct block *b = mem_alloc(sizeof(*b) + size);
    b->used = 0;
    b->size = size;
    if (behind && arena->blocks != NULL) {
        b->next = arena->blocks->next;
        arena->blocks->next = b;
    } else {
        b->next = arena->blocks;
        arena->blocks = b;
    }
    arena->held += size;
    return b;
}

struct arena *arena_new(void)
{
    return mem_calloc(1, sizeof(struct arena));
}

static void blocks_free(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena **arena)
{
    if (*arena != NULL) {
        blocks_free((*arena)->blocks);
        free(*arena);
        *arena = NULL;
    }
}

void arena_reset(struct arena *arena)
{
    struct block *keep = arena->blocks;
    if (ARENA_EACH_APART || keep == NULL || keep->size != BLOCK_BYTES) {
        blocks_free(keep);
        arena->blocks = NULL;
        arena->held = 0;
        return;
    }
    blocks_free(keep->next);
    keep->next = NULL;
    keep->used = 0;
    arena->held = keep->size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t need = (size + ALIGN - 1) & ~(ALIGN - 1);
    struct block *b = arena->blocks;
    if (ARENA_EACH_APART) {
        b = block_add(arena, size != 0 ? size : 1, 0);
        need = b->size;
    } else if (need > BLOCK_BYTES / 4) {
        b = block_add(arena, need, 1);
    } else if (b == NULL || b->size - b->used < need) {
        b = block_add(arena, BLOCK_BYTES, 0);
    }
    void *p = b->data + b->used;
    b->used += need;
    return memset(p, 0, size);
}

void *arena_dup(struct arena *arena, const void *base, size_t len)
{
    char *p = arena_alloc(arena, len + 1);
    if (len != 0) {
        memcpy(p, base, len);
    }
    return p;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_dup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_alloc(arena, (size_t)(n < 0 ? 0 : n) + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, fmt, ap);
    va_end(ap);
    return p;
}

struct view arena_view(struct arena *arena, struct view v)
{
    return view_make(arena_dup(arena, v.base, v.len), v.len);
}

size_t arena_size(const struct arena *arena)
{
    return arena->held;
}
