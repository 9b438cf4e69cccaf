/* Parts of protobuf expositions: messages with fewer metrics in them.
 *
 * A Metric belongs to one part with all its buckets or quantiles, by the family's name and its own labels. A family
 * that fits the limit for a line is filtered when it has arrived whole, and keeps the order of its fields. The length
 * of a larger one is only known behind it, so it comes out in pieces: messages of some ten thousand bytes with the same
 * name, help, type and unit, which Prometheus reads as one family after the other of one name. Fields nobody knows that
 * stand behind the metrics of such a family are not passed on.
 *
 * Prometheus before 3.8 asks the first Metric of a family whether all are native histograms; a family that mixes both
 * kinds, which no client library writes, reads differently in parts there. */
#include "expfmt/part_hash.h"
#include "expfmt/part_impl.h"
#include "expfmt/wire_format.h"

#define PIECE_BYTES        ((size_t)65536)
#define LENGTH_BYTES_MAX   5
#define TAG_AND_LENGTH_MAX 20

enum { FAMILY_NAME = 1, FAMILY_METRIC = 4, METRIC_LABEL = 1, LABEL_NAME = 1, LABEL_VALUE = 2 };

void part_protobuf_start(struct part_filter *f)
{
    f->family.left = 0;
    f->family.need = 0;
}

static int fail_broken(struct errctx *err)
{
    return errctx_set(err, ERR_PARSE, "protobuf: broken metric family");
}

static uint64_t label_hash(struct part_filter *f, struct view pair)
{
    struct wire_reader r = wire_reader_make(pair);
    struct wire_field field;
    struct view name = VIEW(""), value = VIEW("");
    while (wire_next(&r, &field)) {
        if (field.type == WIRE_BYTES) {
            name = field.number == LABEL_NAME ? field.bytes : name;
            value = field.number == LABEL_VALUE ? field.bytes : value;
        }
    }
    return part_label_hash(f, name, value, false);
}

static bool metric_is_kept(struct part_filter *f, struct view metric)
{
    struct wire_reader r = wire_reader_make(metric);
    struct wire_field field;
    uint64_t hash = f->family.name_hash;
    while (wire_next(&r, &field)) {
        if (field.number == METRIC_LABEL && field.type == WIRE_BYTES) {
            hash += label_hash(f, field.bytes);
        }
    }
    return part_pick(hash, f->parts) == f->part;
}

static bool is_metric(const struct wire_field *field)
{
    return field->number == FAMILY_METRIC && field->type == WIRE_BYTES;
}

static void note_name(struct part_filter *f, const struct wire_field *field)
{
    if (field->number == FAMILY_NAME && field->type == WIRE_BYTES) {
        f->family.name_hash = part_hash_name(field->bytes);
    }
}

/* ---------------------------------------------------------------- output */

/* A message of what head and piece hold; piece is empty then. */
static int put_message(struct part_filter *f, struct view head, struct errctx *err)
{
    struct bytes *piece = &f->family.piece;
    char prefix[10];
    size_t n = 0;
    uint64_t len = head.len + piece->len;
    do {
        prefix[n++] = (char)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
        len >>= 7;
    } while (len > 0);
    int rc = f->out(f->data, prefix, n, err);
    rc = rc == 0 && head.len > 0 ? f->out(f->data, head.base, head.len, err) : rc;
    rc = rc == 0 ? f->out(f->data, piece->base, piece->len, err) : rc;
    bytes_clear(piece);
    return rc;
}

/* ---------------------------------------------------------------- families */

static int family_whole(struct part_filter *f, struct view message, struct errctx *err)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field field;
    bool any = false;
    f->family.name_hash = part_hash_name(VIEW(""));
    while (wire_next(&r, &field)) {
        note_name(f, &field);
    }
    if (r.bad) {
        return fail_broken(err);
    }
    bytes_clear(&f->family.piece);
    r = wire_reader_make(message);
    for (const unsigned char *begin = r.p; wire_next(&r, &field); begin = r.p) {
        if (is_metric(&field) && !metric_is_kept(f, field.bytes)) {
            continue;
        }
        any = any || is_metric(&field);
        bytes_append(&f->family.piece, begin, (size_t)(r.p - begin));
    }
    return any ? put_message(f, VIEW(""), err) : 0;
}

static void family_begin(struct part_filter *f, uint64_t len)
{
    f->family.left = len;
    f->family.has_metrics = false;
    f->family.name_hash = part_hash_name(VIEW(""));
    bytes_clear(&f->family.head);
    bytes_clear(&f->family.piece);
}

/* One field of a large family. */
static int family_piece(struct part_filter *f, struct view raw, struct errctx *err)
{
    struct wire_reader r = wire_reader_make(raw);
    struct wire_field field;
    if (!wire_next(&r, &field)) {
        return fail_broken(err);
    }
    if (!is_metric(&field)) {
        note_name(f, &field);
        if (!f->family.has_metrics) {
            bytes_append_view(&f->family.head, raw);
        }
        return f->family.head.overflow ? errctx_set(err, ERR_LIMIT,
                                                    "what describes a metric family is longer than %zu "
                                                    "bytes",
                                                    f->line_bytes_max)
                                       : 0;
    }
    f->family.has_metrics = true;
    if (metric_is_kept(f, field.bytes)) {
        bytes_append_view(&f->family.piece, raw);
    }
    size_t full = PIECE_BYTES < f->line_bytes_max ? PIECE_BYTES : f->line_bytes_max;
    return f->family.piece.len >= full ? put_message(f, bytes_view(&f->family.head), err) : 0;
}

/* The length prefix at v, and the family when it is a small one. Bytes taken; ERR_AGAIN with what is needed. */
static int take_family(struct part_filter *f, struct view v, size_t *ret, struct errctx *err)
{
    uint64_t len;
    int n = wire_varint((const unsigned char *)v.base, v.len, &len);
    if (n == 0 && v.len < LENGTH_BYTES_MAX) {
        *ret = v.len + 1;
        return ERR_AGAIN;
    }
    if (n <= 0 || n > LENGTH_BYTES_MAX) {
        return fail_broken(err);
    }
    *ret = (size_t)n + (size_t)len;
    if (*ret > f->line_bytes_max) {
        family_begin(f, len);
        *ret = (size_t)n;
        return 0;
    }
    return v.len < *ret ? ERR_AGAIN : family_whole(f, view_make(v.base + n, (size_t)len), err);
}

/* How long the field at v is; 0 when it is broken or of a kind a large family must not hold, and how many bytes are
 * needed to know (more than there are) with ERR_AGAIN. */
static int field_len(const struct part_filter *f, struct view v, size_t *ret)
{
    const unsigned char *p = (const unsigned char *)v.base;
    uint64_t tag = 0, value = 0, left = f->family.left;
    size_t len = v.len < left ? v.len : (size_t)left;
    int n = wire_varint(p, len, &tag);
    unsigned type = (unsigned)(tag & 7);
    bool has_value = type == WIRE_VARINT || type == WIRE_BYTES;
    int m = n <= 0 || !has_value ? n : wire_varint(p + n, len - (size_t)n, &value);
    *ret = 0;
    if (n == 0 || m == 0) {
        *ret = len + 1;
        return len < left && len < TAG_AND_LENGTH_MAX ? ERR_AGAIN : ERR_PARSE;
    }
    bool known = type == WIRE_VARINT || type == WIRE_BYTES || type == WIRE_FIXED64 || type == WIRE_FIXED32;
    uint64_t body = type == WIRE_BYTES ? value : 0;
    size_t head = (size_t)n + (type == WIRE_FIXED64 ? 8 : type == WIRE_FIXED32 ? 4 : (size_t)m);
    if (n < 0 || m < 0 || !known || body > left || head + body > left || head + body > f->line_bytes_max) {
        return ERR_PARSE;
    }
    *ret = head + (size_t)body;
    return v.len < *ret ? ERR_AGAIN : 0;
}

static int take_field(struct part_filter *f, struct view v, size_t *ret, struct errctx *err)
{
    int rc = field_len(f, v, ret);
    if (rc != 0) {
        return rc == ERR_AGAIN ? rc : fail_broken(err);
    }
    f->family.left -= *ret;
    rc = family_piece(f, view_make(v.base, *ret), err);
    return rc == 0 && f->family.left == 0 && f->family.piece.len > 0 ? put_message(f, bytes_view(&f->family.head), err)
                                                                     : rc;
}

static int take(struct part_filter *f, struct view v, size_t *ret, struct errctx *err)
{
    return f->family.left > 0 ? take_field(f, v, ret, err) : take_family(f, v, ret, err);
}

/* Completes what is carried, byte need by byte need. */
static int feed_carry(struct part_filter *f, struct view *v, struct errctx *err)
{
    while (f->carry.len > 0) {
        size_t want = f->family.need > f->carry.len ? f->family.need - f->carry.len : 0;
        size_t n = want < v->len ? want : v->len, taken;
        bytes_append(&f->carry, v->base, n);
        *v = view_make(v->base + n, v->len - n);
        if (n < want) {
            return 0;
        }
        int rc = take(f, bytes_view(&f->carry), &taken, err);
        if (rc == ERR_AGAIN) {
            f->family.need = taken;
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        bytes_consume(&f->carry, taken);
        f->family.need = 0;
    }
    return 0;
}

int part_protobuf_feed(struct part_filter *f, const char *base, size_t len, struct errctx *err)
{
    struct view v = view_make(base, len);
    int rc = feed_carry(f, &v, err);
    while (rc == 0 && v.len > 0) {
        size_t taken;
        rc = take(f, v, &taken, err);
        if (rc == ERR_AGAIN) {
            f->family.need = taken;
            bytes_append(&f->carry, v.base, v.len);
            return 0;
        }
        if (rc == 0) {
            v = view_make(v.base + taken, v.len - taken);
        }
    }
    return rc;
}

int part_protobuf_finish(struct part_filter *f, struct errctx *err)
{
    return f->carry.len == 0 && f->family.left == 0 ? 0 : fail_broken(err);
}
