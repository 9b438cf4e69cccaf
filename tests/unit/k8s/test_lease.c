/* The Lease against a scripted API server, on a clock of the test's own: timers, requests and their answers are events
 * of a simulation, so that slow networks, dead servers, stopped processes and clocks that disagree cost no time and
 * come the same way each time. A request that was given up may still arrive: that is what makes leases hard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "k8s/client_priv.h"
#include "k8s/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER      INT64_MAX
#define CANDIDATES 3
#define START_MS   1000000

/* What the network does to the next requests of a candidate. */
struct network {
    int64_t there_ms, back_ms; /* NEVER = lost on that way */
};

struct candidate {
    struct lease *lease;
    struct k8s_client *client;
    struct network network;
    int64_t monotonic_offset_ms, realtime_offset_ms;
    int64_t frozen_until_ms; /* nothing of it runs before */
    unsigned held, lost, gets, posts, puts;
    bool is_held; /* as the listener was told */
    bool released;
    uint64_t epoch;
    int64_t held_ms, lost_ms;
};

struct loop_timer {
    struct candidate *owner;
    loop_fn *fn;
    void *data;
    int64_t due_ms;
    struct loop_timer *next;
};

struct http_client {
    struct candidate *owner;
};

struct http_call {
    struct candidate *owner;
    char method[8], path[256];
    char *body, *answer;
    int status;
    int64_t arrive_ms, answer_ms, timeout_ms; /* NEVER = done, or not to come */
    bool is_open;
    http_done_fn *done;
    void *data;
    struct http_call *next;
};

static struct world {
    int64_t now_ms;
    struct candidate all[CANDIDATES], *current;
    struct http_client http[CANDIDATES];
    struct loop_timer *timers;
    struct http_call *calls;
    json_t *stored;
    unsigned version;
    unsigned lives[CANDIDATES];
    uint64_t epoch_max;
    int refusal;            /* status of every answer; 0 = served */
    const char *other_text; /* the body of every answer of 200 */
} w;

/* ------------------------------------------------------------------------------------------- what is replaced */

int64_t __wrap_timebase_monotonic_ms(void);
int64_t __wrap_timebase_realtime_ms(void);
struct loop_timer *__wrap_loop_timer_new(struct loop *loop, loop_fn *fn, void *data);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms);
void __wrap_loop_timer_stop(struct loop_timer *t);
void __wrap_loop_timer_free(struct loop_timer **t);
struct http_call *__wrap_http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done,
                                          void *data);
void __wrap_http_call_cancel(struct http_call *call);

int64_t __wrap_timebase_monotonic_ms(void)
{
    return w.now_ms + (w.current != NULL ? w.current->monotonic_offset_ms : 0);
}

int64_t __wrap_timebase_realtime_ms(void)
{
    return INT64_C(1700000000000) + w.now_ms + (w.current != NULL ? w.current->realtime_offset_ms : 0);
}

struct loop_timer *__wrap_loop_timer_new(struct loop *loop, loop_fn *fn, void *data)
{
    struct loop_timer *t = mem_calloc(1, sizeof(*t));
    *t = (struct loop_timer){
        .owner = (struct candidate *)loop, .fn = fn, .data = data, .due_ms = NEVER, .next = w.timers};
    w.timers = t;
    return t;
}

void __wrap_loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms)
{
    assert_int_equal(repeat_ms, 0);
    assert_true(first_ms >= 0);
    t->due_ms = w.now_ms + first_ms;
}

void __wrap_loop_timer_stop(struct loop_timer *t)
{
    t->due_ms = NEVER;
}

void __wrap_loop_timer_free(struct loop_timer **handle)
{
    struct loop_timer **at = &w.timers;
    if (*handle == NULL) {
        return;
    }
    while (*at != *handle) {
        at = &(*at)->next;
    }
    *at = (*handle)->next;
    free(*handle);
    *handle = NULL;
}

static int64_t later(int64_t ms)
{
    return ms == NEVER ? NEVER : w.now_ms + ms;
}

struct http_call *__wrap_http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done,
                                          void *data)
{
    struct http_call *call = mem_calloc(1, sizeof(*call));
    assert_true(req->timeout_ms > 0 && req->timeout_ms <= 5000);
    snprintf(call->method, sizeof(call->method), "%s", req->method);
    snprintf(call->path, sizeof(call->path), "%s", req->url + strlen("http://api"));
    call->owner = c->owner;
    call->body = mem_printf("%.*s", (int)req->body.len, req->body.base);
    call->arrive_ms = later(c->owner->network.there_ms);
    call->answer_ms = NEVER;
    call->timeout_ms = later(req->timeout_ms);
    call->is_open = true;
    call->done = on_done;
    call->data = data;
    call->next = w.calls;
    w.calls = call;
    c->owner->gets += strcmp(req->method, "GET") == 0;
    c->owner->posts += strcmp(req->method, "POST") == 0;
    c->owner->puts += strcmp(req->method, "PUT") == 0;
    return call;
}

void __wrap_http_call_cancel(struct http_call *call)
{
    call->is_open = false; /* what is on its way arrives all the same */
}

/* ------------------------------------------------------------------------------------------- the API server */

#define COLLECTION "/apis/coordination.k8s.io/v1/namespaces/mon/leases"

static void reply(struct http_call *call, int status, char *text)
{
    call->status = status;
    call->answer = text;
    call->answer_ms = later(call->owner->network.back_ms);
}

static void refuse(struct http_call *call, int status, const char *reason)
{
    reply(call, status,
          mem_printf("{\"kind\":\"Status\",\"code\":%d,\"reason\":\"%s\",\"message\":\"%s\"}", status, reason, reason));
}

static const char *version_of(const json_t *object)
{
    const char *s = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    return s != NULL ? s : "";
}

static void store(json_t *object)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", ++w.version);
    json_object_set_new(json_object_get(object, "metadata"), "resourceVersion", json_string(text));
    if (w.stored != object) {
        json_decref(w.stored);
    }
    w.stored = object;
}

static void write_lease(struct http_call *call)
{
    json_t *object = json_loads(call->body, 0, NULL);
    bool is_new = strcmp(call->method, "POST") == 0;
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(json_object_get(object, "metadata"), "name")), "kvass");
    assert_string_equal(call->path, is_new ? COLLECTION : COLLECTION "/kvass");
    if (is_new ? w.stored != NULL : (w.stored == NULL || strcmp(version_of(w.stored), version_of(object)) != 0)) {
        json_decref(object);
        refuse(call, !is_new && w.stored == NULL ? 404 : 409, is_new ? "AlreadyExists" : "Conflict");
        return;
    }
    store(object);
    reply(call, is_new ? 201 : 200, json_dumps(object, JSON_COMPACT));
}

static void serve(struct http_call *call)
{
    if (w.refusal != 0) {
        refuse(call, w.refusal, "Scripted");
    } else if (w.other_text != NULL) {
        reply(call, 200, mem_strdup(w.other_text));
    } else if (strcmp(call->method, "GET") != 0) {
        write_lease(call);
    } else if (w.stored == NULL) {
        refuse(call, 404, "NotFound");
    } else {
        assert_string_equal(call->path, COLLECTION "/kvass");
        reply(call, 200, json_dumps(w.stored, JSON_COMPACT));
    }
}

/* Somebody else's record, as it is in the server from now on. */
static void put_record(const char *spec)
{
    char *text = mem_printf("{\"kind\":\"Lease\",\"metadata\":{\"name\":\"kvass\",\"labels\":{\"keep\":\"me\"}}%s%s}",
                            spec[0] != '\0' ? ",\"spec\":" : "", spec);
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    store(object);
    free(text);
}

static const char *spec_of(const char *key)
{
    const char *s = json_string_value(json_object_get(json_object_get(w.stored, "spec"), key));
    return s != NULL ? s : "";
}

/* ------------------------------------------------------------------------------------------- time */

static bool is_holding(struct candidate *c)
{
    struct candidate *before = w.current;
    w.current = c;
    bool held = c->lease != NULL && lease_is_held(c->lease);
    w.current = before;
    return held;
}

static unsigned holders(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < CANDIDATES; i++) {
        count += is_holding(&w.all[i]);
    }
    return count;
}

static void end_call(struct http_call *call, int status)
{
    struct http_answer a = {.status = status, .err = ERRCTX_INIT};
    call->answer_ms = call->timeout_ms = NEVER;
    if (!call->is_open) {
        return;
    }
    call->is_open = false;
    if (status != 0) {
        a.body = view_of(call->answer);
        a.content_type = view_of("application/json");
    } else {
        (void)errctx_set(&a.err, ERR_TIMEOUT, "no answer");
    }
    w.current = call->owner;
    call->done(call->data, &a);
    w.current = NULL;
}

static void drop_done_calls(void)
{
    for (struct http_call **at = &w.calls; *at != NULL;) {
        struct http_call *call = *at;
        if (call->is_open || call->arrive_ms != NEVER) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        free(call->body);
        free(call->answer);
        free(call);
    }
}

static int64_t unfrozen(const struct candidate *c, int64_t ms)
{
    return ms < c->frozen_until_ms ? c->frozen_until_ms : ms;
}

/* The next thing that happens; false when there is none up to `until_ms`. */
static bool step(int64_t until_ms)
{
    struct loop_timer *timer = NULL;
    struct http_call *call = NULL;
    int64_t at_ms = until_ms;
    bool arrives = false;
    for (struct loop_timer *t = w.timers; t != NULL; t = t->next) {
        if (t->due_ms != NEVER && unfrozen(t->owner, t->due_ms) <= at_ms) {
            at_ms = unfrozen(t->owner, t->due_ms);
            timer = t;
        }
    }
    for (struct http_call *c = w.calls; c != NULL; c = c->next) {
        int64_t end_ms = c->answer_ms < c->timeout_ms ? c->answer_ms : c->timeout_ms;
        end_ms = end_ms == NEVER || !c->is_open ? NEVER : unfrozen(c->owner, end_ms);
        bool comes = c->arrive_ms <= end_ms;
        int64_t ms = comes ? c->arrive_ms : end_ms;
        if (ms != NEVER && ms <= at_ms) {
            at_ms = ms;
            call = c;
            arrives = comes;
        }
    }
    if (timer == NULL && call == NULL) {
        w.now_ms = until_ms;
        return false;
    }
    w.now_ms = at_ms > w.now_ms ? at_ms : w.now_ms;
    if (call != NULL && arrives) {
        call->arrive_ms = NEVER;
        serve(call);
    } else if (call != NULL) {
        end_call(call, call->answer_ms <= call->timeout_ms ? call->status : 0);
    } else {
        timer->due_ms = NEVER;
        w.current = timer->owner;
        timer->fn(timer->data);
        w.current = NULL;
    }
    drop_done_calls();
    return true;
}

static void run_for(int64_t ms)
{
    int64_t until_ms = w.now_ms + ms;
    while (step(until_ms)) {
        assert_true(holders() <= 1);
    }
}

/* Until the candidate holds it (or has lost it); how long that took. */
static int64_t run_until(struct candidate *c, bool held, int64_t within_ms)
{
    int64_t begin_ms = w.now_ms;
    while (c->is_held != held) {
        assert_true(w.now_ms < begin_ms + within_ms && step(begin_ms + within_ms));
        assert_true(holders() <= 1);
    }
    return w.now_ms - begin_ms;
}

/* ------------------------------------------------------------------------------------------- candidates */

static void on_held(void *data, uint64_t epoch)
{
    struct candidate *c = data;
    assert_true(epoch == 0 || epoch >= w.epoch_max);
    assert_true(epoch == 0 || c->epoch == epoch || epoch > w.epoch_max); /* nobody has the number of another */
    w.epoch_max = epoch > w.epoch_max ? epoch : w.epoch_max;
    c->is_held = true;
    c->epoch = epoch;
    c->held++;
    c->held_ms = w.now_ms;
    assert_true(lease_is_held(c->lease) || c->lease == NULL);
}

static void on_lost(void *data, const char *why)
{
    struct candidate *c = data;
    assert_true(c->is_held && why[0] != '\0');
    c->is_held = false;
    c->lost++;
    c->lost_ms = w.now_ms;
    assert_false(lease_is_held(c->lease));
}

static void on_released(void *data)
{
    ((struct candidate *)data)->released = true;
}

static struct candidate *join_as(size_t i, bool elected_only)
{
    char identity[16]; /* of one process life */
    static const struct http_client_conf plain;
    struct candidate *c = &w.all[i];
    struct errctx err = ERRCTX_INIT;
    snprintf(identity, sizeof(identity), "%c%u", (char)('a' + i), w.lives[i]++);
    const struct lease_conf conf = {
        .namespace = "mon", .name = "kvass", .identity = identity, .elected_only = elected_only};
    const struct lease_listener listener = {on_held, on_lost, c};
    w.http[i].owner = c;
    assert_int_equal(k8s_client_url((struct loop *)c, &w.http[i], "http://api", &plain, &c->client, &err), 0);
    w.current = c;
    c->lease = lease_new((struct loop *)c, c->client, &conf, &listener);
    w.current = NULL;
    return c;
}

static struct candidate *join(size_t i)
{
    return join_as(i, false);
}

static void leave(struct candidate *c)
{
    w.current = c;
    lease_free(&c->lease);
    w.current = NULL;
    k8s_client_unref(c->client);
    *c = (struct candidate){.network = {20, 20}};
}

static int setup(void **state)
{
    (void)state;
    w = (struct world){.now_ms = START_MS};
    for (size_t i = 0; i < CANDIDATES; i++) {
        w.all[i].network = (struct network){20, 20};
    }
    srand(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CANDIDATES; i++) {
        if (w.all[i].lease != NULL) {
            leave(&w.all[i]);
        }
    }
    for (struct http_call *call = w.calls; call != NULL; call = call->next) {
        call->is_open = false;
        call->arrive_ms = NEVER;
    }
    drop_done_calls();
    json_decref(w.stored);
    return w.timers == NULL ? 0 : -1;
}

/* ------------------------------------------------------------------------------------------- tests */

static void test_makes_and_renews(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    assert_true(run_until(a, true, 5000) < 1000);
    assert_int_equal(a->epoch, 1);
    assert_string_equal(spec_of("holderIdentity"), "a0");
    assert_string_equal(lease_holder(a->lease), "a0");
    run_for(60000);
    assert_int_equal(a->gets, 1);
    assert_int_equal(a->posts, 1);
    assert_in_range(a->puts, 28, 30); /* every two seconds */
    assert_int_equal(a->held, 1);
    assert_int_equal(a->lost, 0);
    assert_int_equal(lease_epoch(a->lease), 1);
}

static void test_one_of_several_makes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CANDIDATES; i++) {
        join(i);
    }
    run_for(120000);
    assert_int_equal(w.all[0].held + w.all[1].held + w.all[2].held, 1);
    assert_int_equal(w.all[0].posts + w.all[1].posts + w.all[2].posts, 3); /* two were told that it exists */
    assert_int_equal(w.epoch_max, 1);
}

static void test_another_writer_ends_it(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    put_record("{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":15,\"leaseTransitions\":7}");
    assert_true(run_until(a, false, 60000) <= 2000 + 2000 + 80); /* a renewal refused by 409, a reading */
    assert_string_equal(lease_holder(a->lease), "x");
    assert_int_equal(lease_epoch(a->lease), 0);
    assert_int_equal(a->posts, 1);
    assert_true(run_until(a, true, 60000) >= 10000); /* x is dead, but that shows after its duration only */
    assert_int_equal(a->epoch, 9);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json_object_get(w.stored, "metadata"), "labels"), "keep")),
        "me");
}

static void test_takes_over_what_has_expired(void **state)
{
    (void)state;
    put_record("{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":20,\"leaseTransitions\":4,\"renewTime\":\"2001-01-"
               "01T00:00:00.000000Z\"}");
    struct candidate *a = join(0);
    int64_t took_ms = run_until(a, true, 60000);
    assert_in_range(took_ms, 20000, 20000 + 4400 + 200); /* by our clock since we saw it, whatever its time says */
    assert_int_equal(a->epoch, 6);
    assert_int_equal(a->posts, 0);
}

/* Times in the record are the holder's business: far ahead or behind, what counts is that the record changes. */
static void test_clocks_that_disagree(void **state)
{
    (void)state;
    static const char *const TIMES[] = {"1970-01-01T00:00:00.000000Z", "2999-12-31T23:59:59.000000Z"};
    w.all[0].realtime_offset_ms = -INT64_C(1000000000000);
    w.all[0].monotonic_offset_ms = INT64_C(77777777777);
    struct candidate *a = join(0);
    for (int i = 0; i < 60; i++) {
        char spec[200];
        snprintf(spec, sizeof(spec),
                 "{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":15,\"acquireTime\":\"%d\",\"renewTime\":\"%s\"}",
                 i, TIMES[i % 2]);
        put_record(spec);
        run_for(10000);
        assert_int_equal(a->held, 0);
    }
    assert_in_range(run_until(a, true, 60000), 15000 - 10000, 15000 - 10000 + 4400 + 4400 + 200);
}

/* Two processes whose clocks differ by years and tick on from different points. */
static void test_takeover_between_skewed_clocks(void **state)
{
    (void)state;
    w.all[0].realtime_offset_ms = INT64_C(3000000000000);
    w.all[1].realtime_offset_ms = -INT64_C(1600000000000);
    w.all[1].monotonic_offset_ms = INT64_C(99999999);
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    struct candidate *b = join(1);
    run_for(300000);
    assert_int_equal(a->held, 1);
    assert_int_equal(b->held, 0);
    a->network.there_ms = NEVER;
    int64_t cut_ms = w.now_ms;
    run_until(b, true, 60000);
    assert_true(a->lost_ms <= cut_ms + 10000);
    assert_true(a->lost_ms + 2000 <= b->held_ms);
    assert_true(b->held_ms >= cut_ms + 15000 - 2000);
    assert_true(b->epoch > 1);
}

static void test_release(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    struct candidate *b = join(1);
    run_for(30000);
    unsigned puts = a->puts;
    w.current = a;
    lease_release(a->lease, on_released, a);
    w.current = NULL;
    assert_false(is_holding(a)); /* from that moment on, before anything is sent */
    run_for(100);
    assert_true(a->released);
    assert_string_equal(spec_of("holderIdentity"), "");
    assert_int_equal(a->puts, puts + 1);
    a->is_held = false;
    assert_true(run_until(b, true, 60000) <= 4400 + 200); /* the next try, not the end of a duration */
    assert_int_equal(b->epoch, 2);
    run_for(60000);
    assert_int_equal(a->puts, puts + 1);
    assert_int_equal(b->lost, 0);
}

static void test_release_with_a_write_under_way(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    a->network = (struct network){1000, 1000};
    while (a->posts == 0) {
        assert_true(step(START_MS + 10000));
    }
    w.current = a;
    lease_release(a->lease, on_released, a); /* what was sent arrives: it may make us the holder */
    w.current = NULL;
    run_for(30000);
    assert_true(a->released);
    assert_int_equal(a->held, 0);
    assert_string_equal(spec_of("holderIdentity"), "");
}

static void test_release_without_a_server(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    a->network.back_ms = NEVER;
    w.current = a;
    lease_release(a->lease, on_released, a);
    w.current = NULL;
    assert_false(a->released);
    run_for(10100);
    assert_true(a->released);
}

/* Records no holder writes: never a crash, never a moment with two, never a Lease that nobody can have again. */
static void test_garbage(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int64_t least_ms, most_ms;
        uint64_t epoch;
    } ROWS[] = {
        {"", 0, 1000, 2},
        {"null", 0, 1000, 2},
        {"[]", 0, 1000, 2},
        {"{}", 0, 1000, 2},
        {"{\"holderIdentity\":\"\",\"leaseDurationSeconds\":15}", 0, 1000, 2},
        {"{\"holderIdentity\":null}", 0, 1000, 2},
        {"{\"holderIdentity\":\"x\"}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":null}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":\"60\"}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":0}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":-5}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":9223372036854775807}", 15000, 19700, 2},
        {"{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":30,\"renewTime\":7,\"acquireTime\":{}}", 30000, 34700, 2},
        {"{\"leaseTransitions\":-3}", 0, 1000, 2},
        {"{\"leaseTransitions\":\"many\"}", 0, 1000, 2},
        {"{\"leaseTransitions\":9223372036854775807}", 0, 1000, 1},
        {"{\"leaseTransitions\":2147483647}", 0, 1000, 1},
        {"{\"leaseTransitions\":2147483646}", 0, 1000, 2147483648},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        w.epoch_max = 0;
        put_record(ROWS[i].spec);
        struct candidate *a = join(0);
        int64_t took_ms = run_until(a, true, 60000);
        if (took_ms < ROWS[i].least_ms || took_ms > ROWS[i].most_ms || a->epoch != ROWS[i].epoch) {
            fail_msg("row %zu: after %lld ms, epoch %llu", i, (long long)took_ms, (unsigned long long)a->epoch);
        }
        run_for(30000);
        assert_int_equal(a->lost, 0);
        assert_int_equal(spec_of("holderIdentity")[0], 'a');
        leave(a);
    }
}

/* Answers of 200 that are no Lease, as something between us and the API server may give. */
static void test_answers_that_are_no_lease(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "{}",
        "[]",
        "7",
        "",
        "<html></html>",
        "{\"metadata\":7,\"spec\":{\"holderIdentity\":\"a0\"}}",
        "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"holderIdentity\":\"x\"}}"};
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        w.other_text = TEXTS[i];
        struct candidate *a = join(0);
        run_for(120000);
        assert_int_equal(a->held, 0);
        w.other_text = NULL;
        run_until(a, true, 60000);
        w.other_text = TEXTS[i];
        run_until(a, false, 10100);
        w.other_text = NULL;
        leave(a);
        json_decref(w.stored);
        w.stored = NULL;
        w.epoch_max = 0;
    }
}

/* Whatever keeps the holder from renewing: it has stopped before another begins. */
static void test_stops_before_another_begins(void **state)
{
    (void)state;
    static const struct network CUTS[] = {{NEVER, 20}, {20, NEVER},  {6000, 20}, {20, 6000},
                                          {30000, 20}, {1400, 1400}, {20, 20}};
    for (size_t i = 0; i < sizeof(CUTS) / sizeof(CUTS[0]); i++) {
        bool freezes = i + 1 == sizeof(CUTS) / sizeof(CUTS[0]);
        struct candidate *a = join(0);
        run_until(a, true, 60000);
        struct candidate *b = join(1);
        run_for(20000);
        a->network = CUTS[i];
        a->frozen_until_ms =
            freezes ? w.now_ms + 100000 : 0; /* a stopped process: its own clock tells it before it acts */
        run_for(90000);
        if (CUTS[i].there_ms == 1400) {
            assert_true(a->held == 1 && a->lost == 0 && b->held == 0); /* slow is not dead */
        } else if (freezes) {
            assert_true(a->is_held && !is_holding(a) && b->held == 1);
            run_for(20000);
            assert_true(!a->is_held && is_holding(b));
        } else {
            /* A renewal that arrives, but is never answered, keeps b away at times; a does not act then. */
            assert_true(a->lost == 1 || CUTS[i].there_ms != NEVER);
            assert_true(b->held >= 1 || CUTS[i].there_ms != NEVER);
        }
        leave(a);
        leave(b);
        w.all[0].network = w.all[1].network = (struct network){20, 20};
        json_decref(w.stored);
        w.stored = NULL;
        w.epoch_max = 0;
    }
}

/* The server is dead for all: nobody acts; it comes back: one does. */
static void test_a_dead_server(void **state)
{
    (void)state;
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    join(1);
    run_for(10000);
    for (int status = 500; status <= 504; status += 2) {
        w.refusal = status;
        run_for(10100);
        assert_int_equal(holders(), 0);
        run_for(130000);
        assert_int_equal(holders(), 0);
        w.refusal = 0;
        run_for(25000);
        assert_int_equal(holders(), 1);
    }
}

/* Networks, stops and restarts at random: run_for sees to it that there is never more than one. */
static void test_anything_at_random(void **state)
{
    static const int64_t WAYS[] = {1, 20, 20, 20, 500, 2000, 4000, 7000, 12000, 25000, NEVER};
    unsigned held = 0;
    for (unsigned seed = 1; seed <= 150; seed++) {
        setup(state);
        srand(seed);
        for (size_t i = 0; i < CANDIDATES; i++) {
            w.all[i].monotonic_offset_ms = (int64_t)(rand() % 100000) * 1000;
            join(i);
        }
        for (int phase = 0; phase < 60; phase++) {
            struct candidate *c = &w.all[rand() % CANDIDATES];
            int what = rand() % 7;
            if (what < 5) {
                c->network.there_ms = WAYS[rand() % 11];
                c->network.back_ms = WAYS[rand() % 11];
            } else if (what == 5) {
                c->frozen_until_ms = w.now_ms + rand() % 40000;
            } else {
                held += c->held;
                leave(c);
                join((size_t)(c - w.all));
            }
            run_for(1 + rand() % 15000);
        }
        held += w.all[0].held + w.all[1].held + w.all[2].held;
        assert_int_equal(teardown(state), 0);
    }
    setup(state);
    assert_true(held > 1000);
}

static void test_refused_for_good(void **state)
{
    (void)state;
    w.refusal = 403;
    struct candidate *a = join(0);
    assert_in_range(run_until(a, true, 60000), 10000, 15000);
    assert_true(lease_is_unelected(a->lease));
    assert_int_equal(a->epoch, 0);
    run_for(600000);
    assert_true(is_holding(a));
    assert_int_equal(a->lost, 0);
    assert_true(a->gets < 40); /* it is asked for now and then only */
    w.refusal = 0;             /* the role came later */
    run_until(a, false, 60000);
    run_until(a, true, 1000);
    assert_false(lease_is_unelected(a->lease));
    assert_int_equal(a->epoch, 1);
}

/* Two that were started before their role: as soon as it is there, one of them acts. */
static void test_two_that_were_refused(void **state)
{
    (void)state;
    w.refusal = 403;
    struct candidate *a = join(0);
    struct candidate *b = join_as(1, true);
    run_until(a, true, 60000);
    run_for(60000);
    assert_int_equal(b->held, 0); /* it waits for an election */
    w.refusal = 0;
    run_for(60000);
    assert_int_equal(holders(), 1);
    assert_false(lease_is_unelected(a->lease));
}

static void test_refused_for_a_moment(void **state)
{
    (void)state;
    w.refusal = 403;
    struct candidate *a = join(0);
    run_for(6000);
    w.refusal = 503; /* no refusal: it begins anew */
    run_for(6000);
    w.refusal = 403;
    run_for(6000);
    assert_int_equal(a->held, 0);
    w.refusal = 0;
    run_until(a, true, 10000);
    assert_int_equal(a->epoch, 1);
    w.refusal = 403; /* and later on it is a failure as any other */
    run_until(a, false, 10100);
    run_for(120000);
    assert_int_equal(a->held, 1);
}

/* Somebody deletes it while it is held: who has seen the holder waits for its end as before, and numbers never go back.
 */
static void test_a_deleted_lease(void **state)
{
    (void)state;
    put_record("{\"holderIdentity\":\"\",\"leaseTransitions\":6}");
    struct candidate *a = join(0);
    run_until(a, true, 5000);
    assert_int_equal(a->epoch, 8);
    struct candidate *b = join(1);
    for (int i = 0; i < 20; i++) {
        run_for(7000 + 100 * i);
        json_decref(w.stored);
        w.stored = NULL;
    }
    run_for(10000);
    assert_int_equal(a->lost + b->held, 0);
    assert_true(is_holding(a) && a->epoch >= 8);
    assert_string_equal(spec_of("holderIdentity"), "a0");
    json_decref(w.stored);
    w.stored = NULL;
    leave(a);
    assert_true(run_until(b, true, 60000) >= 10000);
    assert_true(b->epoch > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_makes_and_renews, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_of_several_makes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_writer_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_takes_over_what_has_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clocks_that_disagree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_takeover_between_skewed_clocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_with_a_write_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_without_a_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_that_are_no_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stops_before_another_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_dead_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anything_at_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_that_were_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_for_a_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deleted_lease, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
