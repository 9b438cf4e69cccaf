/* One HTTP call of a command, blocking: a loop of its own for its duration. curl_net_init comes first. */
#ifndef KVASS_CLI_FETCH_H
#define KVASS_CLI_FETCH_H

#include "base/bytes.h"

#define FETCH_BYTES_MAX ((size_t)1 << 30)

/* method NULL = GET. Any status but 200 is ERR_UNAVAILABLE,
 * with what the answer says. token NULL = none. The body
 * goes to ret_body (bytes_done by the caller, on failure too). */
int fetch(const char *method, const char *url, const char *token, struct bytes *ret_body,
          struct errctx *err) MUST_CHECK;

#endif
