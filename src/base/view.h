/* A borrowed run of bytes: pointer and length, not NUL-terminated, may hold NULs. */
#ifndef KVASS_BASE_VIEW_H
#define KVASS_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct view {
    const char *base;
    size_t len;
};

#define VIEW(literal) ((struct view){("" literal), sizeof(literal) - 1})
#define VIEW_FMT(v)   (int)(v).len, (v).base /* for "%.*s" */

static inline struct view view_of(const char *cstr)
{
    return (struct view){cstr, cstr != NULL ? strlen(cstr) : 0};
}

static inline struct view view_make(const char *base, size_t len)
{
    return (struct view){base, len};
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

static inline bool view_is(struct view a, const char *cstr)
{
    return view_equal(a, view_of(cstr));
}

static inline bool view_has_prefix(struct view a, struct view prefix)
{
    return a.len >= prefix.len && view_equal(view_make(a.base, prefix.len), prefix);
}

static inline bool view_has_suffix(struct view a, struct view suffix)
{
    return suffix.len == 0 ||
           (a.len >= suffix.len && memcmp(a.base + (a.len - suffix.len), suffix.base, suffix.len) == 0);
}

/* Byte order, shorter first on a tie: the order of Go strings. */
static inline int view_compare(struct view a, struct view b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n != 0 ? memcmp(a.base, b.base, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

#endif
