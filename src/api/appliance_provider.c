/* The appliance's shards: chooses the provider by --shard.type, tells it what a shard needs before it starts, and ends
 * it. The one place that looks at the type. */
#include "api/appliance_impl.h"
#include "balancer/reconcile.h"
#include "base/notify.h"
#include "shard/local.h"
#include "shard/process.h"
#include "shard/systemd.h"

/* Before a Prometheus starts, its files must be there; the round makes the shard that writes them. */
static int prepare_shard(void *data, const struct process_shard *ps, struct errctx *err)
{
    struct appliance *a = data;
    struct shard *s = a->reconcile != NULL ? reconcile_shard_by_id(a->reconcile, ps->id) : NULL;
    return s == NULL ? ERR_AGAIN : local_shard_prepare(s, err);
}

static int open_process(struct appliance *a, struct errctx *err)
{
    const struct process_conf conf = {
        .data_dir = a->o->store_path,
        .binary = a->o->shard_prometheus_binary,
        .extra_args = a->prometheus_args,
        .agent_flag = a->o->shard_server != SHARD_SERVER_AGENT ? NULL
                      : a->major >= PROMETHEUS_3               ? "--agent"
                                                               : "--enable-feature=agent",
        .base_port = (unsigned)a->o->shard_prometheus_port,
        .groups_max = (unsigned)a->o->shard_max_shard,
        .prepare = prepare_shard,
        .data = a,
    };
    return process_provider_new(a->d.loop, a->d.http, &conf, &a->provider, err);
}

static int open_systemd(struct appliance *a, struct errctx *err)
{
    const struct systemd_conf conf = {
        .data_dir = a->o->store_path,
        .unit = a->o->shard_systemd_unit,
        .extra_args = a->prometheus_args,
        .base_port = (unsigned)a->o->shard_prometheus_port,
        .groups_max = (unsigned)a->o->shard_max_shard,
        .reserve_bytes = (uint64_t)a->o->shard_memory_reserve_bytes,
        .prepare = prepare_shard,
        .data = a,
    };
    return systemd_provider_new(a->d.loop, a->d.http, &conf, &a->provider, err);
}

int appliance_open_provider(struct appliance *a, struct errctx *err)
{
    return a->o->shard_type == SHARD_TYPE_SYSTEMD ? open_systemd(a, err) : open_process(a, err);
}

bool appliance_keeps_shards(const struct options *o)
{
    return o->shard_on_exit == SHARD_ON_EXIT_KEEP || (o->shard_on_exit == SHARD_ON_EXIT_AUTO && notify_unit_restarts());
}

void appliance_stop_provider(struct appliance *a, bool keep, void (*on_stopped)(void *data))
{
    if (a->o->shard_type == SHARD_TYPE_SYSTEMD) {
        systemd_provider_stop_shards(a->provider, !keep);
    } else {
        process_provider_stop_children(a->provider, !keep);
    }
    a->provider->ops->stop(a->provider, on_stopped, a);
}
