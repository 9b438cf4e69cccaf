/* What a shard knows of a target it scrapes; on the wire the `status` of Kvass 0.3. */
#ifndef KVASS_MODEL_STATUS_H
#define KVASS_MODEL_STATUS_H

#include <stdint.h>

enum target_health { TARGET_HEALTH_UNKNOWN, TARGET_HEALTH_UP, TARGET_HEALTH_DOWN };

const char *target_health_name(enum target_health health); /* "unknown", "up", "down" */

#define SCRAPE_ERROR_MAX 256

struct target_status {
    enum target_health health;
    int64_t last_scrape_ms; /* realtime; 0 = never */
    int64_t last_duration_us;
    uint64_t series;                      /* mean of the last three good scrapes, after metric relabelling */
    uint64_t scraped;                     /* last good scrape, before metric relabelling */
    uint64_t whole_series, whole_scraped; /* of a part: the whole body's, last good scrape; else 0 */
    uint64_t history[3];                  /* newest first; series is their mean */
    uint32_t history_len;
    uint32_t scrapes;             /* attempts since this shard loaded the assignment */
    uint32_t good_scrapes;        /* successes among them */
    char error[SCRAPE_ERROR_MAX]; /* of the last scrape; "" when up */
};

struct scrape_record;

/* Folds one finished scrape into the status. */
void target_status_apply(struct target_status *s, const struct scrape_record *r);

#endif
