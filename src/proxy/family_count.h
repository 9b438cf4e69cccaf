/* Figures per metric family, on demand: a table that carries one of these has the workers count the families of every
 * target of its jobs once, in the target's next good scrape. Counting families costs some speed and an entry a name, so
 * nobody does it all the time. Refcounted, shared by threads behind a lock that is taken once a scrape. */
#ifndef KVASS_PROXY_FAMILY_COUNT_H
#define KVASS_PROXY_FAMILY_COUNT_H

#include "base/view.h"

#include <stdbool.h>
#include <stdint.h>

#define FAMILY_COUNT_NAMES_MAX   100000  /* over all jobs; further ones count as "other" of their job */
#define FAMILY_COUNT_TARGETS_MAX 1000000 /* further ones are left out */

struct counter;
struct family_count;

/* job_substring: of the names of the jobs to count, empty = all; copied. per_second: figures are divided by the
 * target's interval. */
struct family_count *family_count_new(struct view job_substring, bool per_second);
struct family_count *family_count_ref(struct family_count *f);
void family_count_unref(struct family_count *f); /* NULL is fine */

bool family_count_matches(const struct family_count *f, const char *job);
bool family_count_is_for(const struct family_count *f, struct view job_substring);

/* Before a scrape: is this target still to be counted? */
bool family_count_wants(struct family_count *f, const char *job, uint64_t hash);

/* After a good one, with its counter; a second one of the same target is ignored, whichever shard makes it. */
void family_count_add(struct family_count *f, const char *job, uint64_t hash, int64_t interval_ms,
                      const struct counter *counter);

/* Figures that somebody else counted, and that one more target of these is done. job is interned, the name copied. */
void family_count_add_figures(struct family_count *f, const char *job, struct view name, double scraped, double total);
void family_count_mark(struct family_count *f, const char *job, uint64_t hash);

/* Targets counted so far. After close nothing is wanted any more. */
size_t family_count_targets(struct family_count *f);
void family_count_close(struct family_count *f);

/* What was counted for a job, sorted by name. */
void family_count_each(struct family_count *f, const char *job,
                       void (*each)(void *data, struct view name, double scraped, double total), void *data);

#endif
