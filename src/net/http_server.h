/* HTTP server for API listeners: libh2o on a loop, a table of rows, HTTP/1.1 only (HTTP/2 off: Debian's libh2o lacks
 * the rapid-reset fix). The scrape proxy has its own handler (proxy/); this one serves the API thread. */
#ifndef KVASS_NET_HTTP_SERVER_H
#define KVASS_NET_HTTP_SERVER_H

#include "base/bytes.h"
#include "base/loop.h"

struct http_server;
struct http_forward;
struct http_exchange; /* one request being answered; valid until http_respond */

typedef void http_handler_fn(struct http_exchange *x, void *data);

struct http_row {
    const char *method; /* "GET" (also serves HEAD), "POST" (also PUT) */
    const char
        *path; /* "/api/v1/targets"; a trailing slash is ignored on both sides. "/x/" + "*" matches every path below */
    http_handler_fn *handler;
};

struct http_server_conf {
    size_t request_bytes_max;    /* of a body; 0 = 64 MiB */
    unsigned connections_max;    /* 0 = 512 */
    int64_t idle_ms;             /* request and keep-alive timeout; 0 = 120 s */
    int64_t head_ms;             /* from the first byte of a request head to its last; 0 = 10 s */
    int64_t stall_ms;            /* a body or an answer that moves no byte for so long ends the connection; 0 = 30 s */
    const char *web_config_file; /* exporter-toolkit format: TLS, basic_auth_users; NULL = plain */
    const char *token_file;      /* bearer token required when set (a user of web_config_file will do, too) */
    bool open_health;            /* GET /-/healthy and /-/ready need no credentials: probes have none */
    struct http_forward
        *forward; /* takes the paths of no row (http_forward.h); NULL: they are 404. Outlives the server */
    /* Runs when an exchange was answered: the row's path ("" for none), the row's method ("" for none), status,
     * duration. */
    void (*on_answer)(void *data, const char *row_path, const char *row_method, int status, double seconds);
};

/* Of a request. A longer head is answered 431, a longer target 414, a longer body 413. The bodies of all connections
 * together hold at most four times request_bytes_max: beyond it the largest that is still coming in is cut off. */
#define HTTP_HEAD_BYTES_MAX   ((size_t)64 << 10)
#define HTTP_TARGET_BYTES_MAX ((size_t)16 << 10)

/* rows (ended by a NULL path) and data are borrowed for the server's life. The fd is taken over (closed on failure,
 * too). A path of rows with other methods only is answered 405, an unknown one 404: JSON below /api/, text elsewhere.
 */
int http_server_new(struct loop *loop, int listen_fd, const struct http_server_conf *conf, const struct http_row *rows,
                    void *data, struct http_server **ret, struct errctx *err) MUST_CHECK;

/* Stops accepting, lets running exchanges end for at most grace_ms, closes; on_closed runs on the loop, once. An
 * exchange still unanswered then is answered 503 for its handler, whose later http_respond only frees it. */
void http_server_close(struct http_server *s, int64_t grace_ms, loop_fn *on_closed, void *data);

/* All views stay valid until http_respond, also when the client or the server went away meanwhile. */
const char *http_method(const struct http_exchange *x);
struct view http_path(const struct http_exchange *x); /* decoded, without query */
struct view http_body(const struct http_exchange *x);
struct view http_header(struct http_exchange *x, const char *lower_case_name); /* {NULL,0} when absent */
/* index-th value of a query parameter, percent-decoded into the exchange's memory; {NULL,0} when there is none. */
struct view http_query(struct http_exchange *x, const char *name, size_t index);

/* Answers, exactly once; x is gone afterwards. The content is copied. May be called later than the handler's return, on
 * the same thread. */
void http_respond(struct http_exchange *x, int status, const char *content_type, struct view content);
/* {"status":"error","errorType":type,"error":message} below /api/, the message as text elsewhere. */
void http_respond_error(struct http_exchange *x, int status, const char *type, const char *message);
void http_respond_header(struct http_exchange *x, const char *name, const char *value); /* before http_respond */

#endif
