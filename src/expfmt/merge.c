/* Merging a sample's labels with its target's, as Prometheus' scrape loop does with its label builder.
 *
 * The exposed labels are sorted first (stable, so that of duplicates the first written counts) and then set in
 * order, which keeps the builder's sorted array append-only: a line of 200,000 labels stays n log n. An exposed
 * label with an empty value removes its name, duplicates included, but still counts as present for honor_labels.
 * Names the target or a rule sets replace all exposed ones, in 3.x only the first of them. What is a duplicate
 * after that is remembered with its value, since later steps may still resolve it. */
#include "expfmt/merge.h"

#include "base/mem.h"
#include "expfmt/float_text.h"

#include <stdlib.h>

#define SORT_SMALL 24

static const struct view NAME_LABEL = {"__name__", 8};

/* \\ \" and \n stand for one byte each; other backslashes stand for themselves. */
static struct view unescape(struct arena *arena, struct view raw)
{
    if (raw.len == 0 || memchr(raw.base, '\\', raw.len) == NULL) {
        return raw;
    }
    char *out = arena_alloc(arena, raw.len);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char next = i + 1 < raw.len ? raw.base[i + 1] : '\0';
        if (raw.base[i] == '\\' && (next == '\\' || next == '"' || next == 'n')) {
            out[n++] = next == 'n' ? '\n' : next;
            i++;
        } else {
            out[n++] = raw.base[i];
        }
    }
    return view_make(out, n);
}

static int compare_labels(const void *a, const void *b)
{
    return view_compare(((const struct sample_label *)a)->name, ((const struct sample_label *)b)->name);
}

/* Stable: insertion for the usual sizes, glibc's qsort (a merge sort) beyond. */
static void sort_labels(struct sample_label *items, size_t count)
{
    if (count > SORT_SMALL) {
        qsort(items, count, sizeof(items[0]), compare_labels);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct sample_label item = items[i];
        size_t at = i;
        for (; at > 0 && view_compare(items[at - 1].name, item.name) > 0; at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

/* 3.x spells the floats in le and quantile its own way before rules see them. */
static void exposed_normalise(struct counter *c, size_t count)
{
    char buf[FLOAT_TEXT_MAX];
    const char *label = c->text.type == SAMPLE_TYPE_HISTOGRAM ? "le" : "quantile";
    for (size_t i = 1; i < count; i++) {
        if (view_is(c->exposed[i].name, label)) {
            struct view text = float_text_normalise(c->exposed[i].value, buf);
            c->exposed[i].value = text.base != NULL ? arena_view(c->arena, text) : c->exposed[i].value;
        }
    }
}

static size_t exposed_fill(struct counter *c, const struct sample *sample)
{
    size_t count = sample->label_count + 1;
    if (count > c->exposed_cap) {
        c->exposed_cap = count * 2;
        c->exposed = mem_realloc(c->exposed, c->exposed_cap * sizeof(c->exposed[0]));
    }
    c->exposed[0] = (struct sample_label){NAME_LABEL, sample->name};
    for (size_t i = 0; i < sample->label_count; i++) {
        c->exposed[i + 1] = sample->labels[i];
    }
    for (size_t i = 0; sample->escaped && i < count; i++) {
        c->exposed[i].name = unescape(c->arena, c->exposed[i].name);
        c->exposed[i].value = unescape(c->arena, c->exposed[i].value);
    }
    if (c->conf.major >= PROMETHEUS_3 && c->text.type != SAMPLE_TYPE_OTHER && c->format != EXPOSITION_PROTOBUF) {
        exposed_normalise(c, count);
    }
    sort_labels(c->exposed, count);
    return count;
}

static const struct sample_label *exposed_find(const struct counter *c, size_t count, struct view name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (view_compare(c->exposed[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < count && view_equal(c->exposed[low].name, name) ? &c->exposed[low] : NULL;
}

static void duplicate_add(struct counter *c, const struct sample_label *l, const char *taken)
{
    if (c->duplicate_count == c->duplicate_cap) {
        c->duplicate_cap = c->duplicate_cap != 0 ? c->duplicate_cap * 2 : 8;
        c->duplicates = mem_realloc(c->duplicates, c->duplicate_cap * sizeof(c->duplicates[0]));
    }
    c->duplicates[c->duplicate_count++] = (struct merge_duplicate){{l->name, l->value}, taken};
}

/* Sets the exposed labels, group of equal names by group. */
static void set_exposed(struct counter *c, size_t count)
{
    for (size_t i = 0, next; i < count; i = next) {
        bool removed = false;
        for (next = i; next < count && view_equal(c->exposed[next].name, c->exposed[i].name); next++) {
            removed = removed || c->exposed[next].value.len == 0;
        }
        if (removed) {
            continue;
        }
        labels_builder_set(&c->builder, c->exposed[i].name, c->exposed[i].value);
        for (size_t k = i + 1; k < next; k++) {
            duplicate_add(c, &c->exposed[k], c->exposed[i].value.base);
        }
    }
}

static bool is_public(struct view name)
{
    return !view_has_prefix(name, VIEW("__"));
}

/* An exposed value whose name the target takes. */
struct conflict {
    struct view name, value;
};

/* exported_ in front, as often as it takes until nobody has the name. */
static struct view exported_name(struct counter *c, size_t exposed_count, const struct conflict *before,
                                 size_t before_count, struct view name)
{
    bool taken = true;
    while (taken) {
        struct view prefixed = {arena_printf(c->arena, "exported_%.*s", VIEW_FMT(name)), name.len + 9};
        taken = exposed_find(c, exposed_count, prefixed) != NULL || labels_get(c->target, prefixed).base != NULL;
        for (size_t i = 0; i < before_count && !taken; i++) {
            taken = view_equal(before[i].name, prefixed);
        }
        name = prefixed;
    }
    return name;
}

static int compare_conflicts(const void *a, const void *b)
{
    const struct conflict *x = a, *y = b;
    return (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void move_conflicts(struct counter *c, size_t exposed_count, struct conflict *conflicts, size_t count)
{
    qsort(conflicts, count, sizeof(conflicts[0]), compare_conflicts);
    for (size_t i = 0; i < count; i++) {
        conflicts[i].name = exported_name(c, exposed_count, conflicts, i, conflicts[i].name);
    }
    for (size_t i = 0; i < count; i++) {
        labels_builder_set(&c->builder, conflicts[i].name, conflicts[i].value);
    }
}

static void set_target(struct counter *c, size_t exposed_count)
{
    size_t count = labels_count(c->target), conflict_count = 0;
    struct conflict *conflicts = arena_alloc(c->arena, (count + 1) * sizeof(struct conflict));
    for (size_t i = 0; i < count; i++) {
        struct label l = labels_at(c->target, i);
        if (!is_public(l.name)) {
            continue;
        }
        const struct sample_label *e = exposed_find(c, exposed_count, l.name);
        if (c->conf.honor_labels && e != NULL) {
            continue;
        }
        if (e != NULL && e->value.len > 0) {
            conflicts[conflict_count++] = (struct conflict){e->name, e->value};
        }
        labels_builder_set(&c->builder, l.name, l.value);
    }
    if (conflict_count > 0) {
        move_conflicts(c, exposed_count, conflicts, conflict_count);
    }
}

void merge_build(struct counter *c, const struct sample *sample)
{
    labels_builder_reset(&c->builder);
    arena_reset(c->arena);
    c->duplicate_count = 0;
    size_t count = exposed_fill(c, sample);
    set_exposed(c, count);
    if (c->target != NULL) {
        set_target(c, count);
        merge_duplicates_settle(c); /* names the target has set are none any more, whatever rules copy to them */
    }
    if (c->conf.drop_label.len > 0) {
        labels_builder_delete(&c->builder, c->conf.drop_label);
        merge_duplicates_settle(c);
    }
}

/* The value a plain sample exposes; {NULL, 0} when it has none. */
static struct view exposed_value(struct counter *c, const struct sample *sample, struct view name)
{
    if (view_equal(name, NAME_LABEL)) {
        return sample->name;
    }
    for (size_t i = 0; i < sample->label_count; i++) {
        if (view_equal(sample->labels[i].name, name)) {
            return sample->escaped ? unescape(c->arena, sample->labels[i].value) : sample->labels[i].value;
        }
    }
    return (struct view){NULL, 0};
}

void merge_build_judges(struct counter *c, const struct sample *sample)
{
    labels_builder_reset(&c->builder);
    arena_reset(c->arena);
    c->duplicate_count = 0;
    for (size_t i = 0; i < c->judge_count; i++) {
        struct view name = c->judges[i], value = exposed_value(c, sample, name);
        if (c->target != NULL && is_public(name) && !(c->conf.honor_labels && value.base != NULL)) {
            struct view set = labels_get(c->target, name);
            value = set.base != NULL ? set : value;
        }
        if (value.len > 0 && !view_equal(name, c->conf.drop_label)) {
            labels_builder_set(&c->builder, name, value);
        }
    }
}

void merge_duplicates_settle(struct counter *c)
{
    size_t left = 0;
    for (size_t i = 0; i < c->duplicate_count; i++) {
        struct view value = labels_builder_get(&c->builder, c->duplicates[i].label.name);
        if (value.base != NULL && (c->conf.major >= PROMETHEUS_3 || value.base == c->duplicates[i].taken)) {
            c->duplicates[left++] = c->duplicates[i];
        }
    }
    c->duplicate_count = left;
}
