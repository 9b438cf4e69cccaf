/* The inside of a part filter, shared by part_filter.c (lines) and part_protobuf.c. */
#ifndef KVASS_EXPFMT_PART_IMPL_H
#define KVASS_EXPFMT_PART_IMPL_H

#include "base/bytes.h"
#include "expfmt/line_end.h"
#include "expfmt/part_filter.h"
#include "expfmt/text.h"

/* The protobuf family being walked. */
struct part_family {
    uint64_t left; /* bytes of a large family still to come; 0 between families */
    size_t need;   /* bytes the carry must have for the next step */
    uint64_t name_hash;
    struct bytes head;  /* fields of a large family that stand before its metrics */
    struct bytes piece; /* output: a small family, or metrics of a large one */
    bool has_metrics;   /* of a large family, one has come */
};

struct part_filter {
    uint32_t magic;
    enum prometheus_major major;
    size_t line_bytes_max;
    enum exposition_format format;
    unsigned part, parts;
    part_out_fn *out;
    void *data;
    bool ended; /* the body said so itself */

    struct bytes carry; /* the unfinished last line or message */
    struct line_end line_end;
    struct text_state text;
    struct sample sample;
    struct bytes scratch; /* one label or name with its escapes resolved */
    struct view last_name;
    uint64_t last_name_hash;
    struct part_family family;
};

/* The hash of a label in any spelling; 0 for one that does not count. */
uint64_t part_label_hash(struct part_filter *f, struct view name, struct view value, bool escaped);

void part_protobuf_start(struct part_filter *f);
int part_protobuf_feed(struct part_filter *f, const char *base, size_t len, struct errctx *err) MUST_CHECK;
int part_protobuf_finish(struct part_filter *f, struct errctx *err) MUST_CHECK;

#endif
