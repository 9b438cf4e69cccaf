/* What a reload changed, in words: "added job 'x'; changed job 'y'; changed outside the jobs". */
#ifndef KVASS_API_CONFIG_DIFF_H
#define KVASS_API_CONFIG_DIFF_H

#include "configgen/promconf.h"

/* old may be NULL (the first configuration). At most 20 jobs are named, the rest counted. Malloc'd; "no change" when
 * equal. */
char *config_diff(const struct promconf *old, const struct promconf *new_conf);

#endif
