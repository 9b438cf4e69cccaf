/* The appliance's inside, shared by appliance*.c. All of it belongs to the control thread. */
#ifndef KVASS_API_APPLIANCE_IMPL_H
#define KVASS_API_APPLIANCE_IMPL_H

#include "api/appliance.h"
#include "api/daemon.h"
#include "api/server.h"
#include "discovery/discovery.h"
#include "discovery/helper.h"
#include "shard/provider.h"

struct appliance {
    struct daemon d;
    const struct options *o;
    struct promconf *conf;
    struct discovery *discovery;
    struct helper *helper; /* runs mechanisms that are not native */
    struct provider *provider;
    struct reconcile *reconcile;
    struct proxy_table *table; /* the published one, for probes */
    struct api_server *api;
    struct api_view *view; /* newest; rebuilt when older than VIEW_AGE_MS */
    uint64_t table_generation;
    char *stop_reason, *last_reload_error, *last_reload_diff;
    char *state_path;
    const char **prometheus_args; /* NULL-ended */
    struct stat config_stat;
    enum prometheus_major major; /* whose rules to follow */
};

/* What the API shows has changed: the next call gets a fresh view. */
void appliance_drop_view(struct appliance *a);

/* appliance_table.c: one proxy table over all local shards */
void appliance_publish(void *data); /* builds and publishes it */
void appliance_probe(void *data, const struct target *t);
void appliance_on_record(void *data, const struct scrape_record *r);
void appliance_set_stop_reason(void *data, const char *reason);

/* appliance_state.c */
void appliance_save(void *data);
void appliance_restore(struct appliance *a);

/* appliance_config.c */
int appliance_reload(void *data, struct errctx *err); /* all or nothing */
void appliance_watch_config(void *data);
void appliance_limits(const struct options *o, struct plan_limits *ret);

#endif
