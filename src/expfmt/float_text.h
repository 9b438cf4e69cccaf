/* Floats as label values (le, quantile), spelled as Prometheus spells them for OpenMetrics. */
#ifndef KVASS_EXPFMT_FLOAT_TEXT_H
#define KVASS_EXPFMT_FLOAT_TEXT_H

#include "base/view.h"

#define FLOAT_TEXT_MAX 64

/* Shortest decimal that reads back equal, in Go's 'g' form, with ".0" behind what would look like an integer. */
struct view float_text(double d, char buf[FLOAT_TEXT_MAX]);

/* The same for a float that is text already; {NULL, 0} when it is none, or has more digits than a double can be
 * trusted with (16 and more: such a spelling is kept as it is). */
struct view float_text_normalise(struct view text, char buf[FLOAT_TEXT_MAX]);

#endif
