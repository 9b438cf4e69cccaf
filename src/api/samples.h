/* GET samples: sums by job, and with_metrics_detail=true by metric family, which are counted on demand: the call waits
 * until every target that is up has been scraped once more, at most for its interval and a little. Shared by the roles
 * that have a proxy. */
#ifndef KVASS_API_SAMPLES_H
#define KVASS_API_SAMPLES_H

#include "api/api_thread.h"
#include "proxy/family_count.h"

/* ---- control thread: who counts */

/* The count under way, or the last one; all zero at first. */
struct samples_demand {
    struct family_count *count;
    int64_t began_ms, until_ms; /* monotonic */
    size_t expected;            /* targets that will answer */
};

/* A count for these jobs: the one there is when it is for the same and not older than a minute, else a new one, and
 * *ret_is_new: publish a table that carries it. longest_ms is the longest interval of the targets expected. A
 * reference. */
struct family_count *samples_demand_take(struct samples_demand *d, struct view job_substring, bool per_second,
                                         size_t expected, int64_t longest_ms, bool *ret_is_new);

/* For the next table: NULL when nothing is to be counted any more. Borrowed. */
struct family_count *samples_demand_current(struct samples_demand *d);
void samples_demand_done(struct samples_demand *d);

/* ---- API thread: who waits */

struct samples_waits;

/* start: on the control loop; sets *ret_count (a reference, or NULL when there is nothing to count), how many targets
 * and until when to wait. on_ready: on the API thread, with the call's view; its input is a struct samples_input. */
struct samples_waits *samples_waits_new(void (*start)(void *data, struct view job_substring,
                                                      struct family_count **ret_count, size_t *ret_expected,
                                                      int64_t *ret_until_ms),
                                        void (*on_ready)(struct api_call *c));
void samples_waits_close(struct samples_waits *w); /* ends those that wait; on the API thread, its last act */
void samples_waits_free(struct samples_waits **w); /* after api_thread_free */

struct samples_input {
    char *job_substring;
    struct family_count *count; /* NULL: no detail */
    size_t expected;
    int64_t until_ms;
    struct samples_waits *waits;
};

/* The row's handler: begins the call. */
void samples_get(struct samples_waits *w, struct api_thread *t, struct http_exchange *x);

/* "metricsTotal":{"metric":{"total":F,"scraped":F},...} of a job; empty without a count. */
void samples_write_families(struct json_writer *w, struct family_count *count, const char *job);

#endif
