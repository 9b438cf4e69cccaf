/* The provider that runs shards as instances of a systemd template unit (kvass-prometheus@.service): the service
 * manager starts, restarts, limits and logs them; this side says how many there are, writes what a unit reads, and
 * watches.
 *
 * Layout as of the process provider (process.h), so that one can follow the other: <data_dir>/shards/shard-<ordinal>/
 * with prometheus.yml and targets/, data/ (made by the unit), and `environment`: KVASS_LISTEN and KVASS_ARGS. */
#ifndef KVASS_SHARD_SYSTEMD_H
#define KVASS_SHARD_SYSTEMD_H

#include "base/loop.h"
#include "net/http_client.h"
#include "shard/process.h"
#include "shard/provider.h"

#define SYSTEMD_UNIT_DEFAULT "kvass-prometheus@.service"
#define SYSTEMD_DATA_DIR     "/var/lib/kvass" /* built into that unit */

struct systemd_conf {
    const char *data_dir;          /* store.path; absolute */
    const char *unit;              /* the template, "name@.service" */
    const char *const *extra_args; /* NULL-ended; NULL = none */
    unsigned base_port;            /* port of group 0 on 127.0.0.1 */
    unsigned groups_max;
    uint64_t capacity_series; /* 0 = the default limit */
    uint64_t reserve_bytes;   /* memory that stays free when one more is started; 0 = always start */
    bool stop_shards;         /* stop(): stop the units too */
    int (*prepare)(void *data, const struct process_shard *shard, struct errctx *err); /* as in process.h */
    void *data;
};

/* ERR_INVALID: no template, ports that do not fit, or a data_dir that the shipped unit does not use. Reads unit,
 * data_dir, base_port and groups_max alone. */
int systemd_conf_check(const struct systemd_conf *conf, struct errctx *err) MUST_CHECK;

/* Starts nothing before the manager's first listing. conf is copied, its strings too. ERR_INVALID: no template, ports
 * that do not fit, or a data_dir that the shipped unit does not use. */
int systemd_provider_new(struct loop *loop, struct http_client *http, const struct systemd_conf *conf,
                         struct provider **ret, struct errctx *err) MUST_CHECK;

/* Replaces conf.stop_shards, before stop(). */
void systemd_provider_stop_shards(struct provider *p, bool stop_shards);

/* Memory that one more shard needs, when those that run use what is given: enough for all of them to become as large as
 * the largest, which is taken for 128 MiB at least. */
uint64_t systemd_room_bytes(const uint64_t *used_bytes, size_t count, uint64_t *ret_largest_bytes);

#endif
