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
    size_t body_bytes_max;
    struct exchange_list open; /* not answered yet */
    bool closing;              /* answers end their connection */
};

/* Begins an exchange for a request libh2o has read. */
void exchange_begin(struct exchange_env *env, h2o_req_t *req);

/* Answers 503 to whatever is open; the exchanges live on until their handlers respond, without the server. */
void exchange_detach_all(struct exchange_env *env);

#endif
