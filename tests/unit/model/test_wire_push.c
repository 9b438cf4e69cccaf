/* What a coordinator may send besides targets, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/intern.h"
#include "base/mem.h"
#include "model/wire_push.h"

#include <stdlib.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_t *root = wire_parse(view_of(text), 1 << 20, NULL);
    assert_non_null(root);
    return root;
}

static void test_numbers(void **unused)
{
    static const struct {
        const char *body, *header;
        int rc;
        uint64_t generation, epoch;
        bool has_epoch;
    } ROWS[] = {
        {"{}", NULL, 0, 0, 0, false},
        {"{\"generation\":null,\"epoch\":null}", NULL, 0, 0, 0, false},
        {"{\"generation\":7}", NULL, 0, 7, 0, false},
        {"{\"generation\":18446744073709551615,\"epoch\":9223372036854775808}", NULL, 0, UINT64_MAX, (uint64_t)1 << 63, true},
        {"{\"epoch\":0}", NULL, 0, 0, 0, true},
        {"{\"epoch\":9}", "3", 0, 0, 3, true},
        {"{}", "18446744073709551615", 0, 0, UINT64_MAX, true},
        {"{}", "0", 0, 0, 0, true},
        {"{}", "18446744073709551616", ERR_INVALID, 0, 0, false},
        {"{}", "", ERR_INVALID, 0, 0, false},
        {"{}", " 3", ERR_INVALID, 0, 0, false},
        {"{}", "-3", ERR_INVALID, 0, 0, false},
        {"{\"epoch\":-1}", NULL, ERR_INVALID, 0, 0, false},
        {"{\"epoch\":-1}", "3", ERR_INVALID, 0, 0, false}, /* broken is broken, whoever wins */
        {"{\"epoch\":1.0}", NULL, ERR_INVALID, 0, 0, false},
        {"{\"epoch\":true}", NULL, ERR_INVALID, 0, 0, false},
        {"{\"generation\":\"x\"}", NULL, ERR_INVALID, 0, 0, false},
        {"{\"generation\":{}}", NULL, ERR_INVALID, 0, 0, false},
        {"[]", NULL, ERR_INVALID, 0, 0, false},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct wire_push got = {.generation = 77, .epoch = 77};
        struct errctx err = ERRCTX_INIT;
        json_t *root = parse(ROWS[i].body);
        struct view header = ROWS[i].header != NULL ? view_of(ROWS[i].header) : view_make(NULL, 0);
        assert_int_equal(wire_read_push(root, header, &got, &err), ROWS[i].rc);
        if (ROWS[i].rc == 0) {
            assert_true(got.generation == ROWS[i].generation && got.epoch == ROWS[i].epoch);
            assert_int_equal(got.has_epoch, ROWS[i].has_epoch);
        } else {
            assert_true(got.generation == 77 && got.epoch == 77 && err.msg[0] != '\0');
        }
        json_decref(root);
    }
}

static void test_configuration_and_reason(void **unused)
{
    (void)unused;
    static const char *const BAD_TEXTS[] = {"{}", "{\"rawContent\":1}", "{\"rawContent\":null}", "[]"};
    static const char *const BAD_REASONS[] = {"[]", "{\"stopScrapeReason\":1}", "{\"stopScrapeReason\":[]}", "\"x\""};
    struct view text;
    char *reason = NULL;
    for (size_t i = 0; i < 4; i++) {
        json_t *a = wire_parse(view_of(BAD_TEXTS[i]), 1000, NULL), *b = json_loads(BAD_REASONS[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(wire_read_raw_config(a, &text, NULL), ERR_INVALID);
        assert_int_equal(wire_read_stop_reason(b, &reason, NULL), ERR_INVALID);
        assert_null(reason);
        json_decref(a);
        json_decref(b);
    }
    json_t *root = parse("{\"rawContent\":\"a: b\\n\\u0000c\",\"stopScrapeReason\":\"disk\"}");
    assert_int_equal(wire_read_raw_config(root, &text, NULL), 0);
    assert_int_equal(text.len, 7);
    assert_int_equal(wire_read_stop_reason(root, &reason, NULL), 0);
    assert_string_equal(reason, "disk");
    free(reason);
    json_decref(root);
    root = parse("{\"stopScrapeReason\":null}");
    assert_int_equal(wire_read_stop_reason(root, &reason, NULL), 0);
    assert_string_equal(reason, "");
    free(reason);
    json_decref(root);
}

static void test_new_jobs_are_counted_before_they_stay(void **unused)
{
    (void)unused;
    json_t *root = parse("{\"Targets\":{\"push-known\":[],\"push-new-1\":[],\"push-new-2\":null}}");
    intern("push-known");
    assert_int_equal(wire_count_new_jobs(root), 2);
    assert_null(intern_find("push-new-1"));
    json_decref(root);
    root = parse("{\"Targets\":[]}");
    assert_int_equal(wire_count_new_jobs(root), 0);
    json_decref(root);
}

static void test_too_many_members_are_refused_before_a_tree_is_made(void **unused)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes text;
    (void)unused;
    bytes_init(&text, (size_t)64 << 20);
    bytes_append_char(&text, '[');
    for (size_t i = 0; i < 1100000; i++) {
        bytes_append_str(&text, "{},");
    }
    bytes_append_str(&text, "{}]");
    assert_null(wire_parse(bytes_view(&text), (size_t)64 << 20, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    /* the same signs in a string are a string */
    bytes_clear(&text);
    bytes_append_str(&text, "[\"");
    for (size_t i = 0; i < 3000000; i++) {
        bytes_append_str(&text, "{[");
    }
    bytes_append_str(&text, "\"]");
    json_t *root = wire_parse(bytes_view(&text), (size_t)64 << 20, NULL);
    assert_non_null(root);
    json_decref(root);
    bytes_done(&text);
}

static void test_extra_config_is_json_in_json(void **unused)
{
    struct bytes out;
    struct json_writer w;
    (void)unused;
    bytes_init(&out, 4096);
    json_writer_init(&w, &out);
    wire_write_extra(&w, "say \"no\"");
    json_t *root = parse(out.base), *inner = parse(json_string_value(json_object_get(root, "json")));
    assert_string_equal(json_string_value(json_object_get(inner, "stopScrapeReason")), "say \"no\"");
    json_decref(root);
    json_decref(inner);
    bytes_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_configuration_and_reason),
        cmocka_unit_test(test_new_jobs_are_counted_before_they_stay),
        cmocka_unit_test(test_too_many_members_are_refused_before_a_tree_is_made),
        cmocka_unit_test(test_extra_config_is_json_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
