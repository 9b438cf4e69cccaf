/* The counter: takes a body in whatever pieces it arrives, cuts it into lines, has them judged, and keeps the
 * first error.
 *
 * Lines are judged where they lie; only the unfinished last one is copied, and never more of it than
 * line_bytes_max. A carried line is parsed once its end has been seen (line_end.h), so nothing is looked at more
 * than twice however the body is split. A line is allowed line_bytes_max bytes and the parser is shown no more
 * than that, which is what makes the answer to an overlong line the same for every split. Nothing here may depend
 * on where a piece ends. */
#include "expfmt/counter_impl.h"
#include "expfmt/cursor.h"
#include "expfmt/openmetrics.h"
#include "expfmt/protobuf.h"

#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>

#define COUNTER_MAGIC      0x636f756eu
#define LINE_BYTES_DEFAULT (1u << 20)

struct counter *counter_new(const struct counter_conf *conf)
{
    struct counter *c = mem_calloc(1, sizeof(*c));
    c->magic = COUNTER_MAGIC;
    c->conf = *conf;
    if (c->conf.line_bytes_max == 0) {
        c->conf.line_bytes_max = LINE_BYTES_DEFAULT;
    }
    bool rules = relabel_rules_count(conf->metric_relabel) > 0;
    bool limits = conf->label_limit != 0 || conf->label_name_length_limit != 0 || conf->label_value_length_limit != 0;
    c->name_rules = rules && !limits && relabel_rules_name_only(conf->metric_relabel);
    c->needs_sets = limits || (rules && !c->name_rules);
    c->needs_names = conf->by_family || c->name_rules;
    c->judge_count = limits ? 0 : relabel_rules_judges(conf->metric_relabel, c->judges);
    for (size_t i = 0; i < c->judge_count; i++) {
        if (view_has_prefix(c->judges[i], VIEW("exported_"))) {
            c->judge_count = 0; /* depends on other labels */
        }
    }
    c->scan.line_bytes_max = c->conf.line_bytes_max;
    c->scan.major = conf->major;
    c->scan.wants_starts = c->needs_names;
    counter_set_scan(c, conf->mode == COUNT_FAST ? scan_count_fn() : scan_strict_fn());
    bytes_init(&c->carry, c->conf.line_bytes_max + 1);
    bytes_init(&c->protobuf.name, c->conf.line_bytes_max);
    bytes_init(&c->protobuf.unit, c->conf.line_bytes_max);
    bytes_init(&c->protobuf.sample_name, c->conf.line_bytes_max + 64);
    families_init(&c->families);
    c->arena = arena_new();
    labels_builder_init(&c->builder, c->arena);
    return c;
}

void counter_set_scan(struct counter *c, scan_fn *scan_with)
{
    bool usable = !c->needs_sets && c->conf.line_bytes_max >= SCAN_LINE_MAX_MIN;
    c->scan_with = usable ? scan_with : NULL;
}

void counter_free(struct counter **c)
{
    if (*c == NULL) {
        return;
    }
    MAGIC_CHECK(*c, COUNTER_MAGIC);
    bytes_done(&(*c)->carry);
    bytes_done(&(*c)->protobuf.name);
    bytes_done(&(*c)->protobuf.unit);
    bytes_done(&(*c)->protobuf.sample_name);
    sample_done(&(*c)->sample);
    families_done(&(*c)->families);
    series_done(*c);
    labels_builder_done(&(*c)->builder);
    arena_free(&(*c)->arena);
    MEM_FREE(*c);
}

void counter_start(struct counter *c, enum exposition_format format, const struct labels *target_labels)
{
    MAGIC_CHECK(c, COUNTER_MAGIC);
    c->format = format;
    c->target = target_labels;
    c->result = (struct counter_result){0};
    c->stale_samples = 0;
    c->error.code = 0;
    c->ended = false;
    bytes_clear(&c->carry);
    line_end_init(&c->line_end, c->conf.major);
    c->text = (struct text_state){c->conf.major, SAMPLE_TYPE_OTHER};
    families_begin(&c->families);
    protobuf_start(c);
}

static int judge_line(struct counter *c, const char *base, size_t len, struct line *line, struct errctx *err)
{
    int rc = c->format == EXPOSITION_TEXT ? text_parse_line(&c->text, base, len, &c->sample, line, err)
                                          : openmetrics_parse_line(&c->text, base, len, false, &c->sample, line, err);
    if (rc != 0) {
        return rc;
    }
    if (line->kind == LINE_SAMPLE) {
        c->result.scraped++;
        rc = series_add(c, &c->sample, err);
    }
    c->ended = c->ended || line->kind == LINE_END;
    return rc;
}

static bool begins_with(const char *line, const char *end, struct view name)
{
    return name.len < (size_t)(end - line) && memcmp(line, name.base, name.len) == 0 &&
           !cursor_is(line[name.len], CLASS_METRIC);
}

static void count_names(struct counter *c, const char *base)
{
    const char *end = base + c->scan.taken;
    for (size_t i = 0; i < c->scan.start_count; i++) {
        const char *line = base + c->scan.starts[i];
        struct family *last = c->families.last;
        if (last != NULL && begins_with(line, end, last->name)) {
            series_add_family(c, last, last->name);
            continue;
        }
        size_t len = 0;
        while (cursor_is(line[len], CLASS_METRIC)) {
            len++;
        }
        series_add_name(c, view_make(line, len));
    }
}

/* Lets the scanner take what it can from base + at on; a line's end lies before it. Returns the bytes taken. */
static size_t scan_lines(struct counter *c, const char *base, size_t at, size_t len)
{
    size_t begin = at;
    bool more = c->scan_with != NULL && c->format == EXPOSITION_TEXT && at > 0;
    while (more && len - at >= SCAN_BYTES_MIN) {
        c->scan.type = c->text.type;
        c->scan_with(&c->scan, base + at, len - at < SCAN_BYTES_MAX ? len - at : SCAN_BYTES_MAX);
        c->text.type = c->scan.type;
        c->result.scraped += c->scan.samples;
        if (c->needs_names) {
            count_names(c, base + at);
        } else {
            c->result.series += c->scan.samples;
        }
        at += c->scan.taken;
        more = c->needs_names && c->scan.start_count + SCAN_STARTS_STEP > SCAN_STARTS_MAX;
    }
    return at - begin;
}

/* Whole lines at base; the rest (an unfinished line, shorter than the limit) is left over. */
static int judge_lines(struct counter *c, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    size_t at = 0, max = c->conf.line_bytes_max;
    int rc = 0;
    while (at < len && !c->ended && rc == 0) {
        struct line line;
        at += scan_lines(c, base, at, len);
        size_t window = len - at < max ? len - at : max;
        rc = judge_line(c, base + at, window, &line, err);
        if (rc == ERR_AGAIN && window == max) {
            rc = errctx_set(err, ERR_LIMIT, "a line is longer than %zu bytes", max);
        }
        at += rc == 0 ? line.len : 0;
    }
    *ret_taken = at;
    return rc == ERR_AGAIN ? 0 : rc;
}

/* Fast: lines are counted by their ends. */
static int count_lines(struct counter *c, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    size_t at = 0;
    while (at < len && !c->ended) {
        size_t taken;
        at += scan_lines(c, base, at, len);
        line_end_init(&c->line_end, c->conf.major);
        enum line_end_answer answer = line_end_find(&c->line_end, base + at, len - at, &taken);
        if (taken > c->conf.line_bytes_max || (answer == LINE_END_MORE && taken == c->conf.line_bytes_max)) {
            return errctx_set(err, ERR_LIMIT, "a line is longer than %zu bytes", c->conf.line_bytes_max);
        }
        if (answer == LINE_END_MORE) {
            break;
        }
        c->ended = answer == LINE_END_OF_BODY;
        c->result.scraped += answer == LINE_END_OF_SAMPLE;
        c->result.series += answer == LINE_END_OF_SAMPLE;
        at += taken;
    }
    *ret_taken = at;
    return 0;
}

/* Fast mode without need for names or label sets. With a need for either, lines are judged in fast mode too. */
bool counter_counts_only(const struct counter *c)
{
    return c->format == EXPOSITION_TEXT && c->conf.mode == COUNT_FAST && !c->needs_sets && !c->needs_names;
}

static int take_lines(struct counter *c, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    return counter_counts_only(c) ? count_lines(c, base, len, ret_taken, err)
                                  : judge_lines(c, base, len, ret_taken, err);
}

/* Judges what is carried, as far as it holds whole lines. */
static int carry_drain(struct counter *c, struct errctx *err)
{
    size_t taken;
    enum line_end_state state = c->line_end.state;
    int rc = take_lines(c, c->carry.base, c->carry.len, &taken, err);
    if (rc != 0) {
        return rc;
    }
    bytes_consume(&c->carry, taken);
    if (taken > 0 && c->carry.len > 0) {
        line_end_init(&c->line_end, c->conf.major);
        line_end_find(&c->line_end, c->carry.base, c->carry.len, &taken);
    } else {
        c->line_end.state = state;
    }
    return 0;
}

/* Adds bytes to the carried line up to its end or the limit, and judges it then. */
static int carry_feed(struct counter *c, const char *base, size_t len, size_t *ret_taken, struct errctx *err)
{
    size_t room = c->conf.line_bytes_max - c->carry.len, taken;
    enum line_end_answer answer = line_end_find(&c->line_end, base, len < room ? len : room, &taken);
    taken += answer == LINE_END_OF_BODY; /* the NUL too, which the judge wants to see */
    bytes_append(&c->carry, base, taken);
    *ret_taken = taken;
    return answer != LINE_END_MORE || taken == room ? carry_drain(c, err) : 0;
}

/* Text just ignores it. */
static int data_after_end(const struct counter *c, struct errctx *err)
{
    return c->format == EXPOSITION_TEXT ? 0 : errctx_set(err, ERR_PARSE, "unexpected data after # EOF");
}

static int feed_lines(struct counter *c, const char *base, size_t len, struct errctx *err)
{
    size_t taken;
    while (len > 0 && c->carry.len > 0 && !c->ended) {
        int rc = carry_feed(c, base, len, &taken, err);
        if (rc != 0) {
            return rc;
        }
        base += taken;
        len -= taken;
    }
    if (len == 0 || c->ended) {
        return len > 0 ? data_after_end(c, err) : 0;
    }
    int rc = take_lines(c, base, len, &taken, err);
    if (rc != 0 || c->ended || taken == len) {
        return rc == 0 && taken < len ? data_after_end(c, err) : rc;
    }
    bytes_append(&c->carry, base + taken, len - taken);
    line_end_init(&c->line_end, c->conf.major);
    line_end_find(&c->line_end, c->carry.base, c->carry.len, &taken);
    return 0;
}

static int feed_body(struct counter *c, const char *base, size_t len, struct errctx *err)
{
    if (c->conf.body_size_limit != 0 && c->result.body_bytes >= c->conf.body_size_limit) {
        c->result.scraped = c->result.series = 0;
        return errctx_set(err, ERR_LIMIT, "body size limit exceeded");
    }
    if (c->format == EXPOSITION_PROTOBUF) {
        return protobuf_feed(c, base, len, err);
    }
    return c->ended ? data_after_end(c, err) : feed_lines(c, base, len, err);
}

int counter_feed(struct counter *c, const char *base, size_t len, struct errctx *err)
{
    MAGIC_CHECK(c, COUNTER_MAGIC);
    c->result.body_bytes += len;
    if (c->error.code == 0 && len > 0) {
        c->error.code = feed_body(c, base, len, &c->error);
    }
    return c->error.code == 0 ? 0 : errctx_set(err, c->error.code, "%s", c->error.msg);
}

/* OpenMetrics: only "# EOF" may lack its LF. */
static int finish_openmetrics(struct counter *c, struct errctx *err)
{
    struct line line;
    bool empty = c->result.body_bytes == 0 && c->conf.major >= PROMETHEUS_3; /* 3.x takes it for an empty scrape */
    if (c->ended || empty) {
        return 0;
    }
    int rc = openmetrics_parse_line(&c->text, c->carry.base, c->carry.len, true, &c->sample, &line, err);
    if (rc != 0 || line.kind != LINE_SAMPLE) {
        return rc;
    }
    c->result.scraped++;
    rc = series_add(c, &c->sample, err);
    return rc != 0 ? rc : errctx_set(err, ERR_PARSE, "data does not end with # EOF");
}

/* Text: the last line may lack its LF, Prometheus' parser adds one. */
static int finish_text(struct counter *c, struct errctx *err)
{
    if (c->ended || c->carry.len == 0) {
        return 0;
    }
    size_t taken;
    bytes_append_char(&c->carry, '\n');
    c->conf.line_bytes_max++;
    int rc = take_lines(c, c->carry.base, c->carry.len, &taken, err);
    c->conf.line_bytes_max--;
    if (rc == 0 && !c->ended && taken < c->carry.len && c->conf.mode == COUNT_STRICT) {
        rc = errctx_set(err, ERR_PARSE, "expected label value, got the end of the body");
    }
    return rc;
}

static int finish_body(struct counter *c, struct errctx *err)
{
    switch (c->format) {
    case EXPOSITION_PROTOBUF:
        return protobuf_finish(c, err);
    case EXPOSITION_OPENMETRICS:
        return finish_openmetrics(c, err);
    default:
        return finish_text(c, err);
    }
}

int counter_finish(struct counter *c, struct counter_result *ret, struct errctx *err)
{
    MAGIC_CHECK(c, COUNTER_MAGIC);
    if (c->conf.body_size_limit != 0 && c->result.body_bytes >= c->conf.body_size_limit) {
        c->error.code = 0; /* Prometheus would not have begun to parse */
        c->error.code = feed_body(c, NULL, 0, &c->error);
    } else if (c->error.code == 0) {
        c->error.code = finish_body(c, &c->error);
    }
    if (c->error.code == 0 && c->conf.sample_limit != 0 && c->result.series - c->stale_samples > c->conf.sample_limit) {
        errctx_set(&c->error, ERR_INVALID, "sample limit exceeded");
    }
    *ret = c->result;
    return c->error.code == 0 ? 0 : errctx_set(err, c->error.code, "%s", c->error.msg);
}

void counter_write_families(const struct counter *c, struct json_writer *w)
{
    MAGIC_CHECK(c, COUNTER_MAGIC);
    families_write(&c->families, w);
}

void counter_each_family(const struct counter *c,
                         void (*each)(void *data, struct view name, uint64_t scraped, uint64_t total), void *data)
{
    MAGIC_CHECK(c, COUNTER_MAGIC);
    families_each(&c->families, each, data);
}
