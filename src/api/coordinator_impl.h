/* The coordinator's inside, shared by coordinator*.c. All of it belongs to the control thread. */
#ifndef KVASS_API_COORDINATOR_IMPL_H
#define KVASS_API_COORDINATOR_IMPL_H

#include "api/coordinator.h"
#include "api/daemon.h"
#include "api/samples.h"
#include "api/server.h"
#include "discovery/discovery.h"
#include "discovery/helper.h"
#include "k8s/operator.h"
#include "shard/provider.h"
#include "shard/remote.h"

struct config_word {
    const char *shard_id; /* interned */
    char config_hash[65], word[65];
};

struct coordinator {
    struct daemon d;
    const struct options *o;
    struct promconf *conf;
    struct operator_watch *monitors; /* jobs beside those of the file; NULL = none */
    struct discovery *discovery;
    struct helper *helper; /* runs mechanisms that are not native */
    struct provider *provider;
    struct lock *lock;
    struct remote_lanes *lanes;
    struct http_profile *profile; /* of calls to shards and to the shard service; NULL = plain */
    struct reconcile *reconcile;
    struct policy policy;
    struct proxy_table *table; /* for probes: jobs and their clients, no targets */
    struct api_server *api;
    struct api_view *view; /* newest; rebuilt when older than VIEW_AGE_MS */
    uint64_t table_generation, stored_epoch;
    char *stop_reason, *last_reload_error, *last_reload_diff;
    char *epoch_path; /* NULL: nothing is kept */
    struct stat config_stat;
    enum prometheus_major major;          /* whose rules to follow */
    int refused_major;                    /* whose rules the file does not stand, as it is; 0 = none */
    char version[PROMETHEUS_VERSION_MAX]; /* that the rules in force come from, as a shard said it; "" = none has */
    char version_mixture[256];            /* "" when all shards follow the same rules */
    bool version_settled;                 /* nothing needs to be waited for */
    int64_t started_ms;                   /* monotonic */
    struct loop_timer *version_timer;
    bool words_changed;
    VEC(struct config_word) words;    /* of shards that count no generations */
    struct samples_demand samples;    /* figures by family, */
    struct family_count *samples_raw; /* as the shards tell them; NULL = never asked */
    struct sample_call *sample_calls;
    size_t sample_call_count, samples_open;
    /* The shard that this very process has, where it has one (an appliance in a pod); NULL: all are remote. */
    const char *own_id;      /* interned */
    const char *own_api_url; /* interned; NULL: not listed yet */
    struct shard *(*make_own)(void *data, const struct provider_shard *ps);
    void (*stop_own)(void *data, const char *reason);
    void *own_data;
    void (*on_ended)(void *data);
    void *ended_data;
};

/* Its life in steps, for whoever has another role in the same process: init, attach to the host's daemon, start,
 * begin_end, stop (also after a start that failed). */
void coordinator_init(struct coordinator *c, const struct options *o);
void coordinator_attach(struct coordinator *c, const struct daemon *host);
int coordinator_start(struct coordinator *c, struct errctx *err) MUST_CHECK;
void coordinator_begin_end(struct coordinator *c, void (*on_done)(void *data), void *data); /* on_done: from the loop */
void coordinator_stop(struct coordinator *c);
void coordinator_tell_status(void *data);

void coordinator_drop_view(struct coordinator *c);
void coordinator_set_stop_reason(void *data, const char *reason);

/* coordinator_provider.c: the one place where --shard.type chooses what lists and scales the shards, and what lock
 * gates acting (c->provider, c->lock). */
int coordinator_choose_provider(struct coordinator *c, struct errctx *err) MUST_CHECK;

/* coordinator_config.c */
int coordinator_reload(void *data, struct errctx *err); /* all or nothing */
void coordinator_watch_config(void *data);

/* coordinator_state.c: epoch, version, words for configurations, where there is a store */
int coordinator_load_state(struct coordinator *c, struct errctx *err) MUST_CHECK;
void coordinator_save_state(struct coordinator *c);
void coordinator_save_epoch(void *data, uint64_t epoch);
void coordinator_on_word(void *data, struct shard *s, const char *config_hash, const char *word);
void coordinator_save_words(struct coordinator *c); /* now and then: they come in bursts */
void coordinator_tell_word(struct coordinator *c, struct shard *s);
void coordinator_forget_word(struct coordinator *c, const char *id); /* interned */

/* coordinator_samples.c */
void coordinator_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                                size_t *ret_expected, int64_t *ret_until_ms);
void coordinator_samples_done(struct coordinator *c); /* while the HTTP client is there */

/* coordinator_version.c */
void coordinator_version_begin(struct coordinator *c); /* once the state is loaded, before the configuration */
void coordinator_version_soon(struct coordinator *c);  /* look soon: from any callback */
void coordinator_version_look(struct coordinator *c);  /* may reload: not from within a round or a shard's call */
bool coordinator_version_is_settled(const struct coordinator *c, int64_t now_ms); /* now_ms is monotonic */

#endif
