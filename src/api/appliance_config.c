/* The configuration: loaded, compared, applied whole or not at all. */
#include "api/appliance_impl.h"
#include "api/config_diff.h"
#include "api/operator_source.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/notify.h"

static const struct logctx LOG = {NULL, "component", "appliance"};

/* Before 3.8 a flag of the server decides, not the configuration. */
static bool runs_native_histograms(const struct appliance *a)
{
    bool found = false;
    for (size_t i = 0; a->major < PROMETHEUS_3_8 && i < a->o->shard_prometheus_args.len; i++) {
        found = found || strstr(a->o->shard_prometheus_args.items[i], "native-histograms") != NULL;
    }
    return found;
}

static void configuration_options(const struct appliance *a, struct promconf_options *ret)
{
    *ret = (struct promconf_options){
        .major = a->major,
        .native_histograms = runs_native_histograms(a),
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

static int take_configuration(struct appliance *a, struct promconf_options *opts, struct promconf **conf,
                              struct errctx *err)
{
    int rc = operator_source_apply(a->monitors, a->discovery, a->o->config_file, opts, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct promconf *fresh = *conf;
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
    int rc = operator_source_load(a->monitors, a->o->config_file, &opts, &fresh, err);
    if (rc == 0 && (a->conf == NULL || strcmp(fresh->hash, a->conf->hash) != 0)) {
        rc = take_configuration(a, &opts, &fresh, err);
    } else if (rc == 0) {
        remember(&a->last_reload_diff, "no change");
    }
    promconf_unref(fresh);
    if (rc == 0 && a->monitors != NULL) {
        operator_taken(a->monitors);
    }
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
