/* Cuts one part out of an exposition while it streams by: the samples of this part, and what describes them.
 *
 * Bytes arrive in any split and the output does not depend on it; nothing is kept but the unfinished last line (of
 * protobuf: message, at most `line_bytes_max`) and, of protobuf, a family's head and one piece of output. Lines are
 * forwarded as they are: exemplars and timestamps stay with them; comments, HELP, TYPE, UNIT and # EOF go to every
 * part. A protobuf family comes out as one message with fewer metrics, or as several where it is longer than
 * line_bytes_max; a family of which nothing is left is left out, for Prometheus passes over such.
 *
 * It relies on a strict counter that is shown the same bytes first: of a body which Prometheus would refuse, anything
 * may be forwarded, and no part of it may reach Prometheus as a good scrape. */
#ifndef KVASS_EXPFMT_PART_FILTER_H
#define KVASS_EXPFMT_PART_FILTER_H

#include "expfmt/counter.h"

/* A piece of the output; a non-zero return ends the filtering and is handed back. */
typedef int part_out_fn(void *data, const char *base, size_t len, struct errctx *err);

struct part_filter;

struct part_filter *part_filter_new(enum prometheus_major major, size_t line_bytes_max); /* 0 = 1 MiB */
void part_filter_free(struct part_filter **f);

void part_filter_start(struct part_filter *f, enum exposition_format format, unsigned part, unsigned parts,
                       part_out_fn *out, void *data);

/* ERR_PARSE or ERR_LIMIT on bodies that are refused, else what out returned. No more calls after an error. */
int part_filter_feed(struct part_filter *f, const char *base, size_t len, struct errctx *err) MUST_CHECK;
int part_filter_finish(struct part_filter *f, struct errctx *err) MUST_CHECK;

#endif
