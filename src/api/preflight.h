/* What a role would refuse at its start, found before anything is touched: by the daemons, and by `kvass config check`.
 */
#ifndef KVASS_API_PREFLIGHT_H
#define KVASS_API_PREFLIGHT_H

#include "base/options.h"

/* Files that options name are there and readable (by whoever asks) and, where that needs no other part, well formed; so
 * are lists and names. The message begins with the option's name. */
int preflight_check(const struct options *o, struct errctx *err) MUST_CHECK;

#endif
