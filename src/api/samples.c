/* The call that waits: see samples.h. The wait is a timer on the API's loop, not a thread and not a blocked loop; many
 * may wait for one count. */
#include "api/samples.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"

#include <stdlib.h>

#define REUSE_MS    60000
#define MARGIN_MS   3000
#define WAIT_MAX_MS 180000
#define LOOK_MS     100
#define WAITING_MAX 64

/* ---------------------------------------------------------------- control thread */

struct family_count *samples_demand_take(struct samples_demand *d, struct view job_substring, bool per_second,
                                         size_t expected, int64_t longest_ms, bool *ret_is_new)
{
    int64_t now_ms = timebase_monotonic_ms();
    *ret_is_new = d->count == NULL || !family_count_is_for(d->count, job_substring) || now_ms - d->began_ms > REUSE_MS;
    if (*ret_is_new) {
        samples_demand_done(d);
        d->count = family_count_new(job_substring, per_second);
        d->began_ms = now_ms;
        d->until_ms = now_ms + (longest_ms + MARGIN_MS < WAIT_MAX_MS ? longest_ms + MARGIN_MS : WAIT_MAX_MS);
        d->expected = expected;
    }
    return family_count_ref(d->count);
}

struct family_count *samples_demand_current(struct samples_demand *d)
{
    return d->count != NULL && timebase_monotonic_ms() < d->until_ms ? d->count : NULL;
}

void samples_demand_done(struct samples_demand *d)
{
    if (d->count != NULL) {
        family_count_close(d->count);
    }
    family_count_unref(d->count);
    *d = (struct samples_demand){0};
}

/* ---------------------------------------------------------------- API thread */

struct wait {
    struct samples_waits *waits;
    struct api_thread *thread;
    struct http_exchange *exchange;
    struct samples_input *input;
    struct loop_timer *timer;
};

struct samples_waits {
    void (*start)(void *data, struct view job_substring, struct family_count **ret_count, size_t *ret_expected,
                  int64_t *ret_until_ms);
    void (*on_ready)(struct api_call *c);
    VEC(struct wait *) waiting;
    bool closed;
};

struct samples_waits *samples_waits_new(void (*start)(void *data, struct view job_substring,
                                                      struct family_count **ret_count, size_t *ret_expected,
                                                      int64_t *ret_until_ms),
                                        void (*on_ready)(struct api_call *c))
{
    struct samples_waits *w = mem_calloc(1, sizeof(*w));
    w->start = start;
    w->on_ready = on_ready;
    return w;
}

static void input_free(void *data)
{
    struct samples_input *in = data;
    family_count_unref(in->count);
    free(in->job_substring);
    free(in);
}

void samples_waits_close(struct samples_waits *w)
{
    w->closed = true;
    vec_foreach(wait, &w->waiting) {
        loop_timer_free(&(*wait)->timer);
        http_respond((*wait)->exchange, 503, API_TEXT_TYPE, VIEW("shutting down\n"));
        input_free((*wait)->input);
        free(*wait);
    }
    vec_done(&w->waiting);
}

void samples_waits_free(struct samples_waits **handle)
{
    free(*handle);
    *handle = NULL;
}

static void look(void *data)
{
    struct wait *wait = data;
    struct samples_waits *w = wait->waits;
    struct samples_input *in = wait->input;
    if (family_count_targets(in->count) < in->expected && timebase_monotonic_ms() < in->until_ms) {
        return;
    }
    for (size_t i = 0; i < w->waiting.len; i++) {
        if (w->waiting.items[i] == wait) {
            vec_remove(&w->waiting, i);
            break;
        }
    }
    loop_timer_free(&wait->timer);
    api_call_control(wait->thread, wait->exchange, NULL, w->on_ready, in, input_free);
    free(wait);
}

static void start(struct api_call *c)
{
    struct samples_input *in = c->input;
    in->waits->start(c->data, view_of(in->job_substring), &in->count, &in->expected, &in->until_ms);
}

static void started(struct api_call *c)
{
    struct samples_input *in = c->input;
    struct samples_waits *w = in->waits;
    bool enough = in->count == NULL || family_count_targets(in->count) >= in->expected;
    if (enough || w->closed || timebase_monotonic_ms() >= in->until_ms || w->waiting.len >= WAITING_MAX) {
        w->on_ready(c);
        return;
    }
    struct wait *wait = mem_calloc(1, sizeof(*wait));
    *wait = (struct wait){w, c->thread, c->exchange, in, NULL};
    c->input = NULL; /* the wait's from now on */
    wait->timer = loop_timer_new(api_thread_loop(c->thread), look, wait);
    loop_timer_start(wait->timer, LOOK_MS, LOOK_MS);
    *vec_push(&w->waiting) = wait;
}

void samples_get(struct samples_waits *w, struct api_thread *t, struct http_exchange *x)
{
    struct view job = http_query(x, "job", 0);
    struct samples_input *in = mem_calloc(1, sizeof(*in));
    in->job_substring = mem_dup(job.base != NULL ? job.base : "", job.len);
    in->waits = w;
    bool detail = view_is(http_query(x, "with_metrics_detail", 0), "true");
    api_call_control(t, x, detail ? start : NULL, detail ? started : w->on_ready, in, input_free);
}

/* ---------------------------------------------------------------- JSON */

static void write_family(void *data, struct view name, double scraped, double total)
{
    struct json_writer *w = data;
    json_key_view(w, name);
    json_object_begin(w);
    json_kv_double(w, "total", total);
    json_kv_double(w, "scraped", scraped);
    json_object_end(w);
}

void samples_write_families(struct json_writer *w, struct family_count *count, const char *job)
{
    json_key(w, "metricsTotal");
    json_object_begin(w);
    if (count != NULL) {
        family_count_each(count, job, write_family, w);
    }
    json_object_end(w);
}
