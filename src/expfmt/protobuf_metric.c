/* From a Metric message to samples: one for plain types, count and sum and one a bucket or quantile for classic
 * histograms and summaries, one for a native histogram. Which histograms are native, and what they are checked
 * for, differs between versions: up to 3.7 the family's first Metric decides for all of them. A protobuf
 * message may hold a submessage twice, which means their union; hence the walks over all of them. */
#include "expfmt/protobuf_metric.h"

#include "base/utf8.h"
#include "expfmt/cursor.h"
#include "expfmt/float_text.h"

#include <math.h>

#define VARINT (1u << WIRE_VARINT)
#define FIXED64 (1u << WIRE_FIXED64)
#define BYTES (1u << WIRE_BYTES)
#define SHAPE(fields) {fields, sizeof(fields) / sizeof((fields)[0])}
#define FIELD(number, types) {number, types, 2, NULL, false, false}
#define SUB(number, since, shape) {number, BYTES, since, shape, false, false}
#define VARINTS(number) {number, VARINT | BYTES, 2, NULL, true, false}
#define DOUBLES(number) {number, FIXED64 | BYTES, 2, NULL, false, true}

#define STALE_MARKER UINT64_C(0x7ff0000000000002)

static const struct wire_shape_field LABEL_FIELDS[] = {FIELD(1, BYTES), FIELD(2, BYTES)};
static const struct wire_shape LABEL_SHAPE = SHAPE(LABEL_FIELDS);
static const struct wire_shape_field TIMESTAMP_FIELDS[] = {FIELD(1, VARINT), FIELD(2, VARINT)};
static const struct wire_shape TIMESTAMP_SHAPE = SHAPE(TIMESTAMP_FIELDS);
static const struct wire_shape_field EXEMPLAR_FIELDS[] = {SUB(1, 2, &LABEL_SHAPE), FIELD(2, FIXED64),
                                                          SUB(3, 2, &TIMESTAMP_SHAPE)};
static const struct wire_shape EXEMPLAR_SHAPE = SHAPE(EXEMPLAR_FIELDS);
static const struct wire_shape_field VALUE_FIELDS[] = {FIELD(1, FIXED64)};
static const struct wire_shape VALUE_SHAPE = SHAPE(VALUE_FIELDS);
static const struct wire_shape_field COUNTER_FIELDS[] = {FIELD(1, FIXED64), SUB(2, 2, &EXEMPLAR_SHAPE),
                                                         SUB(3, PROMETHEUS_3, &TIMESTAMP_SHAPE)};
static const struct wire_shape COUNTER_SHAPE = SHAPE(COUNTER_FIELDS);
static const struct wire_shape_field QUANTILE_FIELDS[] = {FIELD(1, FIXED64), FIELD(2, FIXED64)};
static const struct wire_shape QUANTILE_SHAPE = SHAPE(QUANTILE_FIELDS);
static const struct wire_shape_field SUMMARY_FIELDS[] = {
    FIELD(1, VARINT), FIELD(2, FIXED64), SUB(3, 2, &QUANTILE_SHAPE), SUB(4, PROMETHEUS_3, &TIMESTAMP_SHAPE),
};
static const struct wire_shape SUMMARY_SHAPE = SHAPE(SUMMARY_FIELDS);
static const struct wire_shape_field BUCKET_FIELDS[] = {
    FIELD(1, VARINT), FIELD(2, FIXED64), SUB(3, 2, &EXEMPLAR_SHAPE), FIELD(4, FIXED64),
};
static const struct wire_shape BUCKET_SHAPE = SHAPE(BUCKET_FIELDS);
static const struct wire_shape_field SPAN_FIELDS[] = {FIELD(1, VARINT), FIELD(2, VARINT)};
static const struct wire_shape SPAN_SHAPE = SHAPE(SPAN_FIELDS);
static const struct wire_shape_field HISTOGRAM_FIELDS[] = {
    FIELD(1, VARINT),  FIELD(2, FIXED64),        SUB(3, 2, &BUCKET_SHAPE), FIELD(4, FIXED64),
    FIELD(5, VARINT),  FIELD(6, FIXED64),        FIELD(7, VARINT),         FIELD(8, FIXED64),
    SUB(9, 2, &SPAN_SHAPE), VARINTS(10),         DOUBLES(11),              SUB(12, 2, &SPAN_SHAPE),
    VARINTS(13),       DOUBLES(14),              SUB(15, PROMETHEUS_3, &TIMESTAMP_SHAPE),
    SUB(16, PROMETHEUS_3, &EXEMPLAR_SHAPE),
};
static const struct wire_shape HISTOGRAM_SHAPE = SHAPE(HISTOGRAM_FIELDS);
static const struct wire_shape_field METRIC_FIELDS[] = {
    SUB(1, 2, &LABEL_SHAPE), SUB(2, 2, &VALUE_SHAPE), SUB(3, 2, &COUNTER_SHAPE), SUB(4, 2, &SUMMARY_SHAPE),
    SUB(5, 2, &VALUE_SHAPE), FIELD(6, VARINT),        SUB(7, 2, &HISTOGRAM_SHAPE),
};
const struct wire_shape METRIC_SHAPE = SHAPE(METRIC_FIELDS);

/* Walks the fields of all submessages `number` of a message as if they were one. */
struct sub_walk {
    struct wire_reader outer, inner;
    int32_t number;
};

static struct sub_walk sub_walk_make(struct view message, int32_t number)
{
    return (struct sub_walk){wire_reader_make(message), {0}, number};
}

static bool sub_walk_next(struct sub_walk *w, struct wire_field *ret)
{
    struct wire_field f;
    while (!wire_next(&w->inner, ret)) {
        do {
            if (!wire_next(&w->outer, &f)) {
                return false;
            }
        } while (f.number != w->number || f.type != WIRE_BYTES);
        w->inner = wire_reader_make(f.bytes);
    }
    return true;
}

/* The last 64-bit value of a field inside submessage `number`; 0 when absent. */
static uint64_t sub_value(struct view message, int32_t number, int32_t field)
{
    struct sub_walk w = sub_walk_make(message, number);
    struct wire_field f;
    uint64_t value = 0;
    while (sub_walk_next(&w, &f)) {
        value = f.number == field ? f.value : value;
    }
    return value;
}

static uint64_t message_value(struct view message, int32_t field)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field f;
    uint64_t value = 0;
    while (wire_next(&r, &f)) {
        value = f.number == field ? f.value : value;
    }
    return value;
}

static struct view message_bytes(struct view message, int32_t field)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field f;
    struct view bytes = VIEW("");
    while (wire_next(&r, &f)) {
        bytes = f.number == field ? f.bytes : bytes;
    }
    return bytes;
}

static bool name_is_legacy(struct view name, unsigned first, unsigned rest)
{
    bool good = name.len > 0 && cursor_is(name.base[0], first);
    for (size_t i = 1; i < name.len && good; i++) {
        good = cursor_is(name.base[i], rest);
    }
    return good;
}

static int label_add(struct counter *c, struct view pair, struct errctx *err)
{
    struct view name = message_bytes(pair, 1), value = message_bytes(pair, 2);
    bool legacy = name_is_legacy(name, CLASS_LABEL_FIRST, CLASS_LABEL);
    if (c->conf.major < PROMETHEUS_3 ? !legacy : !utf8_is_valid(name)) {
        return errctx_set(err, ERR_PARSE, "invalid label name: %.*s", (int)(name.len < 100 ? name.len : 100),
                          name.base);
    }
    if (!utf8_is_valid(value)) {
        return errctx_set(err, ERR_PARSE, "invalid label value of label %.*s", (int)(name.len < 100 ? name.len : 100),
                          name.base);
    }
    c->sample.quoted = c->sample.quoted || !legacy;
    sample_add_label(&c->sample, name, value);
    return 0;
}

/* Starts c->sample with the Metric's own labels. */
static int labels_fill(struct counter *c, struct view family_name, struct view message, struct errctx *err)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field f;
    int rc = 0;
    sample_reset(&c->sample);
    c->sample.quoted = !name_is_legacy(family_name, CLASS_METRIC_FIRST, CLASS_METRIC);
    while (rc == 0 && wire_next(&r, &f)) {
        rc = f.number == 1 ? label_add(c, f.bytes, err) : 0;
    }
    int64_t time_ms = (int64_t)message_value(message, 6);
    if (time_ms != 0) {
        sample_set_time(&c->sample, time_ms);
    }
    return rc;
}

/* One sample: the family's name with a suffix, the Metric's labels, maybe one more. */
struct one {
    const char *suffix;
    const char *label; /* NULL: none */
    double bound;
    uint64_t value_bits;
};

static int sample_add(struct counter *c, struct view family_name, const struct one *one, struct errctx *err)
{
    char buf[FLOAT_TEXT_MAX];
    struct bytes *name = &c->protobuf.sample_name;
    size_t own = c->sample.label_count;
    bytes_clear(name);
    bytes_append_view(name, family_name);
    bytes_append_str(name, one->suffix);
    c->sample.name = bytes_view(name);
    c->sample.stale = one->value_bits == STALE_MARKER;
    if (one->label != NULL) {
        sample_add_label(&c->sample, view_of(one->label), float_text(one->bound, buf));
    }
    c->result.scraped++;
    int rc = series_add(c, &c->sample, err);
    c->sample.label_count = own;
    return rc;
}

static int plain_add(struct counter *c, struct view name, struct view message, int32_t number, struct errctx *err)
{
    return sample_add(c, name, &(struct one){"", NULL, 0, sub_value(message, number, 1)}, err);
}

static int summary_add(struct counter *c, struct view name, struct view message, struct errctx *err)
{
    struct sub_walk w = sub_walk_make(message, 4);
    struct wire_field f;
    int rc = sample_add(c, name, &(struct one){"_count", NULL, 0, 0}, err);
    rc = rc != 0 ? rc : sample_add(c, name, &(struct one){"_sum", NULL, 0, sub_value(message, 4, 2)}, err);
    while (rc == 0 && sub_walk_next(&w, &f)) {
        if (f.number == 3) {
            struct one one = {"", "quantile", wire_double(message_value(f.bytes, 1)), message_value(f.bytes, 2)};
            rc = sample_add(c, name, &one, err);
        }
    }
    return rc;
}

/* 2.42 gives all samples of a gauge histogram the family's bare name. */
static int classic_add(struct counter *c, struct view name, bool bare, struct view message, struct errctx *err)
{
    struct sub_walk w = sub_walk_make(message, 7);
    struct wire_field f;
    const char *bucket = bare ? "" : "_bucket";
    bool infinite = false;
    int rc = sample_add(c, name, &(struct one){bare ? "" : "_count", NULL, 0, 0}, err);
    rc = rc != 0 ? rc : sample_add(c, name, &(struct one){bare ? "" : "_sum", NULL, 0, sub_value(message, 7, 2)}, err);
    while (rc == 0 && !infinite && sub_walk_next(&w, &f)) {
        if (f.number == 3) {
            struct one one = {bucket, "le", wire_double(message_value(f.bytes, 2)), 0};
            infinite = isinf(one.bound) && one.bound > 0;
            rc = sample_add(c, name, &one, err);
        }
    }
    return rc != 0 || infinite ? rc : sample_add(c, name, &(struct one){bucket, "le", (double)INFINITY, 0}, err);
}

/* One side of a native histogram. */
struct side {
    uint64_t spanned; /* buckets its spans tell of */
    uint64_t deltas, counts;
    uint64_t observations;
    int64_t bucket;
    bool offset_negative, bucket_negative;
};

static void side_delta(struct side *s, uint64_t raw)
{
    s->deltas++;
    s->bucket = (int64_t)((uint64_t)s->bucket + (uint64_t)wire_zigzag(raw));
    s->bucket_negative = s->bucket_negative || s->bucket < 0;
    s->observations += (uint64_t)s->bucket;
}

static void side_field(struct side *s, const struct wire_field *f, int32_t span, size_t *spans)
{
    if (f->number == span) {
        int32_t offset = (int32_t)wire_zigzag(message_value(f->bytes, 1) & UINT32_MAX);
        s->offset_negative = s->offset_negative || ((*spans)++ > 0 && offset < 0);
        s->spanned += (uint32_t)message_value(f->bytes, 2);
    } else if (f->number == span + 1 && f->type == WIRE_VARINT) {
        side_delta(s, f->value);
    } else if (f->number == span + 1) {
        const unsigned char *p = (const unsigned char *)f->bytes.base, *end = p + f->bytes.len;
        for (uint64_t raw; p < end; p += wire_varint(p, (size_t)(end - p), &raw), side_delta(s, raw)) {
        }
    } else if (f->number == span + 2) {
        s->counts += f->type == WIRE_FIXED64 ? 1 : f->bytes.len / 8;
    }
}

static struct side side_read(struct view message, int32_t span)
{
    struct sub_walk w = sub_walk_make(message, 7);
    struct wire_field f;
    struct side s = {0};
    size_t spans = 0;
    while (sub_walk_next(&w, &f)) {
        side_field(&s, &f, span, &spans);
    }
    return s;
}

static const char *side_problem(const struct side *s, bool is_float)
{
    if (s->spanned != (is_float ? s->counts : s->deltas)) {
        return "spans need a different number of buckets than there are: histogram spans specify different number of "
               "buckets than "
               "provided";
    }
    if (s->offset_negative) {
        return "span has a negative offset: histogram has a span whose offset is negative";
    }
    return !is_float && s->bucket_negative
               ? "bucket count is negative: histogram has a bucket whose observation count is negative"
               : NULL;
}

/* What the storage refuses. */
static int native_check(const struct counter *c, struct view message, struct errctx *err)
{
    struct side negative = side_read(message, 9), positive = side_read(message, 12);
    bool is_float = wire_double(sub_value(message, 7, 4)) > 0 || wire_double(sub_value(message, 7, 8)) > 0;
    const char *problem = side_problem(&negative, is_float);
    problem = problem != NULL ? problem : side_problem(&positive, is_float);
    uint64_t count = sub_value(message, 7, 1), seen = negative.observations + positive.observations;
    if (c->conf.major == PROMETHEUS_2 && !c->conf.native_histograms) {
        problem = "native histograms are disabled";
    } else if (problem == NULL && !is_float) {
        bool exact = c->conf.major >= PROMETHEUS_3 && !isnan(wire_double(sub_value(message, 7, 2)));
        seen += c->conf.major >= PROMETHEUS_3 ? sub_value(message, 7, 7) : 0;
        problem =
            exact ? (seen != count
                         ? "histogram's observation count should equal the number of observations found in the buckets"
                         : NULL)
                  : (seen > count
                         ? "histogram's observation count should be at least the number of observations found in the "
                           "buckets"
                         : NULL);
    }
    return problem == NULL ? 0 : errctx_set(err, ERR_INVALID, "%s", problem);
}

/* A server that takes none in: 2.53 counts the histogram all the same, 3.0 to 3.7 only as scraped. */
static int native_ignored(struct counter *c, uint64_t series)
{
    if (c->conf.major >= PROMETHEUS_3) {
        c->result.series = series;
    }
    return 0;
}

static int native_add(struct counter *c, struct view name, struct view message, struct errctx *err)
{
    uint64_t series = c->result.series;
    int rc = sample_add(c, name, &(struct one){"", NULL, 0, sub_value(message, 7, 2)}, err);
    if (rc == 0 && c->conf.major >= PROMETHEUS_2_53 && !c->conf.native_histograms) {
        return native_ignored(c, series);
    }
    if (rc == 0 && c->result.series != series && (rc = native_check(c, message, err)) != 0) {
        c->result.series = series;
    }
    return rc;
}

static size_t bucket_count(struct view message)
{
    struct sub_walk w = sub_walk_make(message, 7);
    struct wire_field f;
    size_t count = 0;
    while (sub_walk_next(&w, &f)) {
        count += f.number == 3;
    }
    return count;
}

bool protobuf_metric_is_native(const struct counter *c, struct view message)
{
    struct sub_walk w = sub_walk_make(message, 7);
    struct wire_field f;
    bool values = false;
    while (sub_walk_next(&w, &f)) {
        bool span = f.number == 9 || f.number == 12;
        bool delta = (f.number == 10 || f.number == 13) && (f.type == WIRE_VARINT || f.bytes.len > 0);
        values = values || (c->conf.major >= PROMETHEUS_3 ? span : delta);
    }
    return values || wire_double(sub_value(message, 7, 6)) > 0 || sub_value(message, 7, 7) > 0;
}

static int histogram_add(struct counter *c, struct view name, enum metric_type type, struct view message, bool native,
                         struct errctx *err)
{
    bool modern = c->conf.major >= PROMETHEUS_3;
    bool bare = !modern && type == METRIC_TYPE_GAUGE_HISTOGRAM;
    if (c->conf.major >= PROMETHEUS_3_8) {
        native = c->conf.native_histograms && protobuf_metric_is_native(c, message);
    }
    if (!native) {
        return classic_add(c, name, bare, message, err);
    }
    int rc = native_add(c, name, message, err);
    return rc == 0 && modern && c->conf.always_classic && bucket_count(message) > 0
               ? classic_add(c, name, bare, message, err)
               : rc;
}

int protobuf_metric_add(struct counter *c, struct view family_name, enum metric_type type, struct view message,
                        bool native, struct errctx *err)
{
    int rc = labels_fill(c, family_name, message, err);
    if (rc != 0) {
        return rc;
    }
    switch (type) {
    case METRIC_TYPE_COUNTER:
        return plain_add(c, family_name, message, 3, err);
    case METRIC_TYPE_GAUGE:
        return plain_add(c, family_name, message, 2, err);
    case METRIC_TYPE_UNTYPED:
        return plain_add(c, family_name, message, 5, err);
    case METRIC_TYPE_SUMMARY:
        return summary_add(c, family_name, message, err);
    default:
        return histogram_add(c, family_name, type, message, native, err);
    }
}
