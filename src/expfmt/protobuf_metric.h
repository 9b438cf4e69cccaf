/* One Metric message of a family: the samples Prometheus makes of it. */
#ifndef KVASS_EXPFMT_PROTOBUF_METRIC_H
#define KVASS_EXPFMT_PROTOBUF_METRIC_H

#include "expfmt/counter_impl.h"
#include "expfmt/wire_format.h"

enum metric_type {
    METRIC_TYPE_COUNTER,
    METRIC_TYPE_GAUGE,
    METRIC_TYPE_SUMMARY,
    METRIC_TYPE_UNTYPED,
    METRIC_TYPE_HISTOGRAM,
    METRIC_TYPE_GAUGE_HISTOGRAM,
};

extern const struct wire_shape METRIC_SHAPE;

/* message fits METRIC_SHAPE. *native: whether the family's first metric is a native histogram (2.x); ignored by 3.x. */
int protobuf_metric_add(struct counter *c, struct view family_name, enum metric_type type, struct view message,
                        bool native, struct errctx *err) MUST_CHECK;

/* The test for a native histogram of the configured version. */
bool protobuf_metric_is_native(const struct counter *c, struct view message);

#endif
