/* A reverse proxy to one server, for the paths of an HTTP server that are none of its rows: method, headers, query and
 * body go on as they came, the answer streams back. What cannot be forwarded is answered 502 (504 when the server is
 * silent for too long); what breaks later breaks the connection. On the HTTP server's loop. */
#ifndef KVASS_NET_HTTP_FORWARD_H
#define KVASS_NET_HTTP_FORWARD_H

#include "base/loop.h"

struct http_forward;

#define HTTP_FORWARD_SILENCE_S 330L /* without a byte from the server */

/* base_url: "http://127.0.0.1:9090", a path prefix may follow. Copied. */
struct http_forward *http_forward_new(struct loop *loop, const char *base_url);

/* After the HTTP server that uses it has closed. NULL is fine. */
void http_forward_free(struct http_forward **f);

#endif
