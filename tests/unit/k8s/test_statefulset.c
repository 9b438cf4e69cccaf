/* The provider of StatefulSets on watches and calls of the test's own: what a scale sends, what its answers and the
 * watch say of each other, and which claims of removed shards go, which stay, when things come in an unlucky order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "k8s/recorder.h"
#include "k8s/statefulset.h"
#include "k8s/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THINGS_MAX 16

struct k8s_watcher {
    struct k8s_watch_events events;
    struct k8s_object *objects[THINGS_MAX];
    size_t count;
    bool is_pods, is_open;
};

struct k8s_call {
    struct k8s_request req;
    char name[64], subresource[16], body[256];
    k8s_done_fn *done;
    void *data;
    bool is_open;
};

struct k8s_list {
    struct k8s_list_request req;
    bool is_open;
};

struct loop_timer {
    loop_fn *fn;
    void *data;
    bool repeats, is_on;
};

static struct world {
    struct k8s_client *client;
    struct provider *p;
    struct k8s_texts *texts;
    struct k8s_schema *set_schema, *pod_schema;
    struct k8s_watcher watchers[4];
    struct k8s_call calls[THINGS_MAX];
    struct k8s_list lists[THINGS_MAX];
    struct loop_timer *claims_timer, *pods_timer;
    size_t watcher_count, call_count, list_count, events;
    char event[32]; /* the reason of the last one */
    bool may_act;
} w;

/* ------------------------------------------------------------------------------------------- what is replaced */

struct k8s_watcher *__wrap_k8s_watch_open(struct k8s_client *c, const struct k8s_watch_spec *spec,
                                          const struct k8s_watch_events *events);
void __wrap_k8s_watch_close(struct k8s_watcher **handle);
const struct k8s_object *__wrap_k8s_watcher_next(const struct k8s_watcher *watcher, size_t *it);
struct k8s_call *__wrap_k8s_call_send(struct k8s_client *c, const struct k8s_request *req, k8s_done_fn *on_done,
                                      void *data);
void __wrap_k8s_call_cancel(struct k8s_call *call);
struct k8s_list *__wrap_k8s_list_send(struct k8s_client *c, const struct k8s_list_request *req);
void __wrap_k8s_list_cancel(struct k8s_list *l);
void __wrap_recorder_post(struct k8s_client *client, const struct recorder_event *e, const char *instance);
struct loop_timer *__wrap_loop_timer_new(struct loop *loop, loop_fn *fn, void *data);
void __wrap_loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms);
void __wrap_loop_timer_free(struct loop_timer **t);

struct k8s_watcher *__wrap_k8s_watch_open(struct k8s_client *c, const struct k8s_watch_spec *spec,
                                          const struct k8s_watch_events *events)
{
    assert_ptr_equal(c, w.client);
    assert_true(spec->consistent && w.watcher_count < 4);
    struct k8s_watcher *watcher = &w.watchers[w.watcher_count++];
    *watcher = (struct k8s_watcher){.events = *events, .is_pods = spec->resource == &K8S_PODS, .is_open = true};
    return watcher;
}

void __wrap_k8s_watch_close(struct k8s_watcher **handle)
{
    struct k8s_watcher *watcher = *handle;
    for (size_t i = 0; watcher != NULL && i < watcher->count; i++) {
        k8s_object_free(watcher->objects[i], w.texts);
    }
    if (watcher != NULL) {
        watcher->count = 0;
        watcher->is_open = false;
    }
    *handle = NULL;
}

const struct k8s_object *__wrap_k8s_watcher_next(const struct k8s_watcher *watcher, size_t *it)
{
    return *it < watcher->count ? watcher->objects[(*it)++] : NULL;
}

struct k8s_call *__wrap_k8s_call_send(struct k8s_client *c, const struct k8s_request *req, k8s_done_fn *on_done,
                                      void *data)
{
    assert_ptr_equal(c, w.client);
    assert_true(w.call_count < THINGS_MAX && w.may_act);
    struct k8s_call *call = &w.calls[w.call_count++];
    *call = (struct k8s_call){.req = *req, .done = on_done, .data = data, .is_open = true};
    snprintf(call->name, sizeof(call->name), "%s", req->name);
    snprintf(call->subresource, sizeof(call->subresource), "%s", req->subresource != NULL ? req->subresource : "");
    snprintf(call->body, sizeof(call->body), "%.*s", (int)req->body.len, req->body.base);
    return call;
}

void __wrap_k8s_call_cancel(struct k8s_call *call)
{
    assert_true(call->is_open);
    call->is_open = false;
}

struct k8s_list *__wrap_k8s_list_send(struct k8s_client *c, const struct k8s_list_request *req)
{
    assert_ptr_equal(c, w.client);
    assert_ptr_equal(req->resource, &K8S_CLAIMS);
    assert_string_equal(req->label_selector, "app=p");
    assert_true(w.list_count < THINGS_MAX);
    w.lists[w.list_count] = (struct k8s_list){*req, true};
    return &w.lists[w.list_count++];
}

void __wrap_k8s_list_cancel(struct k8s_list *l)
{
    assert_true(l->is_open);
    l->is_open = false;
}

void __wrap_recorder_post(struct k8s_client *client, const struct recorder_event *e, const char *instance)
{
    assert_ptr_equal(client, w.client);
    assert_string_equal(instance, "me");
    snprintf(w.event, sizeof(w.event), "%s", e->reason);
    w.events++;
}

struct loop_timer *__wrap_loop_timer_new(struct loop *loop, loop_fn *fn, void *data)
{
    (void)loop;
    struct loop_timer *t = mem_calloc(1, sizeof(*t));
    *t = (struct loop_timer){.fn = fn, .data = data};
    return t;
}

void __wrap_loop_timer_start(struct loop_timer *t, int64_t first_ms, int64_t repeat_ms)
{
    assert_true(first_ms >= 0);
    t->repeats = repeat_ms != 0;
    t->is_on = true;
    *(t->repeats ? &w.claims_timer : &w.pods_timer) = t;
}

void __wrap_loop_timer_free(struct loop_timer **t)
{
    free(*t);
    *t = NULL;
}

/* ------------------------------------------------------------------------------------------- the platform */

static bool may_act(void *data)
{
    (void)data;
    return w.may_act;
}

static struct k8s_object *object_of(bool is_pod, const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    struct k8s_object *o = k8s_object_new(j, is_pod ? w.pod_schema : w.set_schema, w.texts);
    json_decref(j);
    assert_non_null(o);
    return o;
}

static struct k8s_object *set_of(unsigned replicas, unsigned version)
{
    char text[512];
    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"prom\",\"uid\":\"u\",\"resourceVersion\":\"%u\"},\"spec\":{\"replicas\":%u,"
             "\"selector\":{"
             "\"matchLabels\":{\"app\":\"p\"}},\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"}}]}}",
             version, replicas);
    return object_of(false, text);
}

/* The watch of the set tells of a change. */
static void see_set(unsigned replicas, unsigned version)
{
    struct k8s_watcher *watcher = &w.watchers[0];
    struct k8s_object *before = watcher->count > 0 ? watcher->objects[0] : NULL;
    watcher->objects[0] = set_of(replicas, version);
    watcher->count = 1;
    if (before == NULL) {
        watcher->events.on_synced(watcher->events.data);
    } else {
        watcher->events.on_change(watcher->events.data, K8S_MODIFIED, before, watcher->objects[0]);
        k8s_object_free(before, w.texts);
    }
}

/* The watch of the pods: those of the ordinals whose bit is set exist. */
static void see_pods(unsigned bits)
{
    struct k8s_watcher *watcher = &w.watchers[1];
    bool is_first = watcher->objects[0] == NULL;
    assert_true(watcher->is_open && watcher->is_pods);
    for (size_t i = 0; i < watcher->count; i++) {
        k8s_object_free(watcher->objects[i], w.texts);
    }
    watcher->count = 0;
    for (unsigned i = 0; i < 8; i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "{\"metadata\":{\"name\":\"prom-%u\",\"uid\":\"p%u\",\"ownerReferences\":[{\"uid\":\"u\","
                 "\"controller\":true}]}}",
                 i, i);
        if ((bits & (1U << i)) != 0) {
            watcher->objects[watcher->count++] = object_of(true, text);
        }
    }
    if (is_first) {
        watcher->events.on_synced(watcher->events.data);
    } else {
        watcher->events.on_change(watcher->events.data, K8S_MODIFIED, watcher->objects[0], watcher->objects[0]);
        w.pods_timer->fn(w.pods_timer->data);
    }
}

static struct k8s_call *last_call(void)
{
    assert_true(w.call_count > 0 && w.calls[w.call_count - 1].is_open);
    return &w.calls[w.call_count - 1];
}

/* The answer to the call under way; version 0 = none in it. */
static void answer(int status, int code, unsigned version)
{
    struct k8s_call *call = last_call();
    struct k8s_answer a = {.status = status, .reason = "", .err = ERRCTX_INIT};
    if (code != 0) {
        (void)errctx_set(&a.err, code, "scripted");
    } else {
        a.object = json_pack("{s:{s:o}}", "metadata", "resourceVersion", json_sprintf("%u", version));
    }
    call->is_open = false;
    call->done(call->data, &a);
    json_decref((json_t *)a.object);
}

static void scale_to(unsigned wanted)
{
    w.p->ops->scale(w.p, wanted, "because");
}

static void tick(void)
{
    w.claims_timer->fn(w.claims_timer->data);
}

/* The listing under way shows the claims of these ordinals, and ends. */
static void list_items(unsigned bits)
{
    struct k8s_list *l = &w.lists[w.list_count - 1];
    for (unsigned i = 0; i < 8; i++) {
        if ((bits & (1U << i)) != 0) {
            json_t *item = json_pack("{s:{s:o,s:o}}", "metadata", "name", json_sprintf("data-prom-%u", i), "uid",
                                     json_sprintf("c%u", i));
            assert_int_equal(l->req.on_item(l->req.data, item), 0);
            json_decref(item);
        }
    }
}

static void end_list(int status)
{
    struct k8s_list *l = &w.lists[w.list_count - 1];
    struct k8s_answer a = {.status = status, .reason = "", .err = ERRCTX_INIT};
    assert_true(l->is_open);
    l->is_open = false;
    if (status != 200) {
        (void)errctx_set(&a.err, ERR_UNAUTHORIZED, "scripted");
    }
    l->req.on_done(l->req.data, status == 200 ? "9" : NULL, &a);
}

static bool is_listing(void)
{
    return w.list_count > 0 && w.lists[w.list_count - 1].is_open;
}

static bool is_deleting(unsigned ordinal)
{
    char name[32], uid[32];
    const struct k8s_call *call = w.call_count > 0 ? &w.calls[w.call_count - 1] : NULL;
    snprintf(name, sizeof(name), "data-prom-%u", ordinal);
    snprintf(uid, sizeof(uid), "\"uid\":\"c%u\"", ordinal);
    return call != NULL && call->is_open && call->req.verb == K8S_DELETE && strcmp(call->name, name) == 0 &&
           strstr(call->body, uid) != NULL;
}

static bool is_calling(void)
{
    return w.call_count > 0 && w.calls[w.call_count - 1].is_open;
}

/* From `from` shards, all running, to `to`; the answer has come. */
static void scaled(unsigned from, unsigned to)
{
    see_set(from, 100);
    see_pods((1U << from) - 1);
    scale_to(to);
    answer(200, 0, 101);
    see_set(to, 101);
}

static int setup(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    static const struct http_client_conf plain;
    w = (struct world){.may_act = true};
    assert_int_equal(k8s_client_url(NULL, NULL, "http://api", &plain, &w.client, &err), 0);
    w.texts = k8s_texts_new();
    w.set_schema = k8s_schema_new(REPLICA_SET_SCHEMA);
    w.pod_schema = k8s_schema_new(REPLICA_POD_SCHEMA);
    const struct statefulset_conf conf = {
        .namespace = "mon", .selector = "x=y", .delete_claims = true, .instance = "me", .may_act = may_act};
    w.p = statefulset_provider_new(NULL, w.client, &conf);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.p->ops->free(w.p);
    k8s_client_unref(w.client);
    k8s_schema_free(&w.set_schema);
    k8s_schema_free(&w.pod_schema);
    k8s_texts_free(&w.texts);
    return 0;
}

/* ------------------------------------------------------------------------------------------- tests */

static void test_a_scale_says_what_it_saw(void **state)
{
    (void)state;
    scale_to(2); /* nothing is known yet */
    assert_int_equal(w.call_count, 0);
    see_set(3, 100);
    scale_to(2);
    assert_int_equal(w.call_count, 0); /* its pods are not known yet */
    see_pods(7);
    w.may_act = false;
    scale_to(2);
    assert_int_equal(w.call_count, 0);
    w.may_act = true;
    scale_to(3);
    assert_int_equal(w.call_count, 0);
    scale_to(2);
    assert_string_equal(last_call()->subresource, "scale");
    assert_string_equal(last_call()->body, "{\"metadata\":{\"resourceVersion\":\"100\"},\"spec\":{\"replicas\":2}}");
    scale_to(1);
    assert_int_equal(w.call_count, 1); /* one at a time */
    answer(409, ERR_CONFLICT, 0);
    assert_int_equal(w.events, 0);
    see_set(3, 105);
    scale_to(2);
    assert_non_null(strstr(last_call()->body, "\"105\""));
    answer(200, 0, 106);
    assert_string_equal(w.event, "ScaledDown");
    assert_int_equal(w.p->ops->desired(w.p), 2);
}

static void test_without_the_right_to_scale_the_set_is_patched(void **state)
{
    (void)state;
    see_set(1, 100);
    see_pods(1);
    scale_to(2);
    answer(403, ERR_UNAUTHORIZED, 0);
    assert_string_equal(last_call()->subresource, "");
    answer(403, ERR_UNAUTHORIZED, 0);
    assert_string_equal(w.event, "ScaleFailed");
    assert_false(is_calling());
    scale_to(2); /* the next round begins with the subresource again: the right may have come */
    assert_string_equal(last_call()->subresource, "scale");
    answer(403, ERR_UNAUTHORIZED, 0);
    answer(200, 0, 101);
    assert_string_equal(w.event, "ScaledUp");
}

static void test_a_failure_that_repeats_is_one_event(void **state)
{
    (void)state;
    see_set(1, 100);
    see_pods(1);
    for (int i = 0; i < 3; i++) {
        scale_to(2);
        answer(422, ERR_INVALID, 0);
        assert_int_equal(w.events, 1);
    }
    scale_to(3); /* another one */
    answer(422, ERR_INVALID, 0);
    assert_int_equal(w.events, 2);
    scale_to(3);
    answer(200, 0, 101);
    assert_int_equal(w.events, 3);
    see_set(1, 102);
    scale_to(3); /* again, after a success */
    answer(422, ERR_INVALID, 0);
    assert_int_equal(w.events, 4);
}

static void test_claims_go_with_their_pods(void **state)
{
    (void)state;
    scaled(3, 1);
    tick();
    assert_true(is_listing());
    list_items(7);
    end_list(200);
    assert_false(is_calling()); /* both pods are there */
    see_pods(3);
    tick();
    list_items(7);
    end_list(200);
    assert_true(is_deleting(2));
    answer(200, 0, 1);
    assert_false(is_calling());
    see_pods(1);
    tick();
    list_items(3);
    end_list(200);
    assert_true(is_deleting(1));
    answer(0, ERR_TIMEOUT, 0); /* whatever became of it: asked for anew */
    tick();
    list_items(3);
    end_list(200);
    assert_true(is_deleting(1));
    answer(404, ERR_NOT_FOUND, 0);
    tick();
    list_items(1);
    end_list(200);
    tick();
    assert_int_equal(w.list_count, 5);
    tick(); /* done */
    assert_int_equal(w.list_count, 5);
    assert_false(is_calling());
}

static void test_a_refused_listing_is_tried_again(void **state)
{
    (void)state;
    scaled(2, 1);
    see_pods(1);
    for (int i = 0; i < 3; i++) {
        tick();
        assert_true(is_listing());
        end_list(403);
    }
    tick();
    list_items(3);
    end_list(200);
    assert_true(is_deleting(1));
    answer(403, ERR_UNAUTHORIZED, 0);
    tick();
    assert_true(is_listing());
}

/* A second scale-down while the claims of the first are being listed. */
static void test_ordinals_removed_during_a_listing_are_not_forgotten(void **state)
{
    (void)state;
    scaled(3, 2);
    see_pods(3);
    tick();
    scale_to(1);
    answer(200, 0, 102);
    see_set(1, 102);
    end_list(200); /* nothing of ordinal 2: its claim had never been made */
    see_pods(1);
    tick();
    assert_true(is_listing());
    list_items(3);
    end_list(200);
    assert_true(is_deleting(1));
}

/* The API server has done it, but its answer was lost: before or after the watch told. */
static void test_a_scale_whose_answer_is_lost(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        see_set(2, 100);
        see_pods(3);
        scale_to(1);
        if (first == 0) {
            see_set(1, 101);
            answer(0, ERR_TIMEOUT, 0);
        } else {
            answer(504, ERR_TIMEOUT, 0);
            assert_string_equal(w.event, "ScaleFailed");
            see_set(1, 101);
        }
        assert_string_equal(w.event, "ScaledDown");
        see_pods(1);
        tick();
        list_items(3);
        end_list(200);
        assert_true(is_deleting(1));
        answer(200, 0, 1);
        teardown(state);
        setup(state);
    }
}

/* What somebody else did is not ours: the claims stay. */
static void test_a_scale_by_somebody_else(void **state)
{
    (void)state;
    see_set(3, 100);
    see_pods(7);
    see_set(2, 101);
    see_pods(3);
    tick();
    assert_int_equal(w.list_count, 0);
    scale_to(1);
    answer(422, ERR_INVALID, 0); /* it was refused, not lost */
    see_set(1, 102);
    see_pods(1);
    tick();
    assert_int_equal(w.list_count, 0);
}

/* Removed by us, wanted again by somebody: also while its pod is being replaced, its claim stays. */
static void test_ordinals_that_are_wanted_again(void **state)
{
    (void)state;
    scaled(3, 1);
    see_set(2, 103);
    see_pods(1); /* pod 1 is not there yet, or again */
    tick();
    list_items(7);
    end_list(200);
    assert_true(is_deleting(2));
    answer(200, 0, 1);
    assert_false(is_calling());
    see_set(1, 104); /* and what that somebody takes away again is theirs */
    tick();
    if (is_listing()) {
        list_items(3);
        end_list(200);
    }
    assert_false(is_calling());
}

static void test_what_changes_between_listing_and_deletion(void **state)
{
    (void)state;
    scaled(4, 1);
    see_pods(1);
    tick();
    list_items(15);
    end_list(200);
    assert_true(is_deleting(3));
    see_set(2, 103); /* wanted again */
    see_pods(5);     /* a pod that comes back for a moment, as after a lost node */
    answer(200, 0, 1);
    assert_false(is_calling());
    see_pods(1);
    w.may_act = false;
    tick();
    assert_false(is_listing());
    w.may_act = true;
    tick();
    list_items(7);
    w.may_act = false;
    end_list(200);
    assert_false(is_calling()); /* another acts now */
    w.may_act = true;
    tick();
    list_items(7);
    end_list(200);
    assert_true(is_deleting(2));
}

/* The watch is ahead of the answer: what it has shown since stays. */
static void test_an_answer_that_comes_late(void **state)
{
    (void)state;
    see_set(2, 100);
    see_pods(3);
    scale_to(1);
    see_set(1, 101);
    see_set(3, 102);
    answer(200, 0, 101);
    assert_int_equal(w.p->ops->desired(w.p), 3);
    scale_to(2);
    assert_non_null(strstr(last_call()->body, "\"102\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_scale_says_what_it_saw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_the_right_to_scale_the_set_is_patched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_that_repeats_is_one_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims_go_with_their_pods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refused_listing_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ordinals_removed_during_a_listing_are_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_scale_whose_answer_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_scale_by_somebody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ordinals_that_are_wanted_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_changes_between_listing_and_deletion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_that_comes_late, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
