/* From the request target a Prometheus sends through its proxy_url to whom it means: pure.
 *
 * GET http://HOST[:PORT]/PATH?..._hash=H&_jobName=J&_scheme=S[&_shard=ID]... : the four parameters are ours
 * (as Kvass 0.3), the rest of the query is not looked at, for the URL fetched is always the table's. */
#ifndef KVASS_PROXY_ROUTE_H
#define KVASS_PROXY_ROUTE_H

#include "base/errctx.h"
#include "base/view.h"

#include <stdint.h>

#define ROUTE_TARGET_BYTES_MAX ((size_t)16384) /* of the request target */
#define ROUTE_NAME_BYTES_MAX   1024            /* of a decoded job name or shard id */

struct route {
    struct view host, path; /* into the request target; host without port, brackets kept */
    unsigned port;          /* 80 when absent */
    uint64_t hash;
    char job[ROUTE_NAME_BYTES_MAX], shard[ROUTE_NAME_BYTES_MAX];
    size_t job_len, shard_len; /* shard_len 0: absent */
};

/* ERR_PARSE for what is not of that form (a parameter missing, given twice or badly encoded included), ERR_LIMIT for
 * too long. */
int route_parse(struct view request_target, struct route *ret, struct errctx *err) MUST_CHECK;

/* Does the request mean this URL? Host (case aside), port (default by the URL's scheme) and path must agree. A host
 * outside ASCII is not compared: Prometheus sends it in another form. */
bool route_matches(const struct route *r, const char *url);

#endif
