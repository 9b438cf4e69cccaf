/* OpenMetrics text (1.0 and 0.0.1), one line at a time, accepted exactly as Prometheus accepts it. */
#ifndef KVASS_EXPFMT_OPENMETRICS_H
#define KVASS_EXPFMT_OPENMETRICS_H

#include "expfmt/text.h"

/* As text_parse_line. final: no byte will follow, so that a line which is not complete is broken (or is # EOF
 * without LF). */
int openmetrics_parse_line(struct text_state *t, const char *base, size_t len, bool final, struct sample *sample,
                           struct line *ret, struct errctx *err) MUST_CHECK;

#endif
