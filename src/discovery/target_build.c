/* Targets from groups, step by step as Prometheus does it (scrape/target.go).
 *
 * Per target: own labels, then group labels it lacks, then the job's defaults and params; relabel; check the address,
 * the two durations and the values; complete the port (2.x) and `instance`; drop __meta_*. Then, per job: equal hashes
 * are one target, and target_limit counts what is left. A bad target costs itself only and keeps Prometheus' own words.
 *
 * One builder, one arena and one dictionary of names serve all targets of a build. The result must not depend on the
 * order of the groups, so it is sorted before duplicates are told apart. */
#include "discovery/target_build.h"
#include "base/duration.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "model/part.h"

#include <stdio.h>
#include <stdlib.h>

struct build {
    const struct job_conf *job;
    enum prometheus_major major;
    const struct relabel_rules *rules;
    struct arena *arena;
    struct labels_builder labels;
    char interval[DURATION_TEXT_MAX], timeout[DURATION_TEXT_MAX];
    VEC(struct built_target) items;
};

static void set_default(struct build *b, struct view name, struct view value)
{
    if (labels_builder_get(&b->labels, name).len == 0) {
        labels_builder_set(&b->labels, name, value);
    }
}

/* Each key's first value; 2.x lets the job win over the target, 3.x the target. */
static void set_params(struct build *b)
{
    const struct job_conf *job = b->job;
    for (size_t i = 0; i < job->param_count; i++) {
        bool is_first = true;
        for (size_t k = 0; k < i; k++) {
            is_first = is_first && !view_equal(job->params[k].name, job->params[i].name);
        }
        if (!is_first) {
            continue;
        }
        struct view name = view_of(arena_printf(b->arena, "__param_%.*s", VIEW_FMT(job->params[i].name)));
        if (b->major < PROMETHEUS_3) {
            labels_builder_set(&b->labels, name, job->params[i].value);
        } else {
            set_default(b, name, job->params[i].value);
        }
    }
}

static void populate(struct build *b, const struct labels *target, const struct labels *common)
{
    labels_builder_load(&b->labels, target);
    for (size_t i = 0; i < labels_count(common); i++) {
        struct label at = labels_at(common, i);
        set_default(b, at.name, at.value);
    }
    set_default(b, VIEW("job"), view_of(b->job->name));
    set_default(b, VIEW("__scrape_interval__"), view_of(b->interval));
    set_default(b, VIEW("__scrape_timeout__"), view_of(b->timeout));
    set_default(b, VIEW("__metrics_path__"), view_of(b->job->metrics_path));
    set_default(b, VIEW("__scheme__"), view_of(b->job->scheme));
    set_params(b);
}

/* Text as Go's %q prints it; arena's. */
static const char *quote(struct build *b, struct view v)
{
    struct bytes out;
    bytes_init(&out, v.len * 4 + 2);
    bytes_append_char(&out, '"');
    for (size_t i = 0; i < v.len;) {
        size_t step = utf8_sequence_len(v.base + i, v.len - i);
        unsigned char c = (unsigned char)v.base[i];
        if (step == 0 || c < 0x20 || c == 0x7f) {
            const char *named = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;
            if (named != NULL) {
                bytes_append_str(&out, named);
            } else {
                bytes_printf(&out, "\\x%02x", c);
            }
            step = 1;
        } else {
            if (c == '"' || c == '\\') {
                bytes_append_char(&out, '\\');
            }
            bytes_append(&out, v.base + i, step);
        }
        i += step;
    }
    bytes_append_char(&out, '"');
    const char *text = arena_dup(b->arena, out.base, out.len);
    bytes_done(&out);
    return text;
}

/* Go's net.SplitHostPort would accept it. */
static bool has_port(struct view a)
{
    const char *last = a.len != 0 ? memrchr(a.base, ':', a.len) : NULL;
    if (last == NULL) {
        return false;
    }
    size_t colon = (size_t)(last - a.base), open_from = 0, close_from = 0;
    if (a.base[0] == '[') {
        const char *end = memchr(a.base, ']', a.len);
        if (end == NULL || (size_t)(end - a.base) + 1 != colon) {
            return false;
        }
        open_from = 1;
        close_from = colon;
    } else if (memchr(a.base, ':', colon) != NULL) {
        return false;
    }
    return memchr(a.base + open_from, '[', a.len - open_from) == NULL &&
           memchr(a.base + close_from, ']', a.len - close_from) == NULL;
}

/* 2.x completes an address without port; a scheme it has no port for is an error (which names the job's scheme). */
static const char *complete_port(struct build *b, struct view *address)
{
    struct view tried = view_of(arena_printf(b->arena, "%.*s:1234", VIEW_FMT(*address)));
    if (b->major >= PROMETHEUS_3 || has_port(*address) || memchr(address->base, '\0', address->len) != NULL ||
        !has_port(tried)) {
        return NULL;
    }
    struct view scheme = labels_builder_get(&b->labels, VIEW("__scheme__"));
    const char *port = scheme.len == 0 || view_is(scheme, "http") ? "80" : view_is(scheme, "https") ? "443" : NULL;
    if (port == NULL) {
        return arena_printf(b->arena, "invalid scheme: %s", quote(b, view_of(b->job->scheme)));
    }
    *address = view_of(arena_printf(b->arena, "%.*s:%s", VIEW_FMT(*address), port));
    labels_builder_set(&b->labels, VIEW("__address__"), *address);
    return NULL;
}

static const char *read_duration(struct build *b, const char *label, const char *what, int64_t *ret_ms)
{
    struct errctx err = ERRCTX_INIT;
    if (duration_parse_prometheus(labels_builder_get(&b->labels, view_of(label)), ret_ms, &err) != 0) {
        return arena_printf(b->arena, "error parsing scrape %s: %s", what, err.msg);
    }
    return *ret_ms == 0 ? arena_printf(b->arena, "scrape %s cannot be 0", what) : NULL;
}

static const char *read_durations(struct build *b, int64_t *ret_interval_ms, int64_t *ret_timeout_ms)
{
    const char *error = read_duration(b, "__scrape_interval__", "interval", ret_interval_ms);
    if (error == NULL) {
        error = read_duration(b, "__scrape_timeout__", "timeout", ret_timeout_ms);
    }
    if (error == NULL && *ret_timeout_ms > *ret_interval_ms) {
        error = arena_printf(b->arena, "scrape timeout cannot be greater than scrape interval (%s > %s)",
                             quote(b, labels_builder_get(&b->labels, VIEW("__scrape_timeout__"))),
                             quote(b, labels_builder_get(&b->labels, VIEW("__scrape_interval__"))));
    }
    return error;
}

static void delete_meta(struct labels_builder *labels)
{
    size_t kept = 0;
    for (size_t i = 0; i < labels->len; i++) {
        if (!view_has_prefix(labels->items[i].name, VIEW("__meta_"))) {
            labels->items[kept++] = labels->items[i];
        }
    }
    labels->len = kept;
}

static const char *check_values(struct build *b)
{
    for (size_t i = 0; i < b->labels.len; i++) {
        struct label at = b->labels.items[i];
        if (!utf8_is_valid(at.value)) {
            return arena_printf(b->arena, "invalid label value for %s: %s", quote(b, at.name), quote(b, at.value));
        }
    }
    return NULL;
}

/* After relabelling; NULL or what is wrong. */
static const char *complete(struct build *b, int64_t *ret_interval_ms, int64_t *ret_timeout_ms)
{
    struct view address = labels_builder_get(&b->labels, VIEW("__address__"));
    if (address.len == 0) {
        return "no address";
    }
    const char *error = complete_port(b, &address);
    if (error == NULL && memchr(address.base, '/', address.len) != NULL) {
        const char *at = memrchr(address.base, '@', address.len); /* before it, there may be a password */
        size_t skip = at != NULL ? (size_t)(at + 1 - address.base) : 0;
        struct view shown = view_make(address.base + skip, address.len - skip);
        error = arena_printf(b->arena, "%s is not a valid hostname", quote(b, shown));
    }
    if (error == NULL) {
        error = read_durations(b, ret_interval_ms, ret_timeout_ms);
    }
    if (error != NULL) {
        return error;
    }
    delete_meta(&b->labels);
    labels_builder_delete(&b->labels, VIEW(PART_COUNT_LABEL)); /* nobody but the balancer makes parts */
    set_default(b, VIEW("instance"), address);
    return check_values(b);
}

static void build_one(struct build *b, const struct labels *own, const struct labels *common)
{
    int64_t interval_ms, timeout_ms;
    struct built_target *item = vec_push(&b->items);
    populate(b, own, common);
    item->discovered = labels_builder_build(&b->labels);
    labels_builder_load(&b->labels, item->discovered);
    item->state = LEDGER_DROPPED;
    if (relabel_process(b->rules, &b->labels)) {
        const char *error = complete(b, &interval_ms, &timeout_ms);
        item->state = error == NULL ? LEDGER_PENDING : LEDGER_INVALID;
        if (error != NULL) {
            item->error = mem_strdup(error);
        } else {
            struct labels *labels = labels_builder_build(&b->labels);
            char *url = target_url(labels, b->job->params, b->job->param_count);
            item->target = target_new(b->job->name, labels, labels_ref(item->discovered), url, interval_ms, timeout_ms,
                                      b->job->interval_ms, b->job->timeout_ms);
            free(url);
        }
    }
    labels_builder_reset(&b->labels);
    arena_reset(b->arena);
}

static int compare_labels(const struct labels *a, const struct labels *b)
{
    size_t n = labels_count(a) < labels_count(b) ? labels_count(a) : labels_count(b);
    for (size_t i = 0; i < n; i++) {
        struct label x = labels_at(a, i), y = labels_at(b, i);
        int c = view_compare(x.name, y.name);
        c = c != 0 ? c : view_compare(x.value, y.value);
        if (c != 0) {
            return c;
        }
    }
    return (labels_count(a) > labels_count(b)) - (labels_count(a) < labels_count(b));
}

static int compare_items(const void *a, const void *b)
{
    const struct built_target *x = a, *y = b;
    uint64_t p = x->target != NULL ? x->target->hash : 0, q = y->target != NULL ? y->target->hash : 0;
    if (x->state != y->state) {
        return x->state < y->state ? -1 : 1;
    }
    return p != q ? (p < q ? -1 : 1) : compare_labels(x->discovered, y->discovered);
}

static void sort_items(struct built_target *items, size_t count)
{
    if (count > 1) {
        qsort(items, count, sizeof(*items), compare_items);
    }
}

/* items sorted: equal hashes stand together, good ones first. */
static size_t mark_duplicates(struct built_target *items, size_t count)
{
    size_t good = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < count && items[i].state == LEDGER_PENDING; i++) {
        uint64_t hash = items[i].target->hash;
        if (good > 0 && hash == last) {
            items[i].state = LEDGER_DUPLICATE;
        } else {
            good++;
        }
        last = hash;
    }
    return good;
}

static size_t apply_limit(const struct job_conf *job, struct built_target *items, size_t count, size_t good)
{
    if (job->target_limit == 0 || good <= job->target_limit) {
        return good;
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].state == LEDGER_PENDING) {
            items[i].state = LEDGER_OVER_LIMIT;
        }
    }
    return 0;
}

void target_build(const struct job_conf *job, enum prometheus_major major, const struct relabel_rules *rules,
                  struct target_group *const *groups, size_t group_count, struct built_job *ret)
{
    struct build b = {.job = job, .major = major, .rules = rules, .arena = arena_new()};
    labels_builder_init(&b.labels, b.arena);
    b.labels.names = label_names_new();
    duration_format_prometheus(job->interval_ms, b.interval);
    duration_format_prometheus(job->timeout_ms, b.timeout);
    for (size_t i = 0; i < group_count; i++) {
        for (size_t k = 0; k < groups[i]->count; k++) {
            build_one(&b, groups[i]->targets[k], groups[i]->common);
        }
    }
    sort_items(b.items.items, b.items.len);
    size_t good = mark_duplicates(b.items.items, b.items.len);
    good = apply_limit(job, b.items.items, b.items.len, good);
    sort_items(b.items.items, b.items.len);
    b.items.items = mem_realloc(b.items.items, b.items.len * sizeof(*b.items.items));
    *ret = (struct built_job){
        .job = job->name,
        .items = b.items.items,
        .count = b.items.len,
        .good = good,
        .keep_dropped = job->keep_dropped_targets,
    };
    label_names_unref(b.labels.names);
    labels_builder_done(&b.labels);
    arena_free(&b.arena);
}

void built_job_done(struct built_job *b)
{
    for (size_t i = 0; i < b->count; i++) {
        target_unref(b->items[i].target);
        labels_unref(b->items[i].discovered);
        free(b->items[i].error);
    }
    free(b->items);
    *b = (struct built_job){0};
}
