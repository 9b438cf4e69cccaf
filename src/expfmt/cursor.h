/* A place in one unfinished line, and the steps both text parsers take: each either moves on, says that bytes are
 * missing (ERR_AGAIN: the same call with more bytes gives the same answer as if all had been there), or that the
 * line is wrong. */
#ifndef KVASS_EXPFMT_CURSOR_H
#define KVASS_EXPFMT_CURSOR_H

#include "base/errctx.h"
#include "base/view.h"

struct cursor {
    const char *line, *p, *end;
};

extern const unsigned char CURSOR_CLASS[256];
#define CLASS_LABEL_FIRST 1u  /* [a-zA-Z_] */
#define CLASS_LABEL 2u        /* and digits */
#define CLASS_METRIC_FIRST 4u /* [a-zA-Z_:] */
#define CLASS_METRIC 8u       /* and digits */
#define CLASS_BLANK 16u       /* SP, TAB */

static inline bool cursor_is(char ch, unsigned class_mask)
{
    return (CURSOR_CLASS[(unsigned char)ch] & class_mask) != 0;
}

static inline bool cursor_at_end(const struct cursor *c)
{
    return c->p == c->end;
}

static inline void cursor_skip(struct cursor *c, unsigned class_mask)
{
    while (c->p < c->end && cursor_is(*c->p, class_mask)) {
        c->p++;
    }
}

/* Blanks and NULs: how the lexers pass over NUL where they allow it. */
static inline void cursor_skip_blank_nul(struct cursor *c)
{
    while (c->p < c->end && (cursor_is(*c->p, CLASS_BLANK) || *c->p == '\0')) {
        c->p++;
    }
}

static inline void cursor_skip_nul(struct cursor *c)
{
    while (c->p < c->end && *c->p == '\0') {
        c->p++;
    }
}

/* An ERR_PARSE that quotes the line up to the place, as Prometheus' messages do: with the byte at the place, which
 * was looked at, or without it when it was not and may not have arrived. */
int cursor_fail(const struct cursor *c, struct errctx *err, const char *what);
int cursor_fail_behind(const struct cursor *c, struct errctx *err, const char *what);

/* utf8_is_valid, fast on text that begins in ASCII. */
bool cursor_utf8(struct view v);

/* Quoted text from its opening quote. */
#define QUOTED_NUL 1u /* NULs are allowed inside, and swallowed behind */
#define QUOTED_LF 2u  /* raw line feeds are allowed inside */

struct quoted {
    struct view text; /* without the quotes */
    bool escaped;     /* holds a backslash */
    bool ascii;
};

/* 0, ERR_AGAIN, or ERR_PARSE without a message (the caller says what was expected). */
int cursor_quoted(struct cursor *c, unsigned flags, struct quoted *ret) MUST_CHECK;

/* The same for a label value, which must be UTF-8. */
int cursor_label_value(struct cursor *c, unsigned flags, struct quoted *ret, struct errctx *err) MUST_CHECK;

/* "HELP" or the like behind "# ", NULs between its letters skipped. 1 matched (p behind it), 0 not (p untouched),
 * ERR_AGAIN. */
int cursor_keyword(struct cursor *c, const char *word);

#endif
