/* Durable state.
 *
 * JSON because an operator in trouble wants to read it (`tail -c +25 state | zstd -d`), one object a line because a state of a
 * hundred thousand targets is then read and written in constant memory; zstd because labels repeat; a checksum because a
 * half-written file must be noticed, not believed. Writing is atomic, so a bad file means a broken disk, a foreign file or a newer kvass;
 * none of these may stop us from starting, and none may be overwritten unseen (pitfall 19): it is set aside.
 *
 * Numbers that fill 64 bits are written as strings. Keys that are not known are skipped, so that fields can be added. */
#include "shard/state.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "model/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define HEADER_BYTES        24
#define MAGIC               "KVASS1\0\0"
#define MAGIC_BYTES         8
#define STATE_VERSION       1
#define TEXT_BYTES_MAX      ((size_t)4 << 30) /* of JSON: a bomb costs time, no memory beyond a line */
#define LINE_BYTES_MAX      ((size_t)4 << 20)
#define SHARDS_MAX          100000
#define TARGETS_MAX         5000000
#define JOBS_MAX            100000
#define NAME_BYTES_MAX      4096

/* ------------------------------------------------------------------------------------------------------------- the object */

struct state *state_new(void)
{
    return mem_calloc(1, sizeof(struct state));
}

void state_free(struct state **handle)
{
    struct state *s = *handle;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->shard_count; i++) {
        for (size_t k = 0; k < s->shards[i].target_count; k++) {
            target_unref(s->shards[i].targets[k].a.target);
        }
        free(s->shards[i].targets);
    }
    free(s->shards);
    free(s->loads);
    free(s);
    *handle = NULL;
}

/* One more zeroed element in an array that doubles at powers of two. */
static void *grow(void *items, size_t count, size_t size)
{
    if (count == 0 || (count & (count - 1)) == 0) {
        items = mem_realloc(items, (count == 0 ? 1 : count * 2) * size);
    }
    memset((char *)items + count * size, 0, size);
    return items;
}

struct state_shard *state_add_shard(struct state *s, const char *id)
{
    s->shards = grow(s->shards, s->shard_count, sizeof(*s->shards));
    struct state_shard *shard = &s->shards[s->shard_count++];
    shard->id = intern(id);
    return shard;
}

void state_add_target(struct state_shard *shard, const struct assignment *a, const struct target_status *status)
{
    shard->targets = grow(shard->targets, shard->target_count, sizeof(*shard->targets));
    struct state_target *t = &shard->targets[shard->target_count++];
    t->a = *a;
    t->a.target = target_ref(a->target);
    t->status = *status;
}

struct state_load *state_add_load(struct state *s, const char *job, uint64_t place_key)
{
    s->loads = grow(s->loads, s->load_count, sizeof(*s->loads));
    struct state_load *load = &s->loads[s->load_count++];
    load->job = intern(job);
    load->place_key = place_key;
    return load;
}

const struct state_shard *state_find_shard(const struct state *s, const char *id)
{
    for (size_t i = 0; i < s->shard_count; i++) {
        if (strcmp(s->shards[i].id, id) == 0) {
            return &s->shards[i];
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- writing */

struct encoder {
    struct bytes line, *out;
    struct json_writer w;
    ZSTD_CCtx *zstd;
};

static void push(struct encoder *e, bool end)
{
    ZSTD_inBuffer in = {e->line.base, e->line.len, 0};
    size_t more, room = ZSTD_CStreamOutSize();
    do {
        char *to = bytes_reserve(e->out, room);
        if (to == NULL) {
            return;
        }
        ZSTD_outBuffer out = {to, room, 0};
        more = ZSTD_compressStream2(e->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        invariant(!ZSTD_isError(more));
        bytes_commit(e->out, out.pos);
    } while (in.pos < in.size || (end && more != 0));
    bytes_clear(&e->line);
}

static void line_begin(struct encoder *e, const char *kind)
{
    json_writer_init(&e->w, &e->line);
    json_object_begin(&e->w);
    json_kv_str(&e->w, "kind", kind);
}

static int line_end(struct encoder *e, struct errctx *err)
{
    json_object_end(&e->w);
    bytes_append_char(&e->line, '\n');
    int rc = bytes_check(&e->line, err);
    push(e, false);
    return rc;
}

static void put_u64_text(struct json_writer *w, const char *key, uint64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    json_kv_str(w, key, text);
}

static void put_status(struct json_writer *w, const struct target_status *s)
{
    json_kv_str(w, "health", target_health_name(s->health));
    json_kv_i64(w, "last_scrape_ms", s->last_scrape_ms);
    json_kv_i64(w, "last_duration_us", s->last_duration_us);
    json_kv_u64(w, "series", s->series);
    json_kv_u64(w, "scraped", s->scraped);
    json_kv_u64(w, "scrapes", s->scrapes);
    json_kv_u64(w, "good_scrapes", s->good_scrapes);
    json_key(w, "history");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->history_len; i++) {
        json_u64(w, s->history[i]);
    }
    json_array_end(w);
    if (s->error[0] != '\0') {
        json_kv_str(w, "error", s->error);
    }
}

static int put_target(struct encoder *e, const struct state_target *t, struct errctx *err)
{
    const struct target *target = t->a.target;
    line_begin(e, "target");
    json_kv_str(&e->w, "job", target->job);
    put_u64_text(&e->w, "hash", target->hash);
    json_kv_str(&e->w, "url", target->url);
    json_kv_i64(&e->w, "interval_ms", target->interval_ms);
    json_kv_i64(&e->w, "timeout_ms", target->timeout_ms);
    json_kv_str(&e->w, "state", assignment_state_wire(t->a.state));
    json_kv_i64(&e->w, "since_ms", t->a.since_ms);
    put_status(&e->w, &t->status);
    json_key(&e->w, "labels");
    wire_write_labels(&e->w, target->labels);
    return line_end(e, err);
}

static int put_shard(struct encoder *e, const struct state_shard *shard, struct errctx *err)
{
    line_begin(e, "shard");
    json_kv_str(&e->w, "id", shard->id);
    put_u64_text(&e->w, "generation", shard->generation);
    put_u64_text(&e->w, "epoch", shard->epoch);
    json_kv_i64(&e->w, "idle_since_ms", shard->idle_since_ms);
    int rc = line_end(e, err);
    for (size_t i = 0; rc == 0 && i < shard->target_count; i++) {
        rc = put_target(e, &shard->targets[i], err);
    }
    return rc;
}

static int put_load(struct encoder *e, const struct state_load *load, struct errctx *err)
{
    line_begin(e, "load");
    json_kv_str(&e->w, "job", load->job);
    put_u64_text(&e->w, "place_key", load->place_key);
    json_kv_u64(&e->w, "series", load->series);
    json_kv_u64(&e->w, "scraped", load->scraped);
    json_kv_i64(&e->w, "seen_ms", load->seen_ms);
    return line_end(e, err);
}

static int put_head(struct encoder *e, const struct state *s, struct errctx *err)
{
    line_begin(e, "kvass");
    json_kv_u64(&e->w, "version", STATE_VERSION);
    json_kv_i64(&e->w, "saved_ms", s->saved_ms);
    put_u64_text(&e->w, "generation", s->generation);
    put_u64_text(&e->w, "epoch", s->epoch);
    json_kv_u64(&e->w, "wanted_groups", s->wanted_groups);
    return line_end(e, err);
}

static void put_le64(char *at, uint64_t n)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (char)(n >> (8 * i));
    }
}

static uint64_t get_le64(const char *at)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) {
        n = n << 8 | (unsigned char)at[i];
    }
    return n;
}

int state_encode(const struct state *s, struct bytes *out, struct errctx *err)
{
    struct encoder e = {.out = out, .zstd = ZSTD_createCCtx()};
    size_t start = out->len;
    char header[HEADER_BYTES] = MAGIC;
    bytes_init(&e.line, LINE_BYTES_MAX);
    bytes_append(out, header, sizeof(header));
    ZSTD_CCtx_setParameter(e.zstd, ZSTD_c_compressionLevel, 3);
    int rc = put_head(&e, s, err);
    for (size_t i = 0; rc == 0 && i < s->shard_count; i++) {
        rc = put_shard(&e, &s->shards[i], err);
    }
    for (size_t i = 0; rc == 0 && i < s->load_count; i++) {
        rc = put_load(&e, &s->loads[i], err);
    }
    push(&e, true);
    ZSTD_freeCCtx(e.zstd);
    bytes_done(&e.line);
    rc = rc == 0 ? bytes_check(out, err) : rc;
    if (rc == 0) {
        size_t len = out->len - start - HEADER_BYTES;
        put_le64(out->base + start + 8, len);
        put_le64(out->base + start + 16, xxh64(out->base + start + HEADER_BYTES, len, 0));
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------------------- reading */

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
    return 0;
}

static int read_line(struct decoder *d, struct view line, struct errctx *err)
{
    struct errctx why = ERRCTX_INIT;
    int rc = 0;
    d->line++;
    json_t *o = wire_parse(line, LINE_BYTES_MAX, &why);
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
    bytes_init(&text, LINE_BYTES_MAX + room);
    ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, 23);
    while (rc == 0 && more != 0) {
        char *to = bytes_reserve(&text, room);
        size_t before = in.pos;
        if (to == NULL) {
            rc = errctx_set(err, ERR_LIMIT, "line %zu: longer than %zu bytes", d->line + 1, LINE_BYTES_MAX);
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

static int check_header(struct view file, struct errctx *err)
{
    if (file.len < HEADER_BYTES || memcmp(file.base, "KVASS", 5) != 0) {
        return errctx_set(err, ERR_PARSE, "not a kvass state file");
    }
    if (memcmp(file.base, MAGIC, MAGIC_BYTES) != 0) {
        return errctx_set(err, ERR_UNSUPPORTED, "form '%.6s': written by a newer kvass; this one reads KVASS1", file.base);
    }
    uint64_t len = get_le64(file.base + 8);
    if (len != file.len - HEADER_BYTES) {
        return errctx_set(err, ERR_PARSE, "torn: header says %llu bytes, there are %zu", (unsigned long long)len,
                          file.len - HEADER_BYTES);
    }
    if (get_le64(file.base + 16) != xxh64(file.base + HEADER_BYTES, (size_t)len, 0)) {
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
    rc = read_body(&d, view_make(file.base + HEADER_BYTES, file.len - HEADER_BYTES), err);
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

/* ------------------------------------------------------------------------------------------------------------------ files */

int state_save(const char *path, const struct state *s, struct errctx *err)
{
    struct bytes out;
    bytes_init(&out, STATE_FILE_BYTES_MAX);
    int rc = state_encode(s, &out, err);
    rc = rc == 0 ? files_write_atomic(path, bytes_view(&out), 0600, (gid_t)-1, err) : rc;
    bytes_done(&out);
    return rc;
}

/* Renames what cannot be used; the message gets the new name. */
static int set_aside(const char *path, int code, struct errctx *err)
{
    char *aside = mem_printf("%s.bad-%lld", path, (long long)timebase_realtime_ms());
    if (rename(path, aside) == 0) {
        (void)errctx_prefix(err, code, "%s (set aside as %s)", path, aside);
    } else {
        (void)errctx_prefix(err, code, "%s (cannot be set aside: %s)", path, strerror(errno));
    }
    free(aside);
    return code;
}

/* A file of ours or of an older Kvass, judged by decode. */
static int read_file(const char *path, int (*decode)(struct view, const void *, struct state **, struct errctx *),
                     const void *arg, struct state **ret, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, STATE_FILE_BYTES_MAX);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        rc = decode(bytes_view(&text), arg, ret, err);
        rc = rc != 0 ? set_aside(path, rc, err) : 0;
    } else if (rc == ERR_LIMIT) {
        rc = set_aside(path, rc, err);
    }
    bytes_done(&text);
    return rc;
}

static int decode_own(struct view file, const void *arg, struct state **ret, struct errctx *err)
{
    (void)arg;
    return state_decode(file, ret, err);
}

int state_read(const char *path, struct state **ret, struct errctx *err)
{
    return read_file(path, decode_own, NULL, ret, err);
}

static int decode_old(struct view file, const void *shard_id, struct state **ret, struct errctx *err)
{
    struct assignment *items = NULL;
    const struct target_status unknown = {0};
    size_t count = 0;
    int64_t idle_ms = 0;
    struct errctx why = ERRCTX_INIT;
    json_t *root = wire_parse(file, STATE_FILE_BYTES_MAX, &why);
    int rc = root == NULL ? why.code : wire_read_old_store(root, &items, &count, &idle_ms, &why);
    if (rc == 0) {
        struct state *s = state_new();
        struct state_shard *shard = state_add_shard(s, shard_id);
        shard->idle_since_ms = idle_ms;
        for (size_t i = 0; i < count; i++) {
            state_add_target(shard, &items[i], &unknown);
        }
        wire_targets_free(items, count);
        *ret = s;
    }
    json_decref(root);
    return rc == 0 ? 0 : errctx_set(err, rc, "%s", why.msg);
}

int state_import(const char *dir, const char *shard_id, struct state **ret, struct errctx *err)
{
    static const char *const NAMES[] = {"kvass-shard.json", "targets.json"};
    int rc = ERR_NOT_FOUND;
    for (size_t i = 0; i < 2 && rc == ERR_NOT_FOUND; i++) {
        char *path = mem_printf("%s/%s", dir, NAMES[i]);
        errctx_clear(err);
        rc = read_file(path, decode_old, shard_id, ret, err);
        free(path);
    }
    return rc;
}
