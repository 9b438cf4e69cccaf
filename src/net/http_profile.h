/* A prepared HTTP client: TLS, authentication, proxy, redirects of one scrape job or one caller, made from http_conf.h.
 * Immutable but for cached file contents and OAuth2 tokens; belongs to one thread (each worker prepares its own).
 * Files are read again when they change (mtime, size, inode; looked at most once a second). */
#ifndef KVASS_NET_HTTP_PROFILE_H
#define KVASS_NET_HTTP_PROFILE_H

#include "base/errctx.h"
#include "net/curl_loop.h"
#include "net/http_conf.h"

#include <stdbool.h>

struct http_profile;

/* Copies conf. Never fails: what is wrong with files shows at apply time, scrape by scrape, as in Prometheus. */
struct http_profile *http_profile_new(const struct http_client_conf *conf);
void http_profile_free(struct http_profile **p);

/* Sets the options of conf on easy for a request to url, and the URL itself. ERR_IO or ERR_INVALID when a file cannot
 * be read or used; ERR_AGAIN while an OAuth2 token is being fetched: call http_profile_wait and apply again when it
 * calls back. *headers is extended (curl_slist) with configured headers. origin: the URL first asked for, when url
 * comes from a redirect, else NULL; credentials and configured headers go to its host only. */
int http_profile_apply(struct http_profile *p, CURL *easy, const char *url, const char *origin,
                       struct curl_slist **headers, struct errctx *err) MUST_CHECK;

#define HTTP_REDIRECTS_MAX 10 /* requests in one chain, the first included, as Go has it */

/* Where the answer of a finished transfer sends us, when the profile follows it (free()); else NULL. The caller makes
 * the next request, GET, with apply(url = the result). */
char *http_profile_redirect(const struct http_profile *p, CURL *easy);
bool http_profile_follows(const struct http_profile *p, int status); /* with a Location, that is */

/* May what belongs to `origin` be sent to url: the same host, and not from https to http. */
bool http_profile_same_party(const char *origin, const char *url);

/* Calls back once when the token fetch under way has ended, well or badly. */
void http_profile_wait(struct http_profile *p, struct curl_loop *cl, void (*on_ready)(void *data), void *data);
void http_profile_wait_cancel(struct http_profile *p, void *data);

#endif
