/* What the answers of a sidecar mean. A refused answer changes nothing: the last good reading stays. Statuses are taken
 * for the assignment the shard had acknowledged when it was asked for them: one of an older assignment would prove a
 * move that has not happened. */
#include "base/timebase.h"
#include "model/wire.h"
#include "shard/remote_priv.h"

#include <stdio.h>

#define MISMATCH_READINGS 2
#define HEAD_MAX          UINT64_C(1000000000000) /* no limit is higher, and sums stay numbers */
#define VERSION_EVERY     6                       /* polls: an upgrade is noticed within a minute */

static void learn_config(struct remote_shard *s)
{
    const struct shard_info *i = &s->info;
    bool is_through = !i->has_generation || i->config_generation >= s->pushed_config_generation;
    if (s->config_learn && is_through && i->config_hash[0] != '\0') {
        memcpy(s->config_known, i->config_hash, sizeof(s->config_known));
        s->config_learn = false;
        if (!i->has_generation && s->env.on_word != NULL && s->conf != NULL) {
            s->env.on_word(s->env.data, &s->base, s->conf->hash, s->config_known);
        }
    }
    if (s->config_learn && !s->config.is_due) { /* not applied yet, or lost before we saw it: then again, in a while */
        remote_push_want(&s->config);
        s->config.backoff_ms = REMOTE_CONFIG_AGAIN_MS;
        s->config.next_ms = remote_now_ms(s) + REMOTE_CONFIG_AGAIN_MS;
    }
    bool in_sync = remote_config_in_sync(s);
    if (!in_sync && !s->config.is_due && !s->config_learn) {
        remote_push_want(&s->config); /* it lost ours, or somebody else's came */
    } else if (in_sync) {
        s->config.is_due = false;
        s->config.backoff_ms = 0;
        if (!s->config_refused || strcmp(i->config_hash, s->conf != NULL ? s->conf->hash : "") == 0) {
            s->config.error[0] = '\0';
        }
    }
}

int remote_read_info(struct remote_shard *s, const json_t *data, struct errctx *err)
{
    struct shard_info fresh, *now = &s->info;
    int rc = wire_read_runtimeinfo(data, &fresh, err);
    if (rc != 0) {
        return rc;
    }
    fresh.head_series = fresh.head_series < HEAD_MAX ? fresh.head_series : HEAD_MAX;
    fresh.last_seen_ms = s->is_read ? timebase_realtime_ms() : 0;
    memcpy(s->shard_error, fresh.error, sizeof(s->shard_error) - 1);
    if (!s->is_read) {
        fresh.health = SHARD_HEALTH_UNKNOWN;
    }
    memcpy(fresh.prometheus_version, s->version, sizeof(fresh.prometheus_version));
    fresh.version_answered = s->version_answered;
    *now = fresh;
    s->status_generation = fresh.has_generation ? fresh.generation : s->acked_generation;
    if (fresh.has_generation && s->has_wish && !s->assign.is_due && fresh.generation < s->acked_generation &&
        s->step == REMOTE_STEP_INFO && s->acked_generation == s->wish_generation) {
        s->mismatches++; /* not written yet, or lost */
        if (s->mismatches > MISMATCH_READINGS) {
            remote_push_want(&s->assign);
        }
    }
    learn_config(s);
    return 0;
}

/* ---------------------------------------------------------------- statuses */

static void take_status(struct remote_shard *s, struct remote_entry *e, enum assignment_state state,
                        const struct target_status *st)
{
    e->is_seen = e->is_held = true;
    e->held_state = state;
    if (e->is_wished && e->since_generation > s->status_generation) {
        return;
    }
    bool is_news = st->last_scrape_ms != e->last_scrape_ms || !e->has_status;
    e->has_status = true;
    e->health = st->health;
    e->last_scrape_ms = st->last_scrape_ms;
    e->duration_us = st->last_duration_us;
    e->series = st->series;
    e->scraped = st->scraped;
    e->scrapes = st->scrapes;
    e->good_scrapes = st->good_scrapes;
    if ((e->error != NULL) != (st->error[0] != '\0') || (e->error != NULL && strcmp(e->error, st->error) != 0)) {
        MEM_FREE(e->error);
        e->error = st->error[0] != '\0' ? mem_strdup(st->error) : NULL;
    }
    if (is_news && e->target != NULL && s->env.on_status != NULL) {
        s->env.on_status(s->env.data, &s->base, e->target, st);
    }
}

static int check_statuses(const json_t *data, struct errctx *err)
{
    const char *key;
    json_t *value;
    uint64_t hash;
    enum assignment_state state;
    struct target_status st;
    if (!json_is_object(data) && !json_is_null(data)) {
        return errctx_set(err, ERR_INVALID, "statuses: expected an object");
    }
    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        if (!wire_key_u64(key, &hash)) {
            return errctx_set(err, ERR_INVALID, "statuses: '%.32s' is no hash", key);
        }
        int rc = wire_read_status(value, &state, &st, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "status of %.32s", key);
        }
    }
    return 0;
}

/* Counts what an acknowledged assignment should have made different; pushes again when it stays so. */
static void compare_with_wish(struct remote_shard *s)
{
    size_t lacks = 0, extra = 0;
    bool is_settled = s->has_wish && !s->assign.is_due && s->acked_generation == s->wish_generation &&
                      s->status_generation >= s->wish_generation;
    for (size_t i = 0; is_settled && i < s->entries.cap; i++) {
        for (const struct remote_entry *e = s->entries.slots[i].entry; e != NULL; e = e->same) {
            bool is_held = e->is_held && e->held_state != ASSIGNMENT_LEAVING;
            lacks += e->is_wished && !is_held;
            extra += !e->is_wished && is_held;
        }
    }
    if (!is_settled) {
        return;
    }
    s->mismatches = lacks + extra > 0 ? s->mismatches + 1 : 0;
    if (s->mismatches == 0) {
        s->assign.error[0] = '\0';
        s->assign.backoff_ms = 0;
    } else if (s->mismatches >= MISMATCH_READINGS) {
        remote_push_want(&s->assign);
        snprintf(s->assign.error, sizeof(s->assign.error),
                 "it lacks %zu targets it was given and holds %zu it was not; they are pushed again", lacks, extra);
    }
}

int remote_read_statuses(struct remote_shard *s, const json_t *data, struct errctx *err)
{
    const char *key;
    json_t *value;
    int rc = check_statuses(data, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < s->entries.cap; i++) {
        for (struct remote_entry *e = s->entries.slots[i].entry; e != NULL; e = e->same) {
            e->is_seen = false;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        uint64_t hash = 0;
        enum assignment_state state = ASSIGNMENT_ASSIGNED;
        struct target_status st = {0};
        (void)!wire_key_u64(key, &hash);
        (void)!wire_read_status(value, &state, &st, NULL);
        struct remote_entry *e = remote_find_hash(s, hash);
        for (e = e != NULL ? e : remote_add(s, NULL, hash); e != NULL; e = e->same) {
            take_status(s, e, state, &st);
        }
    }
    for (size_t i = 0; i < s->entries.cap; i++) {
        for (struct remote_entry *e = s->entries.slots[i].entry; e != NULL; e = e->same) {
            e->is_held = e->is_seen;
            e->has_status = e->has_status && e->is_seen;
        }
    }
    remote_drop_unused(s);
    remote_resolve(s);
    compare_with_wish(s);
    return 0;
}

/* ---------------------------------------------------------------- the rest */

int remote_read_targets(struct remote_shard *s, const json_t *data, bool *ret_has_labels, struct errctx *err)
{
    struct assignment *items = NULL;
    size_t count = 0;
    *ret_has_labels = wire_is_targets(data);
    if (!*ret_has_labels) {
        return remote_read_statuses(s, data, err);
    }
    int rc = wire_read_targets(data, &items, &count, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        const struct target *t = items[i].target;
        struct remote_entry *e = remote_find(s, t->job, t->hash);
        e = e != NULL ? e : remote_add(s, t, t->hash);
        e->is_held = true;
        e->held_state = items[i].state;
    }
    wire_targets_free(items, count);
    return 0;
}

int remote_read_extra(struct remote_shard *s, const json_t *data, struct errctx *err)
{
    json_t *inner;
    const char *reason;
    int rc = wire_read_extra_config(data, &inner, &reason, err);
    if (rc != 0) {
        return rc;
    }
    bool is_first = s->stop_found == NULL;
    free(s->stop_found);
    s->stop_found = mem_strdup(reason);
    json_decref(inner);
    if (is_first && s->stop_found[0] != '\0' && s->env.on_stopped != NULL) {
        s->env.on_stopped(s->env.data, &s->base, s->stop_found);
    }
    if (strcmp(s->stop_found, s->stop_reason) == 0) {
        s->stop.is_due = false;
        s->stop.error[0] = '\0';
    } else {
        remote_push_want(&s->stop);
    }
    return 0;
}

/* An agent has no such path and says so: that is an answer, too. A Prometheus that is not up yet is asked in the next
 * reading, one that answers too late as seldom as one that has answered. */
void remote_read_version(struct remote_shard *s, const json_t *data, int status)
{
    const char *version = json_string_value(json_object_get(data, "version"));
    bool is_final = status == 200 || (status >= 400 && status < 500);
    s->next_version_ms = remote_now_ms(s) + (status >= 500 ? 0 : VERSION_EVERY * s->env.poll_ms);
    if (!is_final) {
        return;
    }
    char fresh[sizeof(s->version)] = "";
    if (version != NULL && strlen(version) < sizeof(fresh)) {
        snprintf(fresh, sizeof(fresh), "%s", version);
    }
    bool is_news = !s->version_answered || strcmp(fresh, s->version) != 0;
    memcpy(s->version, fresh, sizeof(fresh));
    memcpy(s->info.prometheus_version, fresh, sizeof(fresh));
    s->version_answered = s->info.version_answered = true;
    if (is_news && s->is_read) { /* else the end of the first reading tells */
        s->env.on_change(s->env.data, &s->base);
    }
}
