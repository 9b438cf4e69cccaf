/* What a coordinator with a store keeps: its epoch, the Prometheus version whose rules it follows, and what sidecars of
 * Kvass 0.3 call our configuration, so that a restart need not push it to them anew (they reload at every push).
 * Assignments are the shards' to remember. */
#include "api/coordinator_impl.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "shard/provider_list.h"
#include "shard/state.h"

#include <stdio.h>

/* ---------------------------------------------------------------- what sidecars of Kvass 0.3 call a configuration */

static struct config_word *find_word(struct coordinator *c, const char *id)
{
    vec_foreach(w, &c->words) {
        if (w->shard_id == id) {
            return w;
        }
    }
    return NULL;
}

static void keep_word(struct coordinator *c, const char *id, const char *config_hash, const char *word)
{
    struct config_word *w = find_word(c, id);
    if (w == NULL && c->words.len >= PROVIDER_SHARDS_MAX) {
        return;
    }
    w = w != NULL ? w : vec_push(&c->words);
    w->shard_id = id;
    snprintf(w->config_hash, sizeof(w->config_hash), "%s", config_hash);
    snprintf(w->word, sizeof(w->word), "%s", word);
}

void coordinator_on_word(void *data, struct shard *s, const char *config_hash, const char *word)
{
    struct coordinator *c = data;
    keep_word(c, s->id, config_hash, word);
    c->words_changed = true;
}

void coordinator_save_words(struct coordinator *c)
{
    if (c->words_changed) {
        coordinator_save_state(c);
    }
}

void coordinator_tell_word(struct coordinator *c, struct shard *s)
{
    const struct config_word *w = find_word(c, s->id);
    if (w != NULL) {
        remote_shard_set_word(s, w->config_hash, w->word);
    }
}

void coordinator_forget_word(struct coordinator *c, const char *id)
{
    for (size_t i = 0; i < c->words.len; i++) {
        if (c->words.items[i].shard_id == id) {
            vec_remove(&c->words, i);
            break;
        }
    }
}

/* ---------------------------------------------------------------- the file */

int coordinator_load_state(struct coordinator *c, struct errctx *err)
{
    struct state *st = NULL;
    if (c->o->store_path[0] == '\0') {
        return 0;
    }
    c->epoch_path = mem_printf("%s/coordinator", c->o->store_path);
    int rc = state_read(c->epoch_path, &st, err);
    if (rc == 0) {
        c->stored_epoch = st->epoch;
        memcpy(c->version, st->prometheus_version, sizeof(c->version));
        for (size_t i = 0; i < st->shard_count; i++) {
            keep_word(c, st->shards[i].id, st->shards[i].config_hash, st->shards[i].config_word);
        }
        if (st->fallback != NULL) {
            log_error(c->d.log, "load epoch", "err", st->fallback, "action", "take the one before, or from the shards");
        }
        state_free(&st);
    } else if (rc == ERR_IO) {
        return rc;
    } else if (rc != ERR_NOT_FOUND) {
        log_error(c->d.log, "load state", "err", err->msg, "action", "take epoch and version from the shards");
    }
    errctx_clear(err);
    return 0;
}

void coordinator_save_state(struct coordinator *c)
{
    struct errctx err = ERRCTX_INIT;
    if (c->epoch_path == NULL) {
        return;
    }
    c->words_changed = false;
    struct state *st = state_new();
    st->saved_ms = timebase_realtime_ms();
    st->epoch = c->stored_epoch;
    memcpy(st->prometheus_version, c->version, sizeof(st->prometheus_version));
    vec_foreach(w, &c->words) {
        struct state_shard *shard = state_add_shard(st, w->shard_id);
        memcpy(shard->config_hash, w->config_hash, sizeof(shard->config_hash));
        memcpy(shard->config_word, w->word, sizeof(shard->config_word));
    }
    if (state_save(c->epoch_path, st, &err) != 0) {
        metric_add(METRIC_SHARD_STATE_SAVE_FAILURES, 1);
        log_error(c->d.log, "save state", "err", err.msg, "action", "go on: the shards know it, too");
    }
    state_free(&st);
}

void coordinator_save_epoch(void *data, uint64_t epoch)
{
    struct coordinator *c = data;
    c->stored_epoch = epoch;
    coordinator_save_state(c);
}
