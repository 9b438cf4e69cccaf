/* The sidecar: see sidecar.h. One local shard, the proxy in front of its targets, an API; no discovery and no balancer.
 *
 * Whoever calls decides, and what was decided stays: assignment, epoch, configuration and stop reason are stored before
 * a call is answered, and a start goes on with them, so that a coordinator that is away costs nothing. At the start the
 * order is: state, configuration, proxy table, proxy, API: a Prometheus that scrapes on meanwhile waits in the proxy
 * socket's queue and is never refused what is assigned. */
#include "api/sidecar_impl.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "base/timebase.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API_GRACE_MS 3000
#define VIEW_AGE_MS  300

static const struct logctx LOG = {NULL, "component", "sidecar"};

/* ---------------------------------------------------------------- the view */

void sidecar_drop_view(struct sidecar *sc)
{
    sidecar_view_unref(sc->view);
    sc->view = NULL;
}

const struct sidecar_view *sidecar_look(struct sidecar *sc)
{
    int64_t now_ms = timebase_realtime_ms();
    if (sc->view == NULL || now_ms - sc->view->built_ms > VIEW_AGE_MS || now_ms < sc->view->built_ms) {
        sidecar_view_unref(sc->view);
        sc->view = sidecar_view_build(sc->shard, sc->conf, sc->stop_reason, now_ms);
        sc->view->info.epoch = sc->epoch;
        if (sc->config_error[0] != '\0') {
            snprintf(sc->view->info.error, sizeof(sc->view->info.error), "configuration: %.220s", sc->config_error);
        }
    }
    return sc->view;
}

static struct sidecar_view *take_view(void *data)
{
    struct sidecar *sc = data;
    (void)sidecar_look(sc);
    return sidecar_view_ref(sc->view);
}

/* ---------------------------------------------------------------- hooks */

void sidecar_on_watch(void *data)
{
    sidecar_watch(data);
    sidecar_ask_version(data);
}

static void on_reload_signal(void *data)
{
    struct errctx err = ERRCTX_INIT;
    (void)!sidecar_reload(data, &err);
}

static void tell_status(void *data)
{
    struct sidecar *sc = data;
    size_t count;
    sc->shard->ops->assignment(sc->shard, &count);
    const struct shard_info *info = sc->shard->ops->info(sc->shard);
    sidecar_measure(sc);
    notify_status("%zu targets; Prometheus is %s", count, shard_health_name(info->health));
}

static void begin_end(void *data, int signum)
{
    struct sidecar *sc = data;
    log_info(&LOG, "end", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT");
    sidecar_server_free(&sc->api, API_GRACE_MS);
    loop_stop(sc->d.loop);
}

/* ---------------------------------------------------------------- start */

static const char *choose_id(const struct options *o)
{
    const char *pod = getenv("POD_NAME");
    return intern(o->shard_id[0] != '\0' ? o->shard_id : pod != NULL && pod[0] != '\0' ? pod : "shard-0");
}

/* In a pod of a StatefulSet, <set>-<ordinal>: the set, which is what a coordinator calls the replica. Else "". */
static const char *choose_replica(void)
{
    const char *pod = getenv("POD_NAME"), *dash = pod != NULL ? strrchr(pod, '-') : NULL;
    if (dash == NULL || dash[1] == '\0' || dash[1 + strspn(dash + 1, "0123456789")] != '\0') {
        return "";
    }
    char *set = mem_dup(pod, (size_t)(dash - pod));
    const char *replica = intern(set);
    free(set);
    return replica;
}

/* The folder must exist before it can be named absolutely: target files are named in the configuration, which
 * Prometheus may read with another working directory. */
static int choose_paths(struct sidecar *sc, struct errctx *err)
{
    const char *path = sc->o->config_output_file, *slash = strrchr(path, '/');
    if (path[0] == '\0' || (slash != NULL && slash[1] == '\0')) {
        return errctx_set(err, ERR_INVALID, "config.output-file: expected the name of a file");
    }
    char *folder = slash == NULL ? mem_strdup(".") : mem_dup(path, slash == path ? 1 : (size_t)(slash - path));
    bool is_there = access(folder, F_OK) == 0;
    int rc = files_make_dirs(folder, 0750, err);
    if (rc == 0 && !is_there && sc->d.gid != (gid_t)-1 && chown(folder, (uid_t)-1, sc->d.gid) != 0) {
        rc = errctx_set_errno(err, errno, "chown(%s)", folder);
    }
    char *real = rc == 0 ? realpath(folder, NULL) : NULL;
    if (rc == 0 && real == NULL) {
        rc = errctx_set_errno(err, errno, "%s", folder);
    }
    free(folder);
    if (rc != 0) {
        return errctx_prefix(err, rc, "config.output-file");
    }
    sc->output_dir = real;
    sc->output_path = mem_printf("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash != NULL ? slash + 1 : path);
    sc->state_path = mem_printf("%s/kvass-sidecar.state", sc->o->store_path);
    sc->pending_path = mem_printf("%s/kvass-sidecar.reload-pending", sc->o->store_path);
    return 0;
}

static void make_shard(struct sidecar *sc)
{
    const struct local_env env = {
        .loop = sc->d.loop,
        .http = sc->d.http,
        .proxy_url = sc->d.proxy_url,
        .form = sc->o->inject_targets == INJECT_TARGETS_STATIC ? TARGET_FORM_STATIC : TARGET_FORM_FILE,
        .drop_rules = sc->o->inject_rules == INJECT_RULES_DROP,
        .server = (enum render_server)sc->o->shard_server,
        .self_monitor = sc->o->shard_self_monitor,
        .skip_head_series = !sc->o->shard_fetch_head_series,
        .parts_max = (unsigned)sc->o->split_max_parts,
        .gid = sc->d.gid,
        .memory_ms = DAEMON_MEMORY_MS,
        .config_path = sc->output_path,
        .pending_path = sc->pending_path,
        .publish = sidecar_publish,
        .data = sc,
    };
    size_t len = strlen(sc->o->prometheus_url);
    while (len > 0 && sc->o->prometheus_url[len - 1] == '/') {
        len--;
    }
    char *url = mem_dup(sc->o->prometheus_url, len);
    sc->shard = local_shard_new(&env, sc->id, choose_replica(), 0, sc->output_dir, url);
    free(url);
}

static int start_api(struct sidecar *sc, struct errctx *err)
{
    const struct sidecar_env env = {
        .control = sc->d.loop,
        .prometheus_url = sc->shard->prometheus_url,
        .view = take_view,
        .reload = sidecar_reload,
        .take_targets = sidecar_take_targets,
        .take_config = sidecar_take_config,
        .take_stop_reason = sidecar_take_stop_reason,
        .count_families = sidecar_count_families,
        .data = sc,
    };
    return sidecar_server_new(daemon_take_fd(&sc->d.api_fd), daemon_option(sc->o->web_config_file),
                              daemon_option(sc->o->web_token_file), &env, &sc->api, err);
}

int sidecar_start(struct sidecar *sc, const struct proxy_events *records, struct errctx *err)
{
    int rc = daemon_prepare_store(&sc->d, "kvass-sidecar.lock", err);
    if (rc == 0) {
        rc = choose_paths(sc, err);
    }
    if (rc == 0) {
        rc = daemon_open_listeners(&sc->d, err);
    }
    if (rc != 0) {
        return rc;
    }
    sc->d.http = http_client_new(sc->d.loop);
    make_shard(sc);
    struct state *st = sidecar_restore(sc);
    sidecar_load_first(sc, st);
    state_free(&st);
    rc = daemon_start_proxy(&sc->d, sc->table, records, err);
    return rc == 0 ? start_api(sc, err) : rc;
}

void sidecar_close(struct sidecar *sc)
{
    sidecar_server_free(&sc->api, 0);
    daemon_stop_proxy(&sc->d); /* its last scrapes still count */
}

void sidecar_stop(struct sidecar *sc)
{
    sidecar_close(sc);
    if (sc->d.started) {
        sidecar_save(sc);
    }
    if (sc->shard != NULL) {
        sc->shard->ops->free(sc->shard);
    }
    sidecar_drop_view(sc);
    proxy_table_unref(sc->table);
    samples_demand_done(&sc->samples);
    promconf_unref(sc->conf);
    free(sc->config_text);
    free(sc->stop_reason);
    free(sc->config_error);
    free(sc->output_path);
    free(sc->output_dir);
    free(sc->pending_path);
    free(sc->state_path);
    daemon_done(&sc->d);
}

void sidecar_init(struct sidecar *sc, const struct options *o)
{
    *sc = (struct sidecar){
        .o = o,
        .push_mode = o->config_file[0] == '\0',
        .id = choose_id(o),
        .stop_reason = mem_strdup(""),
        .config_error = mem_strdup(""),
        .major = prometheus_version_or(o->prometheus_version, PROMETHEUS_2),
    };
}

int sidecar_run(const struct options *o)
{
    static const struct daemon_hooks HOOKS = {
        .reload = on_reload_signal,
        .end = begin_end,
        .save = sidecar_save,
        .watch = sidecar_on_watch,
        .status = tell_status,
    };
    struct errctx err = ERRCTX_INIT;
    struct sidecar sc;
    const struct proxy_events records = {sidecar_on_record, &sc};
    sidecar_init(&sc, o);
    daemon_init(&sc.d, o, &LOG, &HOOKS, &sc);
    int rc = sidecar_start(&sc, &records, &err);
    if (rc != 0) {
        log_error(&LOG, "start", "err", err.msg, "action", "exit");
    } else {
        daemon_run(&sc.d);
    }
    sidecar_stop(&sc);
    return rc == 0 ? 0 : 1;
}
