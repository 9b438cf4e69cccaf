/* The delimited protobuf exposition, without a protobuf library: each family is length-prefixed, and in it each
 * Metric.
 *
 * A family that fits the limit for a line is judged when it has arrived whole, so the order of its fields does not
 * matter. A larger one is walked Metric by Metric as they arrive, which needs its name and type to come first, as
 * every encoder writes them. Prometheus decodes a family before it takes samples of it: when a family turns out
 * broken or cut short, what was counted of it is taken back, unless only a Metric of it is broken and the version
 * is 3.x, which decodes those one by one. */
#include "expfmt/protobuf.h"

#include "base/utf8.h"
#include "expfmt/cursor.h"
#include "expfmt/protobuf_metric.h"

#define LENGTH_BYTES_MAX 5
#define TAG_AND_LENGTH_MAX 20

#define VARINT (1u << WIRE_VARINT)
#define BYTES (1u << WIRE_BYTES)

enum family_field { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4, FAMILY_UNIT = 5 };

static const struct wire_shape_field FAMILY_FIELDS[] = {
    {FAMILY_NAME, BYTES, 2, NULL, false, false}, {FAMILY_HELP, BYTES, 2, NULL, false, false},
    {FAMILY_TYPE, VARINT, 2, NULL, false, false}, {FAMILY_METRIC, BYTES, 2, NULL, false, false},
    {FAMILY_UNIT, BYTES, PROMETHEUS_3, NULL, false, false},
};

static const struct wire_shape FAMILY_SHAPE = {FAMILY_FIELDS, sizeof(FAMILY_FIELDS) / sizeof(FAMILY_FIELDS[0])};

static bool name_is_valid(const struct counter *c, struct view name)
{
    if (c->conf.major >= PROMETHEUS_3) {
        return name.len > 0 && utf8_is_valid(name);
    }
    bool good = name.len > 0 && cursor_is(name.base[0], CLASS_METRIC_FIRST);
    for (size_t i = 1; i < name.len && good; i++) {
        good = cursor_is(name.base[i], CLASS_METRIC);
    }
    return good;
}

static bool unit_is_suffix(struct view name, struct view unit, uint64_t type)
{
    if (type == METRIC_TYPE_COUNTER && view_has_suffix(name, VIEW("_total"))) {
        name.len -= 6;
    }
    return view_has_suffix(name, unit) && name.len > unit.len && name.base[name.len - unit.len - 1] == '_';
}

/* Once a family has a Metric: what is checked before any of them. */
static int family_check(const struct counter *c, const struct protobuf_family *f, struct errctx *err)
{
    int shown = (int)(f->name.len < 100 ? f->name.len : 100);
    if (!name_is_valid(c, f->name)) {
        return errctx_set(err, ERR_PARSE, "invalid metric name: %.*s", shown, f->name.base != NULL ? f->name.base : "");
    }
    if (!f->help_valid) {
        return errctx_set(err, ERR_PARSE, "invalid help for metric \"%.*s\"", shown, f->name.base);
    }
    if (f->type > METRIC_TYPE_GAUGE_HISTOGRAM) {
        return errctx_set(err, ERR_PARSE, "unknown metric type for metric \"%.*s\"", shown, f->name.base);
    }
    if (f->unit.len > 0 && !unit_is_suffix(f->name, f->unit, f->type)) {
        return errctx_set(err, ERR_PARSE, "unit not a suffix of metric \"%.*s\"", shown, f->name.base);
    }
    return 0;
}

static void family_take_back(struct counter *c)
{
    c->result.scraped = c->protobuf.before.scraped;
    c->result.series = c->protobuf.before.series;
}

static int fail_broken(struct counter *c, struct errctx *err)
{
    family_take_back(c);
    return errctx_set(err, ERR_PARSE, "protobuf: broken metric family");
}

static void family_begin(struct counter *c)
{
    c->protobuf.before = c->result;
    c->protobuf.pending.code = 0;
    c->protobuf.family = (struct protobuf_family){.help_valid = true};
}

/* A field that is no Metric. Its bytes may go away: what is needed of them is copied. */
static void family_field(struct counter *c, const struct wire_field *f)
{
    struct protobuf_family *family = &c->protobuf.family;
    if (f->number == FAMILY_NAME) {
        bytes_clear(&c->protobuf.name);
        bytes_append_view(&c->protobuf.name, f->bytes);
        family->name = bytes_view(&c->protobuf.name);
    } else if (f->number == FAMILY_HELP) {
        family->help_valid = utf8_is_valid(f->bytes);
    } else if (f->number == FAMILY_TYPE) {
        family->type = f->value;
    } else if (f->number == FAMILY_UNIT && c->conf.major >= PROMETHEUS_3) {
        bytes_clear(&c->protobuf.unit);
        bytes_append_view(&c->protobuf.unit, f->bytes);
        family->unit = bytes_view(&c->protobuf.unit);
    }
}

/* A Metric. Errors past the decoding wait for the family's end, which may still turn out broken. */
static int family_metric(struct counter *c, struct view message, struct errctx *err)
{
    struct protobuf_family *family = &c->protobuf.family;
    struct errctx *pending = &c->protobuf.pending;
    if (!wire_fits(message, &METRIC_SHAPE, (int)c->conf.major)) {
        if (c->conf.major < PROMETHEUS_3) {
            return fail_broken(c, err);
        }
        errctx_set(pending, ERR_PARSE, "protobuf: broken metric");
    }
    if (family->metrics++ == 0 && pending->code == 0) {
        pending->code = family_check(c, family, pending);
        family->native = pending->code == 0 && protobuf_metric_is_native(c, message);
    }
    if (pending->code == 0) {
        pending->code =
            protobuf_metric_add(c, family->name, (enum metric_type)family->type, message, family->native, pending);
    }
    return 0;
}

static int family_end(struct counter *c, struct errctx *err)
{
    const struct errctx *pending = &c->protobuf.pending;
    return pending->code == 0 ? 0 : errctx_set(err, pending->code, "%s", pending->msg);
}

static int family_whole(struct counter *c, struct view message, struct errctx *err)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field f;
    int rc = 0;
    family_begin(c);
    if (!wire_fits(message, &FAMILY_SHAPE, (int)c->conf.major)) {
        return fail_broken(c, err);
    }
    while (wire_next(&r, &f)) {
        if (f.number != FAMILY_METRIC) {
            family_field(c, &f);
        }
    }
    r = wire_reader_make(message);
    while (rc == 0 && wire_next(&r, &f)) {
        rc = f.number == FAMILY_METRIC ? family_metric(c, f.bytes, err) : 0;
    }
    return rc != 0 ? rc : family_end(c, err);
}

/* One field of a family too large to wait for. */
static int family_piece(struct counter *c, struct view field, struct errctx *err)
{
    struct wire_reader r = wire_reader_make(field);
    struct wire_field f;
    if (!wire_fits(field, &FAMILY_SHAPE, (int)c->conf.major) || !wire_next(&r, &f)) {
        return fail_broken(c, err);
    }
    if (f.number == FAMILY_METRIC) {
        return family_metric(c, f.bytes, err);
    }
    if (c->protobuf.family.metrics > 0 && f.number <= FAMILY_UNIT) {
        family_take_back(c);
        return errctx_set(err, ERR_LIMIT,
                          "a metric family is longer than %zu bytes and has its name or type at the end",
                          c->conf.line_bytes_max);
    }
    family_field(c, &f);
    return 0;
}

/* The length prefix at base, and the family when it is a small one. Bytes taken; ERR_AGAIN with what is needed. */
static int take_family(struct counter *c, struct view v, size_t *ret, struct errctx *err)
{
    uint64_t len;
    int n = wire_varint((const unsigned char *)v.base, v.len, &len);
    if (n == 0 && v.len < LENGTH_BYTES_MAX) {
        *ret = v.len + 1;
        return ERR_AGAIN;
    }
    if (n <= 0 || n > LENGTH_BYTES_MAX) {
        return errctx_set(err, ERR_PARSE, "protobufparse: invalid varint encountered");
    }
    *ret = (size_t)n + (size_t)len;
    if (*ret > c->conf.line_bytes_max) {
        family_begin(c);
        c->protobuf.left = len;
        *ret = (size_t)n;
        return 0;
    }
    return v.len < *ret ? ERR_AGAIN : family_whole(c, view_make(v.base + n, (size_t)len), err);
}

/* One field of a large family at base. */
static int take_field(struct counter *c, struct view v, size_t *ret, struct errctx *err)
{
    const unsigned char *p = (const unsigned char *)v.base;
    uint64_t tag = 0, value = 0;
    struct view all = view_make(v.base, v.len < c->protobuf.left ? v.len : (size_t)c->protobuf.left);
    int n = wire_varint(p, all.len, &tag);
    unsigned type = (unsigned)(tag & 7);
    bool has_value = type == WIRE_VARINT || type == WIRE_BYTES;
    int m = n <= 0 || !has_value ? n : wire_varint(p + n, all.len - (size_t)n, &value);
    if (n == 0 || m == 0) {
        *ret = all.len + 1;
        return all.len < c->protobuf.left && all.len < TAG_AND_LENGTH_MAX ? ERR_AGAIN : fail_broken(c, err);
    }
    if (n < 0 || m < 0 || type == WIRE_GROUP_END || type > WIRE_FIXED32) {
        return fail_broken(c, err);
    }
    if (type == WIRE_GROUP) {
        family_take_back(c);
        return errctx_set(err, ERR_LIMIT, "a metric family is longer than %zu bytes and holds a group",
                          c->conf.line_bytes_max);
    }
    uint64_t body = type == WIRE_BYTES ? value : 0;
    size_t head = (size_t)n + (type == WIRE_FIXED64 ? 8 : type == WIRE_FIXED32 ? 4 : (size_t)m);
    if (body > c->protobuf.left || head + body > c->protobuf.left) {
        return fail_broken(c, err);
    }
    *ret = head + (size_t)body;
    if (*ret > c->conf.line_bytes_max) {
        family_take_back(c);
        return errctx_set(err, ERR_LIMIT, "a metric is longer than %zu bytes", c->conf.line_bytes_max);
    }
    if (v.len < *ret) {
        return ERR_AGAIN;
    }
    c->protobuf.left -= *ret;
    int rc = family_piece(c, view_make(v.base, *ret), err);
    return rc == 0 && c->protobuf.left == 0 ? family_end(c, err) : rc;
}

static int take(struct counter *c, struct view v, size_t *ret, struct errctx *err)
{
    return c->protobuf.left > 0 ? take_field(c, v, ret, err) : take_family(c, v, ret, err);
}

void protobuf_start(struct counter *c)
{
    c->protobuf.left = 0;
    c->protobuf.need = 0;
    c->protobuf.pending.code = 0;
    c->protobuf.before = c->result;
}

/* Completes what is carried, byte need by byte need. */
static int feed_carry(struct counter *c, struct view *v, struct errctx *err)
{
    while (c->carry.len > 0) {
        size_t want = c->protobuf.need > c->carry.len ? c->protobuf.need - c->carry.len : 0;
        size_t n = want < v->len ? want : v->len, taken;
        bytes_append(&c->carry, v->base, n);
        *v = view_make(v->base + n, v->len - n);
        if (n < want) {
            return 0;
        }
        int rc = take(c, bytes_view(&c->carry), &taken, err);
        if (rc == ERR_AGAIN) {
            c->protobuf.need = taken;
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        bytes_consume(&c->carry, taken);
        c->protobuf.need = 0;
    }
    return 0;
}

int protobuf_feed(struct counter *c, const char *base, size_t len, struct errctx *err)
{
    struct view v = view_make(base, len);
    int rc = feed_carry(c, &v, err);
    while (rc == 0 && v.len > 0) {
        size_t taken;
        rc = take(c, v, &taken, err);
        if (rc == ERR_AGAIN) {
            c->protobuf.need = taken;
            bytes_append(&c->carry, v.base, v.len);
            return 0;
        }
        if (rc == 0) {
            v = view_make(v.base + taken, v.len - taken);
        }
    }
    return rc;
}

int protobuf_finish(struct counter *c, struct errctx *err)
{
    if (c->carry.len == 0 && c->protobuf.left == 0) {
        return 0;
    }
    if (c->protobuf.left > 0) {
        family_take_back(c);
    }
    return errctx_set(err, ERR_PARSE, "protobufparse: insufficient length of buffer");
}
