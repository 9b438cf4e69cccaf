/* The appliance: see appliance.h. All state here belongs to the control thread. Facts arrive through callbacks
 * (discovery, scrape records, provider, signals, API calls); decisions are the round's. What workers may scrape is one
 * proxy table over all local shards, built anew and published whenever an assignment or the configuration changes. */
#include "api/appliance_impl.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/notify.h"
#include "base/timebase.h"
#include "net/listener.h"
#include "shard/local.h"
#include "shard/process.h"
#include "shard/process_version.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define API_GRACE_MS   3000
#define PROXY_GRACE_MS 12000
#define VIEW_AGE_MS    300
#define SAVE_EVERY_MS  60000
#define WATCH_EVERY_MS 5000

static const struct logctx LOG = {NULL, "component", "appliance"};

static struct shard *make_shard(void *data, const struct provider_shard *ps)
{
    struct appliance *a = data;
    const struct local_env env = {
        .loop = a->loop,
        .http = a->http,
        .proxy_url = a->proxy_url,
        .form = a->o->inject_targets == INJECT_TARGETS_STATIC ? TARGET_FORM_STATIC : TARGET_FORM_FILE,
        .drop_rules = a->o->inject_rules == INJECT_RULES_DROP,
        .self_monitor = a->o->shard_self_monitor,
        .skip_head_series = !a->o->shard_fetch_head_series,
        .gid = a->gid,
        .publish = appliance_publish,
        .data = a,
    };
    char *dir = mem_printf("%s/shards/%s", a->o->store_path, ps->id);
    struct shard *s = local_shard_new(&env, ps->id, ps->replica, ps->group, dir, ps->prometheus_url);
    free(dir);
    reconcile_kick(a->reconcile);
    return s;
}

/* Before a Prometheus starts, its files must be there; the round makes the shard that writes them. */
static int prepare_shard(void *data, const struct process_shard *ps, struct errctx *err)
{
    struct appliance *a = data;
    struct shard *s = a->reconcile != NULL ? reconcile_shard_by_id(a->reconcile, ps->id) : NULL;
    return s == NULL ? ERR_AGAIN : local_shard_prepare(s, err);
}

static void on_shard_gone(void *data, const char *id)
{
    log_info(&LOG, "shard removed", "shard", id);
    appliance_publish(data);
}

static bool is_discovered(void *data)
{
    struct appliance *a = data;
    return discovery_is_initial_done(a->discovery, timebase_monotonic_ms(), a->o->sd_init_timeout_ms);
}

static void on_provider_change(void *data)
{
    struct appliance *a = data;
    if (!a->ending) {
        reconcile_kick(a->reconcile);
    }
}

static void on_job(void *data, struct built_job *b)
{
    struct appliance *a = data;
    reconcile_take_job(a->reconcile, b);
}

void appliance_drop_view(struct appliance *a)
{
    api_view_unref(a->view);
    a->view = NULL;
}

static struct api_view *take_view(void *data)
{
    struct appliance *a = data;
    int64_t now_ms = timebase_realtime_ms();
    if (a->view == NULL || now_ms - a->view->built_ms > VIEW_AGE_MS || now_ms < a->view->built_ms) {
        struct plan_limits limits;
        appliance_limits(a->o, &limits);
        const struct view_source src = {
            .reconcile = a->reconcile,
            .conf = a->conf,
            .limits = limits,
            .discovered = is_discovered(a),
            .stop_reason = a->stop_reason,
            .last_reload_error = a->last_reload_error,
            .last_reload_diff = a->last_reload_diff,
            .now_ms = now_ms,
        };
        api_view_unref(a->view);
        a->view = api_view_build(&src);
    }
    return api_view_ref(a->view);
}

/* ---------------------------------------------------------------- end */

static void on_provider_stopped(void *data)
{
    struct appliance *a = data;
    loop_stop(a->loop);
}

/* Scrapes under way end, the API answers its last calls, the state is saved; then the children are ended or left to the
 * next start. A second signal ends at once. */
static void begin_end(struct appliance *a, int signum)
{
    if (a->ending) {
        log_warn(&LOG, "second signal", "action", "end at once");
        loop_stop(a->loop);
        return;
    }
    a->ending = true;
    bool keep_children =
        signum == SIGTERM && (a->o->shard_on_exit == SHARD_ON_EXIT_KEEP ||
                              (a->o->shard_on_exit == SHARD_ON_EXIT_AUTO && notify_unit_restarts()));
    log_info(&LOG, "end", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT", "shards",
             keep_children ? "left running" : "ended");
    notify_stopping();
    for (size_t i = 0; i < sizeof(a->signals) / sizeof(a->signals[0]); i++) {
        if (a->signals[i].signum == SIGHUP) {
            uv_signal_stop(&a->signals[i]);
        }
    }
    appliance_save(a);
    api_server_free(&a->api, API_GRACE_MS);
    process_provider_stop_children(a->provider, !keep_children);
    a->provider->ops->stop(a->provider, on_provider_stopped, a);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct appliance *a = handle->data;
    struct errctx err = ERRCTX_INIT;
    if (signum == SIGHUP) {
        (void)!appliance_reload(a, &err);
    } else {
        begin_end(a, signum);
    }
}

/* ---------------------------------------------------------------- start */

static void notify_due(void *data)
{
    struct appliance *a = data;
    size_t groups;
    reconcile_groups(a->reconcile, &groups);
    notify_watchdog();
    notify_status("%zu targets on %zu shards", reconcile_registry(a->reconcile)->entries.len, groups);
}

static void start_signals(struct appliance *a)
{
    static const int NUMBERS[] = {SIGHUP, SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        uv_signal_init(loop_uv(a->loop), &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, NUMBERS[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

static void start_timers(struct appliance *a)
{
    int64_t watchdog_ms = notify_watchdog_interval_ms();
    a->save_timer = loop_timer_new(a->loop, appliance_save, a);
    a->watch_timer = loop_timer_new(a->loop, appliance_watch_config, a);
    a->notify_timer = loop_timer_new(a->loop, notify_due, a);
    loop_timer_start(a->save_timer, SAVE_EVERY_MS, SAVE_EVERY_MS);
    loop_timer_start(a->watch_timer, WATCH_EVERY_MS, WATCH_EVERY_MS);
    loop_timer_start(a->notify_timer, 0, watchdog_ms > 0 ? watchdog_ms : WATCH_EVERY_MS);
}

/* One appliance per store: a second one would fight over the children and the files. */
static int prepare_store(struct appliance *a, struct errctx *err)
{
    a->lock_fd = -1;
    a->gid = (gid_t)-1;
    if (a->o->store_group[0] != '\0') {
        const struct group *g = getgrnam(a->o->store_group);
        if (g == NULL) {
            return errctx_set(err, ERR_NOT_FOUND, "store.group: no group is called \"%s\"", a->o->store_group);
        }
        a->gid = g->gr_gid;
    }
    int rc = files_make_dirs(a->o->store_path, 0750, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "store.path");
    }
    a->state_path = mem_printf("%s/state", a->o->store_path);
    a->proxy_url =
        a->o->inject_proxy[0] != '\0' ? mem_strdup(a->o->inject_proxy) : mem_printf("http://%s", a->o->web_proxy_addr);
    a->prometheus_args = mem_calloc(a->o->shard_prometheus_args.len + 1, sizeof(*a->prometheus_args));
    for (size_t i = 0; i < a->o->shard_prometheus_args.len; i++) {
        a->prometheus_args[i] = a->o->shard_prometheus_args.items[i];
    }
    char *path = mem_printf("%s/lock", a->o->store_path);
    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (a->lock_fd < 0) {
        rc = errctx_set_errno(err, errno, "open(%s)", path);
    } else if (flock(a->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        rc = errctx_set(err, ERR_CONFLICT,
                        "%s is locked: another kvass uses this store.path; end it, or give this one its own", path);
    }
    free(path);
    return rc;
}

/* Both ports before anything else: a port in use ends the start before a child runs. Connections that come early wait
 * in the sockets' queues. */
static int open_listeners(struct appliance *a, struct errctx *err)
{
    bool inherited;
    int rc = listener_open(a->o->web_proxy_addr, "proxy", &a->proxy_fd, &inherited, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "web.proxy-addr");
    }
    rc = listener_open(a->o->web_address, "api", &a->api_fd, &inherited, err);
    return rc != 0 ? errctx_prefix(err, rc, "web.address") : 0;
}

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Begins with the table the first round has published: nothing that is assigned is ever refused. */
static int start_proxy(struct appliance *a, struct errctx *err)
{
    int fd = take_fd(&a->proxy_fd);
    const struct proxy_conf conf = {
        .threads = (unsigned)a->o->proxy_threads,
        .connections_max = (unsigned)a->o->proxy_max_connections,
        .count_mode = a->o->scrape_count == SCRAPE_COUNT_FAST ? COUNT_FAST : COUNT_STRICT,
        .timeout_offset_ratio = a->o->scrape_timeout_offset,
        .pass_compressed = a->o->scrape_pass_compressed,
        .disable_keep_alive = a->o->scrape_disable_keep_alive,
        .scrape_proxy = getenv("SCRAPE_PROXY"),
        .body_bytes_max = (size_t)a->o->proxy_max_body_size_bytes,
        .line_bytes_max = (size_t)a->o->proxy_max_line_size_bytes,
    };
    const struct proxy_events events = {appliance_on_record, a};
    return proxy_new(a->loop, &fd, 1, &conf, a->table, &events, &a->proxy, err);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static int start_api(struct appliance *a, struct errctx *err)
{
    const struct api_env env = {
        .control = a->loop,
        .view = take_view,
        .reload = appliance_reload,
        .set_stop_reason = appliance_set_stop_reason,
        .data = a,
    };
    return api_server_new(take_fd(&a->api_fd), or_null(a->o->web_config_file), or_null(a->o->web_token_file), &env,
                          &a->api, err);
}

static int start_balancer(struct appliance *a, struct errctx *err)
{
    const struct process_conf pconf = {
        .data_dir = a->o->store_path,
        .binary = a->o->shard_prometheus_binary,
        .extra_args = a->prometheus_args,
        .base_port = (unsigned)a->o->shard_prometheus_port,
        .groups_max = (unsigned)a->o->shard_max_shard,
        .prepare = prepare_shard,
        .data = a,
    };
    int rc = process_provider_new(a->loop, a->http, &pconf, &a->provider, err);
    if (rc != 0) {
        return rc;
    }
    a->provider->on_change = on_provider_change;
    a->provider->data = a;
    struct reconcile_conf rconf = {
        .explore = {.concurrency = (unsigned)a->o->explore_concurrence,
                    .attempts = 3,
                    .backoff_ms = 1000,
                    .result_ttl_ms = 900000},
        .interval_ms = a->o->coordinator_interval_ms,
        .vanish_grace_ms = a->o->target_grace_ms,
        .dry_run = a->o->dry_run,
    };
    appliance_limits(a->o, &rconf.limits);
    const struct reconcile_env env = {
        .loop = a->loop,
        .provider = a->provider,
        .make_shard = make_shard,
        .on_shard_gone = on_shard_gone,
        .probe = appliance_probe,
        .is_discovered = is_discovered,
        .save = appliance_save,
        .data = a,
    };
    a->reconcile = reconcile_new(&rconf, &env);
    appliance_restore(a);
    return 0;
}

/* `auto` asks the binary that will do the scraping. */
static int choose_version(struct appliance *a, struct errctx *err)
{
    char version[64];
    snprintf(version, sizeof(version), "%s", a->o->prometheus_version);
    if (strcmp(version, "auto") == 0) {
        int rc = process_version(a->o->shard_prometheus_binary, version, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "shard.prometheus-binary");
        }
        log_info(&LOG, "prometheus found", "binary", a->o->shard_prometheus_binary, "version", version);
    }
    a->major = version[0] == '2' ? PROMETHEUS_2 : PROMETHEUS_3;
    return 0;
}

static int start(struct appliance *a, struct errctx *err)
{
    const struct discovery_events events = {on_job, a};
    int rc = choose_version(a, err);
    if (rc == 0) {
        rc = prepare_store(a, err);
    }
    if (rc == 0) {
        rc = open_listeners(a, err);
    }
    if (rc == 0) {
        a->http = http_client_new(a->loop);
        rc = start_balancer(a, err);
    }
    if (rc == 0) {
        a->discovery = discovery_new(a->loop, a->http, &events);
        rc = appliance_reload(a, err);
    }
    if (rc == 0) {
        reconcile_start(a->reconcile);
        rc = start_proxy(a, err);
    }
    return rc == 0 ? start_api(a, err) : rc;
}

static void stop(struct appliance *a)
{
    api_server_free(&a->api, 0);
    discovery_free(&a->discovery);
    proxy_free(&a->proxy, PROXY_GRACE_MS);
    reconcile_free(&a->reconcile);
    if (a->provider != NULL) {
        a->provider->ops->free(a->provider);
    }
    http_client_free(&a->http);
    loop_timer_free(&a->save_timer);
    loop_timer_free(&a->watch_timer);
    loop_timer_free(&a->notify_timer);
    for (size_t i = 0; i < sizeof(a->signals) / sizeof(a->signals[0]); i++) {
        if (a->signals[i].data != NULL) {
            uv_close((uv_handle_t *)&a->signals[i], NULL);
        }
    }
    api_view_unref(a->view);
    proxy_table_unref(a->table);
    promconf_unref(a->conf);
    free(a->stop_reason);
    free(a->last_reload_error);
    free(a->last_reload_diff);
    free(a->state_path);
    free(a->proxy_url);
    free(a->prometheus_args);
    loop_free(&a->loop);
    const int fds[] = {a->lock_fd, a->proxy_fd, a->api_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

int appliance_run(const struct options *o)
{
    struct errctx err = ERRCTX_INIT;
    struct appliance a = {
        .o = o,
        .lock_fd = -1,
        .proxy_fd = -1,
        .api_fd = -1,
        .stop_reason = mem_strdup(""),
        .last_reload_error = mem_strdup(""),
        .last_reload_diff = mem_strdup(""),
    };
    curl_net_init();
    metric_set(METRIC_BUILD_INFO, 1, PACKAGE_VERSION);
    a.loop = loop_new();
    a.started_ms = timebase_monotonic_ms();
    int rc = start(&a, &err);
    if (rc != 0) {
        log_error(&LOG, "start", "err", err.msg, "action", "exit");
    } else {
        start_signals(&a);
        start_timers(&a);
        a.started = true;
        log_info(&LOG, "started", "version", PACKAGE_VERSION, "api", o->web_address, "proxy", o->web_proxy_addr,
                 "store", o->store_path);
        notify_ready();
        loop_run(a.loop);
        log_info(&LOG, "ended");
    }
    stop(&a);
    return rc == 0 ? 0 : 1;
}
