/* StatefulSets and pods of the API server, read and turned into shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/intern.h"
#include "k8s/replica.h"

#include <string.h>

static json_t *json(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    return j;
}

static struct k8s_texts *texts;

/* NULL when the watch cache would not keep it. */
static struct k8s_object *pack(const char *text, const char *schema_text)
{
    struct k8s_schema *schema = k8s_schema_new(schema_text);
    json_t *j = json(text);
    struct k8s_object *o = k8s_object_new(j, schema, texts);
    json_decref(j);
    k8s_schema_free(&schema);
    return o;
}

static int read_set(const char *text, struct replica *r, struct errctx *err)
{
    struct k8s_object *o = pack(text, REPLICA_SET_SCHEMA);
    assert_non_null(o);
    int rc = replica_read(o, r, err);
    k8s_object_free(o, texts);
    return rc;
}

#define SET(name, uid, spec)                                                                                           \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"7\"},\"spec\":{" spec              \
    "\"selector\":{\"matchLabels\":{\"app\":\"p\"}}}}"

#define POD(name, uid, owner, rest)                                                                                    \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid                                                              \
    "\",\"ownerReferences\":[{\"uid\":\"other\"},{\"uid\":\"" owner "\",\"controller\":true}]" rest "}"

static struct replica_pod read_pod(const char *set, const char *text)
{
    struct errctx err = ERRCTX_INIT;
    struct replica_pod p;
    struct k8s_object *o = pack(text, REPLICA_POD_SCHEMA);
    assert_non_null(o);
    assert_int_equal(replica_pod_read(o, set, &p, &err), 0);
    k8s_object_free(o, texts);
    return p;
}

static void test_a_set_is_read(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    struct replica r;
    assert_int_equal(
        read_set("{\"metadata\":{\"name\":\"prom\",\"uid\":\"u\",\"resourceVersion\":\"12\"},\"spec\":{\"replicas\":3,"
                 "\"ordinals\":{\"start\":2},\"selector\":{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":["
                 "{\"key\":\"c\",\"operator\":\"In\",\"values\":[\"d\",\"e\"]},{\"key\":\"f\",\"operator\":\"NotIn\","
                 "\"values\":[\"g\"]},{\"key\":\"h\",\"operator\":\"Exists\"},{\"key\":\"i\",\"operator\":"
                 "\"DoesNotExist\"}]},\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"}}],"
                 "\"persistentVolumeClaimRetentionPolicy\":{\"whenScaled\":\"Delete\"}}}",
                 &r, &err),
        0);
    assert_string_equal(r.name, "prom");
    assert_string_equal(r.resource_version, "12");
    assert_string_equal(r.selector, "a=b,c in (d,e),f notin (g),h,!i");
    assert_string_equal(r.match_labels, "a=b");
    assert_int_equal(r.replicas, 3);
    assert_int_equal(r.first_ordinal, 2);
    assert_true(r.deletes_claims);
    assert_int_equal(r.claims.len, 1);
    assert_string_equal(r.claims.items[0], "data");
    replica_done(&r);
}

static void test_sets_that_are_refused(void **state)
{
    (void)state;
    struct replica r;
    static const char *const BAD[] = {
        "{\"metadata\":{\"name\":\"prom\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}}",
        "{\"metadata\":{\"name\":\"prom\",\"uid\":\"u\"},\"spec\":{}}", /* an empty selector is everything */
        "{\"metadata\":{\"name\":\"prom\",\"uid\":\"u\"},\"spec\":{\"selector\":{\"matchExpressions\":[{\"key\":\"a\","
        "\"operator\":\"Like\"}]}}}",
        SET("prom", "u", "\"replicas\":100001,"),
        SET("prom", "u", "\"replicas\":9223372036854775807,"),
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(read_set(BAD[i], &r, &err), ERR_INVALID);
        assert_string_not_equal(err.msg, "");
    }
}

static void test_ordinals(void **state)
{
    (void)state;
    unsigned n;
    assert_true(replica_ordinal("prom", "prom-0", &n) && n == 0);
    assert_true(replica_ordinal("prom", "prom-41", &n) && n == 41);
    assert_true(replica_ordinal("prom-b", "prom-b-3", &n) && n == 3);
    assert_false(replica_ordinal("prom", "prom-b-3", &n));
    assert_false(replica_ordinal("prom", "prom-", &n));
    assert_false(replica_ordinal("prom", "prom-01", &n));
    assert_false(replica_ordinal("prom", "prom-1x", &n));
    assert_false(replica_ordinal("prom", "prom-12345678", &n));
    assert_false(replica_ordinal("prom", "prometheus-1", &n));
}

/* Guarantees 2 and 3: the spec says how many shards there are, the owner says whose pod it is. */
static void test_shards_follow_the_spec(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    struct replica r;
    struct replica_shards out = {0};
    const struct replica_conf conf = {.api_port = 8080, .prometheus_port = 9090, .capacity_series = 5};
    assert_int_equal(read_set(SET("prom", "u1", "\"replicas\":5,"), &r, &err), 0);
    struct replica_pod pods[] = {
        read_pod("prom", POD("prom-3", "p3", "u1", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"fd00::3\"}")),
        read_pod("prom", POD("prom-0", "p0", "u1", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\"}")),
        read_pod("prom", POD("prom-1", "q1", "u2", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.9\"}")),
        read_pod("prom", POD("prom-2", "p2", "u1",
                             ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"status\":"
                             "{\"phase\":\"Running\",\"podIP\":\"10.0.0.2\"}")),
        read_pod("prom", POD("prom-4", "p4", "u1",
                             "},\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":"
                             "\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\"}]}")),
        read_pod("prom", POD("prom-7", "p7", "u1", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.7\"}")),
    };
    const struct replica_pod *list[6];
    for (size_t i = 0; i < 6; i++) {
        list[i] = &pods[i];
    }
    replica_shards(&r, list, 6, &conf, &out);
    assert_int_equal(out.items.len, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(out.items.items[i].group, i);
        assert_ptr_equal(out.items.items[i].replica, intern("prom"));
        assert_int_equal(out.items.items[i].capacity_series, 5);
    }
    assert_ptr_equal(out.items.items[0].id, intern("prom-0"));
    assert_string_equal(out.items.items[0].api_url, "http://10.0.0.1:8080");
    assert_string_equal(out.items.items[0].prometheus_url, "http://10.0.0.1:9090");
    assert_int_equal(out.items.items[0].health, SHARD_HEALTH_READY);
    assert_int_equal(out.items.items[1].health, SHARD_HEALTH_UNREACHABLE); /* the pod of that name is of another set */
    assert_string_equal(out.items.items[1].error, "the pod does not exist");
    assert_int_equal(out.items.items[2].health, SHARD_HEALTH_UNREACHABLE);
    assert_string_equal(out.items.items[2].error, "the pod is terminating");
    assert_string_equal(out.items.items[3].api_url, "http://[fd00::3]:8080");
    assert_string_equal(out.items.items[4].error, "the pod does not run: Unschedulable");
    vec_done(&out.items);
    replica_done(&r);
}

/* Zero is left out by the scale subresource, but a set without the number has one. */
static void test_numbers_and_start(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    struct replica r;
    struct replica_shards out = {0};
    const struct replica_conf conf = {.api_port = 1, .prometheus_port = 2};
    assert_int_equal(read_set(SET("p", "u", ""), &r, &err), 0);
    assert_int_equal(r.replicas, 1);
    replica_done(&r);
    assert_int_equal(read_set(SET("p", "u", "\"replicas\":0,"), &r, &err), 0);
    assert_int_equal(r.replicas, 0);
    replica_done(&r);
    assert_int_equal(read_set(SET("p", "u", "\"replicas\":2,\"ordinals\":{\"start\":5},"), &r, &err), 0);
    struct replica_pod pod =
        read_pod("p", POD("p-6", "x", "u", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.6\"}"));
    const struct replica_pod *list[] = {&pod};
    replica_shards(&r, list, 1, &conf, &out);
    assert_int_equal(out.items.len, 2);
    assert_ptr_equal(out.items.items[0].id, intern("p-5"));
    assert_int_equal(out.items.items[1].group, 1);
    assert_int_equal(out.items.items[1].health, SHARD_HEALTH_READY);
    vec_done(&out.items);
    replica_done(&r);
}

/* An address that is none never becomes part of a URL. */
static void test_hostile_pods(void **state)
{
    (void)state;
    struct replica_pod p =
        read_pod("p", POD("p-0", "x", "u", "},\"status\":{\"phase\":\"Running\",\"podIP\":\"evil/@10.0.0.1\"}"));
    assert_string_equal(p.ip, "");
    p = read_pod("p", "{\"metadata\":{\"name\":\"p-0\",\"uid\":\"x\",\"ownerReferences\":7},\"status\":[]}");
    assert_string_equal(p.owner_uid, "");
    assert_false(p.running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_set_is_read),     cmocka_unit_test(test_sets_that_are_refused),
        cmocka_unit_test(test_ordinals),          cmocka_unit_test(test_shards_follow_the_spec),
        cmocka_unit_test(test_numbers_and_start), cmocka_unit_test(test_hostile_pods),
    };
    texts = k8s_texts_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    k8s_texts_free(&texts);
    return failed;
}
