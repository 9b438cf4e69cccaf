/* The coordinator's configuration: loaded, compared, applied whole or not at all. Shards get it pushed by the round's
 * shard objects; probes by the proxy table. */
#include "api/config_diff.h"
#include "api/coordinator_impl.h"
#include "api/operator_source.h"
#include "base/metrics.h"
#include "base/notify.h"
#include "shard/static.h"

static void remember(char **slot, const char *text)
{
    free(*slot);
    *slot = mem_strdup(text);
}

static void publish_for_probes(struct coordinator *c)
{
    struct proxy_table *t = proxy_table_new(c->conf, ++c->table_generation);
    proxy_table_unref(c->table);
    c->table = t;
    if (c->d.proxy != NULL) {
        proxy_publish(c->d.proxy, proxy_table_ref(t));
    }
}

static int take_configuration(struct coordinator *c, struct promconf_options *opts, struct promconf **conf,
                              struct errctx *err)
{
    int rc = operator_source_apply(c->monitors, c->discovery, c->o->config_file, opts, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct promconf *fresh = *conf;
    char *diff = config_diff(c->conf, fresh);
    log_info(c->d.log, "configuration loaded", "file", c->o->config_file, "jobs", log_num((int64_t)fresh->job_count),
             "changes", diff);
    remember(&c->last_reload_diff, diff);
    free(diff);
    promconf_unref(c->conf);
    c->conf = promconf_ref(fresh);
    publish_for_probes(c);
    reconcile_set_config(c->reconcile, fresh);
    return 0;
}

static int load_as(struct coordinator *c, enum prometheus_major major, struct promconf_options *opts,
                   struct promconf **ret, struct errctx *err)
{
    *opts = (struct promconf_options){
        .major = major,
        .kubernetes_url = c->o->inject_kubernetes_url,
        .kubernetes_proxy = c->o->inject_kubernetes_proxy,
        .kubernetes_sa_path = c->o->inject_kubernetes_sa_path,
    };
    return operator_source_load(c->monitors, c->o->config_file, opts, ret, err);
}

static int load(struct coordinator *c, struct errctx *err)
{
    struct promconf_options opts;
    struct promconf *fresh = NULL;
    struct errctx newer = ERRCTX_INIT;
    (void)daemon_file_changed(c->o->config_file, &c->config_stat);
    int rc = load_as(c, c->major, &opts, &fresh, err);
    if (rc != 0 && c->conf == NULL && !c->version_settled && load_as(c, PROMETHEUS_3_8, &opts, &fresh, &newer) == 0) {
        c->major = PROMETHEUS_3_8; /* nobody has said yet whose rules count: what a newer one takes is no error */
        errctx_clear(err);
        rc = 0;
    }
    if (rc == 0 && (c->conf == NULL || c->conf->major != fresh->major || strcmp(fresh->hash, c->conf->hash) != 0)) {
        rc = take_configuration(c, &opts, &fresh, err);
    } else if (rc == 0) {
        remember(&c->last_reload_diff, "no change");
    }
    promconf_unref(fresh);
    if (rc == 0 && c->monitors != NULL) {
        operator_taken(c->monitors);
    }
    return rc;
}

/* On any error the running configuration stays. The list of shards is looked at, too. */
int coordinator_reload(void *data, struct errctx *err)
{
    struct coordinator *c = data;
    if (c->d.started) {
        notify_reloading();
    }
    c->refused_major = 0;
    int rc = load(c, err);
    coordinator_drop_view(c);
    remember(&c->last_reload_error, rc == 0 ? "" : err->msg);
    metric_set(METRIC_CONFIGGEN_RELOAD_SUCCESSFUL, rc == 0);
    metric_add(METRIC_CONFIGGEN_RELOADS, 1, rc == 0 ? "true" : "false");
    if (rc != 0 && c->d.started) { /* at the start the caller says it */
        log_error(c->d.log, "load configuration", "err", err->msg, "action", "the running configuration stays");
    }
    if (c->d.started && c->o->shard_type == SHARD_TYPE_STATIC) {
        int shards_rc = static_provider_reload(c->provider, rc == 0 ? err : NULL);
        rc = rc == 0 ? shards_rc : rc;
    }
    if (c->d.started) {
        notify_ready();
    }
    return rc;
}

/* A rejected content is not tried again until the file changes. */
void coordinator_watch_config(void *data)
{
    struct coordinator *c = data;
    struct errctx err = ERRCTX_INIT;
    struct stat last = c->config_stat;
    if (daemon_file_changed(c->o->config_file, &last)) {
        (void)!coordinator_reload(c, &err);
    }
    coordinator_version_look(c);
    coordinator_save_words(c);
}
