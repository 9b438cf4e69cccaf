/* What the helper Prometheus answers: its dropped targets, and how its discovery fares. */
#ifndef KVASS_DISCOVERY_HELPER_READ_H
#define KVASS_DISCOVERY_HELPER_READ_H

#include "discovery/mechanism.h"

#define HELPER_SOURCE "helper"
/* Values of our own in the helper's jobs, by which labels it added are told from discovered ones. */
#define HELPER_SCHEME       "kvass-none"
#define HELPER_METRICS_PATH "/kvass-none"
#define HELPER_INTERVAL     "6d23h59m"
#define HELPER_TIMEOUT      "5d23h59m"

/* An answer of /api/v1/targets?state=dropped&scrapePool=<pool> as one group. ERR_PARSE, ERR_LIMIT. */
int helper_read_targets(struct view text, const char *pool, struct target_group **ret, struct errctx *err) MUST_CHECK;

/* Of /metrics: how many targets the pool's discovery has found (-1: not told), and how many refreshes of the mechanism
 * ended, well or badly. */
struct helper_figures {
    int64_t discovered, refreshes, failures;
};

void helper_read_metrics(struct view text, const char *pool, const char *mechanism, struct helper_figures *ret);

#endif
