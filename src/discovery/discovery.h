/* The merging manager: runs every mechanism of every job of a configuration, keeps the groups per (job, provider, source), and
 * builds a job's targets when something changed (at most every `settle_ms`). Lives on the control loop. */
#ifndef KVASS_DISCOVERY_DISCOVERY_H
#define KVASS_DISCOVERY_DISCOVERY_H

#include "discovery/target_build.h"

struct discovery;

struct discovery_events {
    /* A job's targets were built anew; takes over b's content. */
    void (*on_job)(void *data, struct built_job *b);
    void *data;
};

struct discovery *discovery_new(struct loop *loop, struct http_client *http, const struct discovery_events *events);
void discovery_free(struct discovery **d);

/* Takes a new configuration: jobs with an unchanged text_hash keep running, the others are restarted and keep their last targets until
 * the first result; vanished jobs end with one empty on_job. All or nothing: on error nothing changes. */
int discovery_apply(struct discovery *d, struct promconf *conf, struct errctx *err) MUST_CHECK;

/* True when every provider of every job has answered once (or failed for longer than init_timeout_ms). */
bool discovery_is_initial_done(const struct discovery *d, int64_t now_ms, int64_t init_timeout_ms);

#endif
