/* The inside of a counter, shared by the files of this room alone. */
#ifndef KVASS_EXPFMT_COUNTER_IMPL_H
#define KVASS_EXPFMT_COUNTER_IMPL_H

#include "base/bytes.h"
#include "expfmt/counter.h"
#include "expfmt/families.h"
#include "expfmt/line_end.h"
#include "expfmt/scan.h"
#include "expfmt/text.h"

/* The metric family being walked. */
struct protobuf_family {
    struct view name, unit; /* in protobuf_walk's buffers */
    uint64_t type;
    uint64_t metrics; /* seen so far */
    bool help_valid;
    bool native; /* 2.x: the first Metric is a native histogram, so all are taken for one */
};

struct protobuf_walk {
    uint64_t left;                /* bytes of a large family still to come; 0 between families */
    size_t need;                  /* bytes the carry must have for the next step */
    struct counter_result before; /* when the family began */
    struct errctx pending;        /* error of a sample, waiting for the family's end */
    struct protobuf_family family;
    struct bytes name, unit;
    struct bytes sample_name;
};

struct merge_duplicate {
    struct label label;
    const char *taken; /* the value the label set holds, unless a later step sets another */
};

struct counter {
    uint32_t magic;
    struct counter_conf conf;
    enum exposition_format format;
    const struct labels *target; /* borrowed; may be NULL */

    struct counter_result result;
    struct errctx error;    /* code 0 while the body is good */
    uint64_t stale_samples; /* among result.series: free of sample_limit */
    bool ended;             /* the body said so itself: a NUL in text, # EOF in OpenMetrics */

    bool needs_sets;                        /* some rule or limit looks at the labels */
    bool needs_names;                       /* figures per family, or rules on names */
    bool name_rules;                        /* the rules look at names alone */
    struct view judges[RELABEL_JUDGES_MAX]; /* the labels the rules look at, when they only keep and drop */
    size_t judge_count;

    scan_fn *scan_with; /* for text; NULL: every line goes the careful way */
    struct scan scan;

    struct bytes carry; /* the unfinished last line */
    struct line_end line_end;
    struct text_state text;
    struct sample sample;
    struct protobuf_walk protobuf;
    struct families families;

    struct arena *arena; /* strings of one label set */
    struct labels_builder builder;
    struct sample_label *exposed; /* one sample's labels, sorted */
    size_t exposed_cap;
    struct merge_duplicate *duplicates; /* labels whose name occurred before in it */
    size_t duplicate_count, duplicate_cap;
};

/* Accounts for a parsed sample (already in result.scraped): relabelling, limits, validity. */
int series_add(struct counter *c, const struct sample *sample, struct errctx *err) MUST_CHECK;

/* The same for a line known to be a plain one: valid names, no duplicate labels; for bodies that need no label sets. */
void series_add_name(struct counter *c, struct view name);
void series_add_family(struct counter *c, struct family *family, struct view name); /* found already */

void series_done(struct counter *c);

/* Chooses a scanner other than the machine's best one, or none (NULL); for tests and benchmarks. */
void counter_set_scan(struct counter *c, scan_fn *scan_with);
bool counter_counts_only(const struct counter *c);

#endif
