/* Our own calls to other servers (Prometheus, sidecars, discovery APIs): whole answers with a cap, a deadline each. */
#ifndef KVASS_NET_HTTP_CLIENT_H
#define KVASS_NET_HTTP_CLIENT_H

#include "base/bytes.h"
#include "base/loop.h"
#include "net/http_profile.h"

struct http_client; /* one per loop */
struct http_call;

struct http_client *http_client_new(struct loop *loop);
void http_client_free(struct http_client **c); /* cancels what is under way; not from a callback of a call */

struct http_answer {
    int status; /* 0 when there is none; then err tells why */
    struct view body, content_type;
    int64_t retry_after_ms; /* of a Retry-After header; 0 when there is none */
    struct view header; /* of the header asked for with want_header; {NULL, 0} when the answer has none */
    struct errctx
        err; /* ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_LIMIT, ... ; code 0 for any complete answer, whatever its status */
};

struct http_request {
    const char *method; /* NULL = GET */
    const char *url;
    const char *const
        *headers; /* "Name: value", NULL-ended; NULL = none. "Accept-Encoding: gzip" is decoded on the way */
    struct view body;
    const char *content_type;     /* of body */
    int64_t timeout_ms;           /* required */
    size_t answer_bytes_max;      /* after decoding; 0 = 16 MiB, no limit with on_data */
    struct http_profile *profile; /* NULL = plain: no redirects. Outlives the call */
    const char *unix_socket;      /* path to connect to whatever the URL's host says; NULL = none */
    const char *want_header;      /* name of a header of the answer; must outlive the call */
    bool no_keep_alive;           /* a connection of its own, closed afterwards */
    /* With on_data the body is handed over as it comes and answer.body stays empty; non-zero aborts the call
     * (ERR_CANCELLED). `data` is that of on_done. May cancel calls, also its own; the status is known:
     * http_call_status. */
    int (*on_data)(void *data, const char *base, size_t len);
};

typedef void http_done_fn(void *data, const struct http_answer *answer);

/* Never fails on the spot: errors arrive through on_done, which runs once from the loop. The call is freed afterwards.
 * What req points to, the profile apart, is copied. Redirects are followed as the profile says. */
struct http_call *http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done,
                                   void *data);
void http_call_cancel(struct http_call *call);      /* no on_done; not on itself from within on_done */
int http_call_status(const struct http_call *call); /* of the answer that comes in; 0 before */

#endif
