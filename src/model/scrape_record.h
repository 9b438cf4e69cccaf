/* One finished scrape, as a worker reports it to the control thread: fixed size, no ownership. */
#ifndef KVASS_MODEL_SCRAPE_RECORD_H
#define KVASS_MODEL_SCRAPE_RECORD_H

#include "model/status.h"

#include <stdbool.h>

struct scrape_record {
    const char *shard; /* interned shard id; NULL for a probe */
    const char *job;   /* interned */
    uint64_t hash;
    uint64_t generation; /* of the target table the scrape was looked up in */
    int64_t started_ms;  /* realtime */
    int64_t duration_us;
    uint64_t scraped;       /* Prometheus' scrape_samples_scraped for this body */
    uint64_t series;        /* Prometheus' scrape_samples_post_metric_relabeling */
    uint64_t whole_scraped; /* of a part: the two figures of the whole body; else 0 */
    uint64_t whole_series;
    uint64_t body_bytes; /* decoded */
    uint64_t wire_bytes; /* as received */
    enum target_health health;
    int32_t http_status; /* of the target; 0 = none */
    char error[SCRAPE_ERROR_MAX];
};

#endif
