/* The text format (0.0.4 and 1.0.0), one line at a time, accepted exactly as Prometheus accepts it. */
#ifndef KVASS_EXPFMT_TEXT_H
#define KVASS_EXPFMT_TEXT_H

#include "expfmt/sample.h"
#include "relabel/relabel.h"

enum line_kind {
    LINE_OTHER,  /* blank, comment, HELP, TYPE, UNIT */
    LINE_SAMPLE,
    LINE_END,    /* the body ends here: a NUL at a line's start in text, # EOF in OpenMetrics */
};

struct line {
    enum line_kind kind;
    size_t len; /* with the LF */
};

/* What lines leave behind for later ones. */
struct text_state {
    enum prometheus_major major;
    enum sample_type type; /* of the last TYPE line */
};

/* Parses the line at base. ERR_AGAIN when it is not complete yet, ERR_PARSE with a message. A sample line fills
 * *sample. */
int text_parse_line(struct text_state *t, const char *base, size_t len, struct sample *sample, struct line *ret,
                    struct errctx *err) MUST_CHECK;

#endif
