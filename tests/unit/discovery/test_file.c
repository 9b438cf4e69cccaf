/* File discovery on real files: first read, changes seen by inotify, failures that keep the last list, vanished files,
 * folders that come later; and static lists. Every wait is bounded. */
#include "base/files.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "discovery/mechanism.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS 20000

static char folder[] = "test_file.XXXXXX";
static struct loop *loop;
static struct arena *arena;
static struct discoverer *discoverer;

/* What the sink holds: groups by source, as a manager would keep them. */
static VEC(struct target_group *) held;
static int errors, oks;
static char last_error[ERRCTX_MSG_MAX];

static void on_groups(void *data, struct target_group *const *groups, size_t count)
{
    (void)data;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < held.len; k++) {
            if (strcmp(held.items[k]->source, groups[i]->source) == 0) {
                target_group_unref(held.items[k]);
                vec_remove(&held, k);
                break;
            }
        }
        if (groups[i]->count != 0) {
            *vec_push(&held) = target_group_ref(groups[i]);
        }
    }
}

static void on_error(void *data, const struct errctx *err)
{
    (void)data;
    errors++;
    snprintf(last_error, sizeof(last_error), "%s", err->msg);
}

static void on_ok(void *data)
{
    (void)data;
    oks++;
}

static const struct discovery_sink SINK = {on_groups, on_error, on_ok, NULL};

static void forget(void)
{
    for (size_t i = 0; i < held.len; i++) {
        target_group_unref(held.items[i]);
    }
    vec_done(&held);
    errors = oks = 0;
}

static void put(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", folder, name);
    assert_int_equal(files_write_atomic(path, view_of(text), 0644, (gid_t)-1, NULL), 0);
    free(path);
}

static void take_away(const char *name)
{
    char *path = mem_printf("%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static const struct yaml_node *yaml(const char *text)
{
    struct yaml_node *root = NULL;
    struct errctx err = ERRCTX_INIT;
    if (yaml_parse(arena, "conf.yml", view_of(text), &root, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return root;
}

static int begin(const struct mechanism *m, const char *conf, struct errctx *err)
{
    const struct discovery_env env = {.loop = loop, .base_dir = folder, .job = "j", .major = PROMETHEUS_2};
    return m->start(&env, "conf.yml", yaml(conf), &SINK, &discoverer, err);
}

static size_t target_total(void)
{
    size_t n = 0;
    for (size_t i = 0; i < held.len; i++) {
        n += held.items[i]->count;
    }
    return n;
}

static void stop_loop(void *data)
{
    (void)data;
    uv_stop(loop_uv(loop));
}

/* Runs the loop until the sink holds `count` targets and has seen as many errors. */
static void wait_for(size_t count, int error_count)
{
    int64_t end_ms = timebase_monotonic_ms() + WAIT_MS;
    struct loop_timer *tick = loop_timer_new(loop, stop_loop, NULL);
    loop_timer_start(tick, 5, 5);
    while ((target_total() != count || errors < error_count) && timebase_monotonic_ms() < end_ms) {
        uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    }
    loop_timer_free(&tick);
    assert_int_equal(target_total(), count);
    assert_true(errors >= error_count);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "test_file.XXXXXX");
    assert_non_null(mkdtemp(folder));
    loop = loop_new();
    arena = arena_new();
    discoverer = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (discoverer != NULL) {
        mechanism_file.stop(discoverer);
    }
    forget();
    loop_free(&loop);
    arena_free(&arena);
    return files_remove_tree(folder, NULL);
}

static void test_reads_at_start(void **state)
{
    (void)state;
    put("a.json", "[{\"targets\":[\"h:1\",\"h:2\"],\"labels\":{\"x\":\"y\"}},{\"targets\":[\"h:3\"]}]");
    put("b.yml", "- targets: [h:4]\n");
    put("c.txt", "no list");
    assert_int_equal(begin(&mechanism_file, "{files: ['*.json', b.yml, missing.json], refresh_interval: 1h}", NULL), 0);
    assert_int_equal(oks, 1);
    assert_int_equal(errors, 0);
    assert_int_equal(target_total(), 4);
    char *path = mem_printf("%s/a.json", folder);
    assert_true(view_is(labels_get(held.items[0]->common, VIEW("__meta_filepath")), path));
    free(path);
}

static void test_changes_are_seen(void **state)
{
    (void)state;
    put("a.json", "[{\"targets\":[\"h:1\"]},{\"targets\":[\"h:2\"]}]");
    assert_int_equal(begin(&mechanism_file, "{files: ['*.json'], refresh_interval: 1h}", NULL), 0);
    assert_int_equal(target_total(), 2);
    put("a.json", "[{\"targets\":[\"h:1\",\"h:2\",\"h:3\"]}]");
    wait_for(3, 0);
    put("b.json", "[{\"targets\":[\"h:9\"]}]");
    wait_for(4, 0);
    take_away("a.json");
    wait_for(1, 0);
}

static void test_bad_file_keeps_last_list(void **state)
{
    (void)state;
    put("a.json", "[{\"targets\":[\"h:1\",\"h:2\"]}]");
    put("b.json", "[{\"targets\":[\"h:3\"]}]");
    assert_int_equal(begin(&mechanism_file, "{files: ['*.json'], refresh_interval: 1h}", NULL), 0);
    put("a.json", "[{\"targets\":[\"h:1\"");
    wait_for(3, 1);
    assert_non_null(strstr(last_error, "read target file"));
    assert_non_null(strstr(last_error, "a.json"));
    put("b.json", "[{\"targets\":[\"h:3\",\"h:4\"]}]");
    wait_for(4, 1);
    put("a.json", "[]");
    wait_for(2, 1);
}

static void test_bad_at_start(void **state)
{
    (void)state;
    put("a.json", "{");
    put("b.json", "[{\"targets\":[\"h:3\"]}]");
    assert_int_equal(begin(&mechanism_file, "{files: ['*.json'], refresh_interval: 1h}", NULL), 0);
    assert_int_equal(oks, 0);
    assert_int_equal(errors, 1);
    assert_int_equal(target_total(), 1);
    put("a.json", "[{\"targets\":[\"h:1\"]}]");
    wait_for(2, 0);
    assert_int_equal(oks, 1);
}

static void test_folder_that_comes_later(void **state)
{
    (void)state;
    assert_int_equal(begin(&mechanism_file, "{files: ['sub/*.json'], refresh_interval: 200ms}", NULL), 0);
    assert_int_equal(target_total(), 0);
    char *path = mem_printf("%s/sub", folder);
    assert_int_equal(files_make_dirs(path, 0755, NULL), 0);
    put("sub/a.json", "[{\"targets\":[\"h:1\"]}]");
    wait_for(1, 0);
    assert_int_equal(files_remove_tree(path, NULL), 0);
    wait_for(0, 0);
    assert_int_equal(files_make_dirs(path, 0755, NULL), 0);
    put("sub/a.json", "[{\"targets\":[\"h:1\",\"h:2\"]}]");
    wait_for(2, 0);
    free(path);
}

static void test_conf_refused(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"{}", "at least one path"},           {"{files: []}", "at least one path"},
        {"{files: [a.txt]}", "not valid"},     {"{files: ['*/a.json']}", "not valid"},
        {"{files: a.json}", "a list"},         {"{files: [a.json], x: 1}", "conf.yml:1:19: file_sd_configs: expected"},
        {"{files: [[a]]}", "not valid"},       {"{files: [a.json], refresh_interval: 1.5s}", "not a valid duration"},
        {"[a.json]", "conf.yml:1:1: file_sd"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(begin(&mechanism_file, CASES[i][0], &err), ERR_INVALID);
        if (strstr(err.msg, CASES[i][1]) == NULL) {
            fail_msg("%s: %s", CASES[i][0], err.msg);
        }
        assert_int_equal(mechanism_file.check("conf.yml", folder, PROMETHEUS_2, yaml(CASES[i][0]), NULL), ERR_INVALID);
    }
    assert_int_equal(mechanism_file.check("conf.yml", folder, PROMETHEUS_2, yaml("{files: [a.json]}"), NULL), 0);
}

static void test_static(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(begin(&mechanism_static, "[{targets: [h:1, h:2], labels: {a: b}}, {}, {targets: [h:3]}]", NULL),
                     0);
    assert_int_equal(target_total(), 3);
    assert_int_equal(oks, 1);
    assert_string_equal(held.items[1]->source, "2");
    mechanism_static.stop(discoverer);
    discoverer = NULL;
    assert_int_equal(begin(&mechanism_static, "[{targets: [h:1], labels: {a-b: c}}]", &err), ERR_INVALID);
    assert_string_equal(err.msg, "conf.yml:1:28: \"a-b\" is not a valid label name");
    assert_int_equal(mechanism_static.check("c", ".", PROMETHEUS_3, yaml("[{labels: {a-b: c}}]"), NULL), 0);
    assert_ptr_equal(mechanism_find("static_configs"), &mechanism_static);
    assert_ptr_equal(mechanism_find("file_sd_configs"), &mechanism_file);
    assert_null(mechanism_find("bogus_sd_configs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_file_keeps_last_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_that_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conf_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_static, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
