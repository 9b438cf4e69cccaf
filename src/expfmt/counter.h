/* Counts an exposition while it streams by: the two figures Prometheus reports for it, and whether Prometheus
 * would store it.
 *
 * Bytes arrive in any split; they are scanned in place and nothing is kept but the unfinished last line (at most
 * `line_bytes_max`) and, when rules ask for it, one label set. The result never depends on the split. Oracle:
 * scrape_samples_scraped and scrape_samples_post_metric_relabeling of Prometheus 2.42 and 3.x. */
#ifndef KVASS_EXPFMT_COUNTER_H
#define KVASS_EXPFMT_COUNTER_H

#include "base/errctx.h"
#include "base/json_writer.h"
#include "relabel/relabel.h"

enum count_mode {
    COUNT_STRICT, /* refuses exactly what Prometheus refuses */
    COUNT_FAST,   /* exact on valid bodies, does not validate */
};

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_PROTOBUF };

const char *exposition_format_name(enum exposition_format f); /* "text", "openmetrics", "protobuf" */

/* Format by Content-Type as Prometheus chooses it; 3.x refuses what it does not know unless fallback (may be
 * empty, a scrape protocol name such as PrometheusText0.0.4) names one: ERR_INVALID with Prometheus' own words. */
int exposition_format_parse(struct view content_type, struct view fallback, enum prometheus_major major,
                            enum exposition_format *ret, struct errctx *err) MUST_CHECK;

/* What does not change from scrape to scrape of a job; plain values, copied by counter_new. 0 = no limit. */
struct counter_conf {
    enum count_mode mode;
    enum prometheus_major major;
    bool honor_labels;
    bool ignore_timestamps;    /* honor_timestamps: false */
    bool by_family;            /* keep figures per metric family */
    bool utf8_names;           /* 3.x with metric_name_validation_scheme utf8 */
    bool native_histograms;    /* protobuf: recognise native histograms */
    bool always_classic;       /* protobuf 3.x: count the classic form beside a native one */
    uint64_t sample_limit, label_limit, label_name_length_limit, label_value_length_limit;
    uint64_t body_size_limit;  /* decoded bytes; exactly the limit already fails */
    size_t line_bytes_max;     /* 0 = 1 MiB */
    struct view drop_label;    /* a label that goes away before metric_relabel; static, empty = none */
    const struct relabel_rules *metric_relabel; /* borrowed, this thread's; NULL = none */
};

struct counter;

struct counter *counter_new(const struct counter_conf *conf);
void counter_free(struct counter **c);

/* Begins a body. target_labels (borrowed until finish) are merged into each series when rules or limits need them. */
void counter_start(struct counter *c, enum exposition_format format, const struct labels *target_labels);

/* ERR_PARSE, ERR_INVALID (would be refused after relabelling) or ERR_LIMIT: the scrape is lost, in Prometheus too;
 * the error stays, further calls return it again and *still count nothing*. */
int counter_feed(struct counter *c, const char *base, size_t len, struct errctx *err) MUST_CHECK;

struct counter_result {
    uint64_t scraped, series; /* samples_scraped, samples_post_metric_relabeling; before the error if there was one */
    uint64_t body_bytes;
};

/* Ends the body (last line without LF, missing # EOF, ...). ret is filled on failure too. */
int counter_finish(struct counter *c, struct counter_result *ret, struct errctx *err) MUST_CHECK;

/* Per family, when by_family: walks {"name":{"scraped":n,"total":n},...} into w as members of an open object. */
void counter_write_families(const struct counter *c, struct json_writer *w);
void counter_each_family(const struct counter *c,
                         void (*each)(void *data, struct view name, uint64_t scraped, uint64_t total), void *data);

#endif
