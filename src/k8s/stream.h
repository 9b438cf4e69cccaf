/* One answer of the API server, taken piece by piece while it comes in: a page of a list, or a watch. */
#ifndef KVASS_K8S_STREAM_H
#define KVASS_K8S_STREAM_H

#include "k8s/client_priv.h"
#include "k8s/json_split.h"

struct k8s_stream;

struct k8s_stream_request {
    const char *url, *what, *verb;
    enum json_split_mode mode;
    int64_t timeout_ms;
    /* Text of a piece, base NULL when it was too large. Non-zero gives up: on_done comes with ERR_CANCELLED. */
    int (*on_piece)(void *data, struct view text);
    /* Once. rest: see json_split.h; only with answer->err.code 0. A stream that ends within an object is ERR_PARSE. */
    void (*on_done)(void *data, const struct k8s_answer *answer, struct view rest);
    void *data;
};

struct k8s_stream *k8s_stream_send(struct k8s_client *c, const struct k8s_stream_request *req);
void k8s_stream_cancel(struct k8s_stream *s); /* no on_done; also from within on_piece */

#endif
