/* What one answer of the test exporter shall be: parsed from --options, POST /control and the query of a scrape, in that order
 * of rising precedence. README of all keys: exporter.c. */
#ifndef KVASS_TESTS_TOOLS_EXPORTER_SPEC_H
#define KVASS_TESTS_TOOLS_EXPORTER_SPEC_H

#include "base/errctx.h"
#include "base/view.h"

#include <stdint.h>

enum spec_format { SPEC_FORMAT_TEXT, SPEC_FORMAT_OPENMETRICS, SPEC_FORMAT_PROTOBUF, SPEC_FORMAT_AUTO };
enum spec_encoding { SPEC_ENCODING_AUTO, SPEC_ENCODING_IDENTITY, SPEC_ENCODING_GZIP, SPEC_ENCODING_ZSTD };

enum spec_fault {
    FAULT_NONE,
    FAULT_STATUS,      /* arg: HTTP status */
    FAULT_REDIRECT,    /* 302 to the same path without the query */
    FAULT_HTML,        /* 200 with an HTML page */
    FAULT_GARBAGE,     /* 200 with random bytes as text/plain */
    FAULT_NOTHING,     /* the connection is closed without an answer */
    FAULT_RESET,       /* RST without an answer */
    FAULT_STALL,       /* no answer, connection held */
    FAULT_RESET_AFTER, /* arg: body bytes, then RST */
    FAULT_STALL_AFTER, /* arg: body bytes, then silence */
    FAULT_CLOSE_AFTER, /* arg: body bytes, then a clean close before the promised end */
    FAULT_HALF_BODY,   /* close_after half of the body */
    FAULT_TRUNCATE,    /* the (compressed) body is cut in the middle, but framed as if complete */
    FAULT_WRONG_CRC,   /* gzip or zstd with a broken checksum */
    FAULT_ENDLESS,     /* chunked, never ends */
    FAULT_LONG_LINE,   /* arg: bytes of one label value */
};

#define SPEC_TEXT_MAX 256

struct spec {
    uint64_t series, seed, label_bytes;
    uint64_t size_bytes;   /* > 0: a generated body of exactly this decoded size instead of `series` */
    uint64_t rate_bytes_s; /* 0 = as fast as possible */
    uint64_t delay_ms;
    enum spec_format format;
    enum spec_encoding encoding;
    bool chunked;
    enum spec_fault fault;
    uint64_t fault_arg;
    char authorization[SPEC_TEXT_MAX]; /* the exact Authorization header wanted, else 401; "" = none */
};

void spec_init(struct spec *s);

/* Sets one key; unknown keys are left alone and give 0. ERR_INVALID for a bad value. */
int spec_set(struct spec *s, const char *key, const char *value, struct errctx *err) MUST_CHECK;

/* Applies "a=1&b=2" (percent-decoded). The value of `target` goes to ret_target when it is not NULL. */
int spec_parse_query(struct spec *s, struct view query, char ret_target[SPEC_TEXT_MAX], struct errctx *err) MUST_CHECK;

/* Replaces AUTO by what the request's headers ask for. */
void spec_negotiate(struct spec *s, struct view accept, struct view accept_encoding);

#endif
