/* The API thread: its own loop and libh2o, so that nothing it does can block scrapes or rounds. Reads are answered from
 * a published view; writes travel to the control loop and back. */
#ifndef KVASS_API_SERVER_H
#define KVASS_API_SERVER_H

#include "api/view.h"
#include "net/http_server.h"

struct api_server;
struct family_count;

/* Calls into the daemon, all made on the control loop. */
struct api_env {
    struct loop *control;
    struct api_view *(*view)(void *data);                    /* a reference for the caller */
    int (*reload)(void *data, struct errctx *err);           /* 0, or why the old configuration stays */
    void (*set_stop_reason)(void *data, const char *reason); /* "" lifts it */
    /* For samples.h; NULL: there is no proxy here. */
    void (*count_families)(void *data, struct view job_substring, struct family_count **ret_count, size_t *ret_expected,
                           int64_t *ret_until_ms);
    void *data;
};

/* Starts the thread; listen_fd is taken over. web_config_file and token_file may be NULL. */
int api_server_new(int listen_fd, const char *web_config_file, const char *token_file, const struct api_env *env,
                   struct api_server **ret, struct errctx *err) MUST_CHECK;

/* Lets running answers end for at most grace_ms and joins the thread. Blocking; on the control thread, before its loop
 * is stopped. */
void api_server_free(struct api_server **s, int64_t grace_ms);

#endif
