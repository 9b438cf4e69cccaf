/* Typed growing arrays: `VEC(struct target *) owned = {0};  *vec_push(&owned) = t;  vec_done(&owned);` */
#ifndef KVASS_BASE_VEC_H
#define KVASS_BASE_VEC_H

#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define VEC(type)                                                                                                      \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t len, cap;                                                                                               \
    }

/* Pointer to a new zeroed last element; valid until the next push. */
#define vec_push(v)                                                                                                    \
    ((v)->items = vec_grow_((v)->items, (v)->len, &(v)->cap, sizeof(*(v)->items)), (v)->len++,                         \
     (__typeof__((v)->items))memset(&(v)->items[(v)->len - 1], 0, sizeof(*(v)->items)))

#define vec_reserve(v, n)                                                                                              \
    do {                                                                                                               \
        if ((v)->cap < (size_t)(n)) {                                                                                  \
            (v)->cap = (size_t)(n);                                                                                    \
            (v)->items = mem_realloc((v)->items, (v)->cap * sizeof(*(v)->items));                                      \
        }                                                                                                              \
    } while (0)

/* Removes element i, keeping the order. */
#define vec_remove(v, i)                                                                                               \
    do {                                                                                                               \
        invariant((size_t)(i) < (v)->len);                                                                             \
        memmove(&(v)->items[i], &(v)->items[(size_t)(i) + 1],                                                          \
                ((v)->len - (size_t)(i) - 1) * sizeof(*(v)->items));                                                   \
        (v)->len--;                                                                                                    \
    } while (0)

#define vec_clear(v) ((void)((v)->len = 0))
#define vec_done(v)  (free((v)->items), (v)->items = NULL, (v)->len = (v)->cap = 0, (void)0)

#define vec_foreach(ptr, v)                                                                                            \
    for (__typeof__(*(v)->items) *ptr = (v)->items; ptr != NULL && ptr < (v)->items + (v)->len; ptr++)

static inline void *vec_grow_(void *items, size_t len, size_t *cap, size_t size)
{
    if (len < *cap) {
        return items;
    }
    *cap = *cap != 0 ? *cap * 2 : 8;
    return mem_realloc(items, *cap * size);
}

#endif
