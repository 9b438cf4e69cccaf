/* The frame around a role: see daemon.h. Nothing here knows what a role does. The order of start and end is the role's,
 * because it differs: an appliance ends its children after its API, a sidecar has none. */
#include "api/daemon.h"
#include "base/files.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/notify.h"
#include "base/timebase.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define PROXY_GRACE_MS 12000
#define SAVE_EVERY_MS  60000
#define WATCH_EVERY_MS 5000

static void blank(struct daemon *d, const struct options *o, const struct logctx *log, void *data)
{
    *d = (struct daemon){
        .o = o,
        .log = log,
        .data = data,
        .gid = (gid_t)-1,
        .lock_fd = -1,
        .proxy_fd = -1,
        .api_fd = -1,
    };
}

void daemon_attach(struct daemon *d, const struct daemon *host, const struct options *o, const struct logctx *log,
                   void *data)
{
    blank(d, o, log, data);
    d->is_guest = true;
    d->loop = host->loop;
    d->http = host->http;
}

void daemon_init(struct daemon *d, const struct options *o, const struct logctx *log, const struct daemon_hooks *hooks,
                 void *data)
{
    blank(d, o, log, data);
    d->hooks = *hooks;
    curl_net_init();
    metric_set(METRIC_BUILD_INFO, 1, PACKAGE_VERSION);
    d->loop = loop_new();
}

/* ---------------------------------------------------------------- start */

static int take_lock(struct daemon *d, const char *lock_name, struct errctx *err)
{
    int rc = 0;
    char *path = mem_printf("%s/%s", d->o->store_path, lock_name);
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (d->lock_fd < 0) {
        rc = errctx_set_errno(err, errno, "open(%s)", path);
    } else if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        rc = errctx_set(err, ERR_CONFLICT,
                        "%s is locked: another kvass uses this store.path; end it, or give this one its own", path);
    }
    free(path);
    return rc;
}

/* What the generated jobs are told; an address without a host listens everywhere, so also here. */
static char *make_proxy_url(const struct options *o)
{
    if (o->inject_proxy[0] != '\0') {
        return mem_strdup(o->inject_proxy);
    }
    return mem_printf("http://%s%s", o->web_proxy_addr[0] == ':' ? "127.0.0.1" : "", o->web_proxy_addr);
}

int daemon_prepare_store(struct daemon *d, const char *lock_name, struct errctx *err)
{
    if (d->o->store_group[0] != '\0') {
        const struct group *g = getgrnam(d->o->store_group);
        if (g == NULL) {
            return errctx_set(err, ERR_NOT_FOUND, "store.group: no group is called \"%s\"", d->o->store_group);
        }
        d->gid = g->gr_gid;
    }
    d->proxy_url = make_proxy_url(d->o);
    int rc = files_make_dirs(d->o->store_path, 0750, err);
    return rc != 0 ? errctx_prefix(err, rc, "store.path") : take_lock(d, lock_name, err);
}

int daemon_open_listeners(struct daemon *d, struct errctx *err)
{
    bool inherited;
    int rc = listener_open(d->o->web_proxy_addr, "proxy", &d->proxy_fd, &inherited, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "web.proxy-addr");
    }
    rc = listener_open(d->o->web_address, "api", &d->api_fd, &inherited, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "web.address");
    }
    daemon_tell_unused_ports(d);
    return 0;
}

void daemon_tell_unused_ports(const struct daemon *d)
{
    char address[64];
    const int ours[] = {d->proxy_fd, d->api_fd};
    for (int at = 0; listener_next_unused(ours, 2, &at, address);) {
        log_warn(d->log, "held port", "address", address, "err", "the .socket unit holds it and nobody answers there",
                 "action", "make its ListenStream= and web.address, web.proxy-addr agree, see kvass(8)");
    }
}

int daemon_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

int daemon_start_proxy(struct daemon *d, struct proxy_table *first, const struct proxy_events *events,
                       struct errctx *err)
{
    int fd = daemon_take_fd(&d->proxy_fd);
    const struct proxy_conf conf = {
        .threads = (unsigned)d->o->proxy_threads,
        .connections_max = (unsigned)d->o->proxy_max_connections,
        .host_connections_max = (unsigned)d->o->proxy_max_host_connections,
        .count_mode = d->o->scrape_count == SCRAPE_COUNT_FAST ? COUNT_FAST : COUNT_STRICT,
        .timeout_offset_ratio = d->o->scrape_timeout_offset,
        .pass_compressed = d->o->scrape_pass_compressed,
        .disable_keep_alive = d->o->scrape_disable_keep_alive,
        .split = d->o->split_max_parts > 1,
        .scrape_proxy = getenv("SCRAPE_PROXY"),
        .body_bytes_max = (size_t)d->o->proxy_max_body_size_bytes,
        .line_bytes_max = (size_t)d->o->proxy_max_line_size_bytes,
    };
    return proxy_new(d->loop, &fd, 1, &conf, first, events, &d->proxy, err);
}

/* ---------------------------------------------------------------- signals and time */

/* A second signal ends at once. */
static void on_end_signal(struct daemon *d, int signum)
{
    if (d->ending) {
        log_warn(d->log, "second signal", "action", "end at once");
        loop_stop(d->loop);
        return;
    }
    d->ending = true;
    notify_stopping();
    for (size_t i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++) {
        if (d->signals[i].signum == SIGHUP) {
            uv_signal_stop(&d->signals[i]);
        }
    }
    d->hooks.end(d->data, signum);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct daemon *d = handle->data;
    if (signum != SIGHUP) {
        on_end_signal(d, signum);
    } else if (d->hooks.reload != NULL) {
        d->hooks.reload(d->data);
    }
}

static void start_signals(struct daemon *d)
{
    static const int NUMBERS[] = {SIGHUP, SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        uv_signal_init(loop_uv(d->loop), &d->signals[i]);
        d->signals[i].data = d;
        uv_signal_start(&d->signals[i], on_signal, NUMBERS[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

static void notify_due(void *data)
{
    struct daemon *d = data;
    notify_watchdog();
    if (d->hooks.status != NULL) {
        d->hooks.status(d->data);
    }
}

static void start_timers(struct daemon *d)
{
    int64_t watchdog_ms = notify_watchdog_interval_ms();
    d->save_timer = loop_timer_new(d->loop, d->hooks.save, d->data);
    d->watch_timer = loop_timer_new(d->loop, d->hooks.watch, d->data);
    d->notify_timer = loop_timer_new(d->loop, notify_due, d);
    loop_timer_start(d->save_timer, SAVE_EVERY_MS, SAVE_EVERY_MS);
    loop_timer_start(d->watch_timer, WATCH_EVERY_MS, WATCH_EVERY_MS);
    loop_timer_start(d->notify_timer, 0, watchdog_ms > 0 ? watchdog_ms : WATCH_EVERY_MS);
}

void daemon_run(struct daemon *d)
{
    start_signals(d);
    start_timers(d);
    d->started = true;
    log_info(d->log, "started", "version", PACKAGE_VERSION, "api", d->o->web_address, "proxy",
             d->o->role == ROLE_COORDINATOR ? NULL : d->o->web_proxy_addr, "store",
             d->o->store_path[0] != '\0' ? d->o->store_path : NULL);
    notify_ready();
    loop_run(d->loop);
    log_info(d->log, "ended");
}

/* ---------------------------------------------------------------- end */

void daemon_stop_proxy(struct daemon *d)
{
    proxy_free(&d->proxy, PROXY_GRACE_MS);
}

void daemon_done(struct daemon *d)
{
    if (!d->is_guest) {
        http_client_free(&d->http);
    }
    loop_timer_free(&d->save_timer);
    loop_timer_free(&d->watch_timer);
    loop_timer_free(&d->notify_timer);
    for (size_t i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++) {
        if (d->signals[i].data != NULL) {
            uv_close((uv_handle_t *)&d->signals[i], NULL);
        }
    }
    if (!d->is_guest) {
        loop_free(&d->loop);
    }
    free(d->proxy_url);
    const int fds[] = {d->lock_fd, d->proxy_fd, d->api_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* ---------------------------------------------------------------- small things */

bool daemon_file_changed(const char *path, struct stat *last)
{
    struct stat now;
    if (stat(path, &now) != 0) {
        now = (struct stat){0};
    }
    bool changed = now.st_mtim.tv_sec != last->st_mtim.tv_sec || now.st_mtim.tv_nsec != last->st_mtim.tv_nsec ||
                   now.st_size != last->st_size || now.st_ino != last->st_ino;
    *last = now;
    return changed;
}

const char *daemon_option(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}
