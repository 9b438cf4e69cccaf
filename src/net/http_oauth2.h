/* OAuth2 client credentials: one token per profile, fetched when none is valid, kept until shortly before it expires.
 */
#ifndef KVASS_NET_HTTP_OAUTH2_H
#define KVASS_NET_HTTP_OAUTH2_H

#include "base/errctx.h"
#include "net/curl_loop.h"
#include "net/http_conf.h"

struct oauth2;

struct oauth2 *oauth2_new(const struct oauth2_conf *conf); /* copies */
void oauth2_free(struct oauth2 **o);

/* The valid token; NULL with ERR_AGAIN (call oauth2_wait) or with the error of the last attempt while its back-off
 * runs. */
const char *oauth2_token(struct oauth2 *o, struct errctx *err);

/* Starts a fetch when none is under way; on_ready runs when it has ended. */
void oauth2_wait(struct oauth2 *o, struct curl_loop *cl, void (*on_ready)(void *data), void *data);
void oauth2_wait_cancel(struct oauth2 *o, void *data);

#endif
