/* The appliance: see appliance.h. All state here belongs to the control thread. Facts arrive through callbacks
 * (discovery, scrape records, provider, signals, API calls); decisions are the round's. What workers may scrape is one
 * proxy table over all local shards, built anew and published whenever an assignment or the configuration changes. */
#include "api/appliance_impl.h"
#include "api/limits.h"
#include "api/operator_source.h"
#include "base/intern.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/timebase.h"
#include "shard/local.h"
#include "shard/process_version.h"

#include <signal.h>
#include <stdio.h>

#define API_GRACE_MS 3000
#define VIEW_AGE_MS  300

static const struct logctx LOG = {NULL, "component", "appliance"};

static struct shard *make_shard(void *data, const struct provider_shard *ps)
{
    struct appliance *a = data;
    const struct local_env env = {
        .loop = a->d.loop,
        .http = a->d.http,
        .proxy_url = a->d.proxy_url,
        .form = a->o->inject_targets == INJECT_TARGETS_STATIC ? TARGET_FORM_STATIC : TARGET_FORM_FILE,
        .drop_rules = a->o->inject_rules == INJECT_RULES_DROP,
        .server = (enum render_server)a->o->shard_server,
        .self_monitor = a->o->shard_self_monitor,
        .skip_head_series = !a->o->shard_fetch_head_series,
        .parts_max = (unsigned)a->o->split_max_parts,
        .gid = a->d.gid,
        .memory_ms = DAEMON_MEMORY_MS,
        .publish = appliance_publish,
        .data = a,
    };
    char *dir = mem_printf("%s/shards/%s", a->o->store_path, ps->id);
    struct shard *s = local_shard_new(&env, ps->id, ps->replica, ps->group, dir, ps->prometheus_url);
    free(dir);
    if (a->version[0] != '\0') {
        local_shard_set_version(s, a->version);
    }
    appliance_restore_shard(a, s);
    reconcile_kick(a->reconcile);
    return s;
}

static void on_shard_gone(void *data, const char *id)
{
    log_info(&LOG, "shard removed", "shard", id);
    appliance_publish(data);
}

static bool is_discovered(void *data)
{
    struct appliance *a = data;
    int64_t now_ms = timebase_monotonic_ms();
    return (a->monitors == NULL || operator_is_settled(a->monitors, now_ms, false)) &&
           discovery_is_initial_done(a->discovery, now_ms, a->o->sd_init_timeout_ms);
}

static void on_operator_change(void *data)
{
    struct appliance *a = data;
    struct errctx err = ERRCTX_INIT;
    if (a->d.started && !a->d.ending) {
        (void)!appliance_reload(a, &err); /* it logs */
    }
}

static void awaits(void *data, char *ret, size_t size)
{
    struct appliance *a = data;
    (void)discovery_awaits(a->discovery, timebase_monotonic_ms(), a->o->sd_init_timeout_ms, ret, size);
}

static void on_provider_change(void *data)
{
    struct appliance *a = data;
    if (!a->d.ending) {
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
        limits_from_options(a->o, &limits);
        const struct view_source src = {
            .reconcile = a->reconcile,
            .conf = a->conf,
            .limits = limits,
            .discovered = is_discovered(a),
            .version_mixture = "",
            .rules = prometheus_major_name(a->major),
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
    loop_stop(a->d.loop);
}

/* Scrapes under way end, the API answers its last calls, the state is saved; then the children are ended or left to the
 * next start. */
static void begin_end(void *data, int signum)
{
    struct appliance *a = data;
    bool keep_children = signum == SIGTERM && appliance_keeps_shards(a->o);
    log_info(&LOG, "end", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT", "shards",
             keep_children ? "left running" : "ended");
    appliance_save(a);
    api_server_free(&a->api, API_GRACE_MS);
    appliance_stop_provider(a, keep_children, on_provider_stopped);
}

static void on_reload_signal(void *data)
{
    struct errctx err = ERRCTX_INIT;
    (void)!appliance_reload(data, &err);
}

static void tell_status(void *data)
{
    struct appliance *a = data;
    size_t groups;
    reconcile_groups(a->reconcile, &groups);
    notify_status("%zu targets on %zu shards", reconcile_registry(a->reconcile)->entries.len, groups);
}

/* ---------------------------------------------------------------- start */

static int prepare_store(struct appliance *a, struct errctx *err)
{
    a->state_path = mem_printf("%s/state", a->o->store_path);
    a->prometheus_args = mem_calloc(a->o->shard_prometheus_args.len + 1, sizeof(*a->prometheus_args));
    for (size_t i = 0; i < a->o->shard_prometheus_args.len; i++) {
        a->prometheus_args[i] = a->o->shard_prometheus_args.items[i];
    }
    return daemon_prepare_store(&a->d, "lock", err);
}

static int start_api(struct appliance *a, struct errctx *err)
{
    const struct api_env env = {
        .control = a->d.loop,
        .view = take_view,
        .reload = appliance_reload,
        .set_stop_reason = appliance_set_stop_reason,
        .count_families = appliance_count_families,
        .data = a,
    };
    return api_server_new(daemon_take_fd(&a->d.api_fd), daemon_option(a->o->web_config_file),
                          daemon_option(a->o->web_token_file), &env, &a->api, err);
}

static int start_balancer(struct appliance *a, struct errctx *err)
{
    int rc = policy_init(&a->policy, a->o->replica_jobs.items, a->o->replica_jobs.len, a->o->balance_zone_label, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "replica.jobs");
    }
    rc = appliance_open_provider(a, err);
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
        .memory = {(uint64_t)a->o->shard_max_memory_bytes, a->o->shard_memory_learn_after_ms},
        .interval_ms = a->o->coordinator_interval_ms,
        .vanish_grace_ms = a->o->target_grace_ms,
        .dry_run = a->o->dry_run,
        .policy = &a->policy,
    };
    limits_from_options(a->o, &rconf.limits);
    const struct reconcile_env env = {
        .loop = a->d.loop,
        .provider = a->provider,
        .make_shard = make_shard,
        .on_shard_gone = on_shard_gone,
        .probe = appliance_probe,
        .is_discovered = is_discovered,
        .awaits = awaits,
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
        snprintf(a->version, sizeof(a->version), "%.31s", version);
    }
    return prometheus_version_parse(version, &a->major, err);
}

static int start(struct appliance *a, struct errctx *err)
{
    const struct discovery_events events = {on_job, a};
    const struct proxy_events records = {appliance_on_record, a};
    int rc = choose_version(a, err);
    if (rc == 0) {
        rc = prepare_store(a, err);
    }
    if (rc == 0) {
        rc = daemon_open_listeners(&a->d, err);
    }
    if (rc == 0) {
        a->d.http = http_client_new(a->d.loop);
        rc = operator_source_open(a->o, a->d.loop, a->d.http,
                                  &(struct operator_hooks){on_operator_change, NULL, NULL, a}, &a->monitors, err);
    }
    if (rc == 0) { /* shards that run on would be told of a configuration without half of its jobs */
        operator_source_wait(a->monitors, a->d.loop, a->o->sd_init_timeout_ms);
        rc = start_balancer(a, err);
    }
    if (rc == 0) {
        char *dir = mem_printf("%s/discovery", a->o->store_path);
        a->helper = helper_new(a->d.loop, a->d.http, a->o->shard_prometheus_binary, dir);
        free(dir);
        a->discovery = discovery_new(a->d.loop, a->d.http, &events);
        discovery_set_helper(a->discovery, a->helper);
        discovery_set_calls(a->discovery,
                            &(struct discovery_calls){.disable_keep_alive = a->o->discovery_disable_keep_alive,
                                                      .proxy_fallback = getenv("SCRAPE_PROXY")});
        rc = appliance_reload(a, err);
    }
    if (rc == 0) {
        reconcile_start(a->reconcile);
        rc = daemon_start_proxy(&a->d, a->table, &records, err); /* nothing that is assigned is ever refused */
    }
    return rc == 0 ? start_api(a, err) : rc;
}

static void stop(struct appliance *a)
{
    api_server_free(&a->api, 0);
    operator_free(&a->monitors);
    discovery_free(&a->discovery);
    helper_free(&a->helper);
    daemon_stop_proxy(&a->d);
    reconcile_free(&a->reconcile);
    policy_done(&a->policy);
    if (a->provider != NULL) {
        a->provider->ops->free(a->provider);
    }
    api_view_unref(a->view);
    proxy_table_unref(a->table);
    promconf_unref(a->conf);
    free(a->stop_reason);
    free(a->last_reload_error);
    free(a->last_reload_diff);
    free(a->state_path);
    state_free(&a->restored);
    samples_demand_done(&a->samples);
    daemon_done(&a->d);
    free(a->prometheus_args);
}

int appliance_run(const struct options *o)
{
    static const struct daemon_hooks HOOKS = {
        .reload = on_reload_signal,
        .end = begin_end,
        .save = appliance_save,
        .watch = appliance_watch_config,
        .status = tell_status,
    };
    struct errctx err = ERRCTX_INIT;
    struct appliance a = {
        .o = o,
        .stop_reason = mem_strdup(""),
        .last_reload_error = mem_strdup(""),
        .last_reload_diff = mem_strdup(""),
    };
    daemon_init(&a.d, o, &LOG, &HOOKS, &a);
    int rc = start(&a, &err);
    if (rc != 0) {
        log_error(&LOG, "start", "err", err.msg, "action", "exit");
    } else {
        daemon_run(&a.d);
    }
    stop(&a);
    return rc == 0 ? 0 : 1;
}
