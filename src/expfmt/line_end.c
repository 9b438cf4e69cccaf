/* The line-end automaton: eleven states, every byte looked at once, so that a line arriving in a million pieces
 * costs what it costs in one. It serves two purposes: to know when the carried beginning of a line has become a
 * whole line worth parsing, and to count lines of valid bodies without parsing them. */
#include "expfmt/line_end.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

void line_end_init(struct line_end *l, enum prometheus_major major)
{
    *l = (struct line_end){LINE_END_START, major, NULL};
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

/* The first of two bytes from p on, or end. */
static const char *find_either(const char *p, const char *end, char a, char b)
{
#if defined(__SSE2__)
    const __m128i want_a = _mm_set1_epi8(a), want_b = _mm_set1_epi8(b);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, want_a), _mm_cmpeq_epi8(v, want_b)));
        if (hits != 0) {
            return p + __builtin_ctz((unsigned)hits);
        }
    }
#endif
    while (p < end && *p != a && *p != b) {
        p++;
    }
    return p;
}

/* States in which only few bytes matter: skips to the next that does. */
static const char *skip_dull(enum line_end_state state, const char *p, const char *end)
{
    if (state == LINE_END_COMMENT) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        return lf != NULL ? lf : end;
    }
    if (state == LINE_END_SAMPLE) {
        return find_either(p, end, '\n', '"');
    }
    if (state == LINE_END_STRING || state == LINE_END_COMMENT_STRING) {
        return find_either(p, end, '\\', '"');
    }
    return p;
}

static enum line_end_state comment_begins(struct line_end *l, char ch)
{
    if (l->major >= PROMETHEUS_2_53 && (ch == 'H' || ch == 'T')) {
        l->word = ch == 'H' ? "ELP" : "YPE";
        return LINE_END_KEYWORD;
    }
    return LINE_END_COMMENT;
}

static enum line_end_state keyword_goes_on(struct line_end *l, char ch)
{
    if (ch == '\0') {
        return LINE_END_KEYWORD;
    }
    if (*l->word == '\0') {
        return is_blank(ch) ? LINE_END_KEYWORD_BLANK : LINE_END_COMMENT;
    }
    return *l->word++ == ch ? LINE_END_KEYWORD : LINE_END_COMMENT;
}

/* ch is no line feed that ends the line, and no NUL that ends the body. */
static enum line_end_state step(struct line_end *l, char ch)
{
    switch (l->state) {
    case LINE_END_START:
        return is_blank(ch) ? LINE_END_START
               : ch == '#'  ? LINE_END_HASH
               : ch == '"'  ? LINE_END_STRING
                            : LINE_END_SAMPLE;
    case LINE_END_HASH:
        return is_blank(ch) ? LINE_END_HASH_BLANK : LINE_END_RAW_COMMENT;
    case LINE_END_HASH_BLANK:
        return is_blank(ch) ? LINE_END_HASH_BLANK : comment_begins(l, ch);
    case LINE_END_KEYWORD:
        return keyword_goes_on(l, ch);
    case LINE_END_KEYWORD_BLANK:
        return is_blank(ch) || ch == '\0' ? LINE_END_KEYWORD_BLANK
               : ch == '"'                ? LINE_END_COMMENT_STRING
                                          : LINE_END_COMMENT;
    case LINE_END_COMMENT_STRING:
        return ch == '"' ? LINE_END_COMMENT : ch == '\\' ? LINE_END_COMMENT_ESCAPE : LINE_END_COMMENT_STRING;
    case LINE_END_COMMENT_ESCAPE:
        return LINE_END_COMMENT_STRING;
    case LINE_END_SAMPLE:
        return ch == '"' ? LINE_END_STRING : LINE_END_SAMPLE;
    case LINE_END_STRING:
        return ch == '"' ? LINE_END_SAMPLE : ch == '\\' ? LINE_END_ESCAPE : LINE_END_STRING;
    case LINE_END_ESCAPE:
        return ch == '\0' ? LINE_END_ESCAPE : LINE_END_STRING;
    default:
        return l->state;
    }
}

static bool in_string(enum line_end_state state)
{
    return state == LINE_END_STRING || state == LINE_END_ESCAPE || state == LINE_END_COMMENT_STRING ||
           state == LINE_END_COMMENT_ESCAPE;
}

enum line_end_answer line_end_find(struct line_end *l, const char *base, size_t len, size_t *ret_taken)
{
    const char *p = base, *end = base + len;
    while ((p = skip_dull(l->state, p, end)) < end) {
        char ch = *p;
        if (ch == '\n' && !in_string(l->state)) {
            enum line_end_answer answer = l->state == LINE_END_SAMPLE ? LINE_END_OF_SAMPLE : LINE_END_OF_OTHER;
            l->state = LINE_END_START;
            *ret_taken = (size_t)(p + 1 - base);
            return answer;
        }
        if (ch == '\0' && l->state <= LINE_END_RAW_COMMENT) {
            *ret_taken = (size_t)(p - base);
            return LINE_END_OF_BODY;
        }
        l->state = step(l, ch);
        p++;
    }
    *ret_taken = len;
    return LINE_END_MORE;
}
