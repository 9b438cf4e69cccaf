/* From a parsed sample to a counted series, in Prometheus' order: attach the target's labels, relabel, check
 * names, check label limits, check for duplicate label names (which its storage does, once sample_limit is not
 * used up).
 *
 * Most bodies need none of that: without rules and label limits a sample counts as it is, and only the rare line
 * that could be refused later (a name that is none, a duplicate label) goes the long way. The long way builds the
 * label set in an arena that is reset for each sample. Errors carry Prometheus' own words, since they end up in a
 * target's lastError. */
#include "base/utf8.h"
#include "expfmt/cursor.h"
#include "expfmt/merge.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define PLAIN_LABELS_MAX 16
#define SET_TEXT_MAX     300

static const struct view NAME_LABEL = {"__name__", 8};

void series_done(struct counter *c)
{
    MEM_FREE(c->exposed);
    MEM_FREE(c->duplicates);
}

static bool name_is_legacy(struct view name, unsigned first, unsigned rest)
{
    if (name.len == 0 || !cursor_is(name.base[0], first)) {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        if (!cursor_is(name.base[i], rest)) {
            return false;
        }
    }
    return true;
}

static bool names_are_utf8(const struct counter *c)
{
    return c->conf.major >= PROMETHEUS_3 && c->conf.utf8_names;
}

static bool label_is_valid(const struct counter *c, const struct label *l)
{
    bool is_name = view_equal(l->name, NAME_LABEL);
    if (!utf8_is_valid(l->value)) {
        return false;
    }
    if (names_are_utf8(c)) {
        return l->name.len > 0 && utf8_is_valid(l->name);
    }
    return name_is_legacy(l->name, CLASS_LABEL_FIRST, CLASS_LABEL) &&
           (!is_name || name_is_legacy(l->value, CLASS_METRIC_FIRST, CLASS_METRIC));
}

static int fail_invalid_names(const struct counter *c, struct errctx *err)
{
    char text[SET_TEXT_MAX + 1] = "";
    size_t n = 0;
    for (size_t i = 0; i < c->builder.len && n < SET_TEXT_MAX; i++) {
        const struct label *l = &c->builder.items[i];
        int name = (int)(l->name.len < SET_TEXT_MAX ? l->name.len : SET_TEXT_MAX);
        int value = (int)(l->value.len < SET_TEXT_MAX ? l->value.len : SET_TEXT_MAX);
        int made = snprintf(text + n, sizeof(text) - n, "%s%.*s=\"%.*s\"", i > 0 ? ", " : "", name, l->name.base, value,
                            l->value.base);
        n += made > 0 ? (size_t)made : 0;
    }
    return errctx_set(err, ERR_INVALID, "invalid metric name or label names: {%s}", text);
}

static int check_names(const struct counter *c, struct errctx *err)
{
    if (labels_builder_get(&c->builder, NAME_LABEL).base == NULL) {
        return errctx_set(err, ERR_INVALID, "missing metric name (__name__ label)");
    }
    for (size_t i = 0; i < c->builder.len; i++) {
        if (!label_is_valid(c, &c->builder.items[i])) {
            return fail_invalid_names(c, err);
        }
    }
    for (size_t i = 0; i < c->duplicate_count; i++) {
        if (!label_is_valid(c, &c->duplicates[i].label)) {
            return fail_invalid_names(c, err);
        }
    }
    return 0;
}

static int cut(struct view v)
{
    return (int)(v.len < 50 ? v.len : 50);
}

static int check_length(const struct counter *c, struct view metric, const struct label *l, struct errctx *err)
{
    uint64_t name_max = c->conf.label_name_length_limit, value_max = c->conf.label_value_length_limit;
    if (name_max != 0 && l->name.len > name_max) {
        return errctx_set(err, ERR_INVALID,
                          "label_name_length_limit exceeded (metric: %.*s, label name: %.*s, length: %zu, limit: %llu)",
                          cut(metric), metric.base, cut(l->name), l->name.base, l->name.len,
                          (unsigned long long)name_max);
    }
    if (value_max != 0 && l->value.len > value_max) {
        return errctx_set(err, ERR_INVALID,
                          "label_value_length_limit exceeded (metric: %.*s, label name: %.*s, value: \"%.*s\", length: "
                          "%zu, limit: %llu)",
                          cut(metric), metric.base, cut(l->name), l->name.base, cut(l->value), l->value.base,
                          l->value.len, (unsigned long long)value_max);
    }
    return 0;
}

static int check_limits(const struct counter *c, struct errctx *err)
{
    struct view metric = labels_builder_get(&c->builder, NAME_LABEL);
    size_t count = c->builder.len + c->duplicate_count;
    if (c->conf.label_limit != 0 && count > c->conf.label_limit) {
        return errctx_set(err, ERR_INVALID, "label_limit exceeded (metric: %.*s, number of labels: %zu, limit: %llu)",
                          cut(metric), metric.base, count, (unsigned long long)c->conf.label_limit);
    }
    int rc = 0;
    for (size_t i = 0; i < c->builder.len && rc == 0; i++) {
        rc = check_length(c, metric, &c->builder.items[i], err);
    }
    for (size_t i = 0; i < c->duplicate_count && rc == 0; i++) {
        rc = check_length(c, metric, &c->duplicates[i].label, err);
    }
    return rc;
}

static void series_count(struct counter *c, const struct sample *sample, struct family *family)
{
    c->result.series++;
    c->stale_samples += sample != NULL && sample->stale;
    if (family != NULL) {
        family->total++;
    }
}

/* The storage refuses duplicate label names, if the sample gets that far: sample_limit and the bounds of its
 * timestamp are checked before. (Bounds move with the clock; only what is out of them at all times is known here.) */
static bool is_appended(const struct counter *c, const struct sample *sample)
{
    if (sample->unstorable && !c->conf.ignore_timestamps) {
        return false;
    }
    return c->conf.sample_limit == 0 || sample->stale || c->result.series - c->stale_samples < c->conf.sample_limit;
}

/* The long way. */
static int series_add_set(struct counter *c, const struct sample *sample, struct family *family, struct errctx *err)
{
    merge_build(c, sample);
    if (c->conf.metric_relabel != NULL && !relabel_process(c->conf.metric_relabel, &c->builder)) {
        return 0;
    }
    if (c->builder.len == 0) {
        return 0;
    }
    merge_duplicates_settle(c);
    int rc = check_names(c, err);
    rc = rc != 0 ? rc : check_limits(c, err);
    if (rc != 0) {
        return rc;
    }
    if (c->duplicate_count > 0 && is_appended(c, sample)) {
        struct view duplicate = c->duplicates[0].label.name;
        return errctx_set(err, ERR_INVALID, "label name \"%.*s\" is not unique: invalid sample", cut(duplicate),
                          duplicate.base);
    }
    series_count(c, sample, family);
    return 0;
}

/* Nothing about the names could be refused: they are legacy names, and no two are equal. */
static bool sample_is_plain(const struct sample *sample)
{
    if (sample->quoted || sample->label_count > PLAIN_LABELS_MAX ||
        !cursor_is(sample->name.base[0], CLASS_METRIC_FIRST)) {
        return false;
    }
    for (size_t i = 0; i < sample->label_count; i++) {
        struct view name = sample->labels[i].name;
        if (name.base[0] == '_' && view_equal(name, NAME_LABEL)) {
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (view_equal(sample->labels[k].name, name)) {
                return false;
            }
        }
    }
    return true;
}

static bool family_is_kept(struct counter *c, struct family *family, struct view name)
{
    if (family->verdict == FAMILY_UNDECIDED) {
        family->verdict = relabel_name_kept(c->conf.metric_relabel, name) ? FAMILY_KEPT : FAMILY_DROPPED;
    }
    return family->verdict == FAMILY_KEPT;
}

void series_add_name(struct counter *c, struct view name)
{
    series_add_family(c, c->needs_names ? families_find(&c->families, name) : NULL, name);
}

void series_add_family(struct counter *c, struct family *family, struct view name)
{
    if (family != NULL) {
        family->scraped++;
    }
    if (!c->name_rules || family_is_kept(c, family, name)) {
        series_count(c, NULL, family);
    }
}

/* 3.x spells some values of histograms and summaries its own way before rules see them. */
static bool is_judged(const struct counter *c)
{
    return c->judge_count > 0 && (c->conf.major < PROMETHEUS_3 || c->text.type == SAMPLE_TYPE_OTHER);
}

int series_add(struct counter *c, const struct sample *sample, struct errctx *err)
{
    bool plain = sample_is_plain(sample);
    if (!c->needs_sets && plain && !sample->stale) {
        series_add_name(c, sample->name);
        return 0;
    }
    struct family *family = c->needs_names ? families_find(&c->families, sample->name) : NULL;
    if (family != NULL) {
        family->scraped++;
    }
    if (plain && is_judged(c)) {
        merge_build_judges(c, sample);
        if (relabel_process(c->conf.metric_relabel, &c->builder)) {
            series_count(c, sample, family);
        }
        return 0;
    }
    return series_add_set(c, sample, family, err);
}
