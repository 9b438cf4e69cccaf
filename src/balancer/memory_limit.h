/* A limit of head series learnt from memory: what a shard's Prometheus takes for each series, smoothed, and how many of
 * those fit into what it may take. Pure: figures in, figures out. */
#ifndef KVASS_BALANCER_MEMORY_LIMIT_H
#define KVASS_BALANCER_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_BASE_BYTES     (UINT64_C(64) << 20) /* of a Prometheus without a series */
#define MEMORY_SERIES_MIN     10000                /* smaller heads say nothing */
#define MEMORY_PER_SERIES     11000.0              /* while nothing is learnt: 750,000 series in 8 GB */
#define MEMORY_PER_SERIES_MIN 1000.0
#define MEMORY_PER_SERIES_MAX 65536.0
#define MEMORY_CHANGE_MIN     0.10 /* of a limit: smaller changes do not change it */
#define MEMORY_LIMIT_MIN      1000

struct memory_conf {
    uint64_t max_bytes; /* of one Prometheus; 0 = nothing is learnt */
    int64_t after_ms;   /* of its life: before, replay and start weigh too much */
};

struct memory_reading {
    uint64_t resident_bytes, series; /* of one moment; 0 = not known */
    int64_t started_ms, now_ms;      /* realtime */
};

/* All zero: nothing learnt. */
struct memory_learner {
    double bytes_per_series; /* 0 = not learnt */
    uint64_t limit;          /* in force; 0 = none yet */
    int64_t at_ms;           /* of the last reading taken */
};

/* Takes a reading; false when it says nothing: too young, too small, unknown, or not newer. It follows growth within a
 * minute and decline within an hour, as memory is given back late and the next peak counts. */
bool memory_learn(struct memory_learner *l, const struct memory_conf *conf, const struct memory_reading *r);

/* The series that fit at bytes_per_series (0: MEMORY_PER_SERIES), rounded down to thousands. */
uint64_t memory_fit(const struct memory_conf *conf, double bytes_per_series);

/* Brings l->limit up to date, with hysteresis, and returns it. */
uint64_t memory_limit(struct memory_learner *l, const struct memory_conf *conf);

#endif
