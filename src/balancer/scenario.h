/* Scenarios: a world (world.h) told what happens, line by line, on a virtual clock. `kvass simulate` runs them for
 * their figures, tests/replay for their expectations. The language is described in docs/simulate.md. */
#ifndef KVASS_BALANCER_SCENARIO_H
#define KVASS_BALANCER_SCENARIO_H

#include "balancer/world.h"
#include "base/errctx.h"

struct scenario_events {
    /* Called after every round. */
    void (*on_round)(void *data, const struct world *w);
    /* An EXPECT line held or did not; `text` is the line, `found` what was found instead. */
    void (*on_expect)(void *data, unsigned line, struct view text, bool holds, const char *found);
    void *data;
};

#define SCENARIO_BYTES_MAX   (1u << 20)
#define SCENARIO_TARGETS_MAX 2000000
#define SCENARIO_SHARDS_MAX  20000
#define SCENARIO_ROUNDS_MAX  1000000

/* Runs a scenario on a new world, left as it is at the end (world_done is the caller's). ERR_PARSE with "line N: ..."
 * stops it. */
int scenario_run(struct view text, const struct scenario_events *events, struct world *ret_world,
                 struct errctx *err) MUST_CHECK;

#endif
