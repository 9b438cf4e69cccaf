/* Whose rules are followed: what Prometheus accepts, and what its scrapes come to, changed between versions. */
#ifndef KVASS_RELABEL_PROMETHEUS_VERSION_H
#define KVASS_RELABEL_PROMETHEUS_VERSION_H

#include "base/errctx.h"

/* The behaviours told apart, oldest first (docs/versions.md lists what differs). Code compares with < and >=. */
enum prometheus_major {
    PROMETHEUS_2 = 2,    /* 2.42, and what is older than 2.50 */
    PROMETHEUS_2_53 = 3, /* 2.50 to 2.55 */
    PROMETHEUS_3 = 4,    /* 3.0 to 3.7 */
    PROMETHEUS_3_8 = 5,  /* 3.8 and later */
};

/* "2.42.0+ds" and the like; "2.x" is the oldest 2, "3.x" the newest 3. ERR_INVALID for other majors and for what is no
 * version. */
int prometheus_version_parse(const char *text, enum prometheus_major *ret, struct errctx *err) MUST_CHECK;

/* The same, for options that may also say `auto`. */
enum prometheus_major prometheus_version_or(const char *text, enum prometheus_major otherwise);

#endif
