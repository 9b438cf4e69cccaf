/* Exposition generator. Families follow each other in rounds (gauges, counters, a histogram, a summary) as in the output of
 * real programs, and the last round is cut to size with gauges, so that the number of sample lines is exactly the wanted one.
 * The same spec always gives the same bytes. Encoded bodies are cached because a load generator must be faster than
 * what it loads. */
#include "exporter_body.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define BODY_BYTES_MAX  ((size_t)2 << 30)
#define CACHE_BYTES_MAX ((size_t)256 << 20)
#define BUCKETS         12 /* +Inf included */
#define QUANTILES       3

enum kind { KIND_COUNTER = 0, KIND_GAUGE = 1, KIND_SUMMARY = 2, KIND_HISTOGRAM = 4 }; /* numbers of the protobuf enum */

struct generator {
    const struct spec *spec;
    struct bytes *out;
    uint64_t left, random;
    unsigned family;
    char pad[65537];
};

static const char *const SUBSYSTEMS[] = {"http", "rpc", "cache", "disk", "network", "queue", "gc", "process"};
static const char *const MEASURES[] = {"requests", "bytes", "entries", "operations", "errors", "items"};
static const char *const BOUNDS[BUCKETS] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                            "0.5",   "1.0",  "2.5",   "5.0",  "10.0", "+Inf"};
static const double BOUND_VALUES[BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 0};
static const char *const QUANTILE_NAMES[QUANTILES] = {"0.5", "0.9", "0.99"};
static const double QUANTILE_VALUES[QUANTILES] = {0.5, 0.9, 0.99};
static const char *const METHODS[] = {"GET", "POST", "PUT", "DELETE"};

static uint64_t random_next(struct generator *g)
{
    uint64_t z = (g->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void put_varint(struct bytes *b, uint64_t n)
{
    while (n >= 0x80) {
        bytes_append_char(b, (char)(n | 0x80));
        n >>= 7;
    }
    bytes_append_char(b, (char)n);
}

static void put_field(struct bytes *b, unsigned field, struct view v)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, v.len);
    bytes_append_view(b, v);
}

static void put_uint(struct bytes *b, unsigned field, uint64_t n)
{
    put_varint(b, field << 3);
    put_varint(b, n);
}

static void put_double(struct bytes *b, unsigned field, double d)
{
    put_varint(b, field << 3 | 1);
    bytes_append(b, &d, sizeof(d));
}

/* The labels of one point: unique within the family by id. */
struct point {
    const char *method;
    unsigned id;
    char path[64];
};

static void point_make(struct generator *g, unsigned id, struct point *ret)
{
    ret->id = id;
    ret->method = METHODS[random_next(g) % 4];
    snprintf(ret->path, sizeof(ret->path), "/api/v1/%08x/%u", (unsigned)random_next(g), id);
}

static void put_line(struct generator *g, const char *name, const char *suffix, const struct point *p, const char *extra,
                     const char *extra_value, double value)
{
    bytes_printf(g->out, "%s%s{method=\"%s\",path=\"%s\",shard_id=\"%u\"", name, suffix, p->method, p->path, p->id);
    if (g->spec->label_bytes != 0) {
        bytes_printf(g->out, ",pad=\"%s\"", g->pad);
    }
    if (extra != NULL) {
        bytes_printf(g->out, ",%s=\"%s\"", extra, extra_value);
    }
    bytes_printf(g->out, "} %.17g\n", value);
}

static void put_pair(struct bytes *b, const char *name, const char *value)
{
    struct bytes pair;
    bytes_init(&pair, BODY_BYTES_MAX);
    put_field(&pair, 1, view_of(name));
    put_field(&pair, 2, view_of(value));
    put_field(b, 1, bytes_view(&pair));
    bytes_done(&pair);
}

static void put_simple(struct generator *g, const char *name, enum kind kind, const struct point *p, struct bytes *metric)
{
    double value = kind == KIND_COUNTER ? (double)(random_next(g) % 10000000) : (double)(random_next(g) % 1000000) / 64;
    if (metric == NULL) {
        const char *suffix = kind == KIND_COUNTER && g->spec->format == SPEC_FORMAT_OPENMETRICS ? "_total" : "";
        put_line(g, name, suffix, p, NULL, NULL, value);
        return;
    }
    struct bytes inner;
    bytes_init(&inner, BODY_BYTES_MAX);
    put_double(&inner, 1, value);
    put_field(metric, kind == KIND_COUNTER ? 3 : 2, bytes_view(&inner));
    bytes_done(&inner);
}

static void put_histogram(struct generator *g, const char *name, const struct point *p, struct bytes *metric)
{
    struct bytes inner, bucket;
    uint64_t total = 0;
    bytes_init(&inner, BODY_BYTES_MAX);
    bytes_init(&bucket, BODY_BYTES_MAX);
    for (unsigned i = 0; i < BUCKETS; i++) {
        total += random_next(g) % 1000;
        if (metric == NULL) {
            put_line(g, name, "_bucket", p, "le", BOUNDS[i], (double)total);
            continue;
        }
        bytes_clear(&bucket);
        put_uint(&bucket, 1, total);
        put_double(&bucket, 2, i + 1 < BUCKETS ? BOUND_VALUES[i] : __builtin_inf());
        put_field(&inner, 3, bytes_view(&bucket));
    }
    if (metric == NULL) {
        put_line(g, name, "_sum", p, NULL, NULL, (double)total / 8);
        put_line(g, name, "_count", p, NULL, NULL, (double)total);
    } else {
        put_uint(&inner, 1, total);
        put_double(&inner, 2, (double)total / 8);
        put_field(metric, 7, bytes_view(&inner));
    }
    bytes_done(&bucket);
    bytes_done(&inner);
}

static void put_summary(struct generator *g, const char *name, const struct point *p, struct bytes *metric)
{
    struct bytes inner, quantile;
    uint64_t total = random_next(g) % 100000;
    bytes_init(&inner, BODY_BYTES_MAX);
    bytes_init(&quantile, BODY_BYTES_MAX);
    for (unsigned i = 0; i < QUANTILES; i++) {
        double value = (double)(random_next(g) % 10000) / 4096;
        if (metric == NULL) {
            put_line(g, name, "", p, "quantile", QUANTILE_NAMES[i], value);
            continue;
        }
        bytes_clear(&quantile);
        put_double(&quantile, 1, QUANTILE_VALUES[i]);
        put_double(&quantile, 2, value);
        put_field(&inner, 3, bytes_view(&quantile));
    }
    if (metric == NULL) {
        put_line(g, name, "_sum", p, NULL, NULL, (double)total / 8);
        put_line(g, name, "_count", p, NULL, NULL, (double)total);
    } else {
        put_uint(&inner, 1, total);
        put_double(&inner, 2, (double)total / 8);
        put_field(metric, 4, bytes_view(&inner));
    }
    bytes_done(&quantile);
    bytes_done(&inner);
}

static void put_point(struct generator *g, const char *name, enum kind kind, unsigned id, struct bytes *metric)
{
    struct point p;
    point_make(g, id, &p);
    if (metric != NULL) {
        char id_text[16];
        snprintf(id_text, sizeof(id_text), "%u", p.id);
        put_pair(metric, "method", p.method);
        put_pair(metric, "path", p.path);
        put_pair(metric, "shard_id", id_text);
        if (g->spec->label_bytes != 0) {
            put_pair(metric, "pad", g->pad);
        }
    }
    switch (kind) {
    case KIND_HISTOGRAM:
        put_histogram(g, name, &p, metric);
        break;
    case KIND_SUMMARY:
        put_summary(g, name, &p, metric);
        break;
    case KIND_COUNTER:
    case KIND_GAUGE:
    default:
        put_simple(g, name, kind, &p, metric);
        break;
    }
}

static unsigned samples_per_point(enum kind kind)
{
    return kind == KIND_HISTOGRAM ? BUCKETS + 2 : kind == KIND_SUMMARY ? QUANTILES + 2 : 1;
}

static void put_family_protobuf(struct generator *g, const char *name, enum kind kind, unsigned points)
{
    struct bytes family, metric;
    bytes_init(&family, BODY_BYTES_MAX);
    bytes_init(&metric, BODY_BYTES_MAX);
    put_field(&family, 1, view_of(name));
    put_field(&family, 2, VIEW("A figure of the program."));
    put_uint(&family, 3, kind);
    for (unsigned i = 0; i < points; i++) {
        bytes_clear(&metric);
        put_point(g, name, kind, i, &metric);
        put_field(&family, 4, bytes_view(&metric));
    }
    put_varint(g->out, family.len);
    bytes_append_view(g->out, bytes_view(&family));
    bytes_done(&metric);
    bytes_done(&family);
}

/* At most `wanted` points, fewer when the body ends; a kind of several samples a point never goes over the end. */
static void put_family(struct generator *g, enum kind kind, unsigned wanted)
{
    static const char *const KIND_NAMES[] = {"counter", "gauge", "summary", "", "histogram"};
    char name[96];
    uint64_t fit = g->left / samples_per_point(kind);
    unsigned points = fit < wanted ? (unsigned)fit : wanted;
    unsigned n = g->family++;
    bool total = kind == KIND_COUNTER && g->spec->format != SPEC_FORMAT_OPENMETRICS;
    if (points == 0) {
        return;
    }
    snprintf(name, sizeof(name), "%s_%s_%u%s", SUBSYSTEMS[n % 8], MEASURES[n / 8 % 6], n, total ? "_total" : "");
    g->left -= (uint64_t)points * samples_per_point(kind);
    if (g->spec->format == SPEC_FORMAT_PROTOBUF) {
        put_family_protobuf(g, name, kind, points);
        return;
    }
    bytes_printf(g->out, "# HELP %s A figure of the program.\n# TYPE %s %s\n", name, name, KIND_NAMES[kind]);
    for (unsigned i = 0; i < points; i++) {
        put_point(g, name, kind, i, NULL);
    }
}

void body_generate(const struct spec *s, struct bytes *out)
{
    struct generator *g = mem_calloc(1, sizeof(*g));
    *g = (struct generator){.spec = s, .out = out, .left = s->series, .random = s->seed};
    memset(g->pad, 'p', s->label_bytes);
    while (g->left > 0) {
        put_family(g, KIND_GAUGE, 20);
        put_family(g, KIND_COUNTER, 30);
        put_family(g, KIND_HISTOGRAM, 2);
        put_family(g, KIND_SUMMARY, 2);
    }
    if (s->format == SPEC_FORMAT_OPENMETRICS) {
        bytes_append_str(out, "# EOF\n");
    }
    free(g);
}

const char *body_content_type(enum spec_format format)
{
    switch (format) {
    case SPEC_FORMAT_OPENMETRICS:
        return "application/openmetrics-text; version=1.0.0; charset=utf-8";
    case SPEC_FORMAT_PROTOBUF:
        return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    case SPEC_FORMAT_TEXT:
    case SPEC_FORMAT_AUTO:
    default:
        return "text/plain; version=0.0.4; charset=utf-8";
    }
}

const char *body_content_encoding(enum spec_encoding encoding)
{
    return encoding == SPEC_ENCODING_GZIP ? "gzip" : encoding == SPEC_ENCODING_ZSTD ? "zstd" : NULL;
}

static void encode_gzip(struct bytes *b)
{
    struct isal_zstream z;
    uint8_t *level_buf = mem_alloc(ISAL_DEF_LVL3_DEFAULT);
    struct bytes out;
    bytes_init(&out, BODY_BYTES_MAX);
    size_t room = b->len + b->len / 64 + 4096;
    isal_deflate_init(&z);
    z.level = 3;
    z.level_buf = level_buf;
    z.level_buf_size = ISAL_DEF_LVL3_DEFAULT;
    z.gzip_flag = IGZIP_GZIP;
    z.end_of_stream = 1;
    z.flush = NO_FLUSH;
    z.next_in = (uint8_t *)b->base;
    z.avail_in = (uint32_t)b->len;
    z.next_out = (uint8_t *)bytes_reserve(&out, room);
    z.avail_out = (uint32_t)room;
    invariant(isal_deflate(&z) == COMP_OK && z.internal_state.state == ZSTATE_END);
    bytes_commit(&out, z.total_out);
    free(level_buf);
    bytes_done(b);
    *b = out;
}

static void encode_zstd(struct bytes *b)
{
    struct bytes out;
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(b->len);
    bytes_init(&out, BODY_BYTES_MAX);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(c, bytes_reserve(&out, room), room, b->base, b->len);
    invariant(!ZSTD_isError(n));
    bytes_commit(&out, n);
    ZSTD_freeCCtx(c);
    bytes_done(b);
    *b = out;
}

static void generate_faulty(const struct spec *s, struct bytes *out)
{
    struct generator g = {.random = s->seed};
    if (s->fault == FAULT_GARBAGE) {
        for (unsigned i = 0; i < 2048; i++) {
            uint64_t n = random_next(&g);
            bytes_append(out, &n, sizeof(n));
        }
    } else if (s->fault == FAULT_HTML) {
        bytes_append_str(out, "<!DOCTYPE html>\n<html><head><title>Login</title></head>\n<body>Sign in</body></html>\n");
    } else {
        bytes_append_str(out, "# TYPE long_line gauge\nlong_line{text=\"");
        for (uint64_t i = 0; i < s->fault_arg; i++) {
            bytes_append_char(out, 'x');
        }
        bytes_append_str(out, "\"} 1\n");
    }
}

static struct body *body_make(const struct spec *s)
{
    struct bytes b;
    struct body *body = mem_calloc(1, sizeof(*body));
    bool faulty = s->fault == FAULT_GARBAGE || s->fault == FAULT_HTML || s->fault == FAULT_LONG_LINE;
    bytes_init(&b, BODY_BYTES_MAX);
    if (faulty) {
        generate_faulty(s, &b);
    } else {
        body_generate(s, &b);
    }
    if (s->encoding == SPEC_ENCODING_GZIP) {
        encode_gzip(&b);
    } else if (s->encoding == SPEC_ENCODING_ZSTD) {
        encode_zstd(&b);
    }
    if (s->fault == FAULT_WRONG_CRC && s->encoding != SPEC_ENCODING_IDENTITY) {
        b.base[b.len - (s->encoding == SPEC_ENCODING_GZIP ? 8 : 1)] ^= 0x55;
    }
    body->refs = 1;
    body->samples = faulty ? s->fault == FAULT_LONG_LINE : s->series;
    body->base = bytes_take(&b, &body->len);
    if (s->fault == FAULT_TRUNCATE) {
        body->len /= 2;
    }
    return body;
}

/* ------------------------------------------------------------------------------------------------------------- the cache */

struct cached {
    struct spec key;
    struct body *body;
};

static struct {
    struct hashmap map;
    size_t bytes;
} cache;

static bool cached_equal(const void *entry, const void *key)
{
    return memcmp(&((const struct cached *)entry)->key, key, sizeof(struct spec)) == 0;
}

/* Only what shapes the bytes; zeroed first, so that keys compare as memory. */
static void cache_key(const struct spec *s, struct spec *key)
{
    memset(key, 0, sizeof(*key));
    key->series = s->series;
    key->seed = s->seed;
    key->label_bytes = s->label_bytes;
    key->format = s->format;
    key->encoding = s->encoding;
    if (s->fault == FAULT_GARBAGE || s->fault == FAULT_HTML || s->fault == FAULT_LONG_LINE || s->fault == FAULT_TRUNCATE ||
        s->fault == FAULT_WRONG_CRC) {
        key->fault = s->fault;
        key->fault_arg = s->fault_arg;
    }
}

void body_unref(struct body *b)
{
    if (b != NULL && --b->refs == 0) {
        free(b->base);
        free(b);
    }
}

void body_cache_drop(void)
{
    size_t it = 0;
    for (struct cached *c; (c = hashmap_next(&cache.map, &it)) != NULL;) {
        body_unref(c->body);
        free(c);
    }
    hashmap_done(&cache.map);
    cache.bytes = 0;
}

struct body *body_get(const struct spec *s)
{
    struct spec key;
    cache_key(s, &key);
    uint64_t hash = xxh64(&key, sizeof(key), 0);
    if (cache.map.equal == NULL || cache.bytes > CACHE_BYTES_MAX) {
        body_cache_drop();
        hashmap_init(&cache.map, cached_equal);
    }
    struct cached *c = hashmap_get(&cache.map, hash, &key);
    if (c == NULL) {
        c = mem_calloc(1, sizeof(*c));
        memcpy(&c->key, &key, sizeof(key));
        c->body = body_make(s);
        cache.bytes += c->body->len;
        hashmap_add(&cache.map, hash, c);
    }
    c->body->refs++;
    return c->body;
}
