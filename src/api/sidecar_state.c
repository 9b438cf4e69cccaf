/* The sidecar's durable state: written whole and atomically before a change is made, and every minute for the figures.
 * What the shard holds but shall hold no more is stored as leaving, so that a kill at any moment leaves nothing that
 * Prometheus still asks for unserved. */
#include "api/sidecar_impl.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdlib.h>

static const struct logctx LOG = {NULL, "component", "sidecar"};

/* ---------------------------------------------------------------- writing */

struct wish_key {
    const char *job;
    uint64_t hash;
};

static bool wish_equal(const void *entry, const void *key)
{
    const struct assignment *a = entry;
    const struct wish_key *k = key;
    return a->target->hash == k->hash && a->target->job == k->job;
}

struct storing {
    struct state_shard *to;
    struct hashmap *wish; /* what is in it and held is taken out; NULL: as it is */
    int64_t now_ms;
};

static void store_held(void *data, const struct assignment *held, const struct target_status *status)
{
    struct storing *s = data;
    struct wish_key key = {held->target->job, held->target->hash};
    struct assignment a = *held;
    struct target_status st = *status;
    const struct assignment *wanted =
        s->wish != NULL ? hashmap_remove(s->wish, target_key_hash(key.job, key.hash), &key) : NULL;
    if (wanted != NULL) {
        a.target = wanted->target;
        a.state = wanted->state;
    } else if (s->wish != NULL) {
        a.state = ASSIGNMENT_LEAVING;
    }
    if (a.state != held->state) {
        a.since_ms = s->now_ms;
    }
    if (held->state == ASSIGNMENT_LEAVING && a.state != ASSIGNMENT_LEAVING) {
        st.scrapes = st.good_scrapes = 0; /* it comes back: its proofs are of another time */
    }
    state_add_target(s->to, &a, &st);
}

static void add_wish(struct sidecar *sc, struct state_shard *to, const struct sidecar_change *change)
{
    static const struct target_status NONE = {0};
    struct hashmap wish;
    size_t it = 0;
    hashmap_init(&wish, wish_equal);
    hashmap_reserve(&wish, change->count);
    for (size_t i = 0; i < change->count; i++) {
        const struct target *t = change->items[i].target;
        struct wish_key key = {t->job, t->hash};
        union {
            const struct assignment *in;
            void *entry;
        } item = {&change->items[i]};
        if (hashmap_get(&wish, target_key_hash(t->job, t->hash), &key) == NULL) {
            hashmap_add(&wish, target_key_hash(t->job, t->hash), item.entry);
        }
    }
    struct storing s = {to, &wish, timebase_realtime_ms()};
    local_shard_each(sc->shard, store_held, &s);
    for (const struct assignment *fresh; (fresh = hashmap_next(&wish, &it)) != NULL;) {
        struct assignment a = *fresh;
        a.since_ms = s.now_ms;
        state_add_target(to, &a, &NONE);
    }
    hashmap_done(&wish);
}

static struct state *compose(struct sidecar *sc, const struct sidecar_change *change)
{
    struct state *st = state_new();
    const char *text = change->config_text != NULL ? change->config_text : sc->config_text;
    st->saved_ms = timebase_realtime_ms();
    st->generation = sc->table_generation;
    st->epoch = change->epoch;
    memcpy(st->prometheus_version, sc->version, sizeof(st->prometheus_version));
    st->native_histograms = sc->native_histograms;
    st->stop_reason = mem_strdup(change->stop_reason != NULL ? change->stop_reason : sc->stop_reason);
    if (text != NULL) {
        st->config_len = change->config_text != NULL ? change->config_len : sc->config_len;
        st->config_text = mem_dup(text, st->config_len);
        st->config_generation = change->config_text != NULL ? change->config_generation : sc->config_generation;
    }
    struct state_shard *to = state_add_shard(st, sc->id);
    to->generation = change->has_items ? change->generation : sc->generation;
    to->epoch = change->epoch;
    to->idle_since_ms = sc->shard->ops->info(sc->shard)->idle_since_ms;
    if (change->has_items) {
        add_wish(sc, to, change);
    } else {
        struct storing s = {to, NULL, st->saved_ms};
        local_shard_each(sc->shard, store_held, &s);
    }
    return st;
}

int sidecar_store(struct sidecar *sc, const struct sidecar_change *change, struct errctx *err)
{
    struct state *st = compose(sc, change);
    int rc = state_save(sc->state_path, st, err);
    state_free(&st);
    if (rc != 0) {
        metric_add(METRIC_SHARD_STATE_SAVE_FAILURES, 1);
        return errctx_prefix(err, ERR_IO, "save state");
    }
    return 0;
}

void sidecar_save(void *data)
{
    struct sidecar *sc = data;
    struct errctx err = ERRCTX_INIT;
    const struct sidecar_change as_it_is = {.epoch = sc->epoch};
    if (sidecar_store(sc, &as_it_is, &err) != 0) {
        log_error(&LOG, "save state", "err", err.msg, "action", "go on, try again within a minute");
    }
}

/* ---------------------------------------------------------------- reading */

/* The shard of our name; after a rename of the pod the only one there is. */
static const struct state_shard *find_shard(const struct sidecar *sc, const struct state *st)
{
    const struct state_shard *found = state_find_shard(st, sc->id);
    return found != NULL || st->shard_count != 1 ? found : &st->shards[0];
}

static int read_any(struct sidecar *sc, struct state **ret, struct errctx *err)
{
    int rc = state_read(sc->state_path, ret, err);
    if (rc == ERR_NOT_FOUND) {
        errctx_clear(err);
        rc = state_import(sc->o->store_path, sc->id, ret, err);
    }
    return rc;
}

/* What it was last is what it most likely still is; it is asked anyway. */
static void restore_version(struct sidecar *sc, const char *version)
{
    if (strcmp(sc->o->prometheus_version, "auto") == 0 && prometheus_version_parse(version, &sc->major, NULL) == 0) {
        memcpy(sc->version, version, sizeof(sc->version));
        local_shard_set_version(sc->shard, version);
    }
}

struct state *sidecar_restore(struct sidecar *sc)
{
    struct errctx err = ERRCTX_INIT;
    struct state *st = NULL;
    int rc = read_any(sc, &st, &err);
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        log_error(&LOG, "load state", "err", err.msg, "action", "begin with an empty assignment");
    }
    if (st != NULL && st->fallback != NULL) {
        log_error(&LOG, "load state", "err", st->fallback, "action", "begin with what was stored the time before");
    }
    const struct state_shard *shard = st != NULL ? find_shard(sc, st) : NULL;
    if (st != NULL) {
        sc->table_generation = st->generation;
        sc->epoch = st->epoch;
        restore_version(sc, st->prometheus_version);
        sc->native_histograms = st->native_histograms;
        sc->generation = shard != NULL ? shard->generation : 0;
        if (st->stop_reason != NULL) {
            free(sc->stop_reason);
            sc->stop_reason = mem_strdup(st->stop_reason);
        }
        log_info(&LOG, "load state", "targets", log_num(shard != NULL ? (int64_t)shard->target_count : 0), "generation",
                 log_num((int64_t)sc->generation), "epoch", log_num((int64_t)sc->epoch));
    }
    local_shard_restore_state(sc->shard, shard, sc->generation, sc->epoch);
    return st;
}
