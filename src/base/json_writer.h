/* Streaming JSON output into bytes: the writer places commas; integers keep all 64 bits; strings are escaped and
 * invalid UTF-8 becomes U+FFFD. (json_writer and not jansson: its integers are signed and its trees cost memory.) */
#ifndef KVASS_BASE_JSON_WRITER_H
#define KVASS_BASE_JSON_WRITER_H

#include "base/bytes.h"

#define JSON_DEPTH_MAX 32

struct json_writer {
    struct bytes *out;
    unsigned depth;
    bool comma[JSON_DEPTH_MAX];
    bool after_key;
};

void json_writer_init(struct json_writer *w, struct bytes *out);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_view(struct json_writer *w, struct view key);
void json_key_u64(struct json_writer *w, uint64_t key); /* decimal text as key */
void json_view(struct json_writer *w, struct view v);
void json_str(struct json_writer *w, const char *s);
void json_u64(struct json_writer *w, uint64_t n);
void json_i64(struct json_writer *w, int64_t n);
/* The shortest text that reads back equal; NaN and Inf become null. */
void json_double_value(struct json_writer *w, double d);
void json_bool(struct json_writer *w, bool b);
void json_null_value(struct json_writer *w);
void json_raw(struct json_writer *w, struct view ready_json);

/* key and value in one call */
void json_kv_str(struct json_writer *w, const char *key, const char *s);
void json_kv_view(struct json_writer *w, const char *key, struct view v);
void json_kv_u64(struct json_writer *w, const char *key, uint64_t n);
void json_kv_i64(struct json_writer *w, const char *key, int64_t n);
void json_kv_double(struct json_writer *w, const char *key, double d);
void json_kv_bool(struct json_writer *w, const char *key, bool b);

#endif
