/* The watch cache: see watch.h.
 *
 * A watch is in one phase: waiting (for its timer), listing, receiving a streamed list, or watching. Every way out of a
 * phase goes through `then`, which sets the timer and what comes after it, so there is one place that paces requests.
 *
 * A list marks what it brings; what is not marked in the end is gone. Objects go into the cache as they come, for each
 * is newer than the one held, and so a list that breaks off has done no harm. The place to go on from is what the list
 * said, then that of each event and bookmark.
 *
 * Users may close from within any callback: a closed user stays in the list, deaf, until the callbacks have returned,
 * and so does the watch itself. */
#include "k8s/watch.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "k8s/event.h"
#include "k8s/store.h"
#include "k8s/stream.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_BASE_MS      800
#define BACKOFF_CAP_MS       30000
#define SHORT_WATCH_MS       1000  /* one that ends sooner without an event has failed */
#define GOOD_WATCH_MS        5000  /* one that lived this long, or brought something, ends the counting of failures */
#define WATCH_MIN_S          300   /* timeoutSeconds: this, and up to as much again */
#define WATCH_EXTRA_MS       30000 /* given to the server to end a watch by itself */
#define STREAMED_PATIENCE_MS 60000 /* without an event of a streamed list */
#define RELIST_AFTER         3     /* failures of watches in a row */
#define ERROR_LOG_MS         60000
#define POLL_MS              5000

enum phase { PHASE_WAITING, PHASE_LISTING, PHASE_STREAMED, PHASE_WATCHING };
enum next { NEXT_LIST, NEXT_WATCH };

struct k8s_watcher {
    struct k8s_watch *watch;
    struct k8s_watch_events events;
    bool is_closed, was_told;
};

struct k8s_watch {
    struct k8s_client *client;
    struct k8s_watch *next_watch;
    struct k8s_resource resource;
    char *namespace, *label_selector, *field_selector, *what;
    const char *schema_text;
    struct k8s_store store;
    bool is_consistent, is_synced, has_listed, from_cache_failed, no_streamed;
    struct metric_cell *count;
    VEC(struct k8s_watcher *) watchers;
    unsigned in_callback;
    enum phase phase;
    enum next next;
    struct loop_timer *timer;
    struct loop_timer *newcomer; /* tells a user that came after the first list */
    struct k8s_list *list;
    struct k8s_stream *stream;
    char *version; /* where to go on; NULL: list first */
    int64_t began_ms;
    size_t events_seen;
    unsigned failures;
    const char *list_reason;
    struct k8s_judged *ended_by; /* the ERROR event that ended the stream */
    struct log_limit error_limit;
};

static void watch_reap(struct k8s_watch *w);

/* The store's on_change. */
static void tell_change(void *data, enum k8s_change change, const struct k8s_object *before,
                        const struct k8s_object *now)
{
    struct k8s_watch *w = data;
    metric_cell_add(w->count, change == K8S_ADDED ? 1 : change == K8S_DELETED ? -1 : 0);
    if (!w->is_synced) {
        return;
    }
    w->in_callback++;
    for (size_t i = 0; i < w->watchers.len; i++) {
        struct k8s_watcher *u = w->watchers.items[i];
        if (!u->is_closed && u->was_told) {
            u->events.on_change(u->events.data, change, before, now);
        }
    }
    w->in_callback--;
}

static void object_take(struct k8s_watch *w, const json_t *tree, bool is_deleted)
{
    if (k8s_store_take(&w->store, tree, is_deleted) != 0) {
        metric_add(METRIC_K8S_BROKEN_OBJECTS, 1, w->resource.plural);
    }
}

/* --- users */

static void tell_synced(struct k8s_watch *w)
{
    w->in_callback++;
    for (size_t i = 0; i < w->watchers.len; i++) {
        struct k8s_watcher *u = w->watchers.items[i];
        if (!u->is_closed && !u->was_told) {
            u->was_told = true;
            u->events.on_synced(u->events.data);
        }
    }
    w->in_callback--;
}

static void tell_error(struct k8s_watch *w, const struct k8s_answer *a)
{
    uint64_t suppressed;
    bool has_users = false;
    metric_add(METRIC_K8S_WATCH_FAILURES, 1, w->resource.plural);
    w->in_callback++;
    for (size_t i = 0; i < w->watchers.len; i++) {
        struct k8s_watcher *u = w->watchers.items[i];
        if (!u->is_closed && u->events.on_error != NULL) {
            u->events.on_error(u->events.data, a);
        }
        has_users = has_users || !u->is_closed; /* who leaves at once knows what to do instead */
    }
    w->in_callback--;
    if (has_users && log_limit_pass(&w->error_limit, timebase_monotonic_ms(), ERROR_LOG_MS, &suppressed)) {
        log_warn(NULL, "watch the Kubernetes API", "server", w->client->url, "err", a->err.msg, "suppressed",
                 log_num((int64_t)suppressed), "action", "keep what is known and try again");
    }
}

/* --- phases */

static void then(struct k8s_watch *w, enum next next, int64_t wait_ms)
{
    w->phase = PHASE_WAITING;
    w->next = next;
    loop_timer_start(w->timer, wait_ms, 0);
}

static void fail(struct k8s_watch *w, enum next next, const struct k8s_answer *a)
{
    int64_t wait_ms = k8s_backoff_ms(w->failures++, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    if (next == NEXT_WATCH && w->failures > RELIST_AFTER && a->status != 0 && a->status != 429) {
        next = NEXT_LIST;
        w->list_reason = "failures";
    }
    then(w, next, a->retry_after_ms > wait_ms ? a->retry_after_ms : wait_ms);
    tell_error(w, a);
}

static void set_version(struct k8s_watch *w, const char *version)
{
    if (version[0] != '\0' && (w->version == NULL || strcmp(w->version, version) != 0)) {
        free(w->version);
        w->version = mem_strdup(version);
    }
}

static void listed(struct k8s_watch *w, const char *version)
{
    set_version(w, version);
    k8s_store_sweep(&w->store);
    w->has_listed = w->is_synced = true;
    tell_synced(w);
}

static int on_item(void *data, json_t *item)
{
    struct k8s_watch *w = data;
    object_take(w, item, false);
    watch_reap(w);
    return 0;
}

static void on_list_begin(void *data)
{
    k8s_store_begin(&((struct k8s_watch *)data)->store);
}

static void on_list_done(void *data, const char *version, const struct k8s_answer *a)
{
    struct k8s_watch *w = data;
    w->list = NULL;
    if (a->err.code != 0) {
        w->from_cache_failed = true;
        w->list_reason = "failures";
        fail(w, NEXT_LIST, a);
    } else {
        then(w, NEXT_WATCH, 0);
        listed(w, version);
    }
    watch_reap(w);
}

static void list_start(struct k8s_watch *w)
{
    const struct k8s_list_request req = {
        .resource = &w->resource,
        .namespace = w->namespace,
        .label_selector = w->label_selector,
        .field_selector = w->field_selector,
        .from_cache = !w->is_consistent && !w->has_listed && !w->from_cache_failed,
        .schema = w->store.schema,
        .on_item = on_item,
        .on_begin = on_list_begin,
        .on_done = on_list_done,
        .data = w,
    };
    w->phase = PHASE_LISTING;
    metric_add(METRIC_K8S_WATCH_RELISTS, 1, w->resource.plural, w->list_reason);
    w->list = k8s_list_send(w->client, &req);
}

/* True when the stream is over. */
static bool take_event(struct k8s_watch *w, const struct k8s_event *e)
{
    metric_add(METRIC_K8S_WATCH_EVENTS, 1, w->resource.plural, k8s_event_name(e->type));
    w->events_seen += e->type != K8S_EVENT_ERROR;
    if (w->phase == PHASE_STREAMED) {
        loop_timer_start(w->timer, STREAMED_PATIENCE_MS, 0);
    }
    switch (e->type) {
    case K8S_EVENT_ADDED:
    case K8S_EVENT_MODIFIED:
    case K8S_EVENT_DELETED:
        object_take(w, e->object, e->type == K8S_EVENT_DELETED);
        break;
    case K8S_EVENT_ERROR:
        w->ended_by = mem_calloc(1, sizeof(*w->ended_by));
        k8s_judge_status(e->object, w->what, w->ended_by);
        w->ended_by->answer.reason = w->ended_by->reason;
        return true;
    case K8S_EVENT_BOOKMARK:
    case K8S_EVENT_OTHER:
        break;
    }
    if (w->phase == PHASE_STREAMED && e->ends_initial) {
        loop_timer_stop(w->timer);
        w->phase = PHASE_WATCHING;
        listed(w, e->resource_version);
    } else if (w->phase == PHASE_WATCHING && e->type != K8S_EVENT_OTHER) {
        set_version(w, e->resource_version);
    }
    return false;
}

static int on_event(void *data, struct view text)
{
    struct k8s_watch *w = data;
    struct k8s_event e;
    struct errctx err = ERRCTX_INIT;
    if (text.base == NULL || k8s_event_read(text, w->store.schema, &e, &err) != 0) {
        metric_add(METRIC_K8S_BROKEN_OBJECTS, 1, w->resource.plural);
        return 0;
    }
    bool is_over = take_event(w, &e);
    k8s_event_done(&e);
    watch_reap(w);
    return is_over ? ERR_CANCELLED : 0;
}

static void again_after_end(struct k8s_watch *w, const struct k8s_answer *a)
{
    int64_t lived_ms = timebase_monotonic_ms() - w->began_ms;
    w->failures = lived_ms >= GOOD_WATCH_MS || w->events_seen != 0 ? 0 : w->failures;
    if (k8s_is_expired(a)) {
        w->list_reason = "expired";
        then(w, NEXT_LIST, w->failures == 0 ? 0 : k8s_backoff_ms(w->failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
        w->failures++; /* a server that expires every place at once is not asked in a loop */
    } else if (a->status == 403 && w->has_listed) {
        /* May list but not watch: the rights of Kvass 0.3. Lists are repeated instead. */
        w->list_reason = "no_watch";
        then(w, NEXT_LIST, POLL_MS);
        tell_error(w, a);
    } else if (a->err.code != 0) {
        fail(w, NEXT_WATCH, a);
    } else if (lived_ms >= SHORT_WATCH_MS || w->events_seen != 0) {
        then(w, NEXT_WATCH, 10);
    } else {
        struct k8s_answer shown = {.status = a->status, .reason = ""};
        (void)errctx_set(&shown.err, ERR_UNAVAILABLE, "%s: the server ended the watch at once", w->what);
        fail(w, NEXT_WATCH, &shown);
    }
}

static void on_stream_done(void *data, const struct k8s_answer *answer, struct view rest)
{
    struct k8s_watch *w = data;
    struct k8s_judged *event = w->ended_by;
    const struct k8s_answer *a = event != NULL ? &event->answer : answer;
    bool was_streamed = w->phase == PHASE_STREAMED;
    (void)rest;
    w->stream = NULL;
    w->ended_by = NULL;
    loop_timer_stop(w->timer);
    if (was_streamed && a->status >= 400 && a->status != 429 && a->status != 401) {
        w->no_streamed = true; /* an old server, or one without the feature */
        w->client->no_streamed_lists = w->client->no_streamed_lists || a->status == 400 || a->status == 422;
        then(w, NEXT_LIST, 0);
    } else if (was_streamed) {
        struct k8s_answer shown = *a;
        (void)errctx_set(&shown.err, ERR_UNAVAILABLE, "%s: the streamed list ended before its end mark", w->what);
        fail(w, NEXT_LIST, &shown);
    } else {
        again_after_end(w, a);
    }
    free(event);
    watch_reap(w);
}

static void stream_start(struct k8s_watch *w, bool is_list)
{
    struct bytes url;
    char seconds[16], *path = k8s_url(w->client, &w->resource, w->namespace, NULL, NULL);
    int64_t s = k8s_backoff_ms(0, WATCH_MIN_S * 1000, WATCH_MIN_S * 1000) / 1000;
    snprintf(seconds, sizeof(seconds), "%d", (int)s);
    bytes_init(&url, (size_t)256 << 10);
    bytes_append_str(&url, path);
    free(path);
    k8s_query_add(&url, "watch", "1");
    k8s_query_add(&url, "allowWatchBookmarks", "true");
    k8s_query_add(&url, "timeoutSeconds", seconds);
    k8s_query_add(&url, "labelSelector", w->label_selector);
    k8s_query_add(&url, "fieldSelector", w->field_selector);
    if (is_list) {
        k8s_query_add(&url, "sendInitialEvents", "true");
        k8s_query_add(&url, "resourceVersionMatch", "NotOlderThan");
        k8s_store_begin(&w->store);
        metric_add(METRIC_K8S_WATCH_RELISTS, 1, w->resource.plural, w->list_reason);
        loop_timer_start(w->timer, STREAMED_PATIENCE_MS, 0);
    } else {
        k8s_query_add(&url, "resourceVersion", w->version);
    }
    const struct k8s_stream_request req = {
        .url = url.base,
        .what = w->what,
        .verb = "watch",
        .mode = JSON_SPLIT_EVENTS,
        .timeout_ms = s * 1000 + WATCH_EXTRA_MS,
        .on_piece = on_event,
        .on_done = on_stream_done,
        .data = w,
    };
    w->phase = is_list ? PHASE_STREAMED : PHASE_WATCHING;
    w->began_ms = timebase_monotonic_ms();
    w->events_seen = 0;
    w->stream = k8s_stream_send(w->client, &req);
    bytes_done(&url);
}

static void on_timer(void *data)
{
    struct k8s_watch *w = data;
    if (w->phase == PHASE_STREAMED) { /* silence instead of a list: somebody in between does not know them */
        w->no_streamed = w->client->no_streamed_lists = true;
        k8s_stream_cancel(w->stream);
        w->stream = NULL;
        list_start(w);
    } else if (w->phase != PHASE_WAITING) {
        return;
    } else if (w->next == NEXT_WATCH && w->version != NULL) {
        stream_start(w, false);
    } else if (w->no_streamed || w->client->no_streamed_lists) {
        list_start(w);
    } else {
        stream_start(w, true);
    }
}

/* --- life */

static void watch_free(struct k8s_watch *w)
{
    for (struct k8s_watch **at = &w->client->watches; *at != NULL; at = &(*at)->next_watch) {
        if (*at == w) {
            *at = w->next_watch;
            break;
        }
    }
    if (w->list != NULL) {
        k8s_list_cancel(w->list);
    }
    if (w->stream != NULL) {
        k8s_stream_cancel(w->stream);
    }
    metric_cell_add(w->count, -(double)w->store.objects.len);
    k8s_store_done(&w->store);
    loop_timer_free(&w->timer);
    loop_timer_free(&w->newcomer);
    k8s_client_unref(w->client);
    vec_done(&w->watchers);
    free(w->ended_by);
    free(w->namespace);
    free(w->label_selector);
    free(w->field_selector);
    free(w->what);
    free(w->version);
    free(w);
}

/* Frees the users that have left, and the watch after the last one. The last thing of every entry from the loop. */
static void watch_reap(struct k8s_watch *w)
{
    if (w->in_callback != 0) {
        return;
    }
    for (size_t i = w->watchers.len; i-- > 0;) {
        if (w->watchers.items[i]->is_closed) {
            free(w->watchers.items[i]);
            vec_remove(&w->watchers, i);
        }
    }
    if (w->watchers.len == 0) {
        watch_free(w);
    }
}

static void on_newcomer(void *data)
{
    struct k8s_watch *w = data;
    if (w->is_synced) {
        tell_synced(w);
    }
    watch_reap(w);
}

static bool is_same(const char *a, const char *b)
{
    return strcmp(a, b != NULL ? b : "") == 0;
}

static struct k8s_watch *watch_find(struct k8s_client *c, const struct k8s_watch_spec *s)
{
    for (struct k8s_watch *w = c->watches; w != NULL; w = w->next_watch) {
        if (is_same(w->resource.plural, s->resource->plural) && is_same(w->resource.group, s->resource->group) &&
            is_same(w->resource.version, s->resource->version) && is_same(w->namespace, s->namespace) &&
            is_same(w->label_selector, s->label_selector) && is_same(w->field_selector, s->field_selector) &&
            is_same(w->schema_text, s->schema) && w->is_consistent == s->consistent) {
            return w;
        }
    }
    return NULL;
}

static struct k8s_watch *watch_new(struct k8s_client *c, const struct k8s_watch_spec *s)
{
    struct k8s_watch *w = mem_calloc(1, sizeof(*w));
    w->client = k8s_client_ref(c);
    w->resource = *s->resource;
    w->namespace = mem_strdup(s->namespace != NULL ? s->namespace : "");
    w->label_selector = mem_strdup(s->label_selector != NULL ? s->label_selector : "");
    w->field_selector = mem_strdup(s->field_selector != NULL ? s->field_selector : "");
    w->what = k8s_what("watch", s->resource, s->namespace, NULL, NULL);
    w->schema_text = s->schema;
    k8s_store_init(&w->store, s->schema, c->texts, tell_change, w);
    w->is_consistent = s->consistent;
    w->list_reason = "first";
    w->count = metric_cell(METRIC_K8S_WATCH_OBJECTS, w->resource.plural);
    w->timer = loop_timer_new(c->loop, on_timer, w);
    w->newcomer = loop_timer_new(c->loop, on_newcomer, w);
    w->next_watch = c->watches;
    c->watches = w;
    then(w, NEXT_LIST, 0);
    return w;
}

struct k8s_watcher *k8s_watch_open(struct k8s_client *c, const struct k8s_watch_spec *spec,
                                   const struct k8s_watch_events *events)
{
    struct k8s_watch *w = watch_find(c, spec);
    if (w == NULL) {
        w = watch_new(c, spec);
    }
    struct k8s_watcher *u = mem_calloc(1, sizeof(*u));
    u->watch = w;
    u->events = *events;
    *vec_push(&w->watchers) = u;
    if (w->is_synced) {
        loop_timer_start(w->newcomer, 0, 0);
    }
    return u;
}

void k8s_watch_close(struct k8s_watcher **handle)
{
    struct k8s_watcher *u = *handle;
    *handle = NULL;
    if (u != NULL) {
        u->is_closed = true;
        watch_reap(u->watch);
    }
}

bool k8s_watcher_is_synced(const struct k8s_watcher *u)
{
    return u->was_told;
}

size_t k8s_watcher_count(const struct k8s_watcher *u)
{
    return u->watch->store.objects.len;
}

const struct k8s_object *k8s_watcher_find(const struct k8s_watcher *u, struct view namespace, struct view name)
{
    return k8s_store_find(&u->watch->store, namespace, name);
}

const struct k8s_object *k8s_watcher_next(const struct k8s_watcher *u, size_t *it)
{
    return k8s_store_next(&u->watch->store, it);
}
