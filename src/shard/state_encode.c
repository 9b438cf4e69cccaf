/* State to bytes: one JSON object a line, compressed line by line, so that memory stays constant however large the
 * state is; header and checksum are filled in at the end. Numbers that fill 64 bits are written as strings. */
#include "base/hash.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "model/wire.h"
#include "shard/state.h"
#include "shard/state_format.h"

#include <stdio.h>
#include <zstd.h>

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
    if (s->whole_scraped != 0) {
        json_kv_u64(w, "whole_series", s->whole_series);
        json_kv_u64(w, "whole_scraped", s->whole_scraped);
    }
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
    if (shard->config_word[0] != '\0') {
        json_kv_str(&e->w, "config_hash", shard->config_hash);
        json_kv_str(&e->w, "config_word", shard->config_word);
    }
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

/* In pieces, cut between characters: the writer would replace half ones. */
static int put_config(struct encoder *e, const struct state *s, struct errctx *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && s->config_text != NULL && (at < s->config_len || at == 0);) {
        size_t end = s->config_len - at > STATE_PIECE_BYTES ? at + STATE_PIECE_BYTES : s->config_len;
        while (end < s->config_len && end > at + 1 && ((unsigned char)s->config_text[end] & 0xc0) == 0x80) {
            end--;
        }
        line_begin(e, "config");
        put_u64_text(&e->w, "generation", s->config_generation);
        json_kv_view(&e->w, "text", view_make(s->config_text + at, end - at));
        rc = line_end(e, err);
        if (end == at) {
            break;
        }
        at = end;
    }
    return rc;
}

static int put_head(struct encoder *e, const struct state *s, struct errctx *err)
{
    line_begin(e, "kvass");
    json_kv_u64(&e->w, "version", STATE_VERSION);
    json_kv_i64(&e->w, "saved_ms", s->saved_ms);
    put_u64_text(&e->w, "generation", s->generation);
    put_u64_text(&e->w, "epoch", s->epoch);
    json_kv_u64(&e->w, "wanted_groups", s->wanted_groups);
    if (s->stop_reason != NULL && s->stop_reason[0] != '\0') {
        json_kv_str(&e->w, "stop_reason", s->stop_reason);
    }
    if (s->prometheus_version[0] != '\0') {
        json_kv_str(&e->w, "prometheus_version", s->prometheus_version);
    }
    if (s->native_histograms) {
        json_kv_bool(&e->w, "native_histograms", true);
    }
    return line_end(e, err);
}

static void put_le64(char *at, uint64_t n)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (char)(n >> (8 * i));
    }
}

int state_encode(const struct state *s, struct bytes *out, struct errctx *err)
{
    struct encoder e = {.out = out, .zstd = ZSTD_createCCtx()};
    size_t start = out->len;
    char header[STATE_HEADER_BYTES] = STATE_MAGIC;
    bytes_init(&e.line, STATE_LINE_BYTES_MAX);
    bytes_append(out, header, sizeof(header));
    ZSTD_CCtx_setParameter(e.zstd, ZSTD_c_compressionLevel, 3);
    int rc = put_head(&e, s, err);
    rc = rc == 0 ? put_config(&e, s, err) : rc;
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
        size_t len = out->len - start - STATE_HEADER_BYTES;
        put_le64(out->base + start + 8, len);
        put_le64(out->base + start + 16, xxh64(out->base + start + STATE_HEADER_BYTES, len, 0));
    }
    return rc;
}
