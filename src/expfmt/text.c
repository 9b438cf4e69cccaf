/* The careful parser of the text format: one line, byte by byte, with every oddity of Prometheus' lexer. It
 * decides what the fast scanner (scan.c) does not recognise, and what relabelling needs taken apart.
 *
 * Prometheus' lexer is a DFA with states; where it tolerates NUL bytes depends on the state in which it looks
 * ahead, which is why NULs are skipped at some places and fatal at others. 3.x adds quoted names. This file must
 * never look at a byte it was not given, nor keep one. */
#include "expfmt/text.h"

#include "expfmt/cursor.h"
#include "expfmt/number.h"

static int scan_name(struct cursor *c, unsigned class_mask, struct view *ret)
{
    const char *begin = c->p;
    cursor_skip(c, class_mask);
    *ret = view_make(begin, (size_t)(c->p - begin));
    return cursor_at_end(c) ? ERR_AGAIN : 0;
}

static int line_rest(struct cursor *c)
{
    const char *lf = memchr(c->p, '\n', (size_t)(c->end - c->p));
    if (lf == NULL) {
        return ERR_AGAIN;
    }
    c->p = lf + 1;
    return 0;
}

/* Behind "# HELP " or "# TYPE ": a name, one byte of any kind, text to the line's end. */
static int parse_metadata(struct text_state *t, struct cursor *c, bool is_type, struct errctx *err)
{
    struct view name;
    struct quoted q;
    int rc = ERR_PARSE;
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (cursor_is(*c->p, CLASS_METRIC_FIRST)) {
        rc = scan_name(c, CLASS_METRIC, &name);
    } else if (*c->p == '"' && t->major >= PROMETHEUS_2_53) {
        rc = cursor_quoted(c, QUOTED_LF, &q);
    }
    if (rc != 0) {
        return rc == ERR_AGAIN ? rc : cursor_fail(c, err, "expected metric name after HELP or TYPE");
    }
    struct view text = {c->p, 0};
    bool cut = *c->p == '\0'; /* a NUL right behind the name ends the input inside the line */
    if (!cut && line_rest(c) != 0) {
        return ERR_AGAIN;
    }
    if (c->p - text.base > 2) {
        text = view_make(text.base + 1, (size_t)(c->p - text.base) - 2);
    }
    if (is_type && !sample_type_parse(text, &t->type)) {
        return cursor_fail(c, err, "invalid metric type");
    }
    if (!is_type && !cursor_utf8(text)) {
        return cursor_fail(c, err, "help text is not a valid utf8 string");
    }
    return cut ? cursor_fail(c, err, "linebreak expected after metadata") : 0;
}

/* A comment that is none of ours, from where the lexer gave up on it. */
static int skip_comment(struct cursor *c, bool nul_ends, struct line *ret)
{
    const char *lf = memchr(c->p, '\n', (size_t)(c->end - c->p));
    size_t len = (size_t)((lf != NULL ? lf : c->end) - c->p);
    if (nul_ends && len > 0 && memchr(c->p, '\0', len) != NULL) {
        ret->kind = LINE_END;
        return 0;
    }
    return line_rest(c);
}

static int parse_comment(struct text_state *t, struct cursor *c, struct line *ret, struct errctx *err)
{
    c->p++;
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (!cursor_is(*c->p, CLASS_BLANK)) {
        return skip_comment(c, true, ret);
    }
    cursor_skip(c, CLASS_BLANK);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (*c->p == '\0') {
        ret->kind = LINE_END;
        return 0;
    }
    bool is_type = *c->p == 'T';
    int rc = cursor_keyword(c, is_type ? "TYPE" : "HELP");
    if (rc <= 0) {
        return rc < 0 ? rc : skip_comment(c, false, ret);
    }
    cursor_skip_nul(c);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (!cursor_is(*c->p, CLASS_BLANK)) {
        return skip_comment(c, false, ret);
    }
    cursor_skip_blank_nul(c);
    return parse_metadata(t, c, is_type, err);
}

/* The pair behind a label name: '=' and the value; then at most one comma. */
static int parse_label_rest(struct cursor *c, struct view name, struct sample *sample, struct errctx *err)
{
    struct quoted value;
    cursor_skip(c, CLASS_BLANK);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (*c->p != '=') {
        return cursor_fail(c, err, "expected equal");
    }
    c->p++;
    if (c->p < c->end && cursor_is(*c->p, CLASS_BLANK)) {
        cursor_skip_blank_nul(c);
    }
    int rc = cursor_label_value(c, QUOTED_NUL | QUOTED_LF, &value, err);
    if (rc != 0) {
        return rc;
    }
    sample->escaped = sample->escaped || value.escaped;
    sample_add_label(sample, name, value.text);
    cursor_skip(c, CLASS_BLANK);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    c->p += *c->p == ',';
    return 0;
}

/* A quoted string inside the braces (3.x): alone it is the metric's name, before '=' a label's name. */
static int parse_quoted_name(struct cursor *c, struct sample *sample, bool *closed, struct errctx *err)
{
    struct quoted q;
    int rc = cursor_quoted(c, QUOTED_LF, &q);
    if (rc != 0) {
        return rc == ERR_AGAIN ? rc : cursor_fail(c, err, "expected label name");
    }
    sample->escaped = sample->escaped || q.escaped;
    sample->quoted = true;
    cursor_skip(c, CLASS_BLANK);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (*c->p != ',' && *c->p != '}') {
        return parse_label_rest(c, q.text, sample, err);
    }
    if (sample->name.base != NULL) {
        return cursor_fail(c, err, "metric name already set");
    }
    sample->name = q.text;
    *closed = *c->p == '}';
    c->p++;
    return 0;
}

static int parse_labels(const struct text_state *t, struct cursor *c, struct sample *sample, struct errctx *err)
{
    bool closed = false;
    while (!closed) {
        struct view name;
        int rc;
        cursor_skip(c, CLASS_BLANK);
        if (cursor_at_end(c)) {
            return ERR_AGAIN;
        }
        if (*c->p == '}') {
            c->p++;
            return 0;
        }
        if (cursor_is(*c->p, CLASS_LABEL_FIRST)) {
            rc = scan_name(c, CLASS_LABEL, &name);
            rc = rc != 0 ? rc : parse_label_rest(c, name, sample, err);
        } else if (*c->p == '"' && t->major >= PROMETHEUS_2_53) {
            rc = parse_quoted_name(c, sample, &closed, err);
        } else {
            return cursor_fail(c, err, "expected label name");
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int parse_value(struct cursor *c, struct errctx *err)
{
    cursor_skip(c, CLASS_BLANK);
    const char *begin = c->p;
    while (c->p < c->end && !cursor_is(*c->p, CLASS_BLANK) && *c->p != '\n' && *c->p != '{' && *c->p != '\0') {
        c->p++;
    }
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    struct view text = view_make(begin, (size_t)(c->p - begin));
    if (text.len == 0) {
        return cursor_fail(c, err, "expected value after metric");
    }
    switch (number_float_kind(text)) {
    case NUMBER_BAD:
        return cursor_fail(c, err, "strconv.ParseFloat: invalid syntax");
    case NUMBER_RANGE:
        return cursor_fail(c, err, "strconv.ParseFloat: value out of range");
    default:
        return 0;
    }
}

static int parse_timestamp(struct cursor *c, struct sample *sample, struct errctx *err)
{
    cursor_skip(c, CLASS_BLANK);
    const char *begin = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
        c->p++;
    }
    struct view text = view_make(begin, (size_t)(c->p - begin));
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (text.len > 0 && !number_fits_int64(text)) {
        return cursor_fail(c, err, "strconv.ParseInt: value out of range");
    }
    if (text.len > 0) {
        sample_set_time(sample, number_whole(text));
    }
    cursor_skip(c, CLASS_BLANK);
    if (cursor_at_end(c)) {
        return ERR_AGAIN;
    }
    if (*c->p != '\n') {
        return cursor_fail(c, err,
                           text.len > 0 ? "expected next entry after timestamp" : "expected timestamp or new record");
    }
    c->p++;
    return 0;
}

static int parse_sample(const struct text_state *t, struct cursor *c, struct sample *sample, struct errctx *err)
{
    int rc = 0;
    sample_reset(sample);
    if (*c->p != '{') {
        cursor_skip(c, CLASS_METRIC);
        sample->name = view_make(c->line, (size_t)(c->p - c->line)); /* blanks before it are part of the name */
        cursor_skip(c, CLASS_BLANK);
        if (cursor_at_end(c)) {
            return ERR_AGAIN;
        }
    }
    if (*c->p == '{') {
        c->p++;
        rc = parse_labels(t, c, sample, err);
    }
    if (rc == 0 && sample->name.base == NULL) {
        return cursor_fail_behind(c, err, "metric name not set");
    }
    rc = rc != 0 ? rc : parse_value(c, err);
    return rc != 0 ? rc : parse_timestamp(c, sample, err);
}

int text_parse_line(struct text_state *t, const char *base, size_t len, struct sample *sample, struct line *ret,
                    struct errctx *err)
{
    struct cursor c = {base, base, base + len};
    int rc = 0;
    ret->kind = LINE_OTHER;
    cursor_skip(&c, CLASS_BLANK);
    if (cursor_at_end(&c)) {
        return ERR_AGAIN;
    }
    if (cursor_is(*c.p, CLASS_METRIC_FIRST) || (*c.p == '{' && t->major >= PROMETHEUS_2_53)) {
        ret->kind = LINE_SAMPLE;
        rc = parse_sample(t, &c, sample, err);
    } else if (*c.p == '\n') {
        c.p++;
    } else if (*c.p == '#') {
        rc = parse_comment(t, &c, ret, err);
    } else if (*c.p == '\0') {
        ret->kind = LINE_END;
    } else {
        rc = cursor_fail(&c, err, "expected a valid start token");
    }
    ret->len = (size_t)(c.p - base);
    return rc;
}
