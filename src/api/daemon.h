/* What every role needs around its own parts: the control loop, the store's lock, listeners, the proxy's start,
 * signals, timers and the talk with systemd. Composition only; what the signals and timers mean is the role's. Control
 * thread. */
#ifndef KVASS_API_DAEMON_H
#define KVASS_API_DAEMON_H

#include "base/log.h"
#include "base/options.h"
#include "net/http_client.h"
#include "proxy/proxy.h"

#include <sys/stat.h>

/* The role's part. All but end, save and watch may be NULL. */
struct daemon_hooks {
    void (*reload)(void *data);          /* SIGHUP */
    void (*end)(void *data, int signum); /* the first SIGTERM or SIGINT; the role stops the loop when it is through */
    void (*save)(void *data);            /* every minute */
    void (*watch)(void *data);           /* every few seconds */
    void (*status)(void *data);          /* as often; the place for notify_status */
};

#define DAEMON_MEMORY_MS 15000 /* between two readings of a local Prometheus' memory */

struct daemon {
    const struct options *o;
    const struct logctx *log;
    struct daemon_hooks hooks;
    void *data;
    struct loop *loop;
    struct http_client *http;
    struct proxy *proxy;
    char *proxy_url;               /* what generated jobs are told */
    gid_t gid;                     /* of generated files; (gid_t)-1 = the daemon's own */
    int lock_fd, proxy_fd, api_fd; /* -1: none, or handed on */
    struct loop_timer *save_timer, *watch_timer, *notify_timer;
    uv_signal_t signals[3];
    bool started, ending;
    bool is_guest; /* attached: loop and http are the host's */
};

/* The loop and nothing else. log, o and data are borrowed. */
void daemon_init(struct daemon *d, const struct options *o, const struct logctx *log, const struct daemon_hooks *hooks,
                 void *data);

/* The same for a second role in the process of another one: it shares that one's loop and HTTP client, and has neither
 * signals nor timers of its own; daemon_run is the other's. */
void daemon_attach(struct daemon *d, const struct daemon *host, const struct options *o, const struct logctx *log,
                   void *data);

/* Makes store.path, resolves store.group, takes the lock <store.path>/<lock_name>: one daemon per store, as a second
 * one would fight over the files. */
int daemon_prepare_store(struct daemon *d, const char *lock_name, struct errctx *err) MUST_CHECK;

/* The proxy's port and the API's, before anything else: a port in use ends the start before anything is touched.
 * Connections that come early wait in the sockets' queues. */
int daemon_open_listeners(struct daemon *d, struct errctx *err) MUST_CHECK;

/* Tells of ports that the service manager holds for us and nobody answers on; api and proxy fds are still ours. */
void daemon_tell_unused_ports(const struct daemon *d);

/* Begins with `first` (NULL: refuses until one is published). Records come through events. */
int daemon_start_proxy(struct daemon *d, struct proxy_table *first, const struct proxy_events *events,
                       struct errctx *err) MUST_CHECK;

/* Signals, timers, readiness; then the loop, until the role stops it. */
void daemon_run(struct daemon *d);

/* Lets scrapes end; the role frees what uses the loop between the two. */
void daemon_stop_proxy(struct daemon *d);
void daemon_done(struct daemon *d);

/* The fd, which is the caller's from now on. */
int daemon_take_fd(int *fd);

/* True when path is another file than at the last look (time, size or inode); *last is updated. A missing one is a
 * file, too. */
bool daemon_file_changed(const char *path, struct stat *last);

/* text, or NULL when it is empty: for options that are "not set". */
const char *daemon_option(const char *text);

#endif
