/* The plan's JSON: defaults, both directions, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/plan_json.h"

#include <string.h>

static int read_text(struct arena *arena, const char *json, struct plan_input *ret, struct errctx *err)
{
    return plan_input_read(arena, view_of(json), ret, err);
}

static void write_text(const struct plan_input *in, struct bytes *ret)
{
    struct json_writer w;
    bytes_init(ret, 100000);
    json_writer_init(&w, ret);
    plan_input_write(&w, in);
}

static void test_defaults(void **unused)
{
    (void)unused;
    struct arena *arena = arena_new();
    struct errctx err = ERRCTX_INIT;
    struct plan_input in, defaults;
    struct bytes text, defaults_text;
    assert_int_equal(
        read_text(
            arena,
            "{\"version\":1,\"groups\":[{\"id\":4}],\"targets\":[{\"job\":\"a\",\"hash\":\"18446744073709551615\"},"
            "{\"job\":\"a\",\"hash\":\"7\",\"series\":5,\"owners\":[{\"group\":4}]}]}",
            &in, &err),
        0);
    defaults = in;
    plan_limits_default(&defaults.limits);
    write_text(&in, &text);
    write_text(&defaults, &defaults_text);
    assert_string_equal(text.base, defaults_text.base);
    bytes_done(&text);
    bytes_done(&defaults_text);
    assert_true(in.complete);
    assert_int_equal(in.desired_groups, 5);
    assert_int_equal(in.groups[0].health, SHARD_HEALTH_UNKNOWN);
    assert_true(in.targets[0].hash == UINT64_MAX && in.targets[0].place_key == UINT64_MAX);
    assert_false(in.targets[0].size_known || in.targets[0].explored);
    assert_true(in.targets[1].size_known && in.targets[1].explored);
    assert_int_equal(in.targets[1].owners[0].state, OWNER_ASSIGNED);
    assert_int_equal(in.targets[1].want_replicas, 1);
    arena_free(&arena);
}

static void test_refusals(void **unused)
{
    (void)unused;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"", "1:0"},
        {"[]", "want an object"},
        {"{}", "version: want 1"},
        {"{\"version\":2}", "version: want 1"},
        {"{\"version\":1,\"tragets\":[]}", "unknown key 'tragets'"},
        {"{\"version\":1,\"limits\":{\"sereis\":1}}", "limits: unknown key 'sereis'"},
        {"{\"version\":1,\"limits\":{\"low\":0.9,\"high\":0.8}}", "limits: want low <= high <= 1"},
        {"{\"version\":1,\"limits\":{\"series\":-1}}", "limits: series: want a whole number"},
        {"{\"version\":1,\"groups\":[{}]}", "groups[0]: id is missing"},
        {"{\"version\":1,\"groups\":[{\"id\":1},{\"id\":1}]}", "groups[1]: id 1 occurs twice"},
        {"{\"version\":1,\"groups\":[{\"id\":0,\"health\":\"fine\"}]}", "groups[0]: health: want one of the names"},
        {"{\"version\":1,\"groups\":[{\"id\":3000000000}]}", "groups[0]: id: want a whole number"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\"}]}", "targets[0]: job or hash is missing"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":5}]}",
         "targets[0]: hash: want a decimal number as a string"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":\"18446744073709551616\"}]}",
         "targets[0]: hash: want a decimal"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":\"1\",\"owners\":[{}]}]}",
         "targets[0]: owners[0]: group is missing"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":\"1\",\"owners\":[{\"group\":1},{\"group\":1}]}]}",
         "targets[0]: owners[1]: group 1 occurs twice"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":\"1\",\"replicas\":\"all\"}]}",
         "replicas: want a whole number up to 100"},
        {"{\"version\":1,\"version\":1}", "duplicate"},
        {"{\"version\":1,\"targets\":[{\"job\":\"a\",\"hash\":\"7\"},{\"job\":\"b\",\"hash\":\"7\"},"
         "{\"job\":\"a\",\"hash\":\"8\"},{\"job\":\"a\",\"hash\":\"07\"}]}",
         "targets[3]: job 'a' with hash 7 occurs twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *arena = arena_new();
        struct errctx err = ERRCTX_INIT;
        struct plan_input in = {.now_ms = 42};
        assert_true(read_text(arena, cases[i].json, &in, &err) < 0);
        assert_int_equal(in.now_ms, 42);
        if (strstr(err.msg, cases[i].message) == NULL) {
            fail_msg("%s: '%s' does not say '%s'", cases[i].json, err.msg, cases[i].message);
        }
        arena_free(&arena);
    }
}

static void test_round_trip(void **unused)
{
    (void)unused;
    static const char text[] =
        "{\"version\":1,\"now_ms\":1700000000000,\"limits\":{\"series\":10000,\"scraped\":0,\"low\":0.7,\"high\":0.9,"
        "\"per_target_overhead\":8,\"moves_per_round\":3,\"min\":1,\"max\":9,\"move_scrapes\":2,"
        "\"failover_grace_ms\":1,"
        "\"max_idle_ms\":2,\"move_cool_down_ms\":3,\"failover_per_round\":4,\"even_out_threshold\":1.25,"
        "\"zone_imbalance\":0.25,"
        "\"relieve\":false},"
        "\"desired_groups\":2,\"complete\":false,\"groups\":[{\"id\":0,\"health\":\"ready\",\"capacity\":1,"
        "\"capacity_scraped\":2,"
        "\"head_series\":3,\"left_series\":4,\"last_seen_ms\":5,\"idle_since_ms\":6,\"zone\":\"a\"}],"
        "\"targets\":[{\"job\":\"j\","
        "\"hash\":\"9223372036854775809\",\"place_key\":\"3\",\"series\":4,\"scraped\":5,\"size_known\":true,"
        "\"explored\":false,"
        "\"gone\":true,\"vanished\":true,\"health\":\"down\",\"interval_ms\":7,\"last_move_ms\":8,"
        "\"replicas\":\"every\",\"zone\":\"b\","
        "\"owners\":[{\"group\":0,\"state\":\"leaving\",\"health\":\"up\",\"scrapes\":1,\"good_scrapes\":1,"
        "\"since_ms\":2}]}]}";
    struct arena *arena = arena_new();
    struct errctx err = ERRCTX_INIT;
    struct plan_input in;
    struct bytes out;
    assert_int_equal(read_text(arena, text, &in, &err), 0);
    write_text(&in, &out);
    assert_string_equal(out.base, text);
    bytes_done(&out);
    arena_free(&arena);
}

static void test_plan_written(void **unused)
{
    (void)unused;
    struct arena *arena = arena_new();
    struct errctx err = ERRCTX_INIT;
    struct plan_input in;
    struct bytes out;
    struct json_writer w;
    assert_int_equal(
        read_text(arena,
                  "{\"version\":1,\"limits\":{\"series\":1000},\"groups\":[{\"id\":0,\"health\":\"ready\"}],"
                  "\"targets\":[{\"job\":\"a\",\"hash\":\"7\",\"series\":100}]}",
                  &in, &err),
        0);
    struct plan *p = plan_build(&in);
    bytes_init(&out, 100000);
    json_writer_init(&w, &out);
    plan_write(&w, &in, p);
    assert_string_equal(
        out.base,
        "{\"version\":1,\"actions\":[{\"type\":\"assign\",\"job\":\"a\",\"hash\":\"7\",\"from\":null,\"to\":0,"
        "\"reason\":\"emptiest shard\"}],\"wanted_shards\":1,"
        "\"wanted_reason\":\"1 shard: 105 series need 0.1 shards at "
        "the low mark 0.80 of 1000\",\"ledger\":{\"exploring\":0,\"pending\":0,\"assigned\":1,\"in_transfer\":0,"
        "\"leaving\":0,\"unreachable\":0,\"too_big\":0,\"over_limit\":0,\"duplicate\":0,\"invalid\":0,\"dropped\":0},"
        "\"loads\":[{\"group\":0,\"series\":105,\"scraped\":0,\"targets\":1}],\"targets\":[{\"job\":\"a\","
        "\"hash\":\"7\","
        "\"state\":\"assigned\",\"reason\":null}]}");
    bytes_done(&out);
    plan_free(&p);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_plan_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
