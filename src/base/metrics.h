/* kvass' own metrics: one table (metrics.def), atomic cells, text exposition. Any thread may write a cell.
 *
 * Series per metric are bounded (METRIC_SERIES_MAX): beyond it updates go to one series whose labels read "other". */
#ifndef KVASS_BASE_METRICS_H
#define KVASS_BASE_METRICS_H

#include "base/bytes.h"

#include <stdint.h>

#define METRIC_SERIES_MAX 2000
#define METRIC_LABELS_MAX 4

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

enum metric_id {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#include "base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metric_info {
    const char *name, *labels, *help;
    enum metric_kind kind;
};

/* The row of a metric, for documentation. */
const struct metric_info *metric_info(enum metric_id id);

/* One series. Label values follow in the order of the row's label list, as many const char * as it names. The cell
 * lives until metric_forget; keep the pointer on hot paths. */
struct metric_cell;
struct metric_cell *metric_cell(enum metric_id id, ...);

void metric_cell_add(struct metric_cell *cell, double delta);
void metric_cell_set(struct metric_cell *cell, double value);
void metric_cell_observe(struct metric_cell *cell, double value); /* histograms; seconds */
double metric_cell_get(const struct metric_cell *cell);

#define metric_add(id, delta, ...) metric_cell_add(metric_cell(id, ##__VA_ARGS__), delta)
#define metric_set(id, value, ...) metric_cell_set(metric_cell(id, ##__VA_ARGS__), value)

/* Drops all series of a labelled gauge, so that vanished objects do not linger; only the thread that sets the gauge
 * calls it and no other thread may hold a cell of it. */
void metric_forget(enum metric_id id);

/* Text format 0.0.4 of everything, process_* included. */
void metrics_write(struct bytes *out);

#endif
