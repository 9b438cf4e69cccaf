/* Which rules Prometheus would refuse, in its words. Private to this room. */
#ifndef KVASS_RELABEL_RELABEL_CHECK_H
#define KVASS_RELABEL_RELABEL_CHECK_H

#include "relabel/relabel.h"

int relabel_spec_check(const struct relabel_spec *spec, enum prometheus_major major, struct errctx *err) MUST_CHECK;

/* [a-zA-Z_][a-zA-Z0-9_]* for 2.x, any non-empty UTF-8 for 3.x. */
bool relabel_is_label_name(struct view name, enum prometheus_major major);

#endif
