/* The coordinator: see coordinator.h. The same parts as the appliance's, but every shard is remote, nothing is scraped
 * but probes, and what shards hold is theirs to remember: after a start it reads them all before it changes anything.
 * Facts arrive through callbacks, decisions are the round's. */
#include "api/coordinator_impl.h"
#include "api/limits.h"
#include "api/operator_source.h"
#include "base/metrics.h"
#include "base/notify.h"
#include "base/timebase.h"
#include "net/listener.h"
#include "shard/http_config.h"

#include <malloc.h>

#define API_GRACE_MS  3000
#define VIEW_AGE_MS   300
#define SHARD_CALLS   64
#define PROBE_THREADS 2

static const struct logctx LOG = {NULL, "component", "coordinator"};

/* ---------------------------------------------------------------- shards */

static size_t find_targets(void *data, uint64_t hash, const struct target **ret, size_t max)
{
    struct coordinator *c = data;
    return reconcile_find_hash(c->reconcile, hash, ret, max);
}

static void on_status(void *data, struct shard *s, const struct target *t, const struct target_status *status)
{
    struct coordinator *c = data;
    (void)s;
    reconcile_status(c->reconcile, t, status);
}

static void on_change(void *data, struct shard *s)
{
    struct coordinator *c = data;
    const struct shard_info *info = s->ops->info(s);
    log_info(&LOG, "shard", "shard", s->id, "health", shard_health_name(info->health), "err",
             info->error[0] != '\0' ? info->error : NULL);
    coordinator_drop_view(c);
    coordinator_version_soon(c);
    reconcile_kick(c->reconcile);
}

static void on_conflict(void *data, struct shard *s, const char *message)
{
    struct coordinator *c = data;
    reconcile_fence(c->reconcile, s->id, message);
}

/* An operator stopped all scraping before this coordinator started: that stays so until somebody lifts it. */
static void on_stopped(void *data, struct shard *s, const char *reason)
{
    struct coordinator *c = data;
    if (c->stop_reason[0] == '\0') {
        log_warn(&LOG, "scraping is stopped", "shard", s->id, "reason", reason, "action", "keep it stopped everywhere");
        coordinator_set_stop_reason(c, reason);
    }
}

static struct shard *make_shard(void *data, const struct provider_shard *ps)
{
    struct coordinator *c = data;
    const struct remote_env env = {
        .loop = c->d.loop,
        .http = c->d.http,
        .profile = c->profile,
        .lanes = c->lanes,
        .poll_ms = c->o->coordinator_interval_ms,
        .ask_version = strcmp(c->o->prometheus_version, "auto") == 0,
        .find = find_targets,
        .on_status = on_status,
        .on_change = on_change,
        .on_conflict = on_conflict,
        .on_stopped = on_stopped,
        .on_word = coordinator_on_word,
        .data = c,
    };
    if (c->make_own != NULL && ps->id == c->own_id) {
        c->own_api_url = ps->api_url;
        return c->make_own(c->own_data, ps);
    }
    if (ps->api_url == NULL) {
        return NULL; /* it has no address yet */
    }
    struct shard *s = remote_shard_new(&env, ps->id, ps->replica, ps->group, ps->api_url);
    remote_shard_set_stop_reason(s, c->stop_reason);
    coordinator_tell_word(c, s);
    return s;
}

static void on_shard_gone(void *data, const char *id)
{
    struct coordinator *c = data;
    log_info(&LOG, "shard removed", "shard", id);
    coordinator_forget_word(c, id);
    coordinator_drop_view(c);
    coordinator_version_soon(c);
}

void coordinator_set_stop_reason(void *data, const char *reason)
{
    struct coordinator *c = data;
    size_t count;
    const struct reconcile_group *groups = reconcile_groups(c->reconcile, &count);
    char *copy = mem_strdup(reason);
    free(c->stop_reason);
    c->stop_reason = copy;
    log_warn(&LOG, reason[0] != '\0' ? "stop scraping" : "scrape again", "reason", copy);
    for (size_t i = 0; i < count; i++) {
        vec_foreach(r, &groups[i].replicas) {
            if (r->shard->api_url != NULL) {
                remote_shard_set_stop_reason(r->shard, copy);
            } else {
                c->stop_own(c->own_data, copy);
            }
        }
    }
    coordinator_drop_view(c);
}

/* ---------------------------------------------------------------- facts */

static bool is_discovered(void *data)
{
    struct coordinator *c = data;
    int64_t now_ms = timebase_monotonic_ms();
    /* Who acts in Kubernetes has reached the API server: its silence before says nothing about what it will list. */
    return (c->monitors == NULL || operator_is_settled(c->monitors, now_ms, c->o->shard_type == SHARD_TYPE_K8S)) &&
           discovery_is_initial_done(c->discovery, now_ms, c->o->sd_init_timeout_ms) &&
           coordinator_version_is_settled(c, now_ms);
}

static void awaits(void *data, char *ret, size_t size)
{
    struct coordinator *c = data;
    int64_t now_ms = timebase_monotonic_ms();
    if (discovery_awaits(c->discovery, now_ms, c->o->sd_init_timeout_ms, ret, size) > 0) {
        return;
    }
    if (c->monitors != NULL && !operator_is_settled(c->monitors, now_ms, c->o->shard_type == SHARD_TYPE_K8S)) {
        snprintf(ret, size, "the operator resources have not been listed");
    } else if (!coordinator_version_is_settled(c, now_ms)) {
        snprintf(ret, size, "no shard has told the version of its Prometheus");
    }
}

static void on_operator_change(void *data)
{
    struct coordinator *c = data;
    struct errctx err = ERRCTX_INIT;
    if (!c->d.ending) {
        (void)!coordinator_reload(c, &err); /* it logs */
    }
}

static bool is_version_settled(void *data)
{
    return coordinator_version_is_settled(data, timebase_monotonic_ms());
}

static bool may_post(void *data)
{
    struct coordinator *c = data;
    return c->lock->ops->is_held(c->lock);
}

static void on_provider_change(void *data)
{
    struct coordinator *c = data;
    if (!c->d.ending) {
        reconcile_kick(c->reconcile);
    }
}

static void on_job(void *data, struct built_job *b)
{
    struct coordinator *c = data;
    reconcile_take_job(c->reconcile, b);
}

static void probe(void *data, const struct target *t)
{
    struct coordinator *c = data;
    if (c->stop_reason[0] == '\0') {
        proxy_probe(c->d.proxy, c->table, t);
    }
}

static void on_record(void *data, const struct scrape_record *r)
{
    struct coordinator *c = data;
    reconcile_record(c->reconcile, r);
}

static void no_save(void *data)
{
    (void)data;
}

/* Once a minute. Probes and answers of many shards come in crowds, and what they took stays with the allocator else:
 * more than the targets themselves take. Nobody waits for this loop as scrapes would. */
static void give_memory_back(void *data)
{
    (void)data;
    malloc_trim(0);
}

/* ---------------------------------------------------------------- the API's view */

void coordinator_drop_view(struct coordinator *c)
{
    api_view_unref(c->view);
    c->view = NULL;
}

static struct api_view *take_view(void *data)
{
    struct coordinator *c = data;
    int64_t now_ms = timebase_realtime_ms();
    if (c->view == NULL || now_ms - c->view->built_ms > VIEW_AGE_MS || now_ms < c->view->built_ms) {
        struct plan_limits limits;
        limits_from_options(c->o, &limits);
        const struct view_source src = {
            .reconcile = c->reconcile,
            .conf = c->conf,
            .limits = limits,
            .discovered = is_discovered(c),
            .version_mixture = c->version_mixture,
            .rules = prometheus_major_name(c->conf != NULL ? c->conf->major : c->major),
            .stop_reason = c->stop_reason,
            .last_reload_error = c->last_reload_error,
            .last_reload_diff = c->last_reload_diff,
            .now_ms = now_ms,
        };
        api_view_unref(c->view);
        c->view = api_view_build(&src);
    }
    return api_view_ref(c->view);
}

/* ---------------------------------------------------------------- end */

static void on_ended(void *data)
{
    struct coordinator *c = data;
    c->on_ended(c->ended_data);
}

static void on_lock_released(void *data)
{
    struct coordinator *c = data;
    c->provider->ops->stop(c->provider, on_ended, c);
}

/* The shards go on as they are; whoever waits for the lock need not wait long. */
void coordinator_begin_end(struct coordinator *c, void (*on_done)(void *data), void *data)
{
    c->on_ended = on_done;
    c->ended_data = data;
    c->d.ending = true;
    log_info(&LOG, "end", "shards", "go on as they are");
    coordinator_save_words(c);
    api_server_free(&c->api, API_GRACE_MS);
    c->lock->ops->release(c->lock, on_lock_released, c);
}

static void stop_loop(void *data)
{
    struct coordinator *c = data;
    loop_stop(c->d.loop);
}

static void begin_end(void *data, int signum)
{
    (void)signum;
    coordinator_begin_end(data, stop_loop, data);
}

/* ---------------------------------------------------------------- start */

static void on_sighup(void *data)
{
    struct errctx err = ERRCTX_INIT;
    (void)!coordinator_reload(data, &err);
}

void coordinator_tell_status(void *data)
{
    struct coordinator *c = data;
    size_t groups;
    const char *blocked = reconcile_blocked(c->reconcile);
    reconcile_groups(c->reconcile, &groups);
    notify_status("%zu targets on %zu shards%s%s", reconcile_registry(c->reconcile)->entries.len, groups,
                  blocked[0] != '\0' ? "; " : "", blocked);
}

/* Workers without a listener: they only probe. */
static int start_probes(struct coordinator *c, struct errctx *err)
{
    const struct proxy_conf conf = {
        .threads = PROBE_THREADS,
        .count_mode = c->o->scrape_count == SCRAPE_COUNT_FAST ? COUNT_FAST : COUNT_STRICT,
        .timeout_offset_ratio = c->o->scrape_timeout_offset,
        .disable_keep_alive = c->o->scrape_disable_keep_alive,
        .split = c->o->split_max_parts > 1,
        .scrape_proxy = getenv("SCRAPE_PROXY"),
        .body_bytes_max = (size_t)c->o->proxy_max_body_size_bytes,
        .line_bytes_max = (size_t)c->o->proxy_max_line_size_bytes,
    };
    const struct proxy_events events = {on_record, c};
    return proxy_new(c->d.loop, NULL, 0, &conf, c->table, &events, &c->d.proxy, err);
}

static int start_api(struct coordinator *c, struct errctx *err)
{
    const struct api_env env = {
        .control = c->d.loop,
        .view = take_view,
        .reload = coordinator_reload,
        .set_stop_reason = coordinator_set_stop_reason,
        .count_families = coordinator_count_families,
        .data = c,
    };
    return api_server_new(daemon_take_fd(&c->d.api_fd), daemon_option(c->o->web_config_file),
                          daemon_option(c->o->web_token_file), &env, &c->api, err);
}

static int start_balancer(struct coordinator *c, struct errctx *err)
{
    int rc = policy_init(&c->policy, c->o->replica_jobs.items, c->o->replica_jobs.len, c->o->balance_zone_label, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "replica.jobs");
    }
    rc = coordinator_choose_provider(c, err);
    if (rc != 0) {
        return rc;
    }
    c->provider->on_change = on_provider_change;
    c->provider->data = c;
    struct reconcile_conf rconf = {
        .explore = {.concurrency = (unsigned)c->o->explore_concurrence,
                    .attempts = 3,
                    .backoff_ms = 1000,
                    .result_ttl_ms = 900000},
        .memory = {(uint64_t)c->o->shard_max_memory_bytes, c->o->shard_memory_learn_after_ms},
        .interval_ms = c->o->coordinator_interval_ms,
        .vanish_grace_ms = c->o->target_grace_ms,
        .dry_run = c->o->dry_run,
        .shards_own = true,
        .independent = c->o->replica_mode == REPLICA_MODE_INDEPENDENT,
        .policy = &c->policy,
        .epoch = c->stored_epoch,
    };
    limits_from_options(c->o, &rconf.limits);
    const struct reconcile_env env = {
        .loop = c->d.loop,
        .provider = c->provider,
        .make_shard = make_shard,
        .on_shard_gone = on_shard_gone,
        .probe = probe,
        .is_discovered = is_discovered,
        .awaits = awaits,
        .save = no_save,
        .lock = c->lock,
        .on_epoch = coordinator_save_epoch,
        .data = c,
    };
    c->reconcile = reconcile_new(&rconf, &env);
    return 0;
}

static int prepare(struct coordinator *c, struct errctx *err)
{
    bool inherited;
    int rc = c->o->store_path[0] != '\0' ? daemon_prepare_store(&c->d, "coordinator.lock", err) : 0;
    rc = rc != 0 ? rc : coordinator_load_state(c, err);
    if (rc == 0) {
        rc = listener_open(c->o->web_address, "api", &c->d.api_fd, &inherited, err);
        rc = rc != 0 ? errctx_prefix(err, rc, "web.address") : 0;
    }
    if (rc == 0 && !c->d.is_guest) {
        daemon_tell_unused_ports(&c->d);
    }
    if (rc == 0 && c->o->shard_http_config_file[0] != '\0') {
        rc = http_config_load(c->o->shard_http_config_file, &c->profile, err);
        rc = rc != 0 ? errctx_prefix(err, rc, "shard.http-config-file") : 0;
    }
    return rc;
}

int coordinator_start(struct coordinator *c, struct errctx *err)
{
    const struct discovery_events events = {on_job, c};
    int rc = prepare(c, err);
    if (rc == 0) {
        coordinator_version_begin(c);
        c->d.http = c->d.is_guest ? c->d.http : http_client_new(c->d.loop);
        c->lanes = remote_lanes_new(SHARD_CALLS);
        rc = start_balancer(c, err);
    }
    if (rc == 0) {
        c->discovery = discovery_new(c->d.loop, c->d.http, &events);
        char *dir = c->o->store_path[0] != '\0' ? mem_printf("%s/discovery", c->o->store_path) : NULL;
        c->helper = helper_new(c->d.loop, c->d.http, c->o->shard_prometheus_binary, dir);
        free(dir);
        discovery_set_helper(c->discovery, c->helper);
        discovery_set_calls(c->discovery,
                            &(struct discovery_calls){.disable_keep_alive = c->o->discovery_disable_keep_alive,
                                                      .proxy_fallback = getenv("SCRAPE_PROXY")});
        rc = operator_source_open(c->o, c->d.loop, c->d.http,
                                  &(struct operator_hooks){on_operator_change, is_version_settled, may_post, c},
                                  &c->monitors, err);
        rc = rc != 0 ? rc : coordinator_reload(c, err);
    }
    rc = rc != 0 ? rc : start_probes(c, err);
    if (rc == 0) {
        reconcile_start(c->reconcile);
        rc = start_api(c, err);
    }
    return rc;
}

void coordinator_stop(struct coordinator *c)
{
    api_server_free(&c->api, 0);
    loop_timer_free(&c->version_timer);
    coordinator_samples_done(c);
    operator_free(&c->monitors);
    discovery_free(&c->discovery);
    helper_free(&c->helper);
    daemon_stop_proxy(&c->d);
    reconcile_free(&c->reconcile);
    policy_done(&c->policy);
    remote_lanes_free(&c->lanes);
    if (c->provider != NULL) {
        c->provider->ops->free(c->provider);
    }
    if (c->lock != NULL) {
        c->lock->ops->free(c->lock);
    }
    if (!c->d.is_guest) {
        http_client_free(&c->d.http);
    }
    http_profile_free(&c->profile);
    api_view_unref(c->view);
    proxy_table_unref(c->table);
    promconf_unref(c->conf);
    free(c->stop_reason);
    free(c->last_reload_error);
    free(c->last_reload_diff);
    free(c->epoch_path);
    vec_done(&c->words);
    daemon_done(&c->d);
}

void coordinator_init(struct coordinator *c, const struct options *o)
{
    *c = (struct coordinator){
        .o = o,
        .stop_reason = mem_strdup(""),
        .last_reload_error = mem_strdup(""),
        .last_reload_diff = mem_strdup(""),
    };
}

void coordinator_attach(struct coordinator *c, const struct daemon *host)
{
    daemon_attach(&c->d, host, c->o, &LOG, c);
}

int coordinator_run(const struct options *o)
{
    struct errctx err = ERRCTX_INIT;
    struct coordinator c;
    const struct daemon_hooks hooks = {
        .reload = on_sighup,
        .end = begin_end,
        .save = give_memory_back,
        .watch = coordinator_watch_config,
        .status = coordinator_tell_status,
    };
    coordinator_init(&c, o);
    daemon_init(&c.d, o, &LOG, &hooks, &c);
    int rc = coordinator_start(&c, &err);
    if (rc != 0) {
        log_error(&LOG, "start", "err", err.msg, "action", "exit");
    } else {
        daemon_run(&c.d);
    }
    coordinator_stop(&c);
    return rc == 0 ? 0 : 1;
}
