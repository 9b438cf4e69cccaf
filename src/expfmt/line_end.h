/* Finds where lines end, byte by byte, remembering its place between calls: a line feed inside a label value is no
 * end. It looks at quotes alone, so what it says of valid lines is exact, and of broken ones merely finite. */
#ifndef KVASS_EXPFMT_LINE_END_H
#define KVASS_EXPFMT_LINE_END_H

#include "relabel/relabel.h"

#include <stdint.h>

enum line_end_state {
    LINE_END_START, /* only blanks so far */
    LINE_END_HASH,
    LINE_END_HASH_BLANK,
    LINE_END_RAW_COMMENT, /* "#" without blank: a NUL in it ends the body */
    LINE_END_KEYWORD,     /* 3.x: may become "HELP " or "TYPE ", behind which names may be quoted */
    LINE_END_KEYWORD_BLANK,
    LINE_END_COMMENT_STRING,
    LINE_END_COMMENT_ESCAPE,
    LINE_END_COMMENT,
    LINE_END_SAMPLE,
    LINE_END_STRING,
    LINE_END_ESCAPE,
};

struct line_end {
    enum line_end_state state;
    enum prometheus_major major;
    const char *word; /* letters still to come in LINE_END_KEYWORD */
};

enum line_end_answer {
    LINE_END_MORE,      /* all bytes taken, the line goes on */
    LINE_END_OF_OTHER,  /* a line without a sample ended */
    LINE_END_OF_SAMPLE,
    LINE_END_OF_BODY,   /* a NUL where it ends the body */
};

void line_end_init(struct line_end *l, enum prometheus_major major);

/* Takes bytes up to and with the next line's end. After an end the state is that of a new line. */
enum line_end_answer line_end_find(struct line_end *l, const char *base, size_t len, size_t *ret_taken);

#endif
