/* The part filter: finds each sample's part and forwards the runs of lines that are this part's.
 *
 * Lines of the usual shape are hashed where they lie, label by label, since name="value without escapes already is what
 * is hashed; anything else goes through the careful parsers of the counter and is put into that form first. Cutting
 * into lines is the counter's way, so both see the same lines. What a line is worth (values, UTF-8, limits) is not
 * looked at: the counter has done so.
 *
 * This file must never let two spellings of one label set fall into different parts, nor look behind the bytes it was
 * given. */
#include "expfmt/part_filter.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "expfmt/cursor.h"
#include "expfmt/openmetrics.h"
#include "expfmt/part_hash.h"
#include "expfmt/part_impl.h"

#include <stdlib.h>

#define PART_MAGIC         0x70617274u
#define LINE_BYTES_DEFAULT ((size_t)1 << 20)

struct part_filter *part_filter_new(enum prometheus_major major, size_t line_bytes_max)
{
    struct part_filter *f = mem_calloc(1, sizeof(*f));
    f->magic = PART_MAGIC;
    f->major = major;
    f->line_bytes_max = line_bytes_max != 0 ? line_bytes_max : LINE_BYTES_DEFAULT;
    bytes_init(&f->carry, f->line_bytes_max + 1);
    bytes_init(&f->scratch, f->line_bytes_max + 16);
    bytes_init(&f->family.head, f->line_bytes_max);
    bytes_init(&f->family.piece, 2 * f->line_bytes_max);
    return f;
}

void part_filter_free(struct part_filter **f)
{
    if (*f == NULL) {
        return;
    }
    MAGIC_CHECK(*f, PART_MAGIC);
    bytes_done(&(*f)->carry);
    bytes_done(&(*f)->scratch);
    bytes_done(&(*f)->family.head);
    bytes_done(&(*f)->family.piece);
    sample_done(&(*f)->sample);
    MEM_FREE(*f);
}

void part_filter_start(struct part_filter *f, enum exposition_format format, unsigned part, unsigned parts,
                       part_out_fn *out, void *data)
{
    MAGIC_CHECK(f, PART_MAGIC);
    invariant(parts > 0 && part < parts);
    f->format = format;
    f->part = part;
    f->parts = parts;
    f->out = out;
    f->data = data;
    f->ended = false;
    bytes_clear(&f->carry);
    line_end_init(&f->line_end, f->major);
    f->text = (struct text_state){f->major, SAMPLE_TYPE_OTHER};
    part_protobuf_start(f);
}

/* ---------------------------------------------------------------- hashes */

/* \\ \" and \n stand for one byte each; other backslashes stand for themselves. */
static void put_unescaped(struct bytes *out, struct view raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        char next = i + 1 < raw.len ? raw.base[i + 1] : '\0';
        bool stands = raw.base[i] == '\\' && (next == '\\' || next == '"' || next == 'n');
        bytes_append_char(out, !stands ? raw.base[i] : next == 'n' ? '\n' : next);
        i += stands;
    }
}

static void put_text(struct bytes *out, struct view raw, bool escaped)
{
    if (escaped) {
        put_unescaped(out, raw);
    } else {
        bytes_append_view(out, raw);
    }
}

uint64_t part_label_hash(struct part_filter *f, struct view name, struct view value, bool escaped)
{
    struct bytes *pair = &f->scratch;
    bytes_clear(pair);
    put_text(pair, name, escaped);
    if (value.len == 0 || part_ignores_label(bytes_view(pair))) {
        return 0;
    }
    bytes_append(pair, "=\"", 2);
    put_text(pair, value, escaped);
    return part_hash_label(bytes_view(pair));
}

static uint64_t sample_hash(struct part_filter *f)
{
    const struct sample *s = &f->sample;
    bytes_clear(&f->scratch);
    put_text(&f->scratch, s->name, s->escaped);
    uint64_t hash = part_hash_name(bytes_view(&f->scratch));
    for (size_t i = 0; i < s->label_count; i++) {
        hash += part_label_hash(f, s->labels[i].name, s->labels[i].value, s->escaped);
    }
    return hash;
}

/* ---------------------------------------------------------------- lines */

/* The line's name; its hash is that of the line before where the name is. False: not the usual shape. */
static bool plain_name(struct part_filter *f, struct cursor *c)
{
    struct view last = f->last_name;
    size_t left = (size_t)(c->end - c->p);
    if (last.len > 0 && left > last.len && memcmp(c->p, last.base, last.len) == 0 &&
        !cursor_is(c->p[last.len], CLASS_METRIC)) {
        c->p += last.len;
        return true;
    }
    if (left == 0 || !cursor_is(*c->p, CLASS_METRIC_FIRST)) {
        return false;
    }
    cursor_skip(c, CLASS_METRIC);
    f->last_name = view_make(c->line, (size_t)(c->p - c->line));
    f->last_name_hash = part_hash_name(f->last_name);
    return !cursor_at_end(c);
}

/* name="value" and the comma or brace behind it, which is left in place. */
static bool plain_label(struct cursor *c, uint64_t *hash)
{
    struct quoted q;
    const char *begin = c->p;
    if (cursor_at_end(c) || !cursor_is(*begin, CLASS_LABEL_FIRST)) {
        return false;
    }
    cursor_skip(c, CLASS_LABEL);
    struct view name = view_make(begin, (size_t)(c->p - begin));
    if (c->end - c->p < 2 || c->p[0] != '=' || c->p[1] != '"') {
        return false;
    }
    c->p++;
    if (cursor_quoted(c, QUOTED_NUL | QUOTED_LF, &q) != 0 || q.escaped || (*c->p != ',' && *c->p != '}')) {
        return false;
    }
    if (q.text.len > 0 && !part_ignores_label(name)) {
        *hash += part_hash_label(view_make(begin, (size_t)(q.text.base + q.text.len - begin)));
    }
    return true;
}

/* What may stand between a name without labels and the line's end: a space and a value, no blanks and braces. */
static bool plain_value(const struct cursor *c)
{
    if (c->end - c->p < 2 || *c->p != ' ') {
        return false;
    }
    return cursor_is(c->p[1], CLASS_LABEL) || c->p[1] == '-' || c->p[1] == '+' || c->p[1] == '.';
}

/* A whole sample line as exporters write them, hashed in place: its length, or 0 for one that is not of that shape. */
static size_t plain_line(struct part_filter *f, const char *base, size_t len, uint64_t *ret_hash)
{
    struct cursor c = {base, base, base + len};
    if (!plain_name(f, &c)) {
        return 0;
    }
    uint64_t hash = f->last_name_hash;
    bool labels = *c.p == '{';
    while (labels) {
        c.p++;
        if (!plain_label(&c, &hash)) {
            return 0;
        }
        labels = *c.p == ',';
    }
    c.p += *c.p == '}';
    const char *lf = plain_value(&c) ? memchr(c.p, '\n', (size_t)(c.end - c.p)) : NULL;
    *ret_hash = hash;
    return lf != NULL ? (size_t)(lf + 1 - base) : 0;
}

/* The line at base: its length and whether it is forwarded. ERR_AGAIN when it is not whole yet. */
static int judge_line(struct part_filter *f, const char *base, size_t len, size_t *ret_len, bool *ret_kept,
                      struct errctx *err)
{
    uint64_t hash = 0;
    struct line line;
    *ret_len = plain_line(f, base, len, &hash);
    if (*ret_len > 0) {
        *ret_kept = part_pick(hash, f->parts) == f->part;
        return 0;
    }
    bool text = f->format == EXPOSITION_TEXT;
    int rc = text ? text_parse_line(&f->text, base, len, &f->sample, &line, err)
                  : openmetrics_parse_line(&f->text, base, len, false, &f->sample, &line, err);
    if (rc != 0) {
        return rc;
    }
    f->ended = line.kind == LINE_END;
    *ret_len = line.len;
    *ret_kept = line.kind == LINE_SAMPLE ? part_pick(sample_hash(f), f->parts) == f->part : !(f->ended && text);
    return 0;
}

static int put(struct part_filter *f, const char *base, size_t len, struct errctx *err)
{
    return len > 0 ? f->out(f->data, base, len, err) : 0;
}

/* Whole lines at base; the rest is left over. */
static int take_lines(struct part_filter *f, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    size_t at = 0, run = 0, max = f->line_bytes_max;
    int rc = 0;
    f->last_name.len = 0;
    while (at < len && !f->ended && rc == 0) {
        size_t window = len - at < max ? len - at : max, line = 0;
        bool kept = true;
        rc = judge_line(f, base + at, window, &line, &kept, err);
        if (rc == ERR_AGAIN && window == max) {
            return errctx_set(err, ERR_LIMIT, "a line is longer than %zu bytes", max);
        }
        if (rc == 0 && !kept) {
            rc = put(f, base + run, at - run, err);
            run = at + line;
        }
        at += line;
    }
    if (rc != 0 && rc != ERR_AGAIN) {
        return rc;
    }
    *ret_taken = at;
    return put(f, base + run, at - run, err);
}

/* Forwards what is carried, as far as it holds whole lines. */
static int carry_drain(struct part_filter *f, struct errctx *err)
{
    size_t taken = 0;
    enum line_end_state state = f->line_end.state;
    int rc = take_lines(f, f->carry.base, f->carry.len, &taken, err);
    if (rc != 0) {
        return rc;
    }
    bytes_consume(&f->carry, taken);
    if (taken > 0 && f->carry.len > 0) {
        line_end_init(&f->line_end, f->major);
        line_end_find(&f->line_end, f->carry.base, f->carry.len, &taken);
    } else {
        f->line_end.state = state;
    }
    return 0;
}

/* Adds bytes to the carried line up to its end or the limit, and judges it then. */
static int carry_feed(struct part_filter *f, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    size_t room = f->line_bytes_max - f->carry.len, taken;
    enum line_end_answer answer = line_end_find(&f->line_end, base, len < room ? len : room, &taken);
    taken += answer == LINE_END_OF_BODY;
    bytes_append(&f->carry, base, taken);
    *ret_taken = taken;
    return answer != LINE_END_MORE || taken == room ? carry_drain(f, err) : 0;
}

static int feed_lines(struct part_filter *f, const char *base, size_t len, struct errctx *err)
{
    size_t taken = 0;
    while (len > 0 && f->carry.len > 0 && !f->ended) {
        int rc = carry_feed(f, base, len, &taken, err);
        if (rc != 0) {
            return rc;
        }
        base += taken;
        len -= taken;
    }
    if (len == 0 || f->ended) {
        return 0;
    }
    int rc = take_lines(f, base, len, &taken, err);
    if (rc == 0 && !f->ended && taken < len) {
        bytes_append(&f->carry, base + taken, len - taken);
        line_end_init(&f->line_end, f->major);
        line_end_find(&f->line_end, f->carry.base, f->carry.len, &taken);
    }
    return rc;
}

int part_filter_feed(struct part_filter *f, const char *base, size_t len, struct errctx *err)
{
    MAGIC_CHECK(f, PART_MAGIC);
    if (len == 0 || f->ended) {
        return 0;
    }
    return f->format == EXPOSITION_PROTOBUF ? part_protobuf_feed(f, base, len, err) : feed_lines(f, base, len, err);
}

/* The last line, which lacks its LF: # EOF in OpenMetrics, anything in text. */
static int finish_line(struct part_filter *f, struct errctx *err)
{
    struct line line;
    uint64_t hash = 0;
    size_t len = f->carry.len;
    int rc;
    if (f->format == EXPOSITION_TEXT) {
        bytes_append_char(&f->carry, '\n');
        rc = text_parse_line(&f->text, f->carry.base, f->carry.len, &f->sample, &line, err);
    } else {
        rc = openmetrics_parse_line(&f->text, f->carry.base, len, true, &f->sample, &line, err);
    }
    if (rc != 0) {
        return rc == ERR_AGAIN ? errctx_set(err, ERR_PARSE, "the body ends inside a line") : rc;
    }
    if (line.kind == LINE_SAMPLE) {
        hash = sample_hash(f);
    }
    bool kept = line.kind == LINE_SAMPLE ? part_pick(hash, f->parts) == f->part
                                         : line.kind == LINE_OTHER || f->format == EXPOSITION_OPENMETRICS;
    return kept ? put(f, f->carry.base, len, err) : 0;
}

int part_filter_finish(struct part_filter *f, struct errctx *err)
{
    MAGIC_CHECK(f, PART_MAGIC);
    if (f->format == EXPOSITION_PROTOBUF) {
        return part_protobuf_finish(f, err);
    }
    return f->ended || f->carry.len == 0 ? 0 : finish_line(f, err);
}
