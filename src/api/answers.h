/* The JSON of the API's read calls, made from a published view: pure functions, on the API thread. */
#ifndef KVASS_API_ANSWERS_H
#define KVASS_API_ANSWERS_H

#include "api/view.h"
#include "base/json_writer.h"

#define TARGET_QUERY_JOBS_MAX 16

/* Filters of GET /api/v1/targets (as Kvass 0.3). Views are borrowed. */
struct target_query {
    struct view state;                       /* active, dropped, any or empty */
    struct view scrape_pool;                 /* exact job name; empty = all */
    struct view jobs[TARGET_QUERY_JOBS_MAX]; /* regexes, any of them */
    size_t job_count;
    struct view health[3];
    size_t health_count;
    bool statistics_only, statistics_with;
};

/* Each writes the whole envelope. ERR_INVALID for a bad job regex: the caller answers 400. */
int answer_targets(const struct api_view *v, const struct target_query *q, struct bytes *out,
                   struct errctx *err) MUST_CHECK;
void answer_runtimeinfo(const struct api_view *v, struct bytes *out);
struct family_count;
void answer_samples(const struct api_view *v, struct view job_substring, struct family_count *count,
                    struct bytes *out); /* samples per second, by job; count: NULL = no detail */
void answer_config(const struct api_view *v, struct bytes *out);
void answer_shards(const struct api_view *v, struct bytes *out);
void answer_moves(const struct api_view *v, struct bytes *out);
void answer_ledger(const struct api_view *v, struct bytes *out);
void answer_reload(const struct api_view *v, struct bytes *out); /* result of the last reload */

/* Which target a question is about: any of them may be left out (empty; hash only with has_hash). */
struct why_query {
    struct view job, url;
    uint64_t hash;
    bool has_hash;
};
/* Why a target is where it is, or not scraped, or not moved; without a target why there are so many shards, and whether
 * the balancer acts. */
void answer_why(const struct api_view *v, const struct why_query *q, struct bytes *out);
int answer_querier_config(const struct api_view *v, struct bytes *out, struct errctx *err) MUST_CHECK;

#endif
