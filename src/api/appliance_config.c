/* The configuration: loaded, compared, applied whole or not at all; and the limits that follow from the options. */
#include "api/appliance_impl.h"
#include "api/config_diff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/notify.h"

static const struct logctx LOG = {NULL, "component", "appliance"};

static void configuration_options(const struct appliance *a, struct promconf_options *ret)
{
    *ret = (struct promconf_options){
        .major = a->major,
        .kubernetes_url = a->o->inject_kubernetes_url,
        .kubernetes_proxy = a->o->inject_kubernetes_proxy,
        .kubernetes_sa_path = a->o->inject_kubernetes_sa_path,
    };
}

static void remember(char **slot, const char *text)
{
    free(*slot);
    *slot = mem_strdup(text);
}

static int take_configuration(struct appliance *a, struct promconf *fresh, struct errctx *err)
{
    int rc = discovery_apply(a->discovery, fresh, err);
    if (rc != 0) {
        return rc;
    }
    char *diff = config_diff(a->conf, fresh);
    log_info(&LOG, "configuration loaded", "file", a->o->config_file, "jobs", log_num((int64_t)fresh->job_count),
             "changes", diff);
    remember(&a->last_reload_diff, diff);
    free(diff);
    promconf_unref(a->conf);
    a->conf = promconf_ref(fresh);
    appliance_publish(a);
    reconcile_set_config(a->reconcile, fresh);
    return 0;
}

/* All or nothing: on any error the running configuration stays. An unchanged file changes nothing. */
int appliance_reload(void *data, struct errctx *err)
{
    struct appliance *a = data;
    struct promconf_options opts;
    struct promconf *fresh = NULL;
    configuration_options(a, &opts);
    (void)daemon_file_changed(a->o->config_file, &a->config_stat);
    if (a->d.started) { /* the first load is not a reload */
        notify_reloading();
    }
    int rc = promconf_load(a->o->config_file, &opts, &fresh, err);
    if (rc == 0 && (a->conf == NULL || strcmp(fresh->hash, a->conf->hash) != 0)) {
        rc = take_configuration(a, fresh, err);
    } else if (rc == 0) {
        remember(&a->last_reload_diff, "no change");
    }
    promconf_unref(fresh);
    appliance_drop_view(a);
    remember(&a->last_reload_error, rc == 0 ? "" : err->msg);
    metric_set(METRIC_CONFIGGEN_RELOAD_SUCCESSFUL, rc == 0);
    metric_add(METRIC_CONFIGGEN_RELOADS, 1, rc == 0 ? "true" : "false");
    if (rc != 0 && a->d.started) { /* at the start the caller says it */
        log_error(&LOG, "load configuration", "err", err->msg, "action", "the running configuration stays");
    }
    if (a->d.started) {
        notify_ready();
    }
    return rc;
}

/* Looks at the file's stat every few seconds; a rejected content is not tried again until the file changes. */
void appliance_watch_config(void *data)
{
    struct appliance *a = data;
    struct errctx err = ERRCTX_INIT;
    if (daemon_file_changed(a->o->config_file, &a->config_stat)) {
        (void)!appliance_reload(a, &err);
    }
}

void appliance_limits(const struct options *o, struct plan_limits *ret)
{
    plan_limits_default(ret);
    ret->series = (uint64_t)o->shard_max_head_series;
    ret->scraped = (uint64_t)o->shard_max_process_series;
    ret->low = o->balance_low_mark;
    ret->high = o->balance_high_mark;
    ret->even_out_threshold = o->balance_even_out;
    ret->moves_per_round = (uint32_t)o->move_budget;
    ret->move_scrapes = (uint32_t)o->move_scrapes;
    ret->move_cool_down_ms = o->move_cool_down_ms;
    ret->min_groups = (uint32_t)(o->shard_min_shard > 0 ? o->shard_min_shard : 1);
    ret->max_groups = (uint32_t)o->shard_max_shard;
    ret->max_idle_ms = o->shard_max_idle_time_ms;
    ret->failover_grace_ms = o->shard_failover_grace_ms;
    ret->relieve = !o->shard_disable_alleviate;
}
