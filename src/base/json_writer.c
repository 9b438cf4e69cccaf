/* Streaming JSON output: see json_writer.h. */
#include "base/json_writer.h"
#include "base/invariant.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void json_writer_init(struct json_writer *w, struct bytes *out)
{
    *w = (struct json_writer){.out = out};
}

static void before_value(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->comma[w->depth]) {
        bytes_append_char(w->out, ',');
    }
    w->comma[w->depth] = true;
}

static void open_scope(struct json_writer *w, char c)
{
    before_value(w);
    bytes_append_char(w->out, c);
    invariant(w->depth + 1 < JSON_DEPTH_MAX);
    w->comma[++w->depth] = false;
}

static void close_scope(struct json_writer *w, char c)
{
    invariant(w->depth > 0 && !w->after_key);
    w->depth--;
    bytes_append_char(w->out, c);
}

void json_object_begin(struct json_writer *w)
{
    open_scope(w, '{');
}

void json_object_end(struct json_writer *w)
{
    close_scope(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    open_scope(w, '[');
}

void json_array_end(struct json_writer *w)
{
    close_scope(w, ']');
}

static void put_escape(struct bytes *out, unsigned char c)
{
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i < sizeof(SHORT) - 1; i += 2) {
        if ((unsigned char)SHORT[i] == c) {
            bytes_append_char(out, '\\');
            bytes_append_char(out, SHORT[i + 1]);
            return;
        }
    }
    bytes_printf(out, "\\u%04x", c);
}

static void put_string(struct json_writer *w, struct view v)
{
    size_t clean = 0;
    bytes_append_char(w->out, '"');
    for (size_t i = 0; i < v.len;) {
        unsigned char c = (unsigned char)v.base[i];
        size_t step = c < 0x80 ? 1 : utf8_sequence_len(v.base + i, v.len - i);
        if (step != 0 && c != '"' && c != '\\' && c >= 0x20) {
            i += step;
            continue;
        }
        bytes_append(w->out, v.base + clean, i - clean);
        if (step == 0) {
            bytes_append_str(w->out, "\xef\xbf\xbd");
        } else {
            put_escape(w->out, c);
        }
        clean = ++i;
    }
    bytes_append(w->out, v.base + clean, v.len - clean);
    bytes_append_char(w->out, '"');
}

void json_key_view(struct json_writer *w, struct view key)
{
    invariant(!w->after_key);
    before_value(w);
    put_string(w, key);
    bytes_append_char(w->out, ':');
    w->after_key = true;
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_view(w, view_of(key));
}

void json_key_u64(struct json_writer *w, uint64_t key)
{
    char text[24];
    json_key_view(w, view_make(text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)key)));
}

void json_view(struct json_writer *w, struct view v)
{
    before_value(w);
    put_string(w, v);
}

void json_str(struct json_writer *w, const char *s)
{
    json_view(w, view_of(s));
}

void json_u64(struct json_writer *w, uint64_t n)
{
    before_value(w);
    bytes_append_u64(w->out, n);
}

void json_i64(struct json_writer *w, int64_t n)
{
    before_value(w);
    bytes_printf(w->out, "%lld", (long long)n);
}

void json_double_value(struct json_writer *w, double d)
{
    char text[40];
    before_value(w);
    if (!isfinite(d)) {
        bytes_append_str(w->out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d) {
            break;
        }
    }
    bytes_append_str(w->out, text);
}

void json_bool(struct json_writer *w, bool b)
{
    before_value(w);
    bytes_append_str(w->out, b ? "true" : "false");
}

void json_null_value(struct json_writer *w)
{
    before_value(w);
    bytes_append_str(w->out, "null");
}

void json_raw(struct json_writer *w, struct view ready_json)
{
    before_value(w);
    bytes_append_view(w->out, ready_json);
}

void json_kv_str(struct json_writer *w, const char *key, const char *s)
{
    json_key(w, key);
    json_str(w, s);
}

void json_kv_view(struct json_writer *w, const char *key, struct view v)
{
    json_key(w, key);
    json_view(w, v);
}

void json_kv_u64(struct json_writer *w, const char *key, uint64_t n)
{
    json_key(w, key);
    json_u64(w, n);
}

void json_kv_i64(struct json_writer *w, const char *key, int64_t n)
{
    json_key(w, key);
    json_i64(w, n);
}

void json_kv_double(struct json_writer *w, const char *key, double d)
{
    json_key(w, key);
    json_double_value(w, d);
}

void json_kv_bool(struct json_writer *w, const char *key, bool b)
{
    json_key(w, key);
    json_bool(w, b);
}
