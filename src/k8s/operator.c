/* The operator's objects: see operator.h. Watches feed entries (operator_entry.h); whatever changes an entry, or a
 * Secret it uses, starts one timer; when that fires the dirty ones are translated, and if the sum is another one than
 * was handed out, the configuration is loaded anew. So a storm of changes is a load every five seconds, and a change
 * that leaves the jobs as they are is none.
 *
 * A watch that finds its definition missing closes. Objects held by then stay until a second look agrees: an API server
 * that starts answers 404 for a moment, too. */
#include "k8s/operator.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "k8s/operator_entry.h"
#include "k8s/recorder.h"
#include "k8s/watch.h"

#include <stdlib.h>

#define MISSING_RETRY_MS 300000
#define MISSING_AGAIN_MS 10000 /* the second look, when objects are held */
#define TELL_MS          1000
#define LOAD_SHARE       20   /* a load is a twentieth of the time at most */
#define LOOK_MS          1000 /* while the first set is not complete */
#define EVENTS_PER_TELL  4
#define EVENT_AGAIN_MS   60000 /* for one object */

static const struct logctx LOG = {NULL, "component", "operator"};

static const struct k8s_resource KINDS[OPERATOR_RESOURCE_COUNT] = {
    [OPERATOR_SERVICE_MONITORS] = {"monitoring.coreos.com", "v1", "servicemonitors"},
    [OPERATOR_POD_MONITORS] = {"monitoring.coreos.com", "v1", "podmonitors"},
    [OPERATOR_PROBES] = {"monitoring.coreos.com", "v1", "probes"},
    [OPERATOR_SCRAPE_CONFIGS] = {"monitoring.coreos.com", "v1alpha1", "scrapeconfigs"},
};

/* One watch: a kind in a namespace, or in all. */
struct slot {
    struct operator_watch *op;
    enum operator_resource resource;
    char *namespace;
    struct k8s_watcher *watcher;
    struct loop_timer *retry;
    bool is_answered; /* its content is known, or that there is none to be had */
    bool is_missing, was_full;
    unsigned misses;
};

struct operator_watch {
    struct loop *loop;
    struct k8s_client *client;
    struct operator_conf conf;
    char *selector, *instance, *kubeconfig;
    struct slot **slots;
    size_t slot_count, counts[OPERATOR_RESOURCE_COUNT];
    struct hashmap entries;
    struct secrets *secrets; /* NULL: references are refused */
    struct loop_timer *timer, *tell_timer;
    bool is_timer_set, is_untold, was_ready;
    bool is_offer_whole, was_taken; /* of a set that was ready */
    enum prometheus_major major;
    int64_t began_ms, answered_ms, last_change_ms, pause_ms;
    uint64_t handed_out; /* hash of the jobs */
    unsigned mark;
    VEC(struct entry *) sorted; /* those with jobs, as they were handed out */
    VEC(struct promconf_extra) extras;
};

/* ---------------------------------------------------------------- entries */

static void schedule(struct operator_watch *op)
{
    int64_t now_ms = timebase_monotonic_ms(), wait_ms = OPERATOR_SETTLE_MS;
    int64_t next_ms = op->last_change_ms != 0 ? op->last_change_ms + op->pause_ms : 0;
    if (!op->is_timer_set) {
        op->is_timer_set = true;
        loop_timer_start(op->timer, next_ms - now_ms > wait_ms ? next_ms - now_ms : wait_ms, 0);
    }
}

static void remove_entry(struct operator_watch *op, struct entry *e)
{
    const struct entry_key key = {e->resource, view_of(e->namespace), view_of(e->name)};
    (void)hashmap_remove(&op->entries, entry_hash(&key), &key);
    vec_clear(&op->sorted);
    vec_clear(&op->extras);
    op->counts[e->resource]--;
    entry_free(e);
    schedule(op);
}

static void take_object(struct slot *slot, const struct k8s_object *o)
{
    struct operator_watch *op = slot->op;
    const struct entry_key key = {slot->resource, k8s_object_namespace(o), k8s_object_name(o)};
    struct entry *e = hashmap_get(&op->entries, entry_hash(&key), &key);
    if (k8s_has(k8s_at(k8s_object_root(o), "metadata.deletionTimestamp"))) {
        if (e != NULL) {
            remove_entry(op, e);
        }
        return;
    }
    if (e == NULL && op->counts[slot->resource] >= OPERATOR_OBJECTS_MAX) {
        if (!slot->was_full) {
            log_error(&LOG, "too many objects", "resource", operator_resource_plural(slot->resource), "action",
                      "leave the others out");
        }
        slot->was_full = true;
        return;
    }
    if (e == NULL) {
        e = entry_new(slot->resource, o);
        hashmap_add(&op->entries, entry_hash(&key), e);
        op->counts[slot->resource]++;
    }
    e->slot = slot;
    e->mark = op->mark;
    if (entry_take(e, o)) {
        schedule(op);
    }
}

/* Removes what the slot holds and this mark did not see. */
static void sweep(struct slot *slot, unsigned mark)
{
    struct operator_watch *op = slot->op;
    VEC(struct entry *) gone = {0};
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        if (e->slot == slot && e->mark != mark) {
            *vec_push(&gone) = e;
        }
    }
    vec_foreach(e, &gone) {
        remove_entry(op, *e);
    }
    vec_done(&gone);
}

/* ---------------------------------------------------------------- watches */

static void answered(struct slot *slot)
{
    struct operator_watch *op = slot->op;
    op->answered_ms = op->answered_ms != 0 ? op->answered_ms : timebase_monotonic_ms();
    slot->is_answered = true;
    schedule(op);
}

static void on_synced(void *data)
{
    struct slot *slot = data;
    const struct k8s_object *o;
    size_t it = 0;
    if (slot->is_missing) {
        log_info(&LOG, "definition found", "resource", operator_resource_plural(slot->resource));
    }
    slot->is_missing = false;
    slot->misses = 0;
    slot->op->mark++;
    while ((o = k8s_watcher_next(slot->watcher, &it)) != NULL) {
        take_object(slot, o);
    }
    sweep(slot, slot->op->mark);
    answered(slot);
}

static void on_object(void *data, enum k8s_change change, const struct k8s_object *before, const struct k8s_object *now)
{
    struct slot *slot = data;
    if (change != K8S_DELETED) {
        take_object(slot, now);
        return;
    }
    const struct entry_key key = {slot->resource, k8s_object_namespace(before), k8s_object_name(before)};
    struct entry *e = hashmap_get(&slot->op->entries, entry_hash(&key), &key);
    if (e != NULL) {
        remove_entry(slot->op, e);
    }
}

/* The definition is not installed, or not yet. */
static void on_missing(struct slot *slot)
{
    bool holds = slot->op->counts[slot->resource] != 0;
    if (!slot->is_missing) {
        log_info(&LOG, "definition not installed", "resource", operator_resource_plural(slot->resource), "action",
                 "look again every 5 minutes");
    }
    slot->is_missing = true;
    slot->misses++;
    k8s_watch_close(&slot->watcher);
    if (slot->misses > 1) {
        sweep(slot, ++slot->op->mark);
    }
    loop_timer_start(slot->retry, holds && slot->misses == 1 ? MISSING_AGAIN_MS : MISSING_RETRY_MS, 0);
    answered(slot);
}

static void on_error(void *data, const struct k8s_answer *a)
{
    struct slot *slot = data;
    struct operator_watch *op = slot->op;
    if (a->status != 0 && op->answered_ms == 0) {
        op->answered_ms = timebase_monotonic_ms();
    }
    if (a->status == 404) {
        on_missing(slot);
    } else if (a->status == 403) {
        answered(slot); /* the watch tries again, and logs */
    }
}

static void open_watch(void *data)
{
    struct slot *slot = data;
    const struct k8s_watch_spec spec = {
        .resource = &KINDS[slot->resource],
        .namespace = slot->namespace,
        .label_selector = slot->op->selector,
        .schema = ENTRY_SCHEMA,
        .consistent = true,
    };
    const struct k8s_watch_events events = {
        .on_synced = on_synced, .on_change = on_object, .on_error = on_error, .data = slot};
    slot->watcher = k8s_watch_open(slot->op->client, &spec, &events);
}

/* ---------------------------------------------------------------- news of objects */

static void post(struct operator_watch *op, struct entry *e, const char *problem, bool is_error, int64_t now_ms)
{
    char version[64];
    snprintf(version, sizeof(version), "monitoring.coreos.com/%s", operator_resource_version(e->resource));
    const struct recorder_event event = {
        .api_version = version,
        .kind = operator_resource_kind(e->resource),
        .namespace = e->namespace,
        .name = e->name,
        .uid = e->uid,
        .warning = true,
        .reason = is_error ? "InvalidConfiguration" : "FieldIgnored",
        .message = problem,
    };
    recorder_post(op->client, &event, op->instance);
    free(e->posted);
    e->posted = mem_strdup(problem);
    e->posted_ms = now_ms;
}

static void log_news(struct operator_watch *op)
{
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        bool is_error;
        const char *problem = entry_problem(e, &is_error);
        if (strcmp(problem, e->told) == 0) {
            continue;
        }
        if (problem[0] == '\0') {
            log_info(&LOG, "object is taken again", "object", e->label);
        } else if (is_error) {
            log_warn(&LOG, "object refused", "object", e->label, "err", problem, "action", "go on without its jobs");
        } else {
            log_warn(&LOG, "object taken in part", "object", e->label, "err", problem);
        }
        free(e->told);
        e->told = mem_strdup(problem);
    }
}

/* Some Events at a time: the recorder drops what is too many at once. True when some are left for later. */
static bool post_news(struct operator_watch *op)
{
    int64_t now_ms = timebase_monotonic_ms();
    size_t it = 0, sent = 0;
    bool left = false;
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        bool is_error;
        const char *problem = entry_problem(e, &is_error);
        if (strcmp(problem, e->posted) == 0) {
            continue;
        }
        if (problem[0] == '\0') {
            free(e->posted);
            e->posted = mem_strdup("");
        } else if (sent == EVENTS_PER_TELL || (e->posted_ms != 0 && now_ms - e->posted_ms < EVENT_AGAIN_MS)) {
            left = true;
        } else {
            post(op, e, problem, is_error, now_ms);
            sent++;
        }
    }
    return left;
}

/* Goes on until all is told: whoever becomes the leader later posts the Events. */
static void on_tell(void *data)
{
    struct operator_watch *op = data;
    if (op->conf.may_tell != NULL && !op->conf.may_tell(op->conf.data)) {
        return;
    }
    if (op->is_untold) {
        op->is_untold = false;
        log_news(op);
    }
    if ((op->conf.may_act == NULL || op->conf.may_act(op->conf.data)) && !post_news(op)) {
        loop_timer_stop(op->tell_timer);
    }
}

static void tell(struct operator_watch *op)
{
    static const char *const STATES[] = {"used", "refused", "waiting"};
    size_t counts[OPERATOR_RESOURCE_COUNT][ENTRY_STATE_COUNT] = {0}, it = 0;
    for (const struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        counts[e->resource][entry_state(e)]++;
    }
    for (int r = 0; r < OPERATOR_RESOURCE_COUNT; r++) {
        for (int s = 0; s < ENTRY_STATE_COUNT && (op->conf.resources & 1u << r) != 0; s++) {
            metric_set(METRIC_K8S_OPERATOR_OBJECTS, (double)counts[r][s],
                       operator_resource_plural((enum operator_resource)r), STATES[s]);
        }
    }
    op->is_untold = true;
    loop_timer_start(op->tell_timer, 0, TELL_MS);
}

/* ---------------------------------------------------------------- the set of jobs */

static void translate(struct operator_watch *op)
{
    const struct operator_job_conf conf = {
        .major = op->major,
        .kubeconfig = op->kubeconfig,
        .no_files = !op->conf.files,
    };
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        if (e->is_dirty || (op->secrets != NULL && secrets_are_changed(op->secrets, &e->users))) {
            entry_translate(e, &conf, op->secrets);
        }
    }
    if (op->secrets != NULL) {
        secrets_settle(op->secrets);
    }
}

static int by_label(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    int c = (int)x->resource - (int)y->resource;
    return c != 0 ? c : strcmp(x->label, y->label);
}

/* Those with jobs, in order, and the hash of it all; what would be too much is refused. */
static uint64_t gather(struct operator_watch *op)
{
    size_t it = 0, bytes = 0;
    uint64_t hash = 1;
    vec_clear(&op->sorted);
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        if (e->text != NULL) {
            *vec_push(&op->sorted) = e;
        }
    }
    if (op->sorted.len > 1) {
        qsort(op->sorted.items, op->sorted.len, sizeof(struct entry *), by_label);
    }
    for (size_t i = 0; i < op->sorted.len; i++) {
        struct entry *e = op->sorted.items[i];
        bytes += strlen(e->text);
        if (bytes > OPERATOR_BYTES_MAX) {
            MEM_FREE(e->text);
            e->error = mem_strdup("all jobs together are too large");
            e->is_dirty = true; /* there may be room another time */
            op->sorted.items[i] = NULL;
            bytes = OPERATOR_BYTES_MAX + 1;
            continue;
        }
        hash = hash_pair(hash, hash_pair(hash_view(view_of(e->label)), hash_view(view_of(e->text))));
    }
    return hash;
}

static bool is_complete(const struct operator_watch *op)
{
    for (size_t i = 0; i < op->slot_count; i++) {
        if (!op->slots[i]->is_answered) {
            return false;
        }
    }
    size_t it = 0;
    for (const struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        if (e->text == NULL && e->is_waiting) {
            return false;
        }
    }
    return true;
}

bool operator_is_ready(struct operator_watch *op)
{
    if (!op->was_ready) {
        translate(op);
        op->was_ready = is_complete(op);
    }
    return op->was_ready;
}

bool operator_is_settled(struct operator_watch *op, int64_t now_ms, bool needs_server)
{
    int64_t since_ms = needs_server ? op->answered_ms : op->began_ms;
    return op->was_taken || (since_ms != 0 && now_ms - since_ms > op->conf.init_timeout_ms);
}

/* Nothing is told of a set that is not complete yet, so that the first one is whole, unless that takes too long. */
static void on_timer(void *data)
{
    struct operator_watch *op = data;
    int64_t now_ms = timebase_monotonic_ms();
    translate(op);
    op->is_timer_set = !operator_is_ready(op) && now_ms - op->began_ms <= op->conf.init_timeout_ms;
    if (op->is_timer_set) {
        loop_timer_start(op->timer, LOOK_MS, 0);
        return;
    }
    if (gather(op) != op->handed_out || !op->was_taken) {
        op->conf.on_change(op->conf.data);
        op->last_change_ms = timebase_monotonic_ms();
        op->pause_ms = (op->last_change_ms - now_ms) * LOAD_SHARE;
        op->pause_ms = op->pause_ms > OPERATOR_CHANGE_MS ? op->pause_ms : OPERATOR_CHANGE_MS;
    } else {
        tell(op); /* an object was refused that had no jobs, or is waited for */
    }
}

static void on_secret(void *data)
{
    schedule(data);
}

static void use_version(struct operator_watch *op, enum prometheus_major major)
{
    size_t it = 0;
    if (op->major != major) {
        op->major = major;
        for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
            e->is_dirty = true;
        }
    }
}

size_t operator_jobs(struct operator_watch *op, enum prometheus_major major, bool again,
                     const struct promconf_extra **ret)
{
    use_version(op, major);
    translate(op);
    op->handed_out = gather(op);
    op->is_offer_whole = operator_is_ready(op);
    vec_clear(&op->extras);
    for (size_t i = 0; i < op->sorted.len; i++) {
        struct entry *e = op->sorted.items[i];
        if (e != NULL && !again) {
            MEM_FREE(e->load_error);
        }
        if (e != NULL && e->load_error == NULL) {
            *vec_push(&op->extras) = (struct promconf_extra){e->label, view_of(e->text)};
        }
    }
    *ret = op->extras.items;
    return op->extras.len;
}

void operator_refuse(struct operator_watch *op, const char *extra_name, const struct errctx *err)
{
    for (size_t i = 0; i < op->sorted.len; i++) {
        struct entry *e = op->sorted.items[i];
        if (e != NULL && strcmp(e->label, extra_name) == 0) {
            free(e->load_error);
            e->load_error = mem_strdup(err->msg);
        }
    }
}

void operator_taken(struct operator_watch *op)
{
    op->was_taken = op->was_taken || op->is_offer_whole;
    tell(op);
}

/* ---------------------------------------------------------------- life */

static void add_slot(struct operator_watch *op, enum operator_resource resource, const char *namespace)
{
    struct slot *slot = mem_calloc(1, sizeof(*slot));
    slot->op = op;
    slot->resource = resource;
    slot->namespace = mem_strdup(namespace);
    slot->retry = loop_timer_new(op->loop, open_watch, slot);
    op->slots[op->slot_count++] = slot;
    open_watch(slot);
}

struct operator_watch *operator_new(struct loop *loop, struct k8s_client *client, const struct operator_conf *conf)
{
    struct operator_watch *op = mem_calloc(1, sizeof(*op));
    size_t places = conf->namespace_count != 0 ? conf->namespace_count : 1;
    op->loop = loop;
    op->client = k8s_client_ref(client);
    op->conf = *conf;
    op->selector = mem_strdup(conf->selector);
    op->instance = mem_strdup(conf->instance);
    op->kubeconfig = mem_strdup(conf->kubeconfig);
    op->major = PROMETHEUS_2;
    op->began_ms = timebase_monotonic_ms();
    op->timer = loop_timer_new(loop, on_timer, op);
    op->tell_timer = loop_timer_new(loop, on_tell, op);
    op->secrets = conf->secrets ? secrets_new(client, loop, on_secret, op) : NULL;
    op->slots = mem_calloc(places * OPERATOR_RESOURCE_COUNT, sizeof(struct slot *));
    hashmap_init(&op->entries, entry_equal);
    for (int r = 0; r < OPERATOR_RESOURCE_COUNT; r++) {
        for (size_t i = 0; i < places && (conf->resources & 1u << r) != 0; i++) {
            add_slot(op, (enum operator_resource)r, conf->namespace_count != 0 ? conf->namespaces[i] : "");
        }
    }
    return op;
}

void operator_free(struct operator_watch **handle)
{
    struct operator_watch *op = *handle;
    *handle = NULL;
    if (op == NULL) {
        return;
    }
    for (size_t i = 0; i < op->slot_count; i++) {
        k8s_watch_close(&op->slots[i]->watcher);
        loop_timer_free(&op->slots[i]->retry);
        free(op->slots[i]->namespace);
        free(op->slots[i]);
    }
    size_t it = 0;
    for (struct entry *e; (e = hashmap_next(&op->entries, &it)) != NULL;) {
        entry_free(e);
    }
    hashmap_done(&op->entries);
    secrets_free(&op->secrets);
    loop_timer_free(&op->timer);
    loop_timer_free(&op->tell_timer);
    k8s_client_unref(op->client);
    vec_done(&op->sorted);
    vec_done(&op->extras);
    free(op->slots);
    free(op->selector);
    free(op->instance);
    free(op->kubeconfig);
    free(op);
}
