/* The appliance's inside, shared by appliance*.c. All of it belongs to the control thread. */
#ifndef KVASS_API_APPLIANCE_IMPL_H
#define KVASS_API_APPLIANCE_IMPL_H

#include "api/appliance.h"
#include "api/daemon.h"
#include "api/samples.h"
#include "api/server.h"
#include "discovery/discovery.h"
#include "discovery/helper.h"
#include "k8s/operator.h"
#include "shard/provider.h"
#include "shard/state.h"

struct appliance {
    struct daemon d;
    const struct options *o;
    struct promconf *conf;
    struct operator_watch *monitors; /* jobs beside those of the file; NULL = none */
    struct discovery *discovery;
    struct helper *helper; /* runs mechanisms that are not native */
    struct provider *provider;
    struct reconcile *reconcile;
    struct policy policy;
    struct proxy_table *table; /* the published one, for probes */
    struct api_server *api;
    struct api_view *view; /* newest; rebuilt when older than VIEW_AGE_MS */
    uint64_t table_generation;
    struct samples_demand samples;
    char *stop_reason, *last_reload_error, *last_reload_diff;
    char *state_path;
    struct state *restored;       /* shards that have not been made yet find theirs in it; NULL = nothing was saved */
    const char **prometheus_args; /* NULL-ended */
    struct stat config_stat;
    bool was_discovered;                  /* every job once; what a reload brings is not waited for */
    enum prometheus_major major;          /* whose rules to follow */
    char version[PROMETHEUS_VERSION_MAX]; /* of the binary, as it says; "" = the option says whose rules count */
};

/* What the API shows has changed: the next call gets a fresh view. */
void appliance_drop_view(struct appliance *a);

/* appliance_table.c: one proxy table over all local shards */
void appliance_publish(void *data); /* builds and publishes it */
void appliance_probe(void *data, const struct target *t);
void appliance_on_record(void *data, const struct scrape_record *r);
void appliance_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                              size_t *ret_expected, int64_t *ret_until_ms);
void appliance_set_stop_reason(void *data, const char *reason);

/* appliance_state.c */
void appliance_save(void *data);
void appliance_restore(struct appliance *a);
void appliance_restore_shard(struct appliance *a, struct shard *s); /* a local one that has just been made */

/* appliance_provider.c: who runs the shards */
int appliance_open_provider(struct appliance *a, struct errctx *err) MUST_CHECK;
bool appliance_keeps_shards(const struct options *o); /* whether a SIGTERM leaves them running */
void appliance_stop_provider(struct appliance *a, bool keep, void (*on_stopped)(void *data));

/* appliance_config.c */
int appliance_reload(void *data, struct errctx *err); /* all or nothing */
void appliance_watch_config(void *data);

#endif
