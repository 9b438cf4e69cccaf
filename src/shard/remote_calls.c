/* What a remote shard is asked and told, and when. One call at a time: a reading is a chain of GETs, pushes go between
 * readings, configuration before targets. After a failed reading nothing is pushed until one has succeeded again: a
 * shard that does not answer costs one call per back-off, from the suspects' lanes. A refusal by epoch ends all writing
 * until the next wish. */
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "model/wire.h"
#include "shard/remote_priv.h"

#include <stdio.h>

#define AFTER_PUSH_MS       500
#define UNACKED_READ_MS     1000
#define BACKOFF_FIRST_MS    1000
#define PUSH_BACKOFF_MAX_MS 60000
#define READ_BACKOFF_MAX_MS 30000
#define EXTRA_EVERY_MS      60000
#define UNREACHABLE_AFTER   2 /* readings failed in a row: one missed poll is not death */
#define SMALL_ANSWER_BYTES  ((size_t)1 << 20)
#define BODY_BYTES_MAX      ((size_t)1 << 30)

static const struct {
    const char *name, *path, *method;
} STEPS[] = {
    [REMOTE_STEP_NONE] = {"none", "", "GET"},
    [REMOTE_STEP_INFO] = {"runtimeinfo", "/api/v1/shard/runtimeinfo/", "GET"},
    [REMOTE_STEP_TARGETS] = {"targets", "/api/v1/shard/targets/?full=true", "GET"},
    [REMOTE_STEP_STATUS] = {"statuses", "/api/v1/shard/targets/status/", "GET"},
    [REMOTE_STEP_EXTRA] = {"extra_config", "/api/v1/status/extra_config/", "GET"},
    [REMOTE_STEP_VERSION] = {"buildinfo", "/api/v1/status/buildinfo", "GET"},
    [REMOTE_STEP_CONFIG] = {"push configuration", "/api/v1/status/config/", "POST"},
    [REMOTE_STEP_ASSIGN] = {"push targets", "/api/v1/shard/targets/", "POST"},
    [REMOTE_STEP_STOP] = {"push extra_config", "/api/v1/status/extra_config/", "POST"},
};

void remote_push_want(struct remote_push *p)
{
    if (!p->is_due) {
        p->is_due = true;
        p->next_ms = p->backoff_ms > 0 ? p->next_ms : 0;
    }
}

static void push_failed(struct remote_shard *s, struct remote_push *p, const char *message)
{
    p->backoff_ms = p->backoff_ms == 0 ? BACKOFF_FIRST_MS : p->backoff_ms * 2;
    p->backoff_ms = p->backoff_ms > PUSH_BACKOFF_MAX_MS ? PUSH_BACKOFF_MAX_MS : p->backoff_ms;
    p->next_ms = remote_now_ms(s) + p->backoff_ms;
    snprintf(p->error, sizeof(p->error), "%.190s", message);
}

/* ---------------------------------------------------------------- what is next */

static bool push_is_due(const struct remote_push *p, int64_t now_ms)
{
    return p->is_due && now_ms >= p->next_ms;
}

static enum remote_step next_step(const struct remote_shard *s, int64_t now_ms)
{
    if (s->chain != REMOTE_STEP_NONE) {
        return s->chain;
    }
    if (s->is_read && s->has_wish && s->failures == 0) {
        if (s->conf != NULL && push_is_due(&s->config, now_ms)) {
            return REMOTE_STEP_CONFIG;
        }
        if (push_is_due(&s->assign, now_ms) && !(s->conf != NULL && s->config.is_due && s->config.backoff_ms == 0)) {
            return REMOTE_STEP_ASSIGN;
        }
        if (push_is_due(&s->stop, now_ms)) {
            return REMOTE_STEP_STOP;
        }
    }
    return now_ms >= s->next_read_ms ? REMOTE_STEP_INFO : REMOTE_STEP_NONE;
}

static int64_t next_due_ms(const struct remote_shard *s)
{
    int64_t due = s->next_read_ms;
    const struct remote_push *const PUSHES[] = {&s->config, &s->assign, &s->stop};
    for (size_t i = 0; i < 3 && s->is_read && s->has_wish && s->failures == 0; i++) {
        if (PUSHES[i]->is_due && PUSHES[i]->next_ms < due) {
            due = PUSHES[i]->next_ms;
        }
    }
    return due;
}

/* ---------------------------------------------------------------- answers */

static void reading_failed(struct remote_shard *s, const char *message)
{
    int64_t pause_ms = (int64_t)BACKOFF_FIRST_MS << (s->failures < 5 ? s->failures : 5);
    s->failures++;
    s->next_version_ms = 0; /* it may come back as another one */
    s->chain = REMOTE_STEP_NONE;
    s->next_read_ms = remote_now_ms(s) + (pause_ms < READ_BACKOFF_MAX_MS ? pause_ms : READ_BACKOFF_MAX_MS);
    snprintf(s->read_error, sizeof(s->read_error), "%.190s", message);
    if (s->is_read && s->failures == UNREACHABLE_AFTER) {
        s->info.health = SHARD_HEALTH_UNREACHABLE;
        remote_show_error(s);
        s->env.on_change(s->env.data, &s->base);
    }
    metric_add(METRIC_SHARD_REMOTE_CALL_FAILURES, 1, s->base.id);
}

static void reading_done(struct remote_shard *s)
{
    bool is_first = !s->is_read, was_away = s->failures >= UNREACHABLE_AFTER;
    s->chain = REMOTE_STEP_NONE;
    s->failures = 0;
    s->is_read = true;
    s->read_error[0] = '\0';
    if (is_first) {
        s->info.last_seen_ms = timebase_realtime_ms();
        s->info.health = SHARD_HEALTH_READY;
    }
    bool is_unacked = s->has_wish && s->info.has_generation && s->info.generation < s->acked_generation;
    int64_t pause_ms = is_unacked || s->config_learn ? UNACKED_READ_MS : s->env.poll_ms;
    s->next_read_ms = remote_now_ms(s) + (pause_ms < s->env.poll_ms ? pause_ms : s->env.poll_ms);
    if (is_first || was_away) {
        remote_show_error(s); /* not the one that is over */
        s->env.on_change(s->env.data, &s->base);
    }
}

static void conflict(struct remote_shard *s, const char *message)
{
    s->has_wish = s->assign.is_due = s->config.is_due = false;
    s->env.on_conflict(s->env.data, &s->base, message);
}

/* True when the reading shows that somebody with a larger epoch writes there. */
static bool is_overtaken(struct remote_shard *s)
{
    char text[160];
    if (!s->has_wish || s->epoch == 0 || s->info.epoch <= s->epoch) {
        return false;
    }
    snprintf(text, sizeof(text), "it has seen epoch %llu, ours is %llu", (unsigned long long)s->info.epoch,
             (unsigned long long)s->epoch);
    conflict(s, text);
    return true;
}

/* What the reading ends with. */
static enum remote_step last_step(const struct remote_shard *s)
{
    return s->env.ask_version && remote_now_ms(s) >= s->next_version_ms ? REMOTE_STEP_VERSION : REMOTE_STEP_NONE;
}

static int take_reading(struct remote_shard *s, const json_t *data, struct errctx *err)
{
    bool has_labels = true, with_extra = remote_now_ms(s) >= s->next_extra_ms;
    int rc = 0;
    switch (s->step) {
    case REMOTE_STEP_INFO:
        rc = remote_read_info(s, data, err);
        s->chain = s->is_read ? REMOTE_STEP_STATUS : REMOTE_STEP_TARGETS;
        if (rc == 0 && is_overtaken(s)) {
            s->mismatches = 0;
        }
        break;
    case REMOTE_STEP_TARGETS:
        rc = remote_read_targets(s, data, &has_labels, err);
        s->chain = has_labels ? REMOTE_STEP_STATUS : REMOTE_STEP_EXTRA;
        break;
    case REMOTE_STEP_STATUS:
        rc = remote_read_statuses(s, data, err);
        s->chain = with_extra ? REMOTE_STEP_EXTRA : last_step(s);
        break;
    case REMOTE_STEP_VERSION:
        remote_read_version(s, data, 200);
        s->chain = REMOTE_STEP_NONE;
        break;
    default:
        rc = remote_read_extra(s, data, err);
        s->chain = last_step(s);
        s->next_extra_ms = remote_now_ms(s) + EXTRA_EVERY_MS;
        break;
    }
    if (rc == 0 && s->chain == REMOTE_STEP_NONE) {
        reading_done(s);
    }
    return rc;
}

static void push_succeeded(struct remote_shard *s)
{
    int64_t now_ms = remote_now_ms(s);
    struct remote_push *p = s->step == REMOTE_STEP_CONFIG   ? &s->config
                            : s->step == REMOTE_STEP_ASSIGN ? &s->assign
                                                            : &s->stop;
    p->is_due = false;
    p->backoff_ms = 0;
    p->error[0] = '\0';
    if (s->step == REMOTE_STEP_CONFIG) {
        s->config_learn = true;
    } else if (s->step == REMOTE_STEP_ASSIGN) {
        s->acked_generation = s->pushed_generation;
        p->is_due = s->pushed_generation != s->wish_generation;
        p->backoff_ms = s->mismatches > 0 ? REMOTE_CONFIG_AGAIN_MS : 0;
        p->next_ms = s->mismatches > 0 ? now_ms + REMOTE_CONFIG_AGAIN_MS : 0;
        s->mismatches = 0;
    } else {
        free(s->stop_found);
        s->stop_found = mem_strdup(s->stop_reason);
    }
    if (s->next_read_ms > now_ms + AFTER_PUSH_MS) {
        s->next_read_ms = now_ms + AFTER_PUSH_MS;
    }
}

/* code: of the error answer, 0 when the status alone tells. */
static void push_refused(struct remote_shard *s, int status, int code, const char *message)
{
    if (status == 409 || code == ERR_CONFLICT) {
        conflict(s, message);
    } else if (s->step == REMOTE_STEP_CONFIG && (status == 400 || code == ERR_INVALID)) {
        /* It reads a file of its own: what it runs is accepted, and shown when it is not ours. */
        s->config_refused = true;
        s->config.is_due = false;
        if (s->info.has_generation) {
            snprintf(s->config.error, sizeof(s->config.error), "does not take our configuration: %.150s", message);
        }
    } else if (s->step == REMOTE_STEP_CONFIG) {
        push_failed(s, &s->config, message);
    } else {
        push_failed(s, s->step == REMOTE_STEP_ASSIGN ? &s->assign : &s->stop, message);
    }
    metric_add(METRIC_SHARD_REMOTE_CALL_FAILURES, 1, s->base.id);
}

/* The data of a good answer (in *ret_root), or an error that says what came instead. */
static int open_answer(const struct http_answer *a, json_t **ret_root, const json_t **ret_data, struct errctx *err)
{
    struct errctx inner = ERRCTX_INIT;
    if (a->err.code != 0) {
        return errctx_set(err, a->err.code, "%s", a->err.msg);
    }
    json_t *root = wire_parse(a->body, REMOTE_ANSWER_BYTES_MAX, &inner);
    const json_t *data = root != NULL ? wire_data(root, &inner) : NULL;
    if (data != NULL && a->status == 200) {
        *ret_root = root;
        *ret_data = data;
        return 0;
    }
    int code = inner.code == 0 || inner.code == ERR_PARSE ? ERR_UNAVAILABLE : inner.code;
    int rc = errctx_set(err, code, "status %d%s%s", a->status, inner.code != 0 ? ": " : "", inner.msg);
    json_decref(root);
    return rc;
}

static bool is_reading(enum remote_step step)
{
    return step >= REMOTE_STEP_INFO && step <= REMOTE_STEP_VERSION;
}

/* Of a reading: what comes last in it is never a reason to mistrust the rest. */
static void step_failed(struct remote_shard *s, int status, const char *message)
{
    if (s->step == REMOTE_STEP_VERSION) {
        remote_read_version(s, NULL, status);
        reading_done(s);
    } else if (s->step == REMOTE_STEP_EXTRA) {
        s->next_extra_ms = remote_now_ms(s) + EXTRA_EVERY_MS;
        s->chain = last_step(s);
        if (s->chain == REMOTE_STEP_NONE) {
            reading_done(s);
        }
    } else {
        reading_failed(s, message);
    }
}

static void on_done(void *data, const struct http_answer *a)
{
    struct remote_shard *s = data;
    struct errctx err = ERRCTX_INIT;
    json_t *root = NULL;
    const json_t *inside = NULL;
    s->call = NULL;
    s->is_answering = true;
    remote_lanes_leave(s->env.lanes, &s->ticket);
    int rc = open_answer(a, &root, &inside, &err);
    if (rc == 0 && is_reading(s->step)) {
        rc = take_reading(s, inside, &err);
    } else if (rc == 0) {
        push_succeeded(s);
    }
    if (rc != 0) {
        errctx_prefix(&err, rc, "%s", STEPS[s->step].name);
        if (is_reading(s->step)) {
            step_failed(s, a->status, err.msg);
        } else {
            push_refused(s, a->status, err.code, err.msg);
        }
    }
    json_decref(root);
    s->step = REMOTE_STEP_NONE;
    s->is_answering = false;
    remote_show_error(s);
    remote_calls_go(s);
}

/* ---------------------------------------------------------------- requests */

static int by_job(const void *a, const void *b)
{
    const struct assignment *x = a, *y = b;
    int c = x->target->job == y->target->job ? 0 : strcmp(x->target->job, y->target->job);
    return c != 0 ? c : (x->target->hash > y->target->hash) - (x->target->hash < y->target->hash);
}

static void write_wish(struct remote_shard *s, struct json_writer *w)
{
    vec_clear(&s->view);
    for (size_t i = 0; i < s->entries.cap; i++) {
        for (struct remote_entry *e = s->entries.slots[i].entry; e != NULL; e = e->same) {
            if (e->is_wished) {
                *vec_push(&s->view) = (struct assignment){e->target, e->wish_state, e->since_ms};
            }
        }
    }
    if (s->view.len > 1) {
        qsort(s->view.items, s->view.len, sizeof(*s->view.items), by_job);
    }
    s->pushed_generation = s->wish_generation;
    wire_write_push(w, s->view.items, s->view.len, s->wish_generation, s->epoch);
}

static int write_body(struct remote_shard *s, struct bytes *body, struct errctx *err)
{
    struct json_writer w;
    json_writer_init(&w, body);
    if (s->step == REMOTE_STEP_CONFIG) {
        struct bytes text;
        bytes_init(&text, YAML_OUTPUT_MAX_BYTES);
        int rc = promconf_write_whole(s->conf, &text, err);
        if (rc == 0) {
            s->pushed_config_generation = s->config_generation;
            wire_write_config(&w, bytes_view(&text), s->config_generation, s->epoch);
        }
        bytes_done(&text);
        if (rc != 0) {
            return rc;
        }
    } else if (s->step == REMOTE_STEP_ASSIGN) {
        write_wish(s, &w);
    } else if (s->step == REMOTE_STEP_STOP) {
        wire_write_extra_config(&w, s->stop_reason);
    }
    return bytes_check(body, err);
}

static void start(void *data)
{
    struct remote_shard *s = data;
    struct errctx err = ERRCTX_INIT;
    struct bytes body;
    char epoch[64];
    const char *const headers[] = {"Accept-Encoding: gzip", s->epoch != 0 ? epoch : NULL, NULL};
    s->step = next_step(s, remote_now_ms(s));
    if (s->step == REMOTE_STEP_NONE) {
        remote_lanes_leave(s->env.lanes, &s->ticket);
        return;
    }
    bytes_init(&body, BODY_BYTES_MAX);
    snprintf(epoch, sizeof(epoch), "X-Kvass-Epoch: %llu", (unsigned long long)s->epoch);
    int rc = write_body(s, &body, &err);
    if (rc != 0) {
        push_failed(s, s->step == REMOTE_STEP_ASSIGN ? &s->assign : &s->config, err.msg);
        s->step = REMOTE_STEP_NONE;
        remote_lanes_leave(s->env.lanes, &s->ticket);
        bytes_done(&body);
        return;
    }
    char *url = mem_printf("%s%s", s->base.api_url != NULL ? s->base.api_url : "", STEPS[s->step].path);
    const struct http_request req = {
        .method = STEPS[s->step].method,
        .url = url,
        .headers = headers,
        .body = bytes_view(&body),
        .content_type = "application/json",
        .timeout_ms = is_reading(s->step) ? s->env.read_timeout_ms : s->env.write_timeout_ms,
        .answer_bytes_max = s->step == REMOTE_STEP_STATUS || s->step == REMOTE_STEP_TARGETS ? REMOTE_ANSWER_BYTES_MAX
                                                                                            : SMALL_ANSWER_BYTES,
        .profile = s->env.profile,
    };
    s->call = http_client_send(s->env.http, &req, on_done, s);
    free(url);
    bytes_done(&body);
}

void remote_calls_go(struct remote_shard *s)
{
    if (s->is_answering || s->call != NULL || s->ticket.is_waiting || s->ticket.is_holding) {
        return;
    }
    int64_t now_ms = remote_now_ms(s);
    s->ticket.granted = start;
    if (next_step(s, now_ms) != REMOTE_STEP_NONE) {
        remote_lanes_ask(s->env.lanes, &s->ticket, s->failures > 0);
    }
    if (s->timer != NULL && s->call == NULL && !s->ticket.is_waiting) {
        int64_t wait_ms = next_due_ms(s) - now_ms;
        loop_timer_start(s->timer, wait_ms > 10 ? wait_ms : 10, 0);
    }
}

void remote_calls_cancel(struct remote_shard *s)
{
    if (s->call != NULL) {
        http_call_cancel(s->call);
        s->call = NULL;
    }
    s->step = s->chain = REMOTE_STEP_NONE;
    remote_lanes_leave(s->env.lanes, &s->ticket);
}
