/* Durable state: what is written reads back; whatever else is on disk is refused with a reason and set aside, never believed
 * and never overwritten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/files.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/mem.h"
#include "shard/state.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "test_state.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return files_remove_tree(folder, NULL);
}

static char *in_folder(const char *name)
{
    return mem_printf("%s/%s", folder, name);
}

static struct target *make_target(const char *job, uint64_t hash, struct view odd)
{
    const struct label items[] = {
        {VIEW("__address__"), VIEW("10.0.0.1:9100")}, {VIEW("job"), view_of(job)}, {VIEW("odd"), odd}};
    return target_new_with_hash(intern(job), hash, labels_make(items, 3), "http://10.0.0.1:9100/metrics?a=\"b\"", 15000,
                                10000);
}

/* Two shards, one of them with numbers that fill 64 bits and labels no text format likes. */
static struct state *make_state(void)
{
    struct state *s = state_new();
    s->saved_ms = 1700000000123;
    s->generation = UINT64_MAX;
    s->epoch = UINT64_C(1) << 63;
    s->wanted_groups = 7;
    s->stop_reason = mem_strdup("maintenance \"tonight\"");
    snprintf(s->prometheus_version, sizeof(s->prometheus_version), "2.53.3+ds1");
    s->native_histograms = true;
    s->config_generation = UINT64_MAX - 7;
    s->config_len = ((size_t)512 << 10) * 2 + 3; /* three pieces, cut in the middle of two-byte characters */
    s->config_text = mem_calloc(1, s->config_len + 1);
    s->config_text[0] = '#';
    for (size_t i = 1; i + 1 < s->config_len; i += 2) {
        memcpy(s->config_text + i, "\xc3\xa9", 2);
    }
    struct target_status status = {.health = TARGET_HEALTH_UP, .last_scrape_ms = 5, .series = 10, .scraped = 12,
                                   .history = {11, 9, 10}, .history_len = 3, .scrapes = 4, .good_scrapes = 3};
    state_add_shard(s, "shard-0");
    s->shards[0].generation = 3;
    s->shards[0].epoch = UINT64_MAX - 1;
    for (uint64_t i = 0; i < 5; i++) {
        struct assignment a = {.target = make_target("node", UINT64_MAX - i, VIEW("a\n\"\\\xc3\xa9\x01")),
                               .state = (enum assignment_state)(i % 3), .since_ms = (int64_t)i};
        snprintf(status.error, sizeof(status.error), "%s", i == 2 ? "server returned \"500\"" : "");
        state_add_target(&s->shards[0], &a, &status);
        target_unref(a.target);
    }
    struct state_shard *named = state_add_shard(s, "shard-1");
    named->idle_since_ms = 99;
    snprintf(named->config_hash, sizeof(named->config_hash), "abc");
    snprintf(named->config_word, sizeof(named->config_word), "4711");
    struct state_load *load = state_add_load(s, "node", UINT64_MAX);
    load->series = 1000;
    load->scraped = 1200;
    load->seen_ms = 77;
    return s;
}

static void assert_same_target(const struct state_target *a, const struct state_target *b)
{
    assert_ptr_equal(a->a.target->job, b->a.target->job);
    assert_true(a->a.target->hash == b->a.target->hash);
    assert_true(labels_equal(a->a.target->labels, b->a.target->labels));
    assert_string_equal(a->a.target->url, b->a.target->url);
    assert_int_equal(a->a.target->interval_ms, b->a.target->interval_ms);
    assert_int_equal(a->a.target->timeout_ms, b->a.target->timeout_ms);
    assert_int_equal(a->a.state, b->a.state);
    assert_int_equal(a->a.since_ms, b->a.since_ms);
    assert_int_equal(a->status.health, b->status.health);
    assert_int_equal(a->status.history_len, b->status.history_len);
    assert_memory_equal(a->status.history, b->status.history, sizeof(a->status.history));
    assert_true(a->status.series == b->status.series && a->status.scraped == b->status.scraped);
    assert_true(a->status.scrapes == b->status.scrapes && a->status.good_scrapes == b->status.good_scrapes);
    assert_string_equal(a->status.error, b->status.error);
}

static void assert_same(const struct state *a, const struct state *b)
{
    assert_true(a->generation == b->generation && a->epoch == b->epoch && a->saved_ms == b->saved_ms);
    assert_int_equal(a->wanted_groups, b->wanted_groups);
    assert_string_equal(a->prometheus_version, b->prometheus_version);
    assert_int_equal(a->native_histograms, b->native_histograms);
    assert_string_equal(a->stop_reason != NULL ? a->stop_reason : "", b->stop_reason != NULL ? b->stop_reason : "");
    assert_true(a->config_generation == b->config_generation && a->config_len == b->config_len);
    assert_true((a->config_text == NULL) == (b->config_text == NULL));
    if (a->config_text != NULL) {
        assert_memory_equal(a->config_text, b->config_text, a->config_len + 1);
    }
    assert_int_equal(a->shard_count, b->shard_count);
    assert_int_equal(a->load_count, b->load_count);
    for (size_t i = 0; i < a->shard_count; i++) {
        const struct state_shard *x = &a->shards[i], *y = &b->shards[i];
        assert_ptr_equal(x->id, y->id);
        assert_string_equal(x->config_hash, y->config_hash);
        assert_string_equal(x->config_word, y->config_word);
        assert_true(x->generation == y->generation && x->epoch == y->epoch && x->idle_since_ms == y->idle_since_ms);
        assert_int_equal(x->target_count, y->target_count);
        for (size_t k = 0; k < x->target_count; k++) {
            assert_same_target(&x->targets[k], &y->targets[k]);
        }
    }
    for (size_t i = 0; i < a->load_count; i++) {
        assert_ptr_equal(a->loads[i].job, b->loads[i].job);
        assert_true(a->loads[i].place_key == b->loads[i].place_key && a->loads[i].series == b->loads[i].series);
        assert_true(a->loads[i].scraped == b->loads[i].scraped && a->loads[i].seen_ms == b->loads[i].seen_ms);
    }
}

static void encode(const struct state *s, struct bytes *out)
{
    bytes_init(out, (size_t)16 << 20);
    assert_int_equal(state_encode(s, out, NULL), 0);
}

/* A file of ours around any text, header and checksum right. */
static void wrap(struct view text, struct bytes *out)
{
    char header[24] = "KVASS1";
    size_t room = ZSTD_compressBound(text.len);
    bytes_init(out, (size_t)128 << 20);
    bytes_append(out, header, sizeof(header));
    size_t n = ZSTD_compress(bytes_reserve(out, room), room, text.base, text.len, 1);
    bytes_commit(out, n);
    uint64_t sum = xxh64(out->base + 24, n, 0), len = n;
    memcpy(out->base + 8, &len, 8);
    memcpy(out->base + 16, &sum, 8);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    struct bytes out;
    struct state *s = make_state(), *again = NULL;
    struct errctx err = ERRCTX_INIT;
    encode(s, &out);
    assert_int_equal(state_decode(bytes_view(&out), &again, &err), 0);
    assert_same(s, again);
    assert_non_null(state_find_shard(again, "shard-1"));
    assert_null(state_find_shard(again, "shard-2"));
    bytes_done(&out);
    state_free(&s);
    state_free(&again);
    s = state_new();
    encode(s, &out);
    assert_int_equal(state_decode(bytes_view(&out), &again, &err), 0);
    assert_same(s, again);
    bytes_done(&out);
    state_free(&s);
    state_free(&again);
}

static void test_every_prefix_and_every_flip_is_refused(void **unused)
{
    (void)unused;
    struct bytes out;
    struct state *s = make_state();
    encode(s, &out);
    state_free(&s);
    for (size_t len = 0; len < out.len; len++) {
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(state_decode(view_make(out.base, len), &s, &err), ERR_PARSE);
        assert_true(err.msg[0] != '\0');
    }
    for (size_t at = 0; at < out.len; at++) {
        out.base[at] ^= 0x10;
        int rc = state_decode(bytes_view(&out), &s, NULL);
        assert_true(rc == ERR_PARSE || rc == ERR_UNSUPPORTED);
        out.base[at] ^= 0x10;
    }
    assert_null(s);
    bytes_done(&out);
}

static void test_what_is_refused_and_why(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int code;
        const char *message;
    } cases[] = {
        {"", ERR_PARSE, "empty"},
        {"{\"kind\":\"shard\",\"id\":\"a\"}\n", ERR_PARSE, "line 1: expected {\"kind\":\"kvass\""},
        {"{\"kind\":\"kvass\",\"version\":2}\n", ERR_UNSUPPORTED, "version 2: written by a newer kvass"},
        {"{\"kind\":\"kvass\",\"version\":1}", ERR_PARSE, "bytes behind the end"},
        {"{\"kind\":\"kvass\",\"version\":1}\n[", ERR_PARSE, "bytes behind the end"},
        {"{\"kind\":\"kvass\",\"version\":1}\n[\n", ERR_PARSE, "line 2: "},
        {"{\"kind\":\"kvass\",\"version\":1}\n{\"kind\":\"shard\"}\n", ERR_PARSE, "line 2: shard: expected an id"},
        {"{\"kind\":\"kvass\",\"version\":1}\n{\"kind\":\"target\",\"job\":\"j\"}\n", ERR_PARSE, "line 2: target: expected"},
        {"{\"kind\":\"kvass\",\"version\":1}\n{\"kind\":\"load\"}\n", ERR_PARSE, "line 2: job: expected a name"},
        {"{\"kind\":\"kvass\",\"version\":1}\n{\"kind\":\"shard\",\"id\":\"s\"}\n{\"kind\":\"target\",\"job\":\"j\",\"url\":\"http://a\","
         "\"interval_ms\":1,\"timeout_ms\":1,\"state\":\"gone\",\"labels\":{}}\n",
         ERR_PARSE, "line 3: target: expected"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes out;
        struct state *s = NULL;
        struct errctx err = ERRCTX_INIT;
        wrap(view_of(cases[i].text), &out);
        assert_int_equal(state_decode(bytes_view(&out), &s, &err), cases[i].code);
        assert_non_null(strstr(err.msg, cases[i].message));
        assert_null(s);
        bytes_done(&out);
    }
}

static void test_unknown_kinds_and_keys_are_skipped(void **unused)
{
    (void)unused;
    struct bytes out;
    struct state *s = NULL;
    wrap(VIEW("{\"kind\":\"kvass\",\"version\":1,\"later\":[1]}\n{\"kind\":\"later\"}\n{\"kind\":\"shard\",\"id\":\"s\",\"x\":{}}\n"),
         &out);
    assert_int_equal(state_decode(bytes_view(&out), &s, NULL), 0);
    assert_int_equal(s->shard_count, 1);
    bytes_done(&out);
    state_free(&s);
}

/* 64 MB of one line in a few kilobytes of file: refused at the line's cap, not unpacked. */
static void test_a_bomb_is_refused(void **unused)
{
    (void)unused;
    struct bytes out;
    struct state *s = NULL;
    struct errctx err = ERRCTX_INIT;
    size_t len = (size_t)64 << 20;
    char *text = mem_alloc(len);
    memset(text, ' ', len);
    wrap(view_make(text, len), &out);
    free(text);
    assert_true(out.len < 65536);
    assert_int_equal(state_decode(bytes_view(&out), &s, &err), ERR_LIMIT);
    bytes_done(&out);
}

static size_t count_files(const char *pattern)
{
    glob_t found;
    char *path = in_folder(pattern);
    size_t n = glob(path, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    free(path);
    return n;
}

static void test_files(void **unused)
{
    (void)unused;
    struct errctx err = ERRCTX_INIT;
    struct stat st;
    struct state *s = make_state(), *again = NULL;
    char *path = in_folder("state");
    assert_int_equal(state_read(path, &again, &err), ERR_NOT_FOUND);
    assert_int_equal(state_save(path, s, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(state_read(path, &again, NULL), 0);
    assert_same(s, again);
    state_free(&again);
    /* torn by a broken disk: half of it */
    assert_int_equal(truncate(path, st.st_size / 2), 0);
    errctx_clear(&err);
    assert_int_equal(state_read(path, &again, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, "torn"));
    assert_non_null(strstr(err.msg, "set aside as"));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(count_files("state.bad-*"), 1);
    /* from the future */
    assert_int_equal(files_write_atomic(path, VIEW("KVASS2 something that follows in a later form"), 0600, (gid_t)-1, NULL), 0);
    errctx_clear(&err);
    usleep(2000);
    assert_int_equal(state_read(path, &again, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "newer kvass"));
    assert_int_equal(count_files("state.bad-*"), 2);
    /* a save afterwards works */
    assert_int_equal(state_save(path, s, NULL), 0);
    assert_int_equal(state_read(path, &again, NULL), 0);
    state_free(&again);
    state_free(&s);
    free(path);
}

/* Each way a file can be unusable, for the newest, the one before, and both. */
static void test_the_copy_before(void **unused)
{
    (void)unused;
    static const struct {
        const char *text; /* NULL: half of the file */
        int rc;
    } BAD[] = {{NULL, ERR_PARSE},
               {"", ERR_PARSE},
               {"{\"Targets\":{}}", ERR_PARSE},
               {"KVASS2 something that follows in a later form", ERR_UNSUPPORTED}};
    char *path = in_folder("copies"), *old_path = in_folder("copies.old");
    struct state *first = make_state(), *second = make_state(), *got = NULL;
    first->generation = 1;
    second->generation = 2;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        for (int which = 1; which <= 3; which++) {
            struct errctx err = ERRCTX_INIT;
            assert_int_equal(state_save(path, first, NULL), 0);
            assert_int_equal(state_save(path, second, NULL), 0);
            for (int k = 0; k < 2; k++) {
                const char *name = k == 0 ? path : old_path;
                struct stat st;
                assert_int_equal(stat(name, &st), 0);
                if ((which & (1 << k)) != 0 && BAD[i].text == NULL) {
                    assert_int_equal(truncate(name, st.st_size / 2), 0);
                } else if ((which & (1 << k)) != 0) {
                    assert_int_equal(files_write_atomic(name, view_of(BAD[i].text), 0600, (gid_t)-1, NULL), 0);
                }
            }
            usleep(2000); /* names of what is set aside have milliseconds */
            int rc = state_read(path, &got, &err);
            if (which == 3) {
                assert_int_equal(rc, BAD[i].rc);
                assert_non_null(strstr(err.msg, "copies.old"));
                continue;
            }
            assert_int_equal(rc, 0);
            assert_int_equal(got->generation, which == 1 ? 1 : 2); /* never older than one write */
            assert_true((got->fallback != NULL) == (which == 1));
            assert_same(which == 1 ? first : second, got);
            state_free(&got);
            if (which == 1) { /* a further start before anything was saved finds the same */
                assert_int_equal(state_read(path, &got, NULL), 0);
                assert_int_equal(got->generation, 1);
                state_free(&got);
                assert_int_equal(state_save(path, second, NULL), 0); /* and the first save does not cost it */
                assert_int_equal(access(old_path, F_OK), 0);
                assert_int_equal(count_files("copies*.tmp.*"), 0);
            }
        }
    }
    assert_int_equal(count_files("copies.bad-*"), 8);
    assert_int_equal(count_files("copies.old.bad-*"), 4);
    state_free(&first);
    state_free(&second);
    free(path);
    free(old_path);
}

static void write_file(const char *name, const char *text)
{
    char *path = in_folder(name);
    assert_int_equal(files_write_atomic(path, view_of(text), 0600, (gid_t)-1, NULL), 0);
    free(path);
}

static void test_import_of_old_files(void **unused)
{
    (void)unused;
    static const char INNER[] = "{\"node\":[{\"hash\":18446744073709551615,\"labels\":{\"__address__\":\"a:1\",\"__scheme__\":\"http\","
                                "\"__metrics_path__\":\"/m\",\"job\":\"node\"},\"series\":5,\"TargetState\":\"in_transfer\"}]}";
    struct errctx err = ERRCTX_INIT;
    struct state *s = NULL;
    assert_int_equal(state_import(folder, "shard-0", &s, &err), ERR_NOT_FOUND);
    write_file("targets.json", INNER);
    assert_int_equal(state_import(folder, "shard-0", &s, NULL), 0);
    assert_int_equal(s->shard_count, 1);
    assert_string_equal(s->shards[0].id, "shard-0");
    assert_int_equal(s->shards[0].target_count, 1);
    assert_true(s->shards[0].targets[0].a.target->hash == UINT64_MAX);
    assert_int_equal(s->shards[0].targets[0].a.state, ASSIGNMENT_IN_TRANSFER);
    /* what was imported can be saved and read as ours */
    struct bytes out;
    struct state *again = NULL;
    encode(s, &out);
    assert_int_equal(state_decode(bytes_view(&out), &again, NULL), 0);
    assert_same(s, again);
    bytes_done(&out);
    state_free(&again);
    state_free(&s);
    /* the newer file wins */
    write_file("kvass-shard.json", "{\"Targets\":{},\"IdleAt\":\"2020-01-01T00:00:00Z\"}");
    assert_int_equal(state_import(folder, "shard-0", &s, NULL), 0);
    assert_int_equal(s->shards[0].target_count, 0);
    assert_true(s->shards[0].idle_since_ms == INT64_C(1577836800000));
    state_free(&s);
    /* a torn one is set aside and named */
    write_file("kvass-shard.json", "{\"Targets\":{\"no");
    errctx_clear(&err);
    assert_int_equal(state_import(folder, "shard-0", &s, &err), ERR_PARSE);
    assert_non_null(strstr(err.msg, "kvass-shard.json"));
    assert_int_equal(count_files("kvass-shard.json.bad-*"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_prefix_and_every_flip_is_refused),
        cmocka_unit_test(test_what_is_refused_and_why),
        cmocka_unit_test(test_unknown_kinds_and_keys_are_skipped),
        cmocka_unit_test(test_a_bomb_is_refused),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_copy_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_of_old_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
