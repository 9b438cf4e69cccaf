/* A scenario while it runs: what scenario.c and scenario_expect.c share. */
#ifndef KVASS_BALANCER_SCENARIO_RUN_H
#define KVASS_BALANCER_SCENARIO_RUN_H

#include "balancer/scenario.h"

#define WORDS_MAX 32

struct words {
    struct view items[WORDS_MAX];
    size_t count;
};

struct scenario {
    struct world *world;
    const struct scenario_events *events;
    int64_t begin_ms;
    unsigned line, rounds;
    struct view text; /* of the line */
};

struct selection {
    const char *job; /* interned */
    uint32_t from, to;
};

bool word_option(struct view word, const char *key, struct view *ret_value);
int word_number(struct view v, double *ret, struct errctx *err) MUST_CHECK;
int selection_read(struct view word, struct selection *ret, struct errctx *err) MUST_CHECK;
bool selection_has(const struct selection *sel, const struct world_target *t);

int scenario_expect(struct scenario *s, const struct words *w, struct errctx *err) MUST_CHECK;

#endif
