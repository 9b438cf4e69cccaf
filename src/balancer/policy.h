/* What operators say about jobs and zones beside the unmodified prometheus.yml: how many shards scrape each target of a
 * job, and which label names a target's zone. */
#ifndef KVASS_BALANCER_POLICY_H
#define KVASS_BALANCER_POLICY_H

#include "balancer/plan.h"
#include "base/errctx.h"
#include "base/vec.h"
#include "model/labels.h"

#define POLICY_JOBS_MAX 10000

struct policy_job {
    const char *job; /* interned */
    uint32_t want;   /* as plan_target.want_replicas */
};

struct policy {
    VEC(struct policy_job) jobs;
    char *zone_label; /* NULL = no zones */
};

/* items: "JOB=N" or "JOB=every"; a job's name may hold '=', the last one counts. zone_label "" = none. ERR_INVALID
 * names the item; ERR_LIMIT. policy_done in any case. */
int policy_init(struct policy *p, const char *const *items, size_t count, const char *zone_label,
                struct errctx *err) MUST_CHECK;
void policy_done(struct policy *p);

uint32_t policy_want(const struct policy *p, const char *job_interned); /* 1 when nothing is said; p may be NULL */

/* The zone label's value: of the target itself, else of what was discovered (__meta_* among it; may be NULL). */
struct view policy_zone(const struct policy *p, const struct labels *labels, const struct labels *discovered);

#endif
