/* One letter at a time, by Unicode's simple mappings, which is what Go does; glibc's C.UTF-8 has the same table (all
 * code points were compared with Go's). The locale is opened for these calls only and never set for the process. */
#include "relabel/letter_case.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <wctype.h>

struct letter_case {
    locale_t locale;
};

int letter_case_new(struct letter_case **ret, struct errctx *err)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (locale == (locale_t)0) {
        return errctx_set_errno(err, errno, "open the locale C.UTF-8");
    }
    *ret = mem_calloc(1, sizeof(**ret));
    (*ret)->locale = locale;
    return 0;
}

void letter_case_free(struct letter_case **c)
{
    if (*c != NULL) {
        freelocale((*c)->locale);
        MEM_FREE(*c);
    }
}

static wint_t decode(const char *p, size_t len)
{
    const unsigned char *s = (const unsigned char *)p;
    switch (len) {
    case 1:
        return s[0];
    case 2:
        return (wint_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    case 3:
        return (wint_t)(s[0] & 0x0f) << 12 | (wint_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
    case 4:
        return (wint_t)(s[0] & 0x07) << 18 | (wint_t)(s[1] & 0x3f) << 12 | (wint_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
    default:
        return 0xfffd;
    }
}

static size_t encode(wint_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static struct view map_unicode(struct view v, struct arena *arena, wint_t (*map)(wint_t, locale_t), locale_t locale)
{
    char *out = arena_alloc(arena, v.len * 4 + 1); /* the longest a byte can become */
    size_t len = 0;
    for (size_t at = 0; at < v.len;) {
        size_t step = utf8_sequence_len(v.base + at, v.len - at);
        len += encode(map(decode(v.base + at, step), locale), out + len);
        at += step != 0 ? step : 1;
    }
    return view_make(out, len);
}

/* first..last is the range of ASCII letters that change. */
static struct view map_case(struct view v, struct arena *arena, char first, char last, wint_t (*map)(wint_t, locale_t),
                            locale_t locale)
{
    bool has_change = false;
    for (size_t i = 0; i < v.len; i++) {
        if ((unsigned char)v.base[i] >= 0x80) {
            return map_unicode(v, arena, map, locale);
        }
        has_change = has_change || (v.base[i] >= first && v.base[i] <= last);
    }
    if (!has_change) {
        return v;
    }
    char *out = arena_dup(arena, v.base, v.len);
    for (size_t i = 0; i < v.len; i++) {
        out[i] = (char)(out[i] >= first && out[i] <= last ? out[i] ^ 0x20 : out[i]);
    }
    return view_make(out, v.len);
}

struct view letter_case_lower(const struct letter_case *c, struct view v, struct arena *arena)
{
    return map_case(v, arena, 'A', 'Z', towlower_l, c->locale);
}

struct view letter_case_upper(const struct letter_case *c, struct view v, struct arena *arena)
{
    return map_case(v, arena, 'a', 'z', towupper_l, c->locale);
}
