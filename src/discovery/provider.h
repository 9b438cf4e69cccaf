/* One entry of a job's service discovery, running: its discoverer and the groups it last delivered. For the manager and
 * for kvass check service-discovery; on_change is the only way out. */
#ifndef KVASS_DISCOVERY_PROVIDER_H
#define KVASS_DISCOVERY_PROVIDER_H

#include "base/hashmap.h"
#include "base/log.h"
#include "discovery/mechanism.h"

struct provider {
    const struct mechanism *mechanism;
    struct discoverer *discoverer;
    struct promconf *conf; /* keeps sd->node alive, to compare with the next configuration */
    const struct sd_conf *sd;
    const struct job_conf *job;
    struct hashmap groups; /* by source */
    bool has_answered;
    bool is_handed_out; /* its first answer is part of what the job was built from */
    int64_t started_ms; /* monotonic */
    struct log_limit error_limit;
    void (*on_change)(void *data); /* groups changed, or the first answer came */
    void *data;
};

/* Groups may be delivered from within; on_change is not called before this returns. ERR_UNSUPPORTED: unknown key. */
int provider_new(const struct discovery_env *env, struct promconf *conf, const struct job_conf *job,
                 const struct sd_conf *sd, struct provider **ret, struct errctx *err) MUST_CHECK;
void provider_free(struct provider *p);

/* Runs as well for sd of a newer configuration. */
bool provider_fits(const struct provider *p, const struct promconf *conf, const struct job_conf *job,
                   const struct sd_conf *sd);
void provider_adopt(struct provider *p, struct promconf *conf, const struct job_conf *job, const struct sd_conf *sd);

#endif
