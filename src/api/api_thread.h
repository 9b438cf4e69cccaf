/* The thread behind an API listener: its own loop and libh2o, so that nothing it does can block scrapes or rounds. A
 * call that needs the control loop goes there and comes back with a view; the answer is formatted here. Shared by the
 * servers of all roles. */
#ifndef KVASS_API_API_THREAD_H
#define KVASS_API_API_THREAD_H

#include "base/json_writer.h"
#include "net/http_server.h"

#define API_ANSWER_BYTES_MAX  ((size_t)1 << 31)
#define API_REQUEST_BYTES_MAX ((size_t)64 << 20)
#define API_JSON_TYPE         "application/json"
#define API_TEXT_TYPE         "text/plain; charset=utf-8"

struct api_thread;

struct api_thread_conf {
    const struct http_row *rows;              /* their handlers' data is `data`; borrowed, ended by a NULL path */
    const char *web_config_file, *token_file; /* NULL = none */
    struct http_forward *(*make_forward)(struct loop *loop, void *data); /* NULL: other paths are 404 */
    void (*on_answer)(void *data, const char *row_path, const char *row_method, int status, double seconds);
    struct loop *control;
    void (*on_closed)(void *data);  /* on the API thread, when the last exchange has been answered; NULL = nothing */
    void *(*take_view)(void *data); /* on the control loop: a reference for the caller */
    void (*drop_view)(void *view);  /* any thread */
    void *data;
};

/* Starts the thread; listen_fd is taken over. */
int api_thread_new(int listen_fd, const struct api_thread_conf *conf, struct api_thread **ret,
                   struct errctx *err) MUST_CHECK;

/* Lets running answers end for at most grace_ms and joins the thread. Blocking; on the control thread, before its loop
 * is stopped. conf.data must live until the control loop's mailbox is empty. */
void api_thread_free(struct api_thread **t, int64_t grace_ms);

struct loop *api_thread_loop(struct api_thread *t);

/* One call on its way. */
struct api_call {
    struct api_thread *thread;
    struct http_exchange *exchange;
    void *data;                             /* conf.data */
    void (*on_control)(struct api_call *c); /* on the control loop, before the view is taken; may be NULL */
    void (*on_back)(struct api_call *c);    /* on the API thread: answers */
    void *input;
    void (*free_input)(void *input); /* NULL = free */
    void *view;
    struct errctx err;
};

/* Takes input over. */
void api_call_control(struct api_thread *t, struct http_exchange *x, void (*on_control)(struct api_call *c),
                      void (*on_back)(struct api_call *c), void *input, void (*free_input)(void *input));

/* Answers; body is emptied. With rc (or an overflow of body) the error of err instead. */
void api_finish(struct http_exchange *x, struct bytes *body, int rc, struct errctx *err, const char *content_type);
void api_respond_success(struct http_exchange *x);                                 /* without data */
void api_respond_error(struct http_exchange *x, int rc, const struct errctx *err); /* status and type by the code */

/* Rows every role has. */
void api_get_metrics(struct http_exchange *x, void *data);
void api_get_healthy(struct http_exchange *x, void *data);

/* Prometheus' words on failure, so that reloader side cars understand us. */
void api_respond_reload(struct api_call *c);

#endif
