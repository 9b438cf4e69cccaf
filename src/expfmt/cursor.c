/* Steps of the text parsers. A cursor never reads at or behind `end`: what would need the next byte answers
 * ERR_AGAIN, so that every split of a body gives the same result. Oddities (NULs swallowed inside and behind
 * quoted text) are Prometheus' own. */
#include "expfmt/cursor.h"

#include "base/utf8.h"

#include <stdio.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define QUOTE_MAX 120

#define BLANK [' '] = CLASS_BLANK, ['\t'] = CLASS_BLANK
#define LETTER (CLASS_LABEL_FIRST | CLASS_LABEL | CLASS_METRIC_FIRST | CLASS_METRIC)

const unsigned char CURSOR_CLASS[256] = {
    BLANK,
    ['a' ... 'z'] = LETTER,
    ['A' ... 'Z'] = LETTER,
    ['_'] = LETTER,
    [':'] = CLASS_METRIC_FIRST | CLASS_METRIC,
    ['0' ... '9'] = CLASS_LABEL | CLASS_METRIC,
};

static int fail_quoting(const char *line, size_t len, struct errctx *err, const char *what)
{
    char text[QUOTE_MAX * 4 + 1];
    size_t n = 0;
    for (size_t i = 0; i < len && i < QUOTE_MAX; i++) {
        unsigned char ch = (unsigned char)line[i];
        if (ch == '\n' || ch == '\t' || ch == '\r') {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "\\%c", ch == '\n' ? 'n' : ch == '\t' ? 't' : 'r');
        } else if (ch == '"' || ch == '\\') {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "\\%c", ch);
        } else if (ch < 0x20 || ch >= 0x7f) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "\\x%02x", ch);
        } else {
            text[n++] = (char)ch;
        }
    }
    text[n] = '\0';
    return errctx_set(err, ERR_PARSE, "%s while parsing: \"%s\"%s", what, text, len > QUOTE_MAX ? "..." : "");
}

int cursor_fail(const struct cursor *c, struct errctx *err, const char *what)
{
    bool behind_line = c->p > c->line && c->p[-1] == '\n';
    return fail_quoting(c->line, (size_t)(c->p - c->line) + (c->p < c->end && !behind_line), err, what);
}

int cursor_fail_behind(const struct cursor *c, struct errctx *err, const char *what)
{
    return fail_quoting(c->line, (size_t)(c->p - c->line), err, what);
}

/* The first byte from p on that needs a look: quote, backslash, NUL, LF. Notes whether a byte above 0x7f was passed. */
static const char *quoted_run(const char *p, const char *end, bool *ascii)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), lf = _mm_set1_epi8('\n');
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                                   _mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, _mm_setzero_si128())));
        unsigned hits = (unsigned)_mm_movemask_epi8(hit), high = (unsigned)_mm_movemask_epi8(v);
        if (hits != 0) {
            unsigned at = (unsigned)__builtin_ctz(hits);
            *ascii = *ascii && (high & ((1u << at) - 1)) == 0;
            return p + at;
        }
        *ascii = *ascii && high == 0;
        p += 16;
    }
#endif
    for (; p < end; p++) {
        if (*p == '"' || *p == '\\' || *p == '\n' || *p == '\0') {
            break;
        }
        *ascii = *ascii && (unsigned char)*p < 0x80;
    }
    return p;
}

bool cursor_utf8(struct view v)
{
    size_t i = 0;
#if defined(__SSE2__)
    while (v.len - i >= 16 && _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(v.base + i))) == 0) {
        i += 16;
    }
#endif
    return utf8_is_valid(view_make(v.base + i, v.len - i));
}

int cursor_quoted(struct cursor *c, unsigned flags, struct quoted *ret)
{
    const char *begin = c->p + 1, *p = begin;
    struct quoted q = {.ascii = true};
    for (;;) {
        p = quoted_run(p, c->end, &q.ascii);
        if (p == c->end) {
            return ERR_AGAIN;
        }
        if (*p == '"') {
            break;
        }
        if (*p == '\0' ? (flags & QUOTED_NUL) == 0 : *p == '\n' && (flags & QUOTED_LF) == 0) {
            return ERR_PARSE;
        }
        if (*p == '\\') {
            q.escaped = true;
            p++;
            while ((flags & QUOTED_NUL) != 0 && p < c->end && *p == '\0') {
                p++;
            }
            if (p == c->end) {
                return ERR_AGAIN;
            }
            if (*p == '\n' || *p == '\0') {
                return ERR_PARSE;
            }
            q.ascii = q.ascii && (unsigned char)*p < 0x80;
        }
        p++;
    }
    p++;
    const char *behind = p;
    while ((flags & QUOTED_NUL) != 0 && p < c->end && *p == '\0') {
        p++;
    }
    if (p == c->end) {
        return ERR_AGAIN; /* more NULs may follow */
    }
    q.text = view_make(begin, (size_t)(p - 1 - begin));
    q.escaped = q.escaped || p != behind;
    c->p = p;
    *ret = q;
    return 0;
}

int cursor_label_value(struct cursor *c, unsigned flags, struct quoted *ret, struct errctx *err)
{
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    int rc = *c->p == '"' ? cursor_quoted(c, flags, ret) : ERR_PARSE;
    if (rc == ERR_PARSE) {
        return cursor_fail(c, err, "expected label value");
    }
    if (rc == 0 && !ret->ascii && !cursor_utf8(ret->text)) {
        return cursor_fail(c, err, "invalid UTF-8 label value");
    }
    return rc;
}

int cursor_keyword(struct cursor *c, const char *word)
{
    const char *p = c->p;
    for (const char *w = word; *w != '\0'; w++) {
        while (w != word && p < c->end && *p == '\0') {
            p++;
        }
        if (p == c->end) {
            return ERR_AGAIN;
        }
        if (*p != *w) {
            return 0;
        }
        p++;
    }
    c->p = p;
    return 1;
}
