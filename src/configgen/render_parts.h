/* What render.c and render_target.c share. */
#ifndef KVASS_CONFIGGEN_RENDER_PARTS_H
#define KVASS_CONFIGGEN_RENDER_PARTS_H

#include "configgen/render.h"

/* Label names a target list cannot hold travel under this prefix; a labelmap rule in the job takes
 * it away. */
#define INVALID_LABEL_PREFIX "__invalid_label_"
/* Set on targets whose job label was relabelled away; a rule in the job removes it again. */
#define NO_JOB_LABEL "__kvass_no_job__"

/* One target as Prometheus is to see it. */
struct rendered_target {
    const char *address;        /* host:port */
    const struct label *labels; /* sorted by name */
    size_t label_count;
};

/* False for what cannot be written or Prometheus would refuse the whole list for: no address, a
 * path in it, bytes that are not UTF-8. */
bool render_target(struct arena *arena, const struct job_conf *job,
                   const struct render_options *opts, const struct assignment *a,
                   struct rendered_target *ret);

/* Whether targets of the job may need the rules that go with the two names above. */
bool render_job_may_alias(const struct job_conf *job);
bool render_job_may_lose_job(const struct job_conf *job);

/* The assignments that are to be scraped, sorted by job and hash; only those of one job when it is
 * given. */
struct render_index {
    const struct assignment **items;
    size_t count;
};

struct render_index render_index_build(struct arena *arena, const char *job,
                                       const struct assignment *items, size_t count);
struct render_index render_index_job(const struct render_index *all, const char *job);

#endif
