/* Numbers as Go's strconv takes them, judged without computing them: a scrape only needs to know whether
 * Prometheus would accept the text. */
#ifndef KVASS_EXPFMT_NUMBER_H
#define KVASS_EXPFMT_NUMBER_H

#include "base/view.h"

#include <stdint.h>

enum number_kind {
    NUMBER_BAD,      /* no number at all */
    NUMBER_RANGE,    /* a number beyond float64 */
    NUMBER_FINITE,
    NUMBER_INFINITE,
    NUMBER_NAN,
};

/* ParseFloat as the exposition parsers call it: p, P and _ are refused, which leaves decimal floats, Inf and NaN
 * forms. */
enum number_kind number_float_kind(struct view text);

/* The integer part of a finite decimal, clamped to the ends of int64. */
int64_t number_whole(struct view text);

/* True when text, digits only, fits an int64. */
bool number_fits_int64(struct view text);

#endif
