/* Seam inside the server: http_server.c owns sockets and time, http_exchange.c a request from head to answer. */
#ifndef KVASS_NET_HTTP_EXCHANGE_H
#define KVASS_NET_HTTP_EXCHANGE_H

#include "net/http_auth.h"
#include "net/http_server.h"

#include <h2o.h>

struct exchange_list {
    struct http_exchange *first;
};

/* What an exchange needs of its server; outlives every exchange that is not detached. */
struct exchange_env {
    const struct http_row *rows;
    void *data;
    struct http_auth *auth;
    void (*on_answer)(void *data, const char *row_path, const char *row_method, int status, double seconds);
    bool open_health;
    struct http_forward *forward; /* NULL = none */
    size_t body_bytes_max;
    struct exchange_list open; /* not answered yet */
    bool closing;              /* answers end their connection */
};

/* Begins an exchange for a request libh2o has read. */
void exchange_begin(struct exchange_env *env, h2o_req_t *req);

/* Answers 503 to whatever is open; the exchanges live on until their handlers respond, without the server. */
void exchange_detach_all(struct exchange_env *env);

/* http_forward.c: takes over a request; answers it, whatever happens. */
void http_forward_begin(struct http_forward *owner, struct exchange_env *env, h2o_req_t *req);

/* A server whose requests go to a handler that speaks libh2o itself (the scrape proxy) instead of to rows; connections,
 * sweep and closing are the same. The handler answers every request and returns 0. */
typedef int http_raw_fn(h2o_req_t *req, void *data);
int http_server_new_raw(struct loop *loop, int listen_fd, const struct http_server_conf *conf, http_raw_fn *on_request,
                        void *data, struct http_server **ret, struct errctx *err) MUST_CHECK;

#endif
