/* The protobuf wire format: fields of a message in place, and whether a message has the shape its description wants. */
#ifndef KVASS_EXPFMT_WIRE_FORMAT_H
#define KVASS_EXPFMT_WIRE_FORMAT_H

#include "base/view.h"

#include <stdint.h>

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5
};

struct wire_field {
    int32_t number;
    enum wire_type type;
    uint64_t value;     /* varint, fixed64, fixed32 */
    struct view bytes;  /* WIRE_BYTES; for groups the raw content */
};

struct wire_reader {
    const unsigned char *p, *end;
    bool bad;
};

static inline struct wire_reader wire_reader_make(struct view v)
{
    const unsigned char *p = (const unsigned char *)v.base;
    return (struct wire_reader){p, v.len != 0 ? p + v.len : p, false};
}

/* False at the end, and when the message is broken (bad). */
bool wire_next(struct wire_reader *r, struct wire_field *ret);

/* A varint of at most ten bytes. Bytes taken; 0 when it is cut short, -1 when it does not end. */
int wire_varint(const unsigned char *p, size_t len, uint64_t *ret);

static inline int64_t wire_zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

double wire_double(uint64_t bits);

/* What a message may hold; fields that are not listed are skipped, whatever they are. */
struct wire_shape_field {
    int32_t number;
    unsigned types;                /* 1 << wire type, of those accepted */
    int since;                     /* enum prometheus_major that knows the field */
    const struct wire_shape *sub;  /* bytes are a message of this shape */
    bool packed_varints, packed_doubles; /* what WIRE_BYTES hold */
};

struct wire_shape {
    const struct wire_shape_field *fields;
    size_t count;
};

/* The whole message, nested ones included. */
bool wire_fits(struct view message, const struct wire_shape *shape, int major);

#endif
