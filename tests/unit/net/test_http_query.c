/* Targets, queries and base64. */
#include "base/invariant.h"
#include "base/mem.h"
#include "net/http_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* The text, ending where the mapping ends: reading one byte too far is a fault. */
static struct view guarded(const char *text, void **ret_map)
{
    size_t len = strlen(text), page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED && len <= page);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    memcpy(map + page - len, text, len);
    *ret_map = map;
    return view_make(map + page - len, len);
}

static void guarded_done(void *map)
{
    munmap(map, (size_t)sysconf(_SC_PAGESIZE) * 2);
}

static void check_decode(const char *in, bool plus, const char *want)
{
    void *map;
    char out[64];
    size_t n = http_percent_decode(guarded(in, &map), plus, out);
    if (want == NULL) {
        assert_true(n == SIZE_MAX);
    } else {
        assert_true(view_is(view_make(out, n), want));
    }
    guarded_done(map);
}

static void test_percent(void **state)
{
    (void)state;
    check_decode("", false, "");
    check_decode("a+b", false, "a+b");
    check_decode("a+b", true, "a b");
    check_decode("%41", false, "A");
    check_decode("x%4a%4Ay", false, "xJJy");
    check_decode("%", false, NULL);
    check_decode("a%4", false, NULL);
    check_decode("%zz", false, NULL);
    check_decode("%4z", false, NULL);
    check_decode("%%41", false, NULL);
    check_decode("%c3%a9", false, "\xc3\xa9");
}

static void check_target(const char *target, const char *want_path, const char *want_query)
{
    void *map;
    struct arena *arena = arena_new();
    struct view path = VIEW("untouched"), query = VIEW("untouched");
    bool ok = http_target_split(guarded(target, &map), arena, &path, &query);
    assert_int_equal(ok, want_path != NULL);
    assert_true(view_is(path, want_path != NULL ? want_path : "untouched"));
    assert_int_equal(query.base != NULL, want_path == NULL || want_query != NULL);
    if (want_path != NULL && want_query != NULL) {
        assert_true(view_is(query, want_query));
    }
    arena_free(&arena);
    guarded_done(map);
}

static void test_target(void **state)
{
    (void)state;
    check_target("/", "/", NULL);
    check_target("/?", "/", "");
    check_target("/a/b?x=%2F?y", "/a/b", "x=%2F?y");
    check_target("/a%2fb", "/a/b", NULL);
    check_target("http://h:1/a?b", "/a", "b");
    check_target("https://h/a", "/a", NULL);
    check_target("http://h", NULL, NULL);
    check_target("http://h?x", NULL, NULL);
    check_target("", NULL, NULL);
    check_target("*", NULL, NULL);
    check_target("a/b", NULL, NULL);
    check_target("/..", NULL, NULL);
    check_target("/a/../b", NULL, NULL);
    check_target("/a/%2e./b", NULL, NULL);
    check_target("/a%2f..", NULL, NULL);
    check_target("/a/..b/...", "/a/..b/...", NULL);
    check_target("/%00", NULL, NULL);
    check_target("/%", NULL, NULL);
}

static void check_query(const char *query, const char *name, size_t index, const char *want)
{
    void *map;
    struct arena *arena = arena_new();
    struct view value = {NULL, 0};
    bool ok = http_query_find(guarded(query, &map), view_of(name), index, arena, &value);
    assert_int_equal(ok, want != NULL);
    if (want != NULL) {
        assert_true(view_is(value, want));
    }
    arena_free(&arena);
    guarded_done(map);
}

static void test_query(void **state)
{
    (void)state;
    check_query("", "a", 0, NULL);
    check_query("a", "a", 0, "");
    check_query("a=", "a", 0, "");
    check_query("&&a=1&", "a", 0, "1");
    check_query("a=1&b=2&a=3", "a", 0, "1");
    check_query("a=1&b=2&a=3", "a", 1, "3");
    check_query("a=1&b=2&a=3", "a", 2, NULL);
    check_query("a=%zz&a=2", "a", 0, "2");
    check_query("%61=x+y%3d", "a", 0, "x y=");
    check_query("%6=1", "a", 0, NULL);
    check_query("a=1=2", "a", 0, "1=2");
    check_query("=1", "", 0, "1");
    check_query("ab=1", "a", 0, NULL);
    check_query("a+b=1", "a b", 0, "1");
}

static void check_base64(const char *in, const char *want)
{
    void *map;
    char out[64];
    size_t n = http_base64_decode(guarded(in, &map), out);
    if (want == NULL) {
        assert_true(n == SIZE_MAX);
    } else {
        assert_true(view_is(view_make(out, n), want));
    }
    guarded_done(map);
}

static void test_base64(void **state)
{
    (void)state;
    check_base64("", "");
    check_base64("YQ==", "a");
    check_base64("YWI=", "ab");
    check_base64("YWJj", "abc");
    check_base64("YWxpY2U6c2VjcmV0", "alice:secret");
    check_base64("//79", "\xff\xfe\xfd");
    check_base64("YQ=", NULL);
    check_base64("YQ", NULL);
    check_base64("====", NULL);
    check_base64("Y===", NULL);
    check_base64("YQ==YQ==", NULL);
    check_base64("YW-_", NULL);
    check_base64("Y Q=", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
