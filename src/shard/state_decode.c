/* Bytes to state, whoever wrote them: header and checksum first, then line by line as it is unpacked, so that neither a
 * bomb nor a large state costs more than a line of memory besides what it yields. The first line that is not understood
 * ends it. Unknown kinds and keys are skipped. Names are interned, and therefore counted. */
#include "base/hash.h"
#include "base/intern.h"
#include "base/mem.h"
#include "model/wire.h"
#include "shard/state.h"
#include "shard/state_format.h"

#include <stdio.h>
#include <string.h>
#include <zstd.h>

#define TEXT_BYTES_MAX ((size_t)4 << 30) /* of JSON: a bomb costs time, no memory beyond a line */
#define SHARDS_MAX     100000
#define TARGETS_MAX    5000000
#define JOBS_MAX       100000
#define NAME_BYTES_MAX 4096
#define CONF_BYTES_MAX ((size_t)64 << 20)

struct decoder {
    struct state *state;
    bool headed;
    size_t line, target_count, job_count;
    const char *last_job; /* interned names are few; remembering one saves most look-ups */
};

static const char *get_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "";
}

static int64_t get_i64(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static uint64_t get_u64(const json_t *o, const char *key)
{
    uint64_t n = 0;
    const json_t *value = json_object_get(o, key);
    return value != NULL && wire_u64(value, &n) ? n : 0;
}

static uint32_t get_u32(const json_t *o, const char *key)
{
    uint64_t n = get_u64(o, key);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Interned, so bounded: a file that is no state of ours may hold anything. */
static const char *get_job(struct decoder *d, const json_t *o, struct errctx *err)
{
    const char *name = get_text(o, "job");
    if (name[0] == '\0' || strlen(name) > NAME_BYTES_MAX) {
        (void)errctx_set(err, ERR_PARSE, "line %zu: job: expected a name", d->line);
        return NULL;
    }
    if (d->last_job == NULL || strcmp(d->last_job, name) != 0) {
        if (++d->job_count > JOBS_MAX) {
            (void)errctx_set(err, ERR_PARSE, "line %zu: more than %d jobs", d->line, JOBS_MAX);
            return NULL;
        }
        d->last_job = intern(name);
    }
    return d->last_job;
}

static bool get_state(const json_t *o, enum assignment_state *ret)
{
    const char *text = get_text(o, "state");
    for (int i = ASSIGNMENT_ASSIGNED; i <= ASSIGNMENT_LEAVING; i++) {
        if (strcmp(text, assignment_state_wire((enum assignment_state)i)) == 0) {
            *ret = (enum assignment_state)i;
            return true;
        }
    }
    return false;
}

static void get_status(const json_t *o, struct target_status *s)
{
    const json_t *history = json_object_get(o, "history");
    const char *health = get_text(o, "health");
    memset(s, 0, sizeof(*s));
    s->health = strcmp(health, "up") == 0     ? TARGET_HEALTH_UP
                : strcmp(health, "down") == 0 ? TARGET_HEALTH_DOWN
                                              : TARGET_HEALTH_UNKNOWN;
    s->last_scrape_ms = get_i64(o, "last_scrape_ms");
    s->last_duration_us = get_i64(o, "last_duration_us");
    s->series = get_u64(o, "series");
    s->scraped = get_u64(o, "scraped");
    s->whole_series = get_u64(o, "whole_series");
    s->whole_scraped = get_u64(o, "whole_scraped");
    s->scrapes = get_u32(o, "scrapes");
    s->good_scrapes = get_u32(o, "good_scrapes");
    for (size_t i = 0; i < json_array_size(history) && i < 3; i++) {
        if (wire_u64(json_array_get(history, i), &s->history[i])) {
            s->history_len = (uint32_t)i + 1;
        }
    }
    snprintf(s->error, sizeof(s->error), "%s", get_text(o, "error"));
}

static int read_target(struct decoder *d, const json_t *o, struct errctx *err)
{
    struct labels *labels = NULL;
    struct target_status status;
    struct assignment a = {.since_ms = get_i64(o, "since_ms")};
    const char *job = get_job(d, o, err), *url = get_text(o, "url");
    int64_t interval_ms = get_i64(o, "interval_ms"), timeout_ms = get_i64(o, "timeout_ms");
    if (job == NULL) {
        return ERR_PARSE;
    }
    if (d->state->shard_count == 0 || url[0] == '\0' || interval_ms < 0 || timeout_ms < 0 || !get_state(o, &a.state)) {
        return errctx_set(err, ERR_PARSE, "line %zu: target: expected shard, url, interval_ms, timeout_ms and state",
                          d->line);
    }
    if (++d->target_count > TARGETS_MAX) {
        return errctx_set(err, ERR_LIMIT, "line %zu: more than %d targets", d->line, TARGETS_MAX);
    }
    int rc = wire_read_labels(json_object_get(o, "labels"), &labels, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "line %zu", d->line);
    }
    a.target = target_new_with_hash(job, get_u64(o, "hash"), labels, url, interval_ms, timeout_ms);
    get_status(o, &status);
    state_add_target(&d->state->shards[d->state->shard_count - 1], &a, &status);
    target_unref(a.target);
    return 0;
}

static int read_shard(struct decoder *d, const json_t *o, struct errctx *err)
{
    const char *id = get_text(o, "id");
    if (id[0] == '\0' || strlen(id) > NAME_BYTES_MAX || d->state->shard_count >= SHARDS_MAX) {
        return errctx_set(err, ERR_PARSE, "line %zu: shard: expected an id", d->line);
    }
    struct state_shard *shard = state_add_shard(d->state, id);
    shard->generation = get_u64(o, "generation");
    shard->epoch = get_u64(o, "epoch");
    shard->idle_since_ms = get_i64(o, "idle_since_ms");
    const char *hash = get_text(o, "config_hash"), *word = get_text(o, "config_word");
    if (strlen(hash) < sizeof(shard->config_hash) && strlen(word) < sizeof(shard->config_word)) {
        memcpy(shard->config_hash, hash, strlen(hash) + 1);
        memcpy(shard->config_word, word, strlen(word) + 1);
    }
    return 0;
}

static int read_load(struct decoder *d, const json_t *o, struct errctx *err)
{
    const char *job = get_job(d, o, err);
    if (job == NULL || d->state->load_count >= TARGETS_MAX) {
        return errctx_set(err, ERR_PARSE, "line %zu: load: expected a job, and at most %d loads", d->line, TARGETS_MAX);
    }
    struct state_load *load = state_add_load(d->state, job, get_u64(o, "place_key"));
    load->series = get_u64(o, "series");
    load->scraped = get_u64(o, "scraped");
    load->seen_ms = get_i64(o, "seen_ms");
    return 0;
}

static int read_config(struct decoder *d, const json_t *o, struct errctx *err)
{
    const json_t *text = json_object_get(o, "text");
    struct state *s = d->state;
    if (!json_is_string(text)) {
        return errctx_set(err, ERR_PARSE, "line %zu: config: expected a text", d->line);
    }
    size_t len = json_string_length(text);
    if (len > CONF_BYTES_MAX - s->config_len) {
        return errctx_set(err, ERR_LIMIT, "line %zu: config of more than %zu bytes", d->line, CONF_BYTES_MAX);
    }
    s->config_text = mem_realloc(s->config_text, s->config_len + len + 1);
    memcpy(s->config_text + s->config_len, json_string_value(text), len);
    s->config_len += len;
    s->config_text[s->config_len] = '\0';
    s->config_generation = get_u64(o, "generation");
    return 0;
}

static int read_head(struct decoder *d, const json_t *o, struct errctx *err)
{
    uint64_t version = get_u64(o, "version");
    if (strcmp(get_text(o, "kind"), "kvass") != 0 || version == 0) {
        return errctx_set(err, ERR_PARSE, "line 1: expected {\"kind\":\"kvass\",\"version\":%d,...}", STATE_VERSION);
    }
    if (version > STATE_VERSION) {
        return errctx_set(err, ERR_UNSUPPORTED, "version %llu: written by a newer kvass; this one reads up to %d",
                          (unsigned long long)version, STATE_VERSION);
    }
    d->headed = true;
    d->state->saved_ms = get_i64(o, "saved_ms");
    d->state->generation = get_u64(o, "generation");
    d->state->epoch = get_u64(o, "epoch");
    d->state->wanted_groups = get_u32(o, "wanted_groups");
    if (get_text(o, "stop_reason")[0] != '\0') {
        d->state->stop_reason = mem_strdup(get_text(o, "stop_reason"));
    }
    const char *told = get_text(o, "prometheus_version");
    if (strlen(told) < sizeof(d->state->prometheus_version)) {
        memcpy(d->state->prometheus_version, told, strlen(told) + 1);
    }
    d->state->native_histograms = json_is_true(json_object_get(o, "native_histograms"));
    return 0;
}

static int read_line(struct decoder *d, struct view line, struct errctx *err)
{
    struct errctx why = ERRCTX_INIT;
    int rc = 0;
    d->line++;
    json_t *o = wire_parse(line, STATE_LINE_BYTES_MAX, &why);
    if (o == NULL) {
        return errctx_set(err, why.code, "line %zu: %s", d->line, why.msg);
    }
    const char *kind = get_text(o, "kind");
    if (!d->headed) {
        rc = read_head(d, o, err);
    } else if (strcmp(kind, "target") == 0) {
        rc = read_target(d, o, err);
    } else if (strcmp(kind, "shard") == 0) {
        rc = read_shard(d, o, err);
    } else if (strcmp(kind, "load") == 0) {
        rc = read_load(d, o, err);
    } else if (strcmp(kind, "config") == 0) {
        rc = read_config(d, o, err);
    }
    json_decref(o);
    return rc;
}

/* Whole lines of text; the rest stays in it. */
static int read_lines(struct decoder *d, struct bytes *text, struct errctx *err)
{
    size_t used = 0;
    int rc = 0;
    while (rc == 0) {
        const char *from = text->base + used;
        const char *end = text->len > used ? memchr(from, '\n', text->len - used) : NULL;
        if (end == NULL) {
            break;
        }
        rc = read_line(d, view_make(from, (size_t)(end - from)), err);
        used = (size_t)(end - text->base) + 1;
    }
    bytes_consume(text, used);
    return rc;
}

static int read_body(struct decoder *d, struct view packed, struct errctx *err)
{
    struct bytes text;
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    ZSTD_inBuffer in = {packed.base, packed.len, 0};
    size_t more = 1, total = 0, room = ZSTD_DStreamOutSize();
    int rc = 0;
    bytes_init(&text, STATE_LINE_BYTES_MAX + room);
    ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, 23);
    while (rc == 0 && more != 0) {
        char *to = bytes_reserve(&text, room);
        size_t before = in.pos;
        if (to == NULL) {
            rc = errctx_set(err, ERR_LIMIT, "line %zu: longer than %zu bytes", d->line + 1, STATE_LINE_BYTES_MAX);
            break;
        }
        ZSTD_outBuffer out = {to, room, 0};
        more = ZSTD_decompressStream(zstd, &out, &in);
        bytes_commit(&text, out.pos);
        total += out.pos;
        if (ZSTD_isError(more) || (in.pos == before && out.pos == 0)) {
            rc = errctx_set(err, ERR_PARSE, "zstd: %s", ZSTD_isError(more) ? ZSTD_getErrorName(more) : "cut short");
        } else if (total > TEXT_BYTES_MAX) {
            rc = errctx_set(err, ERR_LIMIT, "more than %zu bytes of text", TEXT_BYTES_MAX);
        } else {
            rc = read_lines(d, &text, err);
        }
    }
    if (rc == 0 && (text.len != 0 || in.pos != in.size)) {
        rc = errctx_set(err, ERR_PARSE, "line %zu: bytes behind the end", d->line + 1);
    }
    ZSTD_freeDCtx(zstd);
    bytes_done(&text);
    return rc;
}

static uint64_t get_le64(const char *at)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) {
        n = n << 8 | (unsigned char)at[i];
    }
    return n;
}

static int check_header(struct view file, struct errctx *err)
{
    if (file.len < STATE_HEADER_BYTES || memcmp(file.base, "KVASS", 5) != 0) {
        return errctx_set(err, ERR_PARSE, "not a kvass state file");
    }
    if (memcmp(file.base, STATE_MAGIC, STATE_MAGIC_BYTES) != 0) {
        return errctx_set(err, ERR_UNSUPPORTED, "form '%.6s': written by a newer kvass; this one reads KVASS1",
                          file.base);
    }
    uint64_t len = get_le64(file.base + 8);
    if (len != file.len - STATE_HEADER_BYTES) {
        return errctx_set(err, ERR_PARSE, "torn: header says %llu bytes, there are %zu", (unsigned long long)len,
                          file.len - STATE_HEADER_BYTES);
    }
    if (get_le64(file.base + 16) != xxh64(file.base + STATE_HEADER_BYTES, (size_t)len, 0)) {
        return errctx_set(err, ERR_PARSE, "checksum differs: the content was damaged");
    }
    return 0;
}

int state_decode(struct view file, struct state **ret, struct errctx *err)
{
    struct decoder d = {0};
    int rc = check_header(file, err);
    if (rc != 0) {
        return rc;
    }
    d.state = state_new();
    rc = read_body(&d, view_make(file.base + STATE_HEADER_BYTES, file.len - STATE_HEADER_BYTES), err);
    if (rc == 0 && !d.headed) {
        rc = errctx_set(err, ERR_PARSE, "empty");
    }
    if (rc != 0) {
        state_free(&d.state);
        return rc;
    }
    *ret = d.state;
    return 0;
}
