/* The parser of OpenMetrics text: one space wherever the format has a separator, no blank lines, no free comments,
 * and # EOF at the end. Prometheus has a lexer of its own for it, whose states tolerate NUL at other places than
 * the text format's; 2.42 takes exemplars on counters and buckets only and no comma behind the last label, 3.x the
 * other way round on both, and quoted names. This file must never look at a byte it was not given. */
#include "expfmt/openmetrics.h"

#include "base/utf8.h"
#include "expfmt/cursor.h"
#include "expfmt/number.h"

/* The next byte must be ch. */
static int expect(struct cursor *c, char ch, const char *what, struct errctx *err)
{
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (*c->p != ch) {
        return cursor_fail(c, err, what);
    }
    c->p++;
    return 0;
}

static int scan_name(struct cursor *c, unsigned class_mask, struct view *ret)
{
    const char *begin = c->p;
    cursor_skip(c, class_mask);
    *ret = view_make(begin, (size_t)(c->p - begin));
    return cursor_at_end(c) ? ERR_AGAIN : 0;
}

static int check_type(struct text_state *t, const struct cursor *c, struct view text, struct errctx *err)
{
    static const char *const names[] = {"counter", "gauge", "gaugehistogram", "info", "stateset", "unknown"};
    t->type = view_is(text, "histogram") ? SAMPLE_TYPE_HISTOGRAM
              : view_is(text, "summary") ? SAMPLE_TYPE_SUMMARY
                                         : SAMPLE_TYPE_OTHER;
    bool known = t->type != SAMPLE_TYPE_OTHER;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !known; i++) {
        known = view_is(text, names[i]);
    }
    return known ? 0 : cursor_fail(c, err, "invalid metric type");
}

static int check_unit(const struct cursor *c, struct view name, struct view unit, struct errctx *err)
{
    bool good = unit.len == 0 ||
                (view_has_suffix(name, unit) && name.len > unit.len && name.base[name.len - unit.len - 1] == '_');
    return good ? 0 : cursor_fail(c, err, "unit not a suffix of metric");
}

/* Behind "# HELP ", "# TYPE " or "# UNIT ": name, space, text to the line's end. */
static int parse_metadata(struct text_state *t, struct cursor *c, char kind, struct errctx *err)
{
    struct view name;
    struct quoted q;
    int rc = ERR_PARSE;
    cursor_skip_nul(c);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (cursor_is(*c->p, CLASS_METRIC_FIRST)) {
        rc = scan_name(c, CLASS_METRIC, &name);
    } else if (*c->p == '"' && t->major >= PROMETHEUS_2_53) {
        rc = cursor_quoted(c, QUOTED_LF, &q);
        name = rc == 0 ? q.text : (struct view){0};
    }
    if (rc != 0) {
        return rc == ERR_AGAIN ? rc : cursor_fail(c, err, "expected metric name after HELP, TYPE or UNIT");
    }
    rc = expect(c, ' ', "expected text in metadata", err);
    if (rc != 0) {
        return rc;
    }
    const char *lf = memchr(c->p, '\n', (size_t)(c->end - c->p));
    if (lf == NULL) {
        return ERR_AGAIN;
    }
    struct view text = view_make(c->p, (size_t)(lf - c->p));
    c->p = lf + 1;
    if (kind == 'T') {
        return check_type(t, c, text, err);
    }
    if (kind == 'U') {
        return check_unit(c, name, text, err);
    }
    return utf8_is_valid(text) ? 0 : cursor_fail(c, err, "help text is not a valid utf8 string");
}

/* Behind "# EOF": nothing, or one LF. */
static int parse_end(struct cursor *c, bool final, struct line *ret, struct errctx *err)
{
    ret->kind = LINE_END;
    cursor_skip_nul(c);
    if (cursor_at_end(c)) {
        return final ? 0 : ERR_AGAIN;
    }
    if (*c->p != '\n') {
        return errctx_set(err, ERR_PARSE, "unexpected data after # EOF");
    }
    c->p++;
    return 0;
}

static int parse_comment(struct text_state *t, struct cursor *c, bool final, struct line *ret, struct errctx *err)
{
    static const char *const words[] = {"HELP", "TYPE", "UNIT", "EOF"};
    c->p++;
    int rc = expect(c, ' ', "expected a valid start token", err);
    for (size_t i = 0; i < 4 && rc == 0; i++) {
        rc = cursor_keyword(c, words[i]);
        if (rc == 1 && i == 3) {
            return parse_end(c, final, ret, err);
        }
        if (rc == 1) {
            cursor_skip_nul(c);
            rc = expect(c, ' ', "expected a valid start token", err);
            return rc != 0 ? rc : parse_metadata(t, c, words[i][0], err);
        }
    }
    return rc != 0 ? rc : cursor_fail(c, err, "expected a valid start token");
}

struct label_rules {
    bool exemplar;
    unsigned value_flags, name_flags;
};

static const struct label_rules SERIES_LABELS = {false, QUOTED_NUL, QUOTED_LF};
static const struct label_rules EXEMPLAR_LABELS = {true, 0, 0};

/* Behind a label's name; sample NULL: an exemplar's. */
static int parse_label_rest(struct cursor *c, const struct label_rules *rules, struct view name, struct sample *sample,
                            struct errctx *err)
{
    struct quoted value;
    int rc = expect(c, '=', "expected equal", err);
    rc = rc != 0 ? rc : cursor_label_value(c, rules->value_flags, &value, err);
    if (rc == 0 && !rules->exemplar) {
        sample->escaped = sample->escaped || value.escaped;
        sample_add_label(sample, name, value.text);
    }
    return rc;
}

/* A quoted string in label position (3.x). *ret_alone: it was the metric's name, and is followed by a comma or
 * brace. */
static int parse_quoted_name(struct cursor *c, const struct label_rules *rules, struct sample *sample, bool *ret_alone,
                             struct errctx *err)
{
    struct quoted q;
    int rc = cursor_quoted(c, rules->name_flags, &q);
    if (rc != 0) {
        return rc == ERR_AGAIN ? rc : cursor_fail(c, err, "expected label name");
    }
    *ret_alone = *c->p == ',' || *c->p == '}';
    if (!rules->exemplar) {
        sample->escaped = sample->escaped || q.escaped;
        sample->quoted = true;
    }
    if (!*ret_alone) {
        return parse_label_rest(c, rules, q.text, sample, err);
    }
    if (rules->exemplar) {
        return cursor_fail(c, err, "expected label name");
    }
    if (sample->name.base != NULL) {
        return cursor_fail(c, err, "metric name already set");
    }
    sample->name = q.text;
    return 0;
}

static int parse_label(const struct text_state *t, struct cursor *c, const struct label_rules *rules,
                       struct sample *sample, struct errctx *err)
{
    struct view name;
    bool alone;
    if (cursor_is(*c->p, CLASS_LABEL_FIRST)) {
        int rc = scan_name(c, CLASS_LABEL, &name);
        return rc != 0 ? rc : parse_label_rest(c, rules, name, sample, err);
    }
    if (*c->p == '"' && t->major >= PROMETHEUS_2_53) {
        return parse_quoted_name(c, rules, sample, &alone, err);
    }
    return cursor_fail(c, err, "expected label name");
}

/* Behind the opening brace, to behind the closing one. */
static int parse_labels(const struct text_state *t, struct cursor *c, const struct label_rules *rules,
                        struct sample *sample, struct errctx *err)
{
    bool first = true, may_close = true;
    for (;;) {
        if (cursor_at_end(c)) {
            return ERR_AGAIN;
        }
        if (*c->p == '}' && may_close) {
            c->p++;
            return 0;
        }
        if (!first && may_close) {
            int rc = expect(c, ',', "expected comma or brace close", err);
            if (rc != 0) {
                return rc;
            }
            may_close = t->major >= PROMETHEUS_2_53;
            if (cursor_at_end(c)) {
                return ERR_AGAIN;
            }
            if (*c->p == '}' && may_close) {
                c->p++;
                return 0;
            }
        }
        int rc = parse_label(t, c, rules, sample, err);
        if (rc != 0) {
            return rc;
        }
        first = false;
        may_close = true;
    }
}

/* A space and a token up to the next space or LF. */
static int parse_token(struct cursor *c, struct view *ret, const char *what, struct errctx *err)
{
    int rc = expect(c, ' ', what, err);
    if (rc != 0) {
        return rc;
    }
    const char *begin = c->p;
    while (c->p < c->end && *c->p != ' ' && *c->p != '\n' && *c->p != '\0') {
        c->p++;
    }
    *ret = view_make(begin, (size_t)(c->p - begin));
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    return ret->len > 0 ? 0 : cursor_fail(c, err, what);
}

static int check_float(const struct cursor *c, struct view text, bool finite, struct errctx *err)
{
    switch (number_float_kind(text)) {
    case NUMBER_BAD:
        return cursor_fail(c, err, "strconv.ParseFloat: invalid syntax");
    case NUMBER_RANGE:
        return cursor_fail(c, err, "strconv.ParseFloat: value out of range");
    case NUMBER_FINITE:
        return 0;
    default:
        return finite ? cursor_fail(c, err, "invalid timestamp") : 0;
    }
}

/* Behind " # {". */
static int parse_exemplar(const struct text_state *t, struct cursor *c, struct view name, struct errctx *err)
{
    struct view text;
    if (t->major < PROMETHEUS_2_53 && !view_has_suffix(name, VIEW("_total")) &&
        !view_has_suffix(name, VIEW("_bucket"))) {
        return cursor_fail_behind(c, err, "metric name does not support exemplars");
    }
    int rc = parse_labels(t, c, &EXEMPLAR_LABELS, NULL, err);
    rc = rc != 0 ? rc : parse_token(c, &text, "expected value after exemplar labels", err);
    rc = rc != 0 ? rc : check_float(c, text, false, err);
    if (rc == 0 && *c->p == ' ') {
        rc = parse_token(c, &text, "expected timestamp or comment", err);
        rc = rc != 0 ? rc : check_float(c, text, true, err);
    }
    return rc != 0 ? rc : expect(c, '\n', "expected next entry after exemplar timestamp", err);
}

/* At the space behind the value or timestamp: does " # {" follow? 1, 0, or ERR_AGAIN. */
static int exemplar_follows(const struct cursor *c)
{
    static const char intro[] = {' ', '#', ' ', '{'};
    for (size_t i = 0; i < sizeof(intro); i++) {
        if (c->p + i == c->end) {
            return ERR_AGAIN;
        }
        if (c->p[i] != intro[i]) {
            return 0;
        }
    }
    return 1;
}

/* Behind a value, what is neither a line's end nor a timestamp nor an exemplar: since 2.53 the sample is counted before
 * the next look finds it, and refuses the body for it. *ret_at_end: that depends on whether more bytes come. */
static bool is_half_read(const struct cursor *c, bool *ret_at_end)
{
    size_t left = (size_t)(c->end - c->p);
    bool is_hash = left > 1 && c->p[0] == ' ' && c->p[1] == '#';
    *ret_at_end = false;
    if (c->p[0] != ' ') {
        return c->p[0] != '\n';
    }
    if (left == 1 || (is_hash && left == 3 && c->p[2] == ' ')) {
        *ret_at_end = true;
        return false;
    }
    return (!is_hash && strchr(" \n", c->p[1]) != NULL) || (is_hash && left > 3 && c->p[2] == ' ');
}

static int parse_sample_rest(const struct text_state *t, struct cursor *c, struct sample *sample, struct errctx *err)
{
    struct view text;
    int rc = parse_token(c, &text, "expected value after metric", err);
    rc = rc != 0 ? rc : check_float(c, text, false, err);
    if (rc != 0) {
        return rc;
    }
    int exemplar = exemplar_follows(c);
    if (exemplar != 1 && t->major >= PROMETHEUS_2_53 && is_half_read(c, &sample->half)) {
        return 0;
    }
    if (exemplar == 0 && *c->p == ' ') {
        rc = parse_token(c, &text, "expected timestamp or # symbol", err);
        rc = rc != 0 ? rc : check_float(c, text, true, err);
        if (rc != 0) {
            return rc;
        }
        int64_t seconds = number_whole(text);
        sample_set_time(sample, seconds > INT64_MAX / 1000   ? INT64_MAX
                                : seconds < INT64_MIN / 1000 ? INT64_MIN
                                                             : seconds * 1000);
        exemplar = exemplar_follows(c);
    }
    if (exemplar != 1) {
        return exemplar < 0 ? exemplar : expect(c, '\n', "expected next entry after timestamp", err);
    }
    c->p += 4;
    return parse_exemplar(t, c, sample->name, err);
}

static int parse_sample(const struct text_state *t, struct cursor *c, struct sample *sample, struct errctx *err)
{
    int rc = 0;
    sample_reset(sample);
    if (*c->p != '{') {
        rc = scan_name(c, CLASS_METRIC, &sample->name);
        if (rc != 0) {
            return rc;
        }
    }
    if (*c->p == '{') {
        c->p++;
        rc = parse_labels(t, c, &SERIES_LABELS, sample, err);
    }
    if (rc == 0 && sample->name.base == NULL) {
        return cursor_fail_behind(c, err, "metric name not set");
    }
    return rc != 0 ? rc : parse_sample_rest(t, c, sample, err);
}

int openmetrics_parse_line(struct text_state *t, const char *base, size_t len, bool final, struct sample *sample,
                           struct line *ret, struct errctx *err)
{
    static const char nothing[] = "";
    base = len != 0 ? base : nothing;
    struct cursor c = {base, base, base + len};
    int rc;
    ret->kind = LINE_OTHER;
    if (len == 0) {
        rc = ERR_AGAIN;
    } else if (cursor_is(*base, CLASS_METRIC_FIRST) || (*base == '{' && t->major >= PROMETHEUS_2_53)) {
        ret->kind = LINE_SAMPLE;
        rc = parse_sample(t, &c, sample, err);
    } else if (*base == '#') {
        rc = parse_comment(t, &c, final, ret, err);
    } else {
        rc = cursor_fail(&c, err, "expected a valid start token");
    }
    ret->len = (size_t)(c.p - base);
    if (rc == ERR_AGAIN && final && ret->kind == LINE_SAMPLE && sample->half) {
        return 0;
    }
    return rc == ERR_AGAIN && final ? errctx_set(err, ERR_PARSE, "data does not end with # EOF") : rc;
}
