/* The API's JSON: what Go writes, what we write, full 64-bit hashes, and refusals that name the place. */
#include "base/intern.h"
#include "model/wire.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#define BIG UINT64_C(18446744073709551615)

static json_t *parse(const char *text)
{
    struct errctx err = ERRCTX_INIT;
    json_t *root = wire_parse(view_of(text), 1 << 20, &err);
    if (root == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
    return root;
}

static void assert_u64(const char *json, bool ok, uint64_t want)
{
    uint64_t got = 7;
    json_t *root = parse(json);
    assert_int_equal(wire_u64(json_array_get(root, 0), &got), ok);
    assert_true(got == (ok ? want : 7));
    json_decref(root);
}

static void test_u64(void **state)
{
    (void)state;
    assert_u64("[0]", true, 0);
    assert_u64("[18446744073709551615]", true, BIG);
    assert_u64("[9223372036854775807]", true, INT64_MAX);
    assert_u64("[9223372036854775808]", true, UINT64_C(9223372036854775808));
    assert_u64("[\"18446744073709551615\"]", true, BIG);
    assert_u64("[18446744073709551616]", false, 0);
    assert_u64("[99999999999999999999999999]", false, 0);
    assert_u64("[-1]", false, 0);
    assert_u64("[1.5]", false, 0);
    assert_u64("[\"\"]", false, 0);
    assert_u64("[\"12x\"]", false, 0);
    assert_u64("[null]", false, 0);
}

static void test_quoting_leaves_the_rest(void **state)
{
    (void)state;
    json_t *root = parse("{\"a\":\"x\\\\\\\" 12345678901234567890 \",\"b\":1234567890123456789012.5,"
                         "\"c\":12345678901234567890e2, \"d\":[12345678901234567890,1],\"12345678901234567890\":2}");
    assert_string_equal(json_string_value(json_object_get(root, "a")), "x\\\" 12345678901234567890 ");
    assert_true(json_is_real(json_object_get(root, "b")));
    assert_true(json_is_real(json_object_get(root, "c")));
    assert_true(json_is_string(json_array_get(json_object_get(root, "d"), 0)));
    assert_int_equal(json_integer_value(json_object_get(root, "12345678901234567890")), 2);
    json_decref(root);
}

static void assert_refused(const char *text, int code, const char *message)
{
    struct errctx err = ERRCTX_INIT;
    assert_null(wire_parse(view_of(text), 64, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.msg, message) == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("", ERR_PARSE, "line 1 column 1");
    assert_refused("[1,\n  x]", ERR_PARSE, "line 2 column 4");
    assert_refused("[12345678901234567890, 12345678901234567890 x]", ERR_PARSE, "line 1 column 46");
    assert_refused("{12345678901234567890:1}", ERR_PARSE, "line 1");
    assert_refused("[012345678901234567890]", ERR_PARSE, "line 1");
    assert_refused("[--12345678901234567890]", ERR_PARSE, "line 1");
    assert_refused("[12345678901234567890-1]", ERR_PARSE, "line 1");
    assert_refused("[\"abc", ERR_PARSE, "line 1");
    assert_refused("[\"abc\\", ERR_PARSE, "line 1");
    assert_refused("[\"                                                                \"]", ERR_LIMIT, "at most 64");
}

static const char *text_of(struct bytes *out)
{
    assert_int_equal(bytes_check(out, NULL), 0);
    return bytes_view(out).base;
}

static void test_envelope(void **state)
{
    (void)state;
    struct bytes out;
    struct json_writer w;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&out, 4096);
    json_writer_init(&w, &out);
    wire_success_begin(&w);
    json_u64(&w, BIG);
    wire_success_end(&w);
    assert_string_equal(text_of(&out), "{\"status\":\"success\",\"data\":18446744073709551615}");
    json_t *root = parse(text_of(&out));
    uint64_t n = 0;
    assert_true(wire_u64(wire_data(root, &err), &n));
    assert_true(n == BIG);
    json_decref(root);

    bytes_clear(&out);
    json_writer_init(&w, &out);
    wire_error(&w, "conflict", "epoch 3 is newer");
    root = parse(text_of(&out));
    assert_null(wire_data(root, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_string_equal(err.msg, "conflict: epoch 3 is newer");
    json_decref(root);

    bytes_clear(&out);
    json_writer_init(&w, &out);
    wire_success_empty(&w);
    assert_string_equal(text_of(&out), "{\"status\":\"success\"}");
    root = parse(text_of(&out));
    assert_true(json_is_null(wire_data(root, NULL)));
    json_decref(root);
    bytes_done(&out);
}

static void test_not_our_answer(void **state)
{
    (void)state;
    const char *texts[] = {"[]", "{}", "{\"status\":\"maybe\"}", "{\"status\":1}",
                           "{\"status\":\"error\",\"error\":[]}"};
    for (size_t i = 0; i < 5; i++) {
        struct errctx err = ERRCTX_INIT;
        json_t *root = parse(texts[i]);
        assert_null(wire_data(root, &err));
        assert_int_equal(err.code, ERR_PARSE);
        json_decref(root);
    }
}

static struct target *make_target(const char *job, uint64_t hash)
{
    struct label items[] = {{VIEW("__address__"), VIEW("h:1")},
                            {VIEW("__metrics_path__"), VIEW("/m")},
                            {VIEW("__param_x"), VIEW("a b")},
                            {VIEW("__scheme__"), VIEW("http")},
                            {VIEW("__scrape_interval__"), VIEW("1m")},
                            {VIEW("__scrape_timeout__"), VIEW("10s")},
                            {VIEW("q\"uote"), VIEW("v\n")}};
    return target_new_with_hash(intern(job), hash, labels_make(items, 7), "http://h:1/m?x=a+b", 60000, 10000);
}

static void test_targets_round_trip(void **state)
{
    (void)state;
    struct assignment in[3] = {{make_target("a", BIG), ASSIGNMENT_ASSIGNED, 0},
                               {make_target("a", 1), ASSIGNMENT_IN_TRANSFER, 0},
                               {make_target("b", 2), ASSIGNMENT_LEAVING, 0}};
    struct assignment *got = NULL;
    size_t count = 0;
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, 1 << 16);
    json_writer_init(&w, &out);
    wire_write_targets(&w, in, 3);
    json_t *root = parse(text_of(&out));
    assert_int_equal(wire_read_targets(root, &got, &count, NULL), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(got[i].target->job, in[i].target->job);
        assert_true(got[i].target->hash == in[i].target->hash);
        assert_int_equal(got[i].state, in[i].state);
        assert_true(labels_equal(got[i].target->labels, in[i].target->labels));
        assert_string_equal(got[i].target->url, in[i].target->url);
        assert_int_equal(got[i].target->interval_ms, 60000);
        assert_int_equal(got[i].target->timeout_ms, 10000);
        target_unref(in[i].target);
    }
    wire_targets_free(got, count);
    json_decref(root);
    bytes_done(&out);
}

/* As the Go sidecar writes it: extra fields, nulls, no state. */
static void test_targets_of_go(void **state)
{
    (void)state;
    struct assignment *got = NULL;
    size_t count = 7;
    json_t *root =
        parse("{\"Targets\":{\"j\":[{\"hash\":17915186353366131453,\"labels\":{\"__address__\":\"h:1\"},\"series\":5,"
              "\"totalSeries\":6,\"TargetState\":\"\"}],\"k\":null},\"IdleAt\":null}");
    assert_int_equal(wire_read_targets(root, &got, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(got[0].target->hash == UINT64_C(17915186353366131453));
    assert_string_equal(got[0].target->url, "//h:1");
    assert_int_equal(got[0].target->interval_ms, 0);
    wire_targets_free(got, count);
    json_decref(root);
    root = parse("{\"Targets\":null}");
    assert_int_equal(wire_read_targets(root, &got, &count, NULL), 0);
    assert_int_equal(count, 0);
    wire_targets_free(got, count);
    json_decref(root);
}

static void test_targets_refused(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"[]", "body: expected"},
        {"{}", "Targets: missing"},
        {"{\"targets\":{}}", "Targets: missing"},
        {"{\"Targets\":[]}", "Targets: expected"},
        {"{\"Targets\":{\"j\":{}}}", "job 'j': expected a list"},
        {"{\"Targets\":{\"j\":[{\"hash\":1},null]}}", "job 'j', target 1: target: expected an object"},
        {"{\"Targets\":{\"j\":[{\"labels\":{}}]}}", "hash: expected"},
        {"{\"Targets\":{\"j\":[{\"hash\":-1}]}}", "hash: expected"},
        {"{\"Targets\":{\"j\":[{\"hash\":1,\"labels\":{\"a\":1}}]}}", "label 'a': expected a string"},
        {"{\"Targets\":{\"j\":[{\"hash\":1,\"labels\":[]}]}}", "labels: expected"},
        {"{\"Targets\":{\"j\":[{\"hash\":1,\"TargetState\":\"bogus\"}]}}", "TargetState: expected"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        struct assignment *got = NULL;
        size_t count = 7;
        json_t *root = parse(CASES[i][0]);
        assert_int_equal(wire_read_targets(root, &got, &count, &err), ERR_INVALID);
        assert_null(got);
        assert_int_equal(count, 7);
        if (strstr(err.msg, CASES[i][1]) == NULL) {
            fail_msg("%s: %s", CASES[i][0], err.msg);
        }
        json_decref(root);
    }
}

static void check_old_store(const char *text, size_t want_count, int64_t want_idle_ms)
{
    struct assignment *got = NULL;
    size_t count = 0;
    int64_t idle_ms = -1;
    json_t *root = parse(text);
    assert_int_equal(wire_read_old_store(root, &got, &count, &idle_ms, NULL), 0);
    assert_int_equal(count, want_count);
    assert_int_equal(idle_ms, want_idle_ms);
    wire_targets_free(got, count);
    json_decref(root);
}

static void test_old_store(void **state)
{
    (void)state;
    check_old_store("{\"Targets\":{\"j\":[{\"hash\":1}]},\"IdleAt\":\"2022-01-02T03:04:05Z\"}", 1,
                    INT64_C(1641092645000));
    check_old_store("{\"Targets\":null,\"IdleAt\":null}", 0, 0);
    check_old_store("{\"Targets\":[{\"hash\":1}],\"j\":[{\"hash\":2},{\"hash\":3}]}", 3, 0);
    check_old_store("{}", 0, 0);
}

static void test_status(void **state)
{
    (void)state;
    struct target_status in = {.health = TARGET_HEALTH_UP,
                               .last_scrape_ms = 1641092645123,
                               .last_duration_us = 1500000,
                               .series = 10,
                               .scraped = 11,
                               .whole_series = 20,
                               .whole_scraped = 22,
                               .scrapes = 9,
                               .good_scrapes = 4};
    struct target_status got;
    enum assignment_state assignment;
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, 4096);
    json_writer_init(&w, &out);
    wire_write_status(&w, ASSIGNMENT_IN_TRANSFER, &in);
    json_t *root = parse(text_of(&out));
    assert_int_equal(wire_read_status(root, &assignment, &got, NULL), 0);
    assert_int_equal(assignment, ASSIGNMENT_IN_TRANSFER);
    assert_int_equal(got.health, TARGET_HEALTH_UP);
    assert_int_equal(got.last_scrape_ms, in.last_scrape_ms);
    assert_int_equal(got.last_duration_us, in.last_duration_us);
    assert_int_equal(got.series, 10);
    assert_int_equal(got.scraped, 11);
    assert_int_equal(got.whole_series, 20);
    assert_int_equal(got.whole_scraped, 22);
    assert_int_equal(got.scrapes, 9);
    assert_int_equal(got.good_scrapes, 4);
    assert_int_equal(got.history_len, 1);
    json_decref(root);
    bytes_done(&out);
}

static void test_status_of_go(void **state)
{
    (void)state;
    struct target_status got;
    enum assignment_state assignment;
    json_t *root = parse(
        "{\"lastError\":\"\",\"lastScrape\":\"0001-01-01T00:00:00Z\",\"lastScrapeDuration\":0.25,\"health\":\"up\","
        "\"series\":3,\"totalSeries\":4,\"TargetState\":\"in_transfer\",\"ScrapeTimes\":5,\"shards\":null}");
    assert_int_equal(wire_read_status(root, &assignment, &got, NULL), 0);
    assert_int_equal(got.last_scrape_ms, 0);
    assert_int_equal(got.last_duration_us, 250000);
    assert_int_equal(got.good_scrapes, 5);
    assert_int_equal(assignment, ASSIGNMENT_IN_TRANSFER);
    json_decref(root);
    struct target_status lie;
    root = parse("{\"health\":\"up\",\"series\":18446744073709551615,\"totalSeries\":9223372036854775808}");
    assert_int_equal(wire_read_status(root, &assignment, &lie, NULL), 0);
    assert_int_equal(lie.series, UINT64_C(1000000000000)); /* what sums of can still be taken */
    assert_int_equal(lie.scraped, UINT64_C(1000000000000));
    json_decref(root);
    const char *bad[] = {"{\"health\":\"ill\"}", "{\"lastScrapeDuration\":-1}", "{\"series\":-1}", "{\"lastError\":1}",
                         "[]"};
    for (size_t i = 0; i < 5; i++) {
        root = parse(bad[i]);
        assert_int_equal(wire_read_status(root, &assignment, &got, NULL), ERR_INVALID);
        assert_int_equal(got.good_scrapes, 5);
        json_decref(root);
    }
}

static void test_runtimeinfo(void **state)
{
    (void)state;
    struct shard_info in = {.health = SHARD_HEALTH_STARTING,
                            .head_series = BIG,
                            .process_series = 2,
                            .idle_since_ms = 1641092645000,
                            .generation = 3,
                            .epoch = 4,
                            .config_generation = 5,
                            .parts_max = 64,
                            .has_generation = true,
                            .config_hash = "abc",
                            .error = "replaying"};
    struct shard_info got;
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, 4096);
    json_writer_init(&w, &out);
    wire_write_runtimeinfo(&w, &in);
    json_t *root = parse(text_of(&out));
    assert_int_equal(wire_read_runtimeinfo(root, &got, NULL), 0);
    assert_memory_equal(&got, &in, sizeof(in));
    json_decref(root);
    root = parse("{\"headSeries\":1,\"processSeries\":2,\"ConfigHash\":\"77\"}");
    assert_int_equal(wire_read_runtimeinfo(root, &got, NULL), 0);
    assert_int_equal(got.health, SHARD_HEALTH_READY);
    assert_int_equal(got.idle_since_ms, 0);
    assert_int_equal(got.parts_max, 0);
    assert_false(got.has_generation);
    json_decref(root);
    root = parse("{\"ConfigHash\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}");
    assert_int_equal(wire_read_runtimeinfo(root, &got, NULL), ERR_LIMIT);
    json_decref(root);
    bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_quoting_leaves_the_rest),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_not_our_answer),
        cmocka_unit_test(test_targets_round_trip),
        cmocka_unit_test(test_targets_of_go),
        cmocka_unit_test(test_targets_refused),
        cmocka_unit_test(test_old_store),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_status_of_go),
        cmocka_unit_test(test_runtimeinfo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
