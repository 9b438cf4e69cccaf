/* What a worker needs to scrape for a job, prepared once: compiled metric relabelling, the HTTP profile, counters.
 * Belongs to one worker (RE2's DFA takes a mutex, a profile caches files). Kept over configuration generations while
 * the job's text is the same. */
#ifndef KVASS_PROXY_JOB_CLIENT_H
#define KVASS_PROXY_JOB_CLIENT_H

#include "configgen/promconf.h"
#include "expfmt/counter.h"
#include "net/http_profile.h"

struct job_client;
struct job_clients;

/* split: targets may be parts (model/part.h), so jobs have the rule that takes PART_LABEL from their samples. */
struct job_clients *job_clients_new(enum count_mode mode, size_t line_bytes_max, bool split);
void job_clients_free(struct job_clients **clients); /* no reference may be out */

/* A reference to the client of a job in conf, or of one that conf has no more but an earlier one had; NULL when it is
 * unknown. */
struct job_client *job_client_get(struct job_clients *clients, struct promconf *conf, const char *job_interned);
void job_client_unref(struct job_client *c);

const struct job_conf *job_client_conf(const struct job_client *c);
struct http_profile *job_client_profile(struct job_client *c);
enum prometheus_major job_client_major(const struct job_client *c);

/* A counter for a whole target of this job, from its pool; give it back. */
struct counter *job_client_counter_get(struct job_client *c);

/* One for a certain scrape; counter_free it. by_family: keeps figures per family. For a part, whose body and whose
 * whole are both counted, the limit for samples is the part's, the limit for the body's size the whole's. */
enum counter_use { COUNTER_OF_TARGET, COUNTER_OF_PART, COUNTER_OF_WHOLE };
struct counter *job_client_counter_for(const struct job_client *c, enum counter_use use, bool by_family);
void job_client_counter_put(struct job_client *c, struct counter *counter);

#endif
