/* Bodies of the test exporter: expositions with an exact number of sample lines, encoded once and cached. */
#ifndef KVASS_TESTS_TOOLS_EXPORTER_BODY_H
#define KVASS_TESTS_TOOLS_EXPORTER_BODY_H

#include "base/bytes.h"
#include "exporter_spec.h"

struct body {
    unsigned refs;
    char *base;
    size_t len;
    uint64_t samples;
};

/* The body for s (series, seed, label_bytes, format, encoding, and the faults that live in the bytes). One reference for the
 * caller. The cache holds at most 256 MB. */
struct body *body_get(const struct spec *s);
void body_unref(struct body *b);
void body_cache_drop(void);

/* The exposition, unencoded: exactly s->series samples. */
void body_generate(const struct spec *s, struct bytes *out);

const char *body_content_type(enum spec_format format);
const char *body_content_encoding(enum spec_encoding encoding); /* NULL for identity */

/* A generated body of any size, never stored: fixed-width text lines; incremental gzip or zstd. size UINT64_MAX = endless. */
struct stream;
#define STREAM_LINE_BYTES 64
struct stream *stream_new(uint64_t size_bytes, enum spec_encoding encoding);
bool stream_next(struct stream *s, struct bytes *out); /* appends a block; false when there is nothing more */
void stream_free(struct stream **s);

#endif
