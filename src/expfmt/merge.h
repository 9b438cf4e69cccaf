/* The label set of a sample: its own labels merged with the target's. */
#ifndef KVASS_EXPFMT_MERGE_H
#define KVASS_EXPFMT_MERGE_H

#include "expfmt/counter_impl.h"

/* Fills c->builder with the sample's labels merged with the target's, before relabelling, and c->duplicates. */
void merge_build(struct counter *c, const struct sample *sample);

/* Duplicate names that are left after relabelling: those whose value nobody set. */
size_t merge_duplicates_left(const struct counter *c, struct view *ret_name);

#endif
