/* The sidecar's API (as Kvass 0.3): its own calls here, every other path is Prometheus'. */
#ifndef KVASS_API_SIDECAR_SERVER_H
#define KVASS_API_SIDECAR_SERVER_H

#include "api/sidecar_view.h"
#include "base/loop.h"
#include "model/wire_push.h"

struct sidecar_server;

/* Calls into the daemon, all made on the control loop. Each is 0, or why nothing has changed. */
struct sidecar_env {
    struct loop *control;
    const char *prometheus_url;
    struct sidecar_view *(*view)(void *data); /* a reference for the caller */
    int (*reload)(void *data, struct errctx *err);
    int (*take_targets)(void *data, const struct wire_push *push, const struct assignment *items, size_t count,
                        struct errctx *err);
    int (*take_config)(void *data, const struct wire_push *push, struct view text, struct errctx *err);
    int (*take_stop_reason)(void *data, const char *reason, struct errctx *err);
    /* For samples.h: a reference, NULL when there is nothing to count. */
    void (*count_families)(void *data, struct view job_substring, struct family_count **ret_count, size_t *ret_expected,
                           int64_t *ret_until_ms);
    void *data;
};

/* Starts the thread; listen_fd is taken over. The two files may be NULL. */
int sidecar_server_new(int listen_fd, const char *web_config_file, const char *token_file,
                       const struct sidecar_env *env, struct sidecar_server **ret, struct errctx *err) MUST_CHECK;
void sidecar_server_free(struct sidecar_server **s, int64_t grace_ms); /* as api_server_free */

#endif
