/* The sidecar's view and its JSON: see sidecar_view.h. Shapes of Kvass 0.3; "full" is ours, for a coordinator that
 * starts and wants the labels, too. */
#include "api/sidecar_view.h"
#include "api/samples.h"
#include "base/mem.h"
#include "model/wire_push.h"

#include <stdlib.h>

struct sidecar_view *sidecar_view_build(struct shard *s, struct promconf *conf, const char *stop_reason, int64_t now_ms)
{
    static const struct target_status NONE = {0};
    struct sidecar_view *v = mem_calloc(1, sizeof(*v));
    size_t count;
    const struct assignment *items = s->ops->assignment(s, &count);
    v->refs = 1;
    v->built_ms = now_ms;
    v->info = *s->ops->info(s);
    v->conf = conf != NULL ? promconf_ref(conf) : NULL;
    v->stop_reason = mem_strdup(stop_reason);
    v->items = mem_calloc(count + 1, sizeof(*v->items));
    v->statuses = mem_calloc(count + 1, sizeof(*v->statuses));
    for (size_t i = 0; i < count; i++) {
        const struct target_status *status = s->ops->status(s, items[i].target->job, items[i].target->hash);
        v->items[i] = items[i];
        v->items[i].target = target_ref(items[i].target);
        v->statuses[i] = status != NULL ? *status : NONE;
    }
    v->count = count;
    return v;
}

struct sidecar_view *sidecar_view_ref(struct sidecar_view *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void sidecar_view_unref(struct sidecar_view *v)
{
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    wire_targets_free(v->items, v->count);
    free(v->statuses);
    promconf_unref(v->conf);
    free(v->stop_reason);
    free(v);
}

/* ---------------------------------------------------------------- answers */

void sidecar_answer_runtimeinfo(const struct sidecar_view *v, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    wire_write_runtimeinfo(&w, &v->info);
    wire_success_end(&w);
}

static int by_hash(const void *a, const void *b)
{
    const struct assignment *const *x = a, *const *y = b;
    uint64_t p = (*x)->target->hash, q = (*y)->target->hash;
    return p != q ? (p < q ? -1 : 1) : (*x > *y) - (*x < *y);
}

/* A key stands once, whatever the assignment holds: of two jobs with a target of one hash the first is shown. */
void sidecar_answer_statuses(const struct sidecar_view *v, struct bytes *out)
{
    struct json_writer w;
    const struct assignment **order = mem_calloc(v->count + 1, sizeof(struct assignment *));
    for (size_t i = 0; i < v->count; i++) {
        order[i] = &v->items[i];
    }
    if (v->count > 1) {
        qsort(order, v->count, sizeof(struct assignment *), by_hash);
    }
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    for (size_t i = 0; i < v->count; i++) {
        if (i == 0 || order[i]->target->hash != order[i - 1]->target->hash) {
            json_key_u64(&w, order[i]->target->hash);
            wire_write_status(&w, order[i]->state, &v->statuses[order[i] - v->items]);
        }
    }
    json_object_end(&w);
    wire_success_end(&w);
    free(order);
}

void sidecar_answer_targets(const struct sidecar_view *v, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    wire_write_targets(&w, v->items, v->count);
    wire_success_end(&w);
}

void sidecar_answer_samples(const struct sidecar_view *v, struct view job_substring, struct family_count *count,
                            struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    for (size_t i = 0; i < v->count;) {
        const char *job = v->items[i].target->job;
        double scraped = 0, series = 0;
        for (; i < v->count && v->items[i].target->job == job; i++) {
            scraped += (double)v->statuses[i].scraped;
            series += (double)v->statuses[i].series;
        }
        if (job_substring.len == 0 || memmem(job, strlen(job), job_substring.base, job_substring.len) != NULL) {
            json_key(&w, job);
            json_object_begin(&w);
            json_kv_double(&w, "scrapedTotal", scraped);
            json_kv_double(&w, "total", series);
            samples_write_families(&w, count, job);
            json_object_end(&w);
        }
    }
    json_object_end(&w);
    wire_success_end(&w);
}

int sidecar_answer_config(const struct sidecar_view *v, struct bytes *out, struct errctx *err)
{
    struct json_writer w;
    struct bytes yaml;
    bytes_init(&yaml, (size_t)64 << 20);
    int rc = v->conf != NULL ? promconf_write_redacted(v->conf, &yaml, err) : 0;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_view(&w, "yaml", bytes_view(&yaml));
    json_object_end(&w);
    wire_success_end(&w);
    bytes_done(&yaml);
    return rc;
}

void sidecar_answer_extra_config(const struct sidecar_view *v, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    wire_write_extra(&w, v->stop_reason);
    wire_success_end(&w);
}
