/* From target groups to targets, as Prometheus does it (scrape/target.go, 2.42 and 3.x): populate labels, relabel,
 * validate, complete, deduplicate. Pure. */
#ifndef KVASS_DISCOVERY_TARGET_BUILD_H
#define KVASS_DISCOVERY_TARGET_BUILD_H

#include "discovery/mechanism.h"
#include "model/ledger.h"
#include "model/target.h"

/* One discovered target and what became of it. */
struct built_target {
    enum ledger_state state;   /* LEDGER_PENDING = good; DROPPED, INVALID, DUPLICATE, OVER_LIMIT otherwise */
    struct target *target;     /* good, over-limit and duplicate ones; owned */
    struct labels *discovered; /* all; owned */
    char *error;               /* INVALID: Prometheus' own words; owned, else NULL */
};

struct built_job {
    const char *job;
    struct built_target *items;
    size_t count;
    size_t good;
    uint64_t keep_dropped; /* keep_dropped_targets of the job: DROPPED items worth remembering, 0 = all */
};

/* groups in any order; the result does not depend on it: items are sorted by (state, hash, discovered labels).
 * rules: compiled relabel_configs of the job (NULL = none). target_limit: above it every target of the job is
 * OVER_LIMIT. */
void target_build(const struct job_conf *job, enum prometheus_major major, const struct relabel_rules *rules,
                  struct target_group *const *groups, size_t group_count, struct built_job *ret);
void built_job_done(struct built_job *b);

#endif
