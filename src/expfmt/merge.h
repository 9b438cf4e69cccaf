/* The label set of a sample: its own labels merged with the target's. */
#ifndef KVASS_EXPFMT_MERGE_H
#define KVASS_EXPFMT_MERGE_H

#include "expfmt/counter_impl.h"

/* Fills c->builder with the sample's labels merged with the target's, before relabelling, and c->duplicates. */
void merge_build(struct counter *c, const struct sample *sample);

/* Fills c->builder with the labels c->judges alone, for a sample that is plain: what merge_build gives them. */
void merge_build_judges(struct counter *c, const struct sample *sample);

/* After relabelling: forgets the duplicates whose name is gone or whose value was set since. */
void merge_duplicates_settle(struct counter *c);

#endif
