/* The line-end automaton: eleven states, every byte looked at once, so that a line arriving in a million pieces costs what it
 * costs in one. It serves two purposes: to know when the carried beginning of a line has become a whole line worth parsing, and
 * to count lines of valid bodies without parsing them. */
#include "expfmt/line_end.h"

#include <string.h>

void line_end_init(struct line_end *l, enum prometheus_major major)
{
    *l = (struct line_end){LINE_END_START, major, NULL};
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

/* States in which only few bytes matter: skips to the next that does. */
static const char *skip_dull(enum line_end_state state, const char *p, const char *end)
{
    if (state == LINE_END_COMMENT) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        return lf != NULL ? lf : end;
    }
    if (state == LINE_END_SAMPLE) {
        while (p < end && *p != '\n' && *p != '"') {
            p++;
        }
    } else if (state == LINE_END_STRING || state == LINE_END_COMMENT_STRING) {
        while (p < end && *p != '\\' && *p != '"') {
            p++;
        }
    }
    return p;
}

static enum line_end_state comment_begins(struct line_end *l, char ch)
{
    if (l->major >= PROMETHEUS_3 && (ch == 'H' || ch == 'T')) {
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
        return is_blank(ch) ? LINE_END_START : ch == '#' ? LINE_END_HASH : ch == '"' ? LINE_END_STRING : LINE_END_SAMPLE;
    case LINE_END_HASH:
        return is_blank(ch) ? LINE_END_HASH_BLANK : LINE_END_RAW_COMMENT;
    case LINE_END_HASH_BLANK:
        return is_blank(ch) ? LINE_END_HASH_BLANK : comment_begins(l, ch);
    case LINE_END_KEYWORD:
        return keyword_goes_on(l, ch);
    case LINE_END_KEYWORD_BLANK:
        return is_blank(ch) || ch == '\0' ? LINE_END_KEYWORD_BLANK : ch == '"' ? LINE_END_COMMENT_STRING : LINE_END_COMMENT;
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
