/* Target lists as files spell them, in JSON and in YAML; the same refusals as promtool's. Paths of file discovery. */
#include "discovery/file_paths.h"
#include "discovery/group_list.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct arena *arena;
static const struct label EXTRA = {{"__meta_filepath", 15}, {"x", 1}};

static int read_list(const char *text, bool is_json, enum prometheus_major major, struct group_list *ret,
                     struct errctx *err)
{
    const struct group_list_options opts = {.file = "x", .source = "s", .extra = &EXTRA, .major = major};
    if (is_json) {
        return group_list_from_json(&opts, view_of(text), ret, err);
    }
    struct yaml_node *root = NULL;
    int rc = yaml_parse(arena, "x", view_of(text), &root, err);
    return rc != 0 ? rc : group_list_from_yaml(&opts, root, ret, err);
}

static void check_list(const char *text, bool is_json)
{
    struct group_list l;
    struct errctx err = ERRCTX_INIT;
    if (read_list(text, is_json, PROMETHEUS_2, &l, &err) != 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    assert_int_equal(l.count, 3);
    assert_string_equal(l.items[0]->source, "s:0");
    assert_string_equal(l.items[2]->source, "s:2");
    assert_int_equal(l.items[0]->count, 3);
    assert_true(view_is(labels_get(l.items[0]->targets[1], VIEW("__address__")), "1"));
    assert_int_equal(labels_count(l.items[0]->targets[2]), 0);
    assert_int_equal(labels_count(l.items[0]->common), 2);
    assert_true(view_is(labels_get(l.items[0]->common, VIEW("a")), "b"));
    assert_true(view_is(labels_get(l.items[0]->common, VIEW("__meta_filepath")), "x"));
    assert_int_equal(l.items[1]->count, 0);
    group_list_done(&l);
}

static void test_forms(void **state)
{
    (void)state;
    check_list("[{\"targets\":[\"h:1\",\"1\",null],\"labels\":{\"a\":\"b\",\"n\":null,\"__meta_filepath\":\"own\"}},{"
               "\"targets\":null},"
               "{\"LABELS\":{\"a\":\"b\"},\"Targets\":[]}]",
               true);
    check_list("- targets: [h:1, 1, ~]\n  labels: {a: b, n: , __meta_filepath: own}\n- targets:\n- labels: {a: b}\n",
               false);
}

static void test_empty(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_json;
    } CASES[] = {{"[]", true}, {"null", true}, {"", false}, {"# none", false}, {"[]", false}, {"---\n", false}};
    for (size_t i = 0; i < 6; i++) {
        struct group_list l;
        assert_int_equal(read_list(CASES[i].text, CASES[i].is_json, PROMETHEUS_2, &l, NULL), 0);
        assert_int_equal(l.count, 0);
        group_list_done(&l);
    }
}

static const struct {
    const char *text;
    bool is_json;
    int code;
    const char *message;
} REFUSED[] = {
    {"[null]", true, ERR_INVALID, "x: nil target group item found (index 0)"},
    {"[{\"targets\":[\"a\"],\"foo\":1}]", true, ERR_INVALID, "unknown field \"foo\""},
    {"[{\"targets\":[\"a\"],\"labels\":{\"a-b\":\"c\"}}]", true, ERR_INVALID, "\"a-b\" is not a valid label name"},
    {"[{\"targets\":[\"a\"]}] x", true, ERR_PARSE, "x:1:"},
    {"", true, ERR_PARSE, "x:1:"},
    {"{}", true, ERR_INVALID, "expected a list"},
    {"[{\"targets\":\"a\"}]", true, ERR_INVALID, "targets: expected"},
    {"[{\"targets\":[1]}]", true, ERR_INVALID, "targets: expected"},
    {"[{\"labels\":{\"a\":1}}]", true, ERR_INVALID, "labels: expected"},
    {"[{\"labels\":[]}]", true, ERR_INVALID, "labels: expected"},
    {"[1]", true, ERR_INVALID, "expected an object"},
    {"- ~", false, ERR_INVALID, "x:1:3: nil target group item found (index 0)"},
    {"- targets: [a]\n  foo: 1", false, ERR_INVALID, "x:2:3: field foo not found"},
    {"- labels: {a-b: c}", false, ERR_INVALID, "x:1:12: \"a-b\" is not a valid label name"},
    {"- labels: {a: [c]}", false, ERR_INVALID, "x:1:15: expected a string"},
    {"- targets: a", false, ERR_INVALID, "x:1:12: targets: expected"},
    {"targets: [a]", false, ERR_INVALID, "x:1:1: expected a list"},
    {"- [a", false, ERR_PARSE, "x:"},
    {"- x", false, ERR_INVALID, "x:1:3: expected a mapping"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        struct group_list l = {(void *)1, 7};
        int rc = read_list(REFUSED[i].text, REFUSED[i].is_json, PROMETHEUS_2, &l, &err);
        if (rc != REFUSED[i].code || strstr(err.msg, REFUSED[i].message) == NULL) {
            fail_msg("%s: %d %s", REFUSED[i].text, rc, err.msg);
        }
        assert_int_equal(l.count, 7);
    }
}

/* A megabyte of labels on three thousand targets would be three gigabytes. */
static void test_labels_times_targets_are_bounded(void **state)
{
    struct bytes text;
    struct group_list l = {0};
    struct errctx err = ERRCTX_INIT;
    (void)state;
    bytes_init(&text, 4 << 20);
    bytes_append_str(&text, "[{\"labels\":{\"a\":\"");
    for (int i = 0; i < 1 << 20; i++) {
        bytes_append_char(&text, 'x');
    }
    bytes_append_str(&text, "\"},\"targets\":[");
    for (int i = 0; i < 3000; i++) {
        bytes_append_str(&text, i != 0 ? ",\"a\"" : "\"a\"");
    }
    bytes_append_str(&text, "]}]");
    const struct group_list_options opts = {.file = "x", .source = "x", .major = PROMETHEUS_2};
    assert_int_equal(group_list_from_json(&opts, bytes_view(&text), &l, &err), ERR_LIMIT);
    assert_null(l.items);
    bytes_done(&text);
}

static void test_names_of_3x(void **state)
{
    (void)state;
    struct group_list l;
    assert_int_equal(read_list("[{\"labels\":{\"a-b\":\"c\"}}]", true, PROMETHEUS_3, &l, NULL), 0);
    group_list_done(&l);
    assert_int_equal(read_list("[{\"labels\":{\"\":\"c\"}}]", true, PROMETHEUS_3, &l, NULL), ERR_INVALID);
}

static void test_bad_utf8_in_json(void **state)
{
    (void)state;
    struct group_list l;
    assert_int_equal(read_list("[{\"targets\":[\"a\xff\"]}]", true, PROMETHEUS_2, &l, NULL), 0);
    assert_true(view_is(labels_get(l.items[0]->targets[0], VIEW("__address__")), "a\xef\xbf\xbd"));
    group_list_done(&l);
}

static void test_patterns(void **state)
{
    (void)state;
    const char *good[] = {"a.json", "a/*.yml", "*.yaml", "a/b*c*.JSON", "/x/?.YML", ".json"};
    const char *bad[] = {"a.txt", "*/a.json", "a", "", "a.Json", "a*/b.yml", "json", "a.json "};
    for (size_t i = 0; i < 6; i++) {
        assert_true(file_paths_is_pattern(view_of(good[i])));
    }
    for (size_t i = 0; i < 8; i++) {
        assert_false(file_paths_is_pattern(view_of(bad[i])));
    }
    assert_true(file_paths_is_json("x.JSON"));
    assert_false(file_paths_is_json("x.yml"));
}

static void assert_join(const char *folder, const char *path, const char *want)
{
    char *got = file_paths_join(folder, path);
    assert_string_equal(got, want);
    free(got);
}

/* As Go's filepath.Join prints them. */
static void test_paths(void **state)
{
    (void)state;
    assert_join("/etc/p", "t/*.json", "/etc/p/t/*.json");
    assert_join("/etc/p", "../t.json", "/etc/t.json");
    assert_join("/etc/p", "../../../t.json", "/t.json");
    assert_join("/etc/p/", "./t.json", "/etc/p/t.json");
    assert_join("/etc/p", "/abs/../t.json", "/abs/../t.json");
    assert_join(".", "t.json", "t.json");
    assert_join("", "t.json", "t.json");
    assert_join("a/b", "../../../t.json", "../t.json");
    assert_join("..", "../t.json", "../../t.json");
    assert_join("/", "t.json", "/t.json");
    assert_join("a", "..", ".");
    char *folder = file_paths_folder("/t.json");
    assert_string_equal(folder, "/");
    free(folder);
    folder = file_paths_folder("t.json");
    assert_string_equal(folder, ".");
    free(folder);
    folder = file_paths_folder("a/b/t.json");
    assert_string_equal(folder, "a/b");
    free(folder);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_labels_times_targets_are_bounded),
        cmocka_unit_test(test_names_of_3x), cmocka_unit_test(test_bad_utf8_in_json),
        cmocka_unit_test(test_patterns),    cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
