/* Who may use a listener: users with bcrypt hashes of the web configuration file, a bearer token of a file. Holds the
 * TLS context too, because it comes from the same file. Files are looked at on every call and read again when they
 * changed. */
#ifndef KVASS_NET_HTTP_AUTH_H
#define KVASS_NET_HTTP_AUTH_H

#include "base/loop.h"
#include "net/web_config.h"

enum http_verdict {
    HTTP_VERDICT_ALLOW,
    HTTP_VERDICT_DENY,
    HTTP_VERDICT_BROKEN,  /* a file cannot be used at the moment: nobody is let in (http_auth_fault has the reason) */
    HTTP_VERDICT_PENDING, /* the callback will run */
};

struct http_auth;
typedef void http_verdict_fn(void *data, enum http_verdict verdict);

/* Either path may be NULL. Files that cannot be used now are an error. */
int http_auth_new(struct loop *loop, const char *web_config_file, const char *token_file, struct http_auth **ret,
                  struct errctx *err) MUST_CHECK;

/* Callbacks still owed run now with HTTP_VERDICT_BROKEN. */
void http_auth_free(struct http_auth **a);

/* Judges the value of an Authorization header ({NULL,0} when there is none). With both kinds configured either one
 * suffices. on_verdict runs at most once, later, on the loop, and only after HTTP_VERDICT_PENDING. */
enum http_verdict http_auth_check(struct http_auth *a, struct view authorization, http_verdict_fn *on_verdict,
                                  void *data);

const char *http_auth_fault(const struct http_auth *a);
bool http_auth_wants_basic(const struct http_auth *a);
bool http_auth_wants_bearer(const struct http_auth *a);

/* The context for a new connection, borrowed; NULL for a plain listener. Whether a listener speaks TLS is settled at
 * start; while the file is broken the last good context stays, and requests get HTTP_VERDICT_BROKEN. */
SSL_CTX *http_auth_tls(struct http_auth *a);

/* Response headers the file asks for. */
size_t http_auth_headers(const struct http_auth *a, const struct web_header **ret);

#endif
