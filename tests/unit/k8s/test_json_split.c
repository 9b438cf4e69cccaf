/* Cutting streams: every place of a cut gives the same pieces; what is no stream of objects is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "k8s/json_split.h"

#include <stdio.h>
#include <stdlib.h>

struct seen {
    char text[4096];
    size_t count, too_big;
    int rc;
};

static int on_piece(void *data, struct view piece)
{
    struct seen *s = data;
    s->count++;
    if (piece.base == NULL) {
        s->too_big++;
        return s->rc;
    }
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "<%.*s>", VIEW_FMT(piece));
    return s->rc;
}

/* Feeds text in two portions, cut at `at`; the code of feed and end. */
static int feed(enum json_split_mode mode, const char *text, size_t at, struct seen *seen, char *rest, size_t rest_size)
{
    struct json_split s;
    json_split_init(&s, mode);
    *seen = (struct seen){.rc = 0};
    int rc = json_split_feed(&s, view_make(text, at), on_piece, seen, NULL);
    rc = rc == 0 ? json_split_feed(&s, view_of(text + at), on_piece, seen, NULL) : rc;
    rc = rc == 0 ? json_split_end(&s, NULL) : rc;
    snprintf(rest, rest_size, "%.*s", VIEW_FMT(bytes_view(&s.rest)));
    json_split_done(&s);
    return rc;
}

static void expect(enum json_split_mode mode, const char *text, int rc, const char *pieces, const char *rest)
{
    for (size_t at = 0; at <= strlen(text); at++) {
        struct seen seen;
        char got[1024];
        assert_int_equal(feed(mode, text, at, &seen, got, sizeof(got)), rc);
        assert_string_equal(seen.text, pieces);
        if (rest != NULL) {
            assert_string_equal(got, rest);
        }
    }
}

static void test_events(void **state)
{
    (void)state;
    expect(JSON_SPLIT_EVENTS, "", 0, "", "");
    expect(JSON_SPLIT_EVENTS, "{\"a\":1}\n{\"b\":{\"c\":[{}]}}", 0, "<{\"a\":1}><{\"b\":{\"c\":[{}]}}>", "");
    expect(JSON_SPLIT_EVENTS, "{\"a\":\"}\\\"{\\\\\"}{}", 0, "<{\"a\":\"}\\\"{\\\\\"}><{}>", "");
    expect(JSON_SPLIT_EVENTS, "{\"a\":\"\\\\\\\"\\u007d\"}", 0, "<{\"a\":\"\\\\\\\"\\u007d\"}>", "");
}

static void test_events_that_are_none(void **state)
{
    (void)state;
    expect(JSON_SPLIT_EVENTS, "{}{\"a\":", ERR_PARSE, "<{}>", NULL);
    expect(JSON_SPLIT_EVENTS, "{\"a\":\"x", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_EVENTS, "{} 7", ERR_PARSE, "<{}>", NULL);
    expect(JSON_SPLIT_EVENTS, "[{}]", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_EVENTS, "}", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_EVENTS, "<html>", ERR_PARSE, "", NULL);
}

static void test_items(void **state)
{
    (void)state;
    expect(JSON_SPLIT_ITEMS, "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{\"a\":[1]}, {}]}", 0,
           "<{\"a\":[1]}><{}>", "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[]}");
    expect(JSON_SPLIT_ITEMS, "{ \"items\" : [ ] , \"x\" : [ { } ] }", 0, "", "{\"items\":[],\"x\":[{}]}");
    expect(JSON_SPLIT_ITEMS, "{\"items\":null}", 0, "", "{\"items\":null}");
    expect(JSON_SPLIT_ITEMS, "{\"x\":\"items\",\"y\":[{}],\"z\":{\"items\":[{}]},\"items\":[{\"items\":[{}]}]}", 0,
           "<{\"items\":[{}]}>", "{\"x\":\"items\",\"y\":[{}],\"z\":{\"items\":[{}]},\"items\":[]}");
    expect(JSON_SPLIT_ITEMS, "{\"itemss\":[{}],\"item\":[{}]}", 0, "", "{\"itemss\":[{}],\"item\":[{}]}");
}

static void test_lists_that_are_none(void **state)
{
    (void)state;
    expect(JSON_SPLIT_ITEMS, "", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_ITEMS, "[]", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_ITEMS, "{\"items\":[{}", ERR_PARSE, "<{}>", NULL);
    expect(JSON_SPLIT_ITEMS, "{\"items\":[1]}", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_ITEMS, "{\"items\":[\"{}\"]}", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_ITEMS, "{}{}", ERR_PARSE, "", NULL);
    expect(JSON_SPLIT_ITEMS, "<html>", ERR_PARSE, "", NULL);
}

static void test_a_piece_that_is_too_large_costs_itself_only(void **state)
{
    (void)state;
    size_t len = JSON_SPLIT_PIECE_MAX + 10;
    char *huge = mem_alloc(len);
    struct json_split s;
    struct seen seen = {.rc = 0};
    memset(huge, 'x', len);
    json_split_init(&s, JSON_SPLIT_EVENTS);
    assert_int_equal(json_split_feed(&s, VIEW("{\"a\":\""), on_piece, &seen, NULL), 0);
    assert_int_equal(json_split_feed(&s, view_make(huge, len), on_piece, &seen, NULL), 0);
    assert_int_equal(json_split_feed(&s, VIEW("\"}{\"b\":1}"), on_piece, &seen, NULL), 0);
    assert_int_equal(json_split_end(&s, NULL), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.too_big, 1);
    assert_string_equal(seen.text, "<{\"b\":1}>");
    json_split_done(&s);

    struct errctx err = ERRCTX_INIT;
    json_split_init(&s, JSON_SPLIT_ITEMS);
    assert_int_equal(json_split_feed(&s, VIEW("{\"kind\":\""), on_piece, &seen, &err), 0);
    assert_int_equal(json_split_feed(&s, view_make(huge, len), on_piece, &seen, &err), ERR_LIMIT);
    assert_non_null(strstr(err.msg, "larger than"));
    json_split_done(&s);
    free(huge);
}

static void test_depth_needs_no_stack(void **state)
{
    (void)state;
    size_t depth = 1000000;
    char *text = mem_alloc(2 * depth);
    struct json_split s;
    struct seen seen = {.rc = 0};
    for (size_t i = 0; i < depth; i++) {
        text[i] = '{';
        text[2 * depth - 1 - i] = '}';
    }
    json_split_init(&s, JSON_SPLIT_EVENTS);
    assert_int_equal(json_split_feed(&s, view_make(text, 2 * depth), on_piece, &seen, NULL), 0);
    assert_int_equal(seen.count, 1);
    json_split_done(&s);
    free(text);
}

static void test_the_reader_may_stop(void **state)
{
    (void)state;
    struct json_split s;
    struct seen seen = {.rc = ERR_CANCELLED};
    json_split_init(&s, JSON_SPLIT_EVENTS);
    assert_int_equal(json_split_feed(&s, VIEW("{}{}{}"), on_piece, &seen, NULL), ERR_CANCELLED);
    assert_int_equal(seen.count, 1);
    json_split_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_that_are_none),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_lists_that_are_none),
        cmocka_unit_test(test_a_piece_that_is_too_large_costs_itself_only),
        cmocka_unit_test(test_depth_needs_no_stack),
        cmocka_unit_test(test_the_reader_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
