/* Targets: identity and scrape URL.
 *
 * The identity is that of Kvass 0.3, bit for bit, so that answers of its sidecars are understood: XXH64 over the
 * labels, printed in decimal with at least 16 digits, then the URL, through FNV-1a 64. The URL is what Go's net/url
 * prints for Prometheus' own url.URL value; target_url follows its escaping rules for host, path and query, because the
 * proxy compares it with what Prometheus asks for.
 *
 * A target must never be changed after target_new: workers read it without a lock. */
#include "model/target.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "model/part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct identity_rule {
    bool without_interval, without_timeout;
};

static bool is_identity_label(struct view name, void *data)
{
    const struct identity_rule *rule = data;
    if (view_has_prefix(name, VIEW("__meta_"))) {
        return false;
    }
    return !(rule->without_interval && view_is(name, "__scrape_interval__")) &&
           !(rule->without_timeout && view_is(name, "__scrape_timeout__"));
}

uint64_t target_hash(const struct labels *labels, const char *url, int64_t interval_ms, int64_t timeout_ms,
                     int64_t job_interval_ms, int64_t job_timeout_ms)
{
    struct identity_rule rule = {interval_ms == job_interval_ms, timeout_ms == job_timeout_ms};
    char text[32];
    int len = snprintf(text, sizeof(text), "%016" PRIu64, labels_hash(labels, is_identity_label, &rule));
    return fnv1a64(fnv1a64(FNV1A64_INIT, text, (size_t)len), url, strlen(url));
}

uint64_t target_place_key(const char *job, const char *url)
{
    return hash_pair(xxh64(job, strlen(job), 0), xxh64(url, strlen(url), 0));
}

static uint64_t place_key_of(const char *job, const char *url, const struct target *t)
{
    uint64_t key = target_place_key(job, url);
    return target_is_part(t) ? hash_pair(key, t->part + UINT64_C(1)) : key;
}

uint64_t target_key_hash(const char *job_interned, uint64_t hash)
{
    return hash_pair((uint64_t)(uintptr_t)job_interned, hash);
}

struct target *target_new_with_hash(const char *job_interned, uint64_t hash, struct labels *labels, const char *url,
                                    int64_t interval_ms, int64_t timeout_ms)
{
    unsigned part, parts;
    size_t url_size = strlen(url) + 1;
    struct target *t = mem_calloc(1, sizeof(*t) + url_size);
    atomic_init(&t->refs, 1);
    t->job = job_interned;
    t->hash = hash;
    t->labels = labels;
    if (part_read(labels, &part, &parts)) {
        t->part = (uint16_t)part;
        t->parts = (uint16_t)parts;
    }
    t->place_key = place_key_of(job_interned, url, t);
    t->url = memcpy(t + 1, url, url_size);
    t->interval_ms = interval_ms;
    t->timeout_ms = timeout_ms;
    return t;
}

struct target *target_new(const char *job_interned, struct labels *labels, struct labels *discovered, const char *url,
                          int64_t interval_ms, int64_t timeout_ms, int64_t job_interval_ms, int64_t job_timeout_ms)
{
    uint64_t hash = target_hash(labels, url, interval_ms, timeout_ms, job_interval_ms, job_timeout_ms);
    struct target *t = target_new_with_hash(job_interned, hash, labels, url, interval_ms, timeout_ms);
    t->discovered = discovered;
    return t;
}

struct target *target_part(const struct target *whole, unsigned part, unsigned parts)
{
    invariant(!target_is_part(whole));
    uint64_t hash = hash_pair(whole->hash, ((uint64_t)parts << 16) + part);
    struct target *t = target_new_with_hash(whole->job, hash, part_labels(whole->labels, part, parts), whole->url,
                                            whole->interval_ms, whole->timeout_ms);
    t->discovered = whole->discovered != NULL ? labels_ref(whole->discovered) : NULL;
    return t;
}

struct target *target_ref(const struct target *t)
{
    struct target *mutable = (struct target *)(uintptr_t)t;
    atomic_fetch_add_explicit(&mutable->refs, 1, memory_order_relaxed);
    return mutable;
}

void target_unref(const struct target *t)
{
    struct target *mutable = (struct target *)(uintptr_t)t;
    if (mutable != NULL && atomic_fetch_sub_explicit(&mutable->refs, 1, memory_order_acq_rel) == 1) {
        labels_unref(mutable->labels);
        labels_unref(mutable->discovered);
        free(mutable);
    }
}

/* What may stand unescaped beside letters, digits and "-_.~". */
#define HOST_PLAIN "!$&'()*+,;=:[]<>\""
#define PATH_PLAIN "$&+,/:;=@"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

static void put_escaped(struct bytes *out, struct view v, const char *plain, bool plus_for_space)
{
    static const char HEX[] = "0123456789ABCDEF";
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.base[i];
        if (is_unreserved(c) || (c != '\0' && strchr(plain, c) != NULL)) {
            bytes_append_char(out, (char)c);
        } else if (c == ' ' && plus_for_space) {
            bytes_append_char(out, '+');
        } else {
            char escape[3] = {'%', HEX[c >> 4], HEX[c & 15]};
            bytes_append(out, escape, sizeof(escape));
        }
    }
}

struct param {
    struct label pair;
    size_t index;
};

static int compare_params(const void *a, const void *b)
{
    const struct param *x = a, *y = b;
    int c = view_compare(x->pair.name, y->pair.name);
    return c != 0 ? c : (x->index > y->index) - (x->index < y->index);
}

/* Replaces the first value of the key, or adds the key. */
static void param_set(struct param *params, size_t *count, struct label pair)
{
    for (size_t i = 0; i < *count; i++) {
        if (view_equal(params[i].pair.name, pair.name)) {
            params[i].pair.value = pair.value;
            return;
        }
    }
    params[*count] = (struct param){pair, *count};
    (*count)++;
}

static void put_query(struct bytes *out, const struct labels *labels, const struct label *configured,
                      size_t configured_count)
{
    const struct view prefix = VIEW("__param_");
    size_t count = configured_count, label_count = labels_count(labels);
    struct param *params = mem_alloc((configured_count + label_count) * sizeof(*params));
    for (size_t i = 0; i < configured_count; i++) {
        params[i] = (struct param){configured[i], i};
    }
    for (size_t i = 0; i < label_count; i++) {
        struct label at = labels_at(labels, i);
        if (view_has_prefix(at.name, prefix)) {
            struct view key = view_make(at.name.base + prefix.len, at.name.len - prefix.len);
            param_set(params, &count, (struct label){key, at.value});
        }
    }
    qsort(params, count, sizeof(*params), compare_params);
    for (size_t i = 0; i < count; i++) {
        bytes_append_char(out, i == 0 ? '?' : '&');
        put_escaped(out, params[i].pair.name, "", true);
        bytes_append_char(out, '=');
        put_escaped(out, params[i].pair.value, "", true);
    }
    free(params);
}

/* Without scheme and host, Go keeps a first segment with a colon from reading as a scheme. */
static bool needs_dot_slash(struct view path)
{
    const char *slash = path.len != 0 ? memchr(path.base, '/', path.len) : NULL;
    size_t segment_len = slash != NULL ? (size_t)(slash - path.base) : path.len;
    return segment_len != 0 && memchr(path.base, ':', segment_len) != NULL;
}

char *target_url(const struct labels *labels, const struct label *params, size_t param_count)
{
    struct bytes out;
    struct view scheme = labels_get(labels, VIEW("__scheme__"));
    struct view host = labels_get(labels, VIEW("__address__"));
    struct view path = labels_get(labels, VIEW("__metrics_path__"));
    bytes_init(&out, SIZE_MAX / 4);
    if (scheme.len != 0) {
        bytes_append_view(&out, scheme);
        bytes_append_char(&out, ':');
    }
    if ((scheme.len != 0 || host.len != 0) && (host.len != 0 || path.len != 0)) {
        bytes_append_str(&out, "//");
        put_escaped(&out, host, HOST_PLAIN, false);
    }
    if (path.len != 0 && path.base[0] != '/' && host.len != 0) {
        bytes_append_char(&out, '/');
    }
    if (out.len == 0 && needs_dot_slash(path)) {
        bytes_append_str(&out, "./");
    }
    put_escaped(&out, path, view_is(path, "*") ? "*" : PATH_PLAIN, false);
    put_query(&out, labels, params, param_count);
    return bytes_take(&out, NULL);
}
