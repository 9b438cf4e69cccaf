/* A target as its shard's Prometheus sees it, and the file lists of them.
 *
 * The proxy knows the target's URL by (shard, job, hash), so what Prometheus is told only has to
 * lead there: plain HTTP to the target's own host, port and path, and the four routing parameters.
 * Everything that becomes a series label, and `instance` among it, is spelled out, for the address
 * may differ from the one relabelling saw (its port is completed here). */
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "configgen/render_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_NAME_BYTES_MAX 150

/* --- names */

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name under which a target list can hold the label; {NULL} when there is none: Prometheus 2
 * refuses such series anyhow. */
static struct view carried_name(struct arena *arena, enum prometheus_major major, struct view name)
{
    if (major >= PROMETHEUS_3) {
        return name;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_word_char(name.base[i])) {
            return (struct view){NULL, 0};
        }
    }
    if (name.base[0] >= '0' && name.base[0] <= '9') {
        return view_of(arena_printf(arena, INVALID_LABEL_PREFIX "%.*s", VIEW_FMT(name)));
    }
    return name;
}

bool render_job_may_alias(const struct job_conf *job)
{
    bool found = false;
    for (size_t i = 0; i < job->relabel_count; i++) {
        found = found || job->relabel[i].action == RELABEL_LABELMAP;
    }
    return found && job->major < PROMETHEUS_3;
}

bool render_job_may_lose_job(const struct job_conf *job)
{
    for (size_t i = 0; i < job->relabel_count; i++) {
        const struct relabel_spec *s = &job->relabel[i];
        if (s->action == RELABEL_LABELDROP || s->action == RELABEL_LABELKEEP ||
            view_is(s->target_label, "job") ||
            (s->target_label.len > 0 &&
             memchr(s->target_label.base, '$', s->target_label.len) != NULL)) {
            return true;
        }
    }
    return false;
}

/* --- one target */

static const char *default_port(struct view scheme)
{
    if (view_is(scheme, "https")) {
        return "443";
    }
    return scheme.len == 0 || view_is(scheme, "http") ? "80" : NULL;
}

/* host:port with the port of the original scheme where none is written; a bare IPv6 address stays.
 */
static const char *complete_address(struct arena *arena, struct view address, struct view scheme)
{
    const char *port = default_port(scheme);
    bool bracketed = address.base[0] == '[' && address.base[address.len - 1] == ']';
    const char *first = memchr(address.base, ':', address.len);
    bool bare = first == NULL || bracketed;
    bool empty_port = !bare && first == address.base + address.len - 1;
    if (port == NULL || (!bare && !empty_port)) {
        return arena_dup(arena, address.base, address.len);
    }
    return arena_printf(arena, "%.*s%s%s", VIEW_FMT(address), empty_port ? "" : ":", port);
}

static bool is_writable(const struct labels *labels)
{
    struct view address = labels_get(labels, VIEW("__address__"));
    if (address.len == 0 || memchr(address.base, '/', address.len) != NULL) {
        return false;
    }
    for (size_t i = 0; i < labels_count(labels); i++) {
        struct label l = labels_at(labels, i);
        if (!utf8_is_valid(l.name) || !utf8_is_valid(l.value) ||
            memchr(l.name.base, '\0', l.name.len) != NULL) {
            return false;
        }
    }
    return true;
}

static void carry_labels(struct labels_builder *b, const struct job_conf *job,
                         const struct labels *labels)
{
    for (size_t i = 0; i < labels_count(labels); i++) {
        struct label l = labels_at(labels, i);
        struct view name = carried_name(b->arena, job->major, l.name);
        if (name.base != NULL && !view_is(name, "__address__")) {
            labels_builder_set(b, name, l.value);
        }
    }
}

/* `params` leaves the job, so that it cannot override a target's own; its first values travel with
 * the target. */
static void carry_params(struct labels_builder *b, const struct job_conf *job)
{
    for (size_t i = job->param_count; i > 0; i--) {
        const struct label *p = &job->params[i - 1];
        struct view name = view_of(arena_printf(b->arena, "__param_%.*s", VIEW_FMT(p->name)));
        if (carried_name(b->arena, job->major, name).base != NULL) {
            labels_builder_set(b, name, p->value);
        }
    }
}

static void set_routing(struct labels_builder *b, const struct job_conf *job,
                        const struct render_options *opts, const struct assignment *a,
                        struct view scheme)
{
    labels_builder_set(b, VIEW("__scheme__"), VIEW("http"));
    labels_builder_set(b, VIEW("__param__scheme"), scheme.len != 0 ? scheme : VIEW("http"));
    labels_builder_set(b, VIEW("__param__jobName"), view_of(job->name));
    labels_builder_set(
        b, VIEW("__param__hash"),
        view_of(arena_printf(b->arena, "%llu", (unsigned long long)a->target->hash)));
    labels_builder_delete(b, VIEW("__param__shard"));
    if (opts->shard_id != NULL) {
        labels_builder_set(b, VIEW("__param__shard"), view_of(opts->shard_id));
    }
}

/* What an absent label would let Prometheus fill in with the job's values. */
static void set_explicit(struct labels_builder *b, const struct job_conf *job, const char *address)
{
    if (labels_builder_get(b, VIEW("__metrics_path__")).len == 0) {
        labels_builder_set(b, VIEW("__metrics_path__"), VIEW("/"));
    }
    if (labels_builder_get(b, VIEW("instance")).len == 0) {
        labels_builder_set(b, VIEW("instance"), view_of(address));
    }
    if (labels_builder_get(b, VIEW("job")).len == 0 && render_job_may_lose_job(job)) {
        labels_builder_set(b, VIEW(NO_JOB_LABEL), VIEW("1"));
    }
}

bool render_target(struct arena *arena, const struct job_conf *job,
                   const struct render_options *opts, const struct assignment *a,
                   struct rendered_target *ret)
{
    const struct labels *labels = a->target->labels;
    if (!is_writable(labels)) {
        return false;
    }
    struct labels_builder b;
    struct view scheme = labels_get(labels, VIEW("__scheme__"));
    const char *address = complete_address(arena, labels_get(labels, VIEW("__address__")), scheme);
    labels_builder_init(&b, arena);
    carry_params(&b, job);
    carry_labels(&b, job, labels);
    set_routing(&b, job, opts, a, scheme);
    set_explicit(&b, job, address);
    ret->address = address;
    ret->labels = arena_dup(arena, b.items, b.len * sizeof(*b.items));
    ret->label_count = b.len;
    labels_builder_done(&b);
    return true;
}

/* --- lists */

static int by_job_and_hash(const void *left, const void *right)
{
    const struct target *a = (*(const struct assignment *const *)left)->target;
    const struct target *b = (*(const struct assignment *const *)right)->target;
    if (a->job != b->job) {
        return (uintptr_t)a->job < (uintptr_t)b->job ? -1 : 1;
    }
    return (a->hash > b->hash) - (a->hash < b->hash);
}

static bool is_wanted(const struct assignment *a, const char *job)
{
    return a->state != ASSIGNMENT_LEAVING && (job == NULL || a->target->job == job);
}

struct render_index render_index_build(struct arena *arena, const char *job,
                                       const struct assignment *items, size_t count)
{
    struct render_index index = {0};
    for (size_t i = 0; i < count; i++) {
        index.count += is_wanted(&items[i], job);
    }
    index.items = arena_alloc(arena, (index.count + 1) * sizeof(*index.items));
    for (size_t i = 0, at = 0; i < count; i++) {
        if (is_wanted(&items[i], job)) {
            index.items[at++] = &items[i];
        }
    }
    qsort(index.items, index.count, sizeof(*index.items), by_job_and_hash);
    return index;
}

struct render_index render_index_job(const struct render_index *all, const char *job)
{
    size_t low = 0, end;
    for (size_t high = all->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)all->items[middle]->target->job < (uintptr_t)job) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (end = low; end < all->count && all->items[end]->target->job == job; end++) {
    }
    return (struct render_index){all->items + low, end - low};
}

static void write_target(struct json_writer *w, const struct rendered_target *t)
{
    json_object_begin(w);
    json_key(w, "targets");
    json_array_begin(w);
    json_str(w, t->address);
    json_array_end(w);
    json_key(w, "labels");
    json_object_begin(w);
    for (size_t i = 0; i < t->label_count; i++) {
        json_key_view(w, t->labels[i].name);
        json_view(w, t->labels[i].value);
    }
    json_object_end(w);
    json_object_end(w);
}

int render_target_file(const struct job_conf *job, const struct render_options *opts,
                       const struct assignment *items, size_t count, struct bytes *out,
                       struct errctx *err)
{
    struct arena *arena = arena_new();
    struct json_writer w;
    struct render_index list = render_index_build(arena, job->name, items, count);
    json_writer_init(&w, out);
    json_array_begin(&w);
    for (size_t i = 0; i < list.count; i++) {
        struct rendered_target t;
        if (render_target(arena, job, opts, list.items[i], &t)) {
            write_target(&w, &t);
        }
    }
    json_array_end(&w);
    bytes_append_char(out, '\n');
    arena_free(&arena);
    return bytes_check(out, err);
}

/* Plain characters stay, others become %XX, so different names give different files; overlong ones
 * end in their hash. */
char *render_target_file_name(const char *job)
{
    struct bytes name;
    bytes_init(&name, (size_t)4 * strlen(job) + 64);
    for (const char *c = job; *c != '\0'; c++) {
        bool plain = is_word_char(*c) || *c == '-' || (*c == '.' && c != job);
        if (plain) {
            bytes_append_char(&name, *c);
        } else {
            bytes_printf(&name, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
    if (name.len > FILE_NAME_BYTES_MAX) {
        char *cut = mem_printf("%.*s%%%016llx", FILE_NAME_BYTES_MAX - 20, name.base,
                               (unsigned long long)hash_view(view_of(job)));
        bytes_done(&name);
        return cut;
    }
    return bytes_take(&name, NULL);
}
