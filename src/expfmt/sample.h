/* One exposition line with a value, as a parser found it: borrowed pieces of the input, escapes not yet resolved. */
#ifndef KVASS_EXPFMT_SAMPLE_H
#define KVASS_EXPFMT_SAMPLE_H

#include "base/view.h"

#include <stdint.h>

struct sample_label {
    struct view name, value;
};

/* Grown as needed; the length of a line bounds it. */
struct sample {
    struct view name;
    struct sample_label *labels;
    size_t label_count, label_cap;
    bool escaped;      /* some piece holds a backslash that stands for something */
    bool quoted;       /* a name was written in quotes: it may hold anything */
    bool unstorable;   /* its own timestamp is out of every storage's bounds */
    bool half;           /* counted although what follows its value is no end of line: the body is refused behind it */
    bool stale;        /* a stale marker (protobuf): free of sample_limit */
};

/* Notes an explicit timestamp: one before 2020 or after 2100 is outside what a Prometheus with a working clock
 * stores. */
void sample_set_time(struct sample *s, int64_t time_ms);

void sample_reset(struct sample *s);
void sample_done(struct sample *s);
void sample_add_label(struct sample *s, struct view name, struct view value);

/* Where label values have floats in a spelling of their own (3.x: le of histograms, quantile of summaries). */
enum sample_type { SAMPLE_TYPE_OTHER, SAMPLE_TYPE_HISTOGRAM, SAMPLE_TYPE_SUMMARY };

/* What a TYPE line of the text format names; false: none that Prometheus knows. */
bool sample_type_parse(struct view text, enum sample_type *ret);

#endif
