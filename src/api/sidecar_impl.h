/* The sidecar's inside, shared by sidecar*.c. All of it belongs to the control thread. */
#ifndef KVASS_API_SIDECAR_IMPL_H
#define KVASS_API_SIDECAR_IMPL_H

#include "api/daemon.h"
#include "api/samples.h"
#include "api/sidecar.h"
#include "api/sidecar_server.h"
#include "model/wire_push.h"
#include "shard/local.h"
#include "shard/state.h"

struct sidecar {
    struct daemon d;
    const struct options *o;
    bool push_mode; /* no --config.file: the coordinator sends the configuration */
    const char *id; /* of the shard; interned */
    char *output_path, *output_dir, *pending_path, *state_path;
    struct promconf *conf; /* NULL until there is one */
    char *config_text;     /* its main file, for the state; NULL until there is one */
    size_t config_len;
    uint64_t config_generation; /* of the pusher; 0 in file mode */
    uint64_t generation, epoch; /* of the assignment; the largest epoch seen */
    struct shard *shard;
    struct proxy_table *table;
    uint64_t table_generation;
    struct sidecar_server *api;
    struct sidecar_view *view; /* newest; rebuilt when older than VIEW_AGE_MS */
    struct samples_demand samples;
    char *stop_reason;
    char *config_error; /* why the configuration offered last is not the one in use; "" when it is */
    struct stat config_stat;
    enum prometheus_major major;          /* whose rules to follow */
    char version[PROMETHEUS_VERSION_MAX]; /* as Prometheus said it last, "" = never; kept over a restart */
    char told[PROMETHEUS_VERSION_MAX];    /* by the round of questions that runs; "" = not asked */
    bool native_histograms;               /* its flags turn them on; kept over a restart */
    enum shard_health last_health;        /* at the last watch */
    struct http_call *version_call;
    int64_t next_version_ms;
};

/* Its life in steps, for whoever has another role in the same process: init, daemon_init of sc->d, start, close (no
 * scrape and no call runs any more), stop (also without close, and after a start that failed). */
void sidecar_init(struct sidecar *sc, const struct options *o);
int sidecar_start(struct sidecar *sc, const struct proxy_events *records, struct errctx *err) MUST_CHECK;
void sidecar_close(struct sidecar *sc);
void sidecar_stop(struct sidecar *sc);
void sidecar_on_watch(void *data);

/* What the API shows has changed: the next call gets a fresh view. */
void sidecar_drop_view(struct sidecar *sc);
const struct sidecar_view *sidecar_look(struct sidecar *sc); /* the newest, borrowed until the next call */

/* sidecar_targets.c: the assignment and who may be scraped */
int sidecar_take_targets(void *data, const struct wire_push *push, const struct assignment *items, size_t count,
                         struct errctx *err) MUST_CHECK;
int sidecar_take_stop_reason(void *data, const char *reason, struct errctx *err) MUST_CHECK;
void sidecar_publish(void *data);         /* builds and publishes the proxy table */
void sidecar_measure(struct sidecar *sc); /* metrics by job */
void sidecar_on_record(void *data, const struct scrape_record *r);
void sidecar_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                            size_t *ret_expected, int64_t *ret_until_ms);
int sidecar_check_epoch(const struct sidecar *sc, const struct wire_push *push, struct errctx *err) MUST_CHECK;
void sidecar_rebind(struct sidecar *sc); /* the assignment under the configuration that is in use now */

/* sidecar_version.c: asks Prometheus what it is, when it is time to */
void sidecar_ask_version(struct sidecar *sc);
bool sidecar_native_histograms(const struct sidecar *sc); /* on by a flag, where a flag decides */

/* sidecar_config.c: all or nothing, always */
int sidecar_take_config(void *data, const struct wire_push *push, struct view text, struct errctx *err) MUST_CHECK;
int sidecar_reload(void *data, struct errctx *err);
void sidecar_load_first(struct sidecar *sc, const struct state *st); /* st may be NULL */
void sidecar_watch(void *data);

/* sidecar_state.c */
struct state *sidecar_restore(struct sidecar *sc); /* NULL when there is none; the shard has its assignment */
void sidecar_save(void *data);

/* The state as it will be; written before it is made so. NULL members: as it is. */
struct sidecar_change {
    const struct assignment *items; /* with count, generation */
    size_t count;
    bool has_items;
    uint64_t generation, epoch;
    const char *config_text;
    size_t config_len;
    uint64_t config_generation;
    const char *stop_reason;
};
int sidecar_store(struct sidecar *sc, const struct sidecar_change *change, struct errctx *err) MUST_CHECK;

#endif
