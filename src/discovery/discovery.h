/* The merging manager: runs every mechanism of every job of a configuration, keeps the groups per (job, provider,
 * source), and builds a job's targets when something changed (at most every DISCOVERY_SETTLE_MS). Lives on the control
 * loop. */
#ifndef KVASS_DISCOVERY_DISCOVERY_H
#define KVASS_DISCOVERY_DISCOVERY_H

#include "discovery/target_build.h"

#define DISCOVERY_SETTLE_MS  2000
#define DISCOVERY_GROUPS_MAX 1000000 /* of one provider; more are refused and reported */

struct discovery;

struct discovery_events {
    /* A job's targets were built anew; takes over b's content. Must not call discovery_apply or discovery_free. */
    void (*on_job)(void *data, struct built_job *b);
    void *data;
};

struct discovery *discovery_new(struct loop *loop, struct http_client *http, const struct discovery_events *events);
void discovery_free(struct discovery **d);
/* How mechanisms started from now on call out; what calls points to is kept by the caller. */
void discovery_set_calls(struct discovery *d, const struct discovery_calls *calls);

/* Who runs the mechanisms that are not native (borrowed); without one they are refused. */
void discovery_set_helper(struct discovery *d, struct helper *helper);

/* Takes a new configuration (and a reference to it). Providers whose text did not change keep running, in changed jobs
 * too; of the others the last groups stay until every new provider of the job has answered. Vanished jobs end with one
 * empty on_job. on_job is never called from here. All or nothing: on error (file:line:column, job and key named)
 * nothing changes. */
int discovery_apply(struct discovery *d, struct promconf *conf, struct errctx *err) MUST_CHECK;

/* The index of the job that the last discovery_apply failed for. */
size_t discovery_failed_job(const struct discovery *d);

/* Tells each job from `first` on that discovery_apply would fail for, and why. Nothing changes. */
void discovery_each_failing(struct discovery *d, struct promconf *conf, size_t first,
                            void (*each)(void *data, size_t job, const struct errctx *err), void *data);

/* True when every provider of every job has answered once, or failed for longer than init_timeout_ms, and every job's
 * targets were handed out. now_ms is monotonic. */
bool discovery_is_initial_done(const struct discovery *d, int64_t now_ms, int64_t init_timeout_ms);

/* The number of jobs that discovery_is_initial_done waits for; when there are any, ret names the first and what of it.
 */
size_t discovery_awaits(const struct discovery *d, int64_t now_ms, int64_t init_timeout_ms, char *ret, size_t size);

#endif
