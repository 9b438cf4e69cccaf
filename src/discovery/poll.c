/* When mechanisms ask: see poll.h.
 *
 * The clock is one repeating timer of the loop; a refresh under way when it fires is remembered and followed at once by
 * the next, as a Go ticker does it. The offset of the second refresh comes from a hash, not from chance, so that a run
 * can be repeated. Must never call refresh from within poll_new: the mechanism that makes the poll is not complete
 * then. */
#include "discovery/poll.h"
#include "base/hash.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdlib.h>

struct poll {
    struct loop_timer *timer;
    struct discovery_sink sink;
    int64_t interval_ms, second_ms;
    int64_t started_ms; /* of the refresh under way */
    bool is_busy, is_due, has_begun;
    char *job;
    const char *mechanism;
    void (*refresh)(void *data);
    void *data;
};

static void begin(struct poll *p)
{
    p->is_busy = true;
    p->is_due = false;
    p->started_ms = timebase_monotonic_ms();
    p->refresh(p->data);
}

static void on_timer(void *data)
{
    struct poll *p = data;
    if (!p->has_begun) {
        p->has_begun = true;
        loop_timer_start(p->timer, p->second_ms, p->interval_ms);
    }
    if (p->is_busy) {
        p->is_due = true;
    } else {
        begin(p);
    }
}

struct poll *poll_new(const struct discovery_env *env, const struct discovery_sink *sink, const struct poll_conf *conf)
{
    invariant(conf->interval_ms > 0);
    struct poll *p = mem_calloc(1, sizeof(*p));
    uint64_t hash = hash_pair(hash_view(view_of(env->job)), hash_view(view_of(conf->object)));
    int64_t half_ms = conf->interval_ms / 2;
    p->sink = *sink;
    p->interval_ms = conf->interval_ms;
    p->second_ms = half_ms + 1 + (int64_t)(hash % (uint64_t)(half_ms + 1));
    p->job = mem_strdup(env->job);
    p->mechanism = conf->mechanism;
    p->refresh = conf->refresh;
    p->data = conf->data;
    p->timer = loop_timer_new(env->loop, on_timer, p);
    loop_timer_start(p->timer, 0, 0);
    return p;
}

void poll_free(struct poll **p)
{
    if (*p == NULL) {
        return;
    }
    loop_timer_free(&(*p)->timer);
    free((*p)->job);
    MEM_FREE(*p);
}

/* What is due comes from the timer, not from here: a refresh that fails on the spot must not recurse. */
static void over(struct poll *p)
{
    p->is_busy = false;
    metric_cell_observe(metric_cell(METRIC_DISCOVERY_REFRESH_DURATION_SECONDS, p->mechanism),
                        (double)(timebase_monotonic_ms() - p->started_ms) / 1000);
    if (p->is_due) {
        p->is_due = false;
        loop_timer_start(p->timer, 1, p->interval_ms);
    }
}

void poll_end(struct poll *p, struct target_group *const *groups, size_t count)
{
    over(p);
    if (count != 0) {
        p->sink.on_groups(p->sink.data, groups, count);
    }
    p->sink.on_ok(p->sink.data);
}

void poll_fail(struct poll *p, const struct errctx *err)
{
    over(p);
    p->sink.on_error(p->sink.data, err);
}

void poll_skipped(struct poll *p, size_t count)
{
    if (count != 0) {
        metric_add(METRIC_DISCOVERY_ENTRIES_SKIPPED, (double)count, p->job, p->mechanism);
    }
}
