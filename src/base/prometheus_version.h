/* Whose rules are followed: what Prometheus accepts, and what its scrapes come to, changed between versions. */
#ifndef KVASS_BASE_PROMETHEUS_VERSION_H
#define KVASS_BASE_PROMETHEUS_VERSION_H

#include "base/errctx.h"

/* The behaviours told apart, oldest first (docs/versions.md lists what differs). Code compares with < and >=. */
enum prometheus_major {
    PROMETHEUS_2 = 2,    /* 2.42, and what is older than 2.50 */
    PROMETHEUS_2_53 = 3, /* 2.50 to 2.55 */
    PROMETHEUS_3 = 4,    /* 3.0 to 3.7 */
    PROMETHEUS_3_8 = 5,  /* 3.8 and later */
};

#define PROMETHEUS_VERSION_MAX 32 /* characters of a version's text, the NUL included */

/* "2.42.0+ds", "3.0.0-rc.1", "2.42" and the like; "2" and "2.x" are the oldest 2, "3" and "3.x" the newest 3.
 * ERR_INVALID for other majors and for what is no version. The one reader of such texts: options, commands and what
 * servers say of themselves. */
int prometheus_version_parse(const char *text, enum prometheus_major *ret, struct errctx *err) MUST_CHECK;

/* The same, for options that may also say `auto`. */
enum prometheus_major prometheus_version_or(const char *text, enum prometheus_major otherwise);

/* "2.42", "2.53", "3.5" or "3.8": as docs/versions.md calls the behaviour. */
const char *prometheus_major_name(enum prometheus_major major);

#endif
