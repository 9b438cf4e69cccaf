/* Protobuf's wire format, read in place. Accepts and refuses what the generated Go decoders do: varints of at most
 * ten bytes, known fields only with their own wire type, unknown fields of every type skipped, groups included. */
#include "expfmt/wire_format.h"

#define GROUP_DEPTH_MAX 64

int wire_varint(const unsigned char *p, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 10; i++) {
        if (i == len) {
            return 0;
        }
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *ret = v;
            return (int)i + 1;
        }
    }
    return -1;
}

double wire_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static bool read_varint(struct wire_reader *r, uint64_t *ret)
{
    int n = wire_varint(r->p, (size_t)(r->end - r->p), ret);
    r->p += n > 0 ? n : 0;
    return n > 0;
}

static bool read_fixed(struct wire_reader *r, size_t size, uint64_t *ret)
{
    if ((size_t)(r->end - r->p) < size) {
        return false;
    }
    *ret = 0;
    for (size_t i = 0; i < size; i++) {
        *ret |= (uint64_t)r->p[i] << (8 * i);
    }
    r->p += size;
    return true;
}

static bool read_bytes(struct wire_reader *r, struct view *ret)
{
    uint64_t len;
    if (!read_varint(r, &len) || len > (uint64_t)(r->end - r->p)) {
        return false;
    }
    *ret = view_make((const char *)r->p, (size_t)len);
    r->p += len;
    return true;
}

static bool read_content(struct wire_reader *r, struct wire_field *f)
{
    switch (f->type) {
    case WIRE_VARINT:
        return read_varint(r, &f->value);
    case WIRE_FIXED64:
        return read_fixed(r, 8, &f->value);
    case WIRE_FIXED32:
        return read_fixed(r, 4, &f->value);
    case WIRE_BYTES:
        return read_bytes(r, &f->bytes);
    default:
        return false;
    }
}

/* Behind a group's opening tag: to behind its closing one. */
static bool skip_group(struct wire_reader *r)
{
    unsigned depth = 1;
    while (depth > 0) {
        struct wire_field f = {0};
        uint64_t tag;
        if (!read_varint(r, &tag)) {
            return false;
        }
        f.type = (enum wire_type)(tag & 7);
        if (f.type == WIRE_GROUP) {
            if (++depth > GROUP_DEPTH_MAX) {
                return false;
            }
        } else if (f.type == WIRE_GROUP_END) {
            depth--;
        } else if (!read_content(r, &f)) {
            return false;
        }
    }
    return true;
}

bool wire_next(struct wire_reader *r, struct wire_field *ret)
{
    uint64_t tag;
    if (r->bad || r->p == r->end) {
        return false;
    }
    *ret = (struct wire_field){0};
    r->bad = !read_varint(r, &tag);
    if (r->bad) {
        return false;
    }
    ret->number = (int32_t)(uint32_t)(tag >> 3);
    ret->type = (enum wire_type)(tag & 7);
    r->bad = ret->number <= 0 || !(ret->type == WIRE_GROUP ? skip_group(r) : read_content(r, ret));
    return !r->bad;
}

static bool packed_fit(const struct wire_shape_field *f, struct view bytes)
{
    struct wire_reader r = wire_reader_make(bytes);
    uint64_t value;
    while (f->packed_varints && r.p < r.end) {
        if (!read_varint(&r, &value)) {
            return false;
        }
    }
    return !f->packed_doubles || bytes.len % 8 == 0;
}

static const struct wire_shape_field *shape_find(const struct wire_shape *shape, int32_t number, int major)
{
    for (size_t i = 0; i < shape->count; i++) {
        if (shape->fields[i].number == number && shape->fields[i].since <= major) {
            return &shape->fields[i];
        }
    }
    return NULL;
}

bool wire_fits(struct view message, const struct wire_shape *shape, int major)
{
    struct wire_reader r = wire_reader_make(message);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        const struct wire_shape_field *known = shape_find(shape, f.number, major);
        if (known == NULL) {
            continue;
        }
        if ((known->types & (1u << f.type)) == 0) {
            return false;
        }
        if (f.type == WIRE_BYTES &&
            !(known->sub != NULL ? wire_fits(f.bytes, known->sub, major) : packed_fit(known, f.bytes))) {
            return false;
        }
    }
    return !r.bad;
}
