/* The refresh of mechanisms that ask again and again: when to ask, and what became of it. The first refresh comes with
 * the next turn of the loop, the second after a part of the interval that differs from object to object, so that a
 * thousand entries do not ask at the same moment, later ones every interval. One at a time: what is due while a refresh
 * is under way begins when it has ended. */
#ifndef KVASS_DISCOVERY_POLL_H
#define KVASS_DISCOVERY_POLL_H

#include "discovery/mechanism.h"

struct poll;

struct poll_conf {
    const char *mechanism; /* the key, for metrics: "http_sd_configs"; static */
    const char *object;    /* what is asked, for the offset; copied */
    int64_t interval_ms;   /* more than 0 */
    /* Begins a refresh, that ends with poll_end or poll_fail, now or later. */
    void (*refresh)(void *data);
    void *data;
};

struct poll *poll_new(const struct discovery_env *env, const struct discovery_sink *sink, const struct poll_conf *conf);
void poll_free(struct poll **p);

/* The refresh went well; groups may be none (nothing changed). Borrowed. */
void poll_end(struct poll *p, struct target_group *const *groups, size_t count);
/* It failed; the last good groups stay. */
void poll_fail(struct poll *p, const struct errctx *err);
/* Counts entries that a refresh left out because they could not be used. */
void poll_skipped(struct poll *p, size_t count);

#endif
