/* What the workers may scrape, and how: an immutable, refcounted snapshot that the control thread builds and publishes.
 * Workers look up (shard, job, hash); what is not here is refused. */
#ifndef KVASS_PROXY_TABLE_H
#define KVASS_PROXY_TABLE_H

#include "configgen/promconf.h"
#include "model/assignment.h"

struct proxy_table;

/* Builds one: conf is referenced; add every shard's assignments (LEAVING ones included); then seal. */
struct proxy_table *proxy_table_new(struct promconf *conf, uint64_t generation);
void proxy_table_add(struct proxy_table *t, const char *shard_interned, const struct assignment *items, size_t count);
void proxy_table_set_stop_reason(struct proxy_table *t,
                                 const char *reason); /* non-empty: every scrape is refused with it */

struct family_count;
void proxy_table_set_families(struct proxy_table *t, struct family_count *f); /* referenced; NULL = none */

struct proxy_table *proxy_table_ref(struct proxy_table *t);
void proxy_table_unref(struct proxy_table *t);

uint64_t proxy_table_generation(const struct proxy_table *t);
const char *proxy_table_stop_reason(const struct proxy_table *t);       /* "" = none */
struct family_count *proxy_table_families(const struct proxy_table *t); /* borrowed; NULL = none */
struct promconf *proxy_table_conf(const struct proxy_table *t);

/* shard empty = the only local shard (NULL result when there are several). */
const struct target *proxy_table_find(const struct proxy_table *t, struct view shard, struct view job, uint64_t hash,
                                      const char **ret_shard);

#endif
