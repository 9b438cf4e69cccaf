/* Which targets to probe now: new targets are scraped once before they are placed, so that their size is known. Pure
 * state machine: never blocks a round, at most `concurrency` under way, back-off on failure, stops when a shard owns
 * the target, results expire. */
#ifndef KVASS_BALANCER_EXPLORE_H
#define KVASS_BALANCER_EXPLORE_H

#include "model/scrape_record.h"
#include "model/target.h"

struct explore;

struct explore_conf {
    unsigned concurrency;  /* --explore.concurrence, 200 */
    unsigned attempts;     /* after as many failures the target counts as explored, size estimated; 3 */
    int64_t backoff_ms;    /* first pause, doubled up to a minute; 1000 */
    int64_t result_ttl_ms; /* 15 min */
};

struct explore *explore_new(const struct explore_conf *conf);
void explore_free(struct explore **e);

void explore_add(struct explore *e, const struct target *t, int64_t now_ms); /* no effect when known */
void explore_remove(struct explore *e, const char *job, uint64_t hash);

/* The next target to probe, marked as under way; NULL when none is due. Borrowed. */
const struct target *explore_next(struct explore *e, int64_t now_ms);
int64_t explore_next_due_ms(const struct explore *e); /* -1 = nothing waits */

/* A probe's record. */
void explore_result(struct explore *e, const struct scrape_record *r, int64_t now_ms);

enum explore_verdict { EXPLORE_UNKNOWN, EXPLORE_WAITING, EXPLORE_DONE, EXPLORE_FAILED };
/* DONE: *ret_series and *ret_scraped are set. FAILED: attempts used up, estimate it. ret_error (may be NULL): of the
 * last failure, "" when there was none or a success came after it. An expired result answers until its next probe has
 * ended. */
enum explore_verdict explore_verdict(const struct explore *e, const char *job, uint64_t hash, uint64_t *ret_series,
                                     uint64_t *ret_scraped, char ret_error[SCRAPE_ERROR_MAX]);

#endif
