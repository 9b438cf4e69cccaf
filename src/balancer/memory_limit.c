/* See memory_limit.h. Resident memory follows the head late and in steps (garbage collection, compaction, queries), so
 * a single reading is worth little: growth is believed soon, because running out of memory is the worse mistake,
 * decline slowly. */
#include "balancer/memory_limit.h"

#define RISE_MS    60000.0
#define FALL_MS    3600000.0
#define PAUSE_MAX  300000.0 /* a longer one counts as this */
#define LIMIT_MAX  UINT64_C(1000000000000)
#define ROUND_DOWN 1000

static double within(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

bool memory_learn(struct memory_learner *l, const struct memory_conf *conf, const struct memory_reading *r)
{
    bool is_old_enough = r->started_ms > 0 && r->now_ms - r->started_ms >= conf->after_ms;
    if (conf->max_bytes == 0 || !is_old_enough || r->series < MEMORY_SERIES_MIN || r->resident_bytes == 0 ||
        r->now_ms <= l->at_ms) {
        return false;
    }
    uint64_t of_series = r->resident_bytes > MEMORY_BASE_BYTES ? r->resident_bytes - MEMORY_BASE_BYTES : 0;
    double seen = within((double)of_series / (double)r->series, MEMORY_PER_SERIES_MIN, MEMORY_PER_SERIES_MAX);
    if (l->bytes_per_series <= 0) {
        l->bytes_per_series = seen;
    } else {
        double pause_ms = within((double)(r->now_ms - l->at_ms), 0, PAUSE_MAX);
        double tau_ms = seen > l->bytes_per_series ? RISE_MS : FALL_MS;
        l->bytes_per_series += (seen - l->bytes_per_series) * pause_ms / (pause_ms + tau_ms);
    }
    l->at_ms = r->now_ms;
    return true;
}

uint64_t memory_fit(const struct memory_conf *conf, double bytes_per_series)
{
    double each = bytes_per_series > 0 ? bytes_per_series : MEMORY_PER_SERIES;
    double room = conf->max_bytes > MEMORY_BASE_BYTES ? (double)(conf->max_bytes - MEMORY_BASE_BYTES) : 0;
    double fit = within(room / each, MEMORY_LIMIT_MIN, (double)LIMIT_MAX);
    return (uint64_t)fit / ROUND_DOWN * ROUND_DOWN;
}

uint64_t memory_limit(struct memory_learner *l, const struct memory_conf *conf)
{
    uint64_t fit = memory_fit(conf, l->bytes_per_series);
    double change = l->limit > 0 ? (double)fit / (double)l->limit - 1 : 1;
    if (change >= MEMORY_CHANGE_MIN || change <= -MEMORY_CHANGE_MIN) {
        l->limit = fit;
    }
    return l->limit;
}
