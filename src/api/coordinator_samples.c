/* Samples by metric family of a coordinator, which scrapes nothing: its sidecars count, on demand, and what they tell
 * is put together. One shard of each group is asked, those of one replica; each call has a deadline a little behind the
 * sidecar's own, and its answer a cap.
 *
 * What comes is proportions: sidecars tell plain sums, a target in transfer is told twice, a shard may be silent. So
 * the families of a job are scaled to the job's own figures, samples per second, which the registry knows target by
 * target. Jobs nobody here knows are left out. */
#include "api/coordinator_impl.h"
#include "balancer/groups.h"
#include "base/timebase.h"
#include "model/wire.h"

#include <stdio.h>

#define SHARDS_MAX       2000 /* asked at a time; the figures of further ones are made up for by the scale */
#define ANSWER_BYTES_MAX ((size_t)8 << 20)
#define SIDECAR_MS       5000 /* later than the sidecar gives up */
#define OURS_MS          3000 /* before we do */

struct sample_call {
    struct coordinator *c;
    struct http_call *call; /* NULL: done */
};

/* ---------------------------------------------------------------- answers */

static const char *known_job(const struct coordinator *c, const char *name)
{
    for (size_t i = 0; c->conf != NULL && i < c->conf->job_count; i++) {
        if (strcmp(c->conf->jobs[i].name, name) == 0) {
            return c->conf->jobs[i].name;
        }
    }
    return NULL;
}

static double figure(const json_t *o, const char *key)
{
    double n = json_number_value(json_object_get(o, key));
    return n > 0 && n < 1e18 ? n : 0;
}

static void take_answer(struct coordinator *c, struct view body)
{
    const char *name, *family;
    json_t *sums, *figures, *root = wire_parse(body, ANSWER_BYTES_MAX, NULL);
    const json_t *data = root != NULL ? wire_data(root, NULL) : NULL;
    json_object_foreach((json_t *)(uintptr_t)data, name, sums)
    {
        const char *job = known_job(c, name);
        if (job == NULL || !family_count_matches(c->samples_raw, job)) {
            continue;
        }
        json_object_foreach(json_object_get(sums, "metricsTotal"), family, figures)
        {
            family_count_add_figures(c->samples_raw, job, view_of(family), figure(figures, "scraped"),
                                     figure(figures, "total"));
        }
    }
    json_decref(root);
}

/* ---------------------------------------------------------------- scaling */

struct scale {
    struct family_count *to;
    const char *job;
    double scraped, total; /* sums of what was told, then factors */
};

static void sum_up(void *data, struct view name, double scraped, double total)
{
    struct scale *s = data;
    (void)name;
    s->scraped += scraped;
    s->total += total;
}

static void put_scaled(void *data, struct view name, double scraped, double total)
{
    const struct scale *s = data;
    family_count_add_figures(s->to, s->job, name, scraped * s->scraped, total * s->total);
}

static void per_second(const struct coordinator *c, const char *job, double *ret_scraped, double *ret_total)
{
    *ret_scraped = *ret_total = 0;
    vec_foreach(ep, &reconcile_registry(c->reconcile)->entries) {
        const struct registry_entry *e = *ep;
        double seconds = (double)e->target->interval_ms / 1000;
        if (strcmp(e->target->job, job) == 0 && e->health == TARGET_HEALTH_UP && seconds > 0) {
            *ret_scraped += (double)e->scraped / seconds;
            *ret_total += (double)e->series / seconds;
        }
    }
}

static void put_together(struct coordinator *c)
{
    for (size_t i = 0; c->conf != NULL && i < c->conf->job_count; i++) {
        struct scale s = {.to = c->samples.count, .job = c->conf->jobs[i].name};
        double scraped, total;
        family_count_each(c->samples_raw, c->conf->jobs[i].name, sum_up, &s);
        if (s.scraped > 0) {
            per_second(c, s.job, &scraped, &total);
            s.scraped = scraped / s.scraped;
            s.total = s.total > 0 ? total / s.total : 0;
            family_count_each(c->samples_raw, c->conf->jobs[i].name, put_scaled, &s);
        }
    }
    family_count_mark(c->samples.count, "", 0);
}

static void on_answer(void *data, const struct http_answer *a)
{
    struct sample_call *call = data;
    struct coordinator *c = call->c;
    call->call = NULL;
    if (a->err.code == 0 && a->status == 200) {
        take_answer(c, a->body);
    } else {
        log_warn(c->d.log, "samples of a shard", "status", log_num(a->status), "err",
                 a->err.code != 0 ? a->err.msg : NULL, "action", "estimate them by the others'");
    }
    if (--c->samples_open == 0) {
        put_together(c);
    }
}

/* ---------------------------------------------------------------- questions */

static void ask(struct coordinator *c, const char *url, struct view job, int64_t timeout_ms)
{
    struct bytes text;
    bytes_init(&text, 65536);
    bytes_printf(&text, "%s/api/v1/shard/samples/?with_metrics_detail=true&job=", url);
    for (size_t i = 0; i < job.len; i++) {
        bytes_printf(&text, "%%%02X", (unsigned char)job.base[i]);
    }
    struct sample_call *call = &c->sample_calls[c->sample_call_count++];
    *call = (struct sample_call){.c = c};
    const char *const headers[] = {"Accept-Encoding: gzip", NULL};
    const struct http_request req = {.url = bytes_view(&text).base,
                                     .headers = headers,
                                     .timeout_ms = timeout_ms,
                                     .answer_bytes_max = ANSWER_BYTES_MAX,
                                     .profile = c->profile};
    c->samples_open++;
    call->call = http_client_send(c->d.http, &req, on_answer, call);
    bytes_done(&text);
}

/* Of a group the first shard that is ready; of independent replicas, which all have everything, the first that has one.
 */
static void ask_all(struct coordinator *c, struct view job, int64_t timeout_ms)
{
    size_t count;
    const struct reconcile_group *groups = reconcile_groups(c->reconcile, &count);
    uint32_t replica = UINT32_MAX;
    c->sample_calls = mem_calloc(count < SHARDS_MAX ? count + 1 : SHARDS_MAX, sizeof(*c->sample_calls));
    for (size_t i = 0; i < count && c->sample_call_count < SHARDS_MAX; i++) {
        vec_foreach(r, &groups[i].replicas) {
            const char *url = r->shard->api_url != NULL ? r->shard->api_url : c->own_api_url;
            bool is_other = replica != UINT32_MAX && groups[i].id / GROUPS_STRIDE != replica;
            if (r->shard->ops->info(r->shard)->health == SHARD_HEALTH_READY && url != NULL && !is_other) {
                replica = groups[i].id / GROUPS_STRIDE;
                ask(c, url, job, timeout_ms);
                break;
            }
        }
    }
}

static void forget_calls(struct coordinator *c)
{
    for (size_t i = 0; i < c->sample_call_count; i++) {
        if (c->sample_calls[i].call != NULL) {
            http_call_cancel(c->sample_calls[i].call);
        }
    }
    MEM_FREE(c->sample_calls);
    c->sample_call_count = c->samples_open = 0;
    family_count_unref(c->samples_raw);
    c->samples_raw = NULL;
}

void coordinator_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                                size_t *ret_expected, int64_t *ret_until_ms)
{
    struct coordinator *c = data;
    int64_t longest_ms = 0;
    bool is_new;
    vec_foreach(ep, &reconcile_registry(c->reconcile)->entries) {
        longest_ms = (*ep)->target->interval_ms > longest_ms ? (*ep)->target->interval_ms : longest_ms;
    }
    *ret_count = samples_demand_take(&c->samples, job_substring, true, 1, longest_ms + SIDECAR_MS + OURS_MS, &is_new);
    if (is_new) {
        forget_calls(c);
        c->samples_raw = family_count_new(job_substring, false);
        ask_all(c, job_substring, c->samples.until_ms - timebase_monotonic_ms() - OURS_MS);
        c->samples.expected = c->samples_open > 0; /* nobody to ask: nothing to wait for */
    }
    *ret_expected = c->samples.expected;
    *ret_until_ms = c->samples.until_ms;
}

void coordinator_samples_done(struct coordinator *c)
{
    forget_calls(c);
    samples_demand_done(&c->samples);
}
