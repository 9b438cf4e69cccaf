/* A system of targets on groups for the planner's benchmarks: made once, planned, the plan applied as if every move
 * were proven at once. */
#ifndef KVASS_BENCH_BENCH_SYSTEM_H
#define KVASS_BENCH_BENCH_SYSTEM_H

#include "balancer/plan.h"

#define BENCH_NOW_MS INT64_C(1700000000000)

struct bench_system {
    struct plan_input in;
    struct plan_owner *owners; /* two a target */
    struct bench_key *keys;    /* targets by hash */
};

/* Ready groups; targets without owner, all measured. sizes: series of each. */
void bench_system_init(struct bench_system *s, const uint64_t *sizes, size_t targets, size_t groups);
void bench_system_done(struct bench_system *s);

/* Groups become `groups` ready ones. */
void bench_system_resize(struct bench_system *s, size_t groups);

/* Applies the plan; what is assigned has been scraped well by the next round. *ret_moves counts moves begun. */
void bench_system_apply(struct bench_system *s, const struct plan *p, size_t *ret_moves);

uint64_t bench_scatter(uint64_t n); /* a hash of a number */
double bench_share(uint64_t n);     /* 0 to below 1 */
double bench_cpu_seconds(void);

#endif
