/* Patterns: what is fast and what is not, both forms against each other, Go's language and words, template expansion.
 */
#include "base/bytes.h"
#include "relabel/pattern.h"
#include "relabel/template.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct arena *arena;

static struct pattern *compile(const char *re, enum prometheus_major major, bool fast)
{
    struct pattern *p = NULL;
    struct errctx err = ERRCTX_INIT;
    if (pattern_compile(arena, view_of(re), major, fast, &p, &err) != 0) {
        fail_msg("%s: %s", re, err.msg);
    }
    return p;
}

static const char *const FAST[] = {
    "",         "(.*)",   ".*",         ".+",    "(.+)",        "foo",         "foo|bar",   "(foo|bar)",
    "(?:a|b|)", "foo.*",  "(.*)foo",    ".*o.*", "(.*):(.*)",   "(.+)-(.+)-x", "a\\.b\\.c", "\\[x\\]|\\_",
    "(?:.*)b",  ".*aa.*", "(.*)aa(.+)", "h(.*)", "(.+)/(.*)/b", "a|a",         "()",        "\xc3\xa9|b",
};
static const char *const SLOW[] = {
    "(a|b)c", "a*",   "a?b",   "foo.*?", ".*.*",    "(?i)foo", "[a]",       "\\d+",     "a{2}",  "(?P<n>.*)", "(a)(b)",
    "a.b",    ".*|a", "^foo$", "(.*)+",  "\\Qa\\E", "(|a)b",   "(foo|ba.)", "(?:foo)x", "((a))", "a\nb",
};
static const char *const TEXTS[] = {
    "",      "a",        "b",     "foo",  "bar",     "foobar",  "xfoo",   "oo",   ":",    "a:b",
    "a:b:c", "::",       "a-b-x", "a--x", "-a-x",    "a.b.c",   "axbxc",  "[x]",  "_",    "aaa",
    "aaaa",  "aab",      "h",     "h1",   "a/b/b",   "/b",      "//b",    "a//b", "a\nb", "foo\n",
    "\n",    "\xc3\xa9", "b\xff", "\xff", "a\xff:b", "foo\xc3", "aaaaab", "faa",  "caab", "a-b-c-x",
};
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void assert_same(const char *re, const char *text, enum prometheus_major major)
{
    struct view fast[4], slow[4];
    struct pattern *p = compile(re, major, true), *q = compile(re, major, false);
    bool is_match = pattern_match(p, view_of(text), fast, 4);
    assert_int_equal(is_match, pattern_match(q, view_of(text), slow, 4));
    for (int i = 0; is_match && i < 4; i++) {
        if (!view_equal(fast[i], slow[i]) || (fast[i].base == NULL) != (slow[i].base == NULL)) {
            fail_msg("regex %s on '%s': group %d is '%.*s', by the engine '%.*s'", re, text, i, VIEW_FMT(fast[i]),
                     VIEW_FMT(slow[i]));
        }
    }
    assert_int_equal(is_match, pattern_match(p, view_of(text), NULL, 0));
    pattern_free(p);
    pattern_free(q);
}

static void test_fast_equals_engine(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(FAST); i++) {
        struct pattern *p = compile(FAST[i], PROMETHEUS_2, true);
        if (!pattern_is_fast(p)) {
            fail_msg("%s should have a fast form", FAST[i]);
        }
        pattern_free(p);
        for (size_t k = 0; k < LEN(TEXTS); k++) {
            assert_same(FAST[i], TEXTS[k], PROMETHEUS_2);
            assert_same(FAST[i], TEXTS[k], PROMETHEUS_3);
        }
    }
}

static void test_slow_is_slow(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(SLOW); i++) {
        struct pattern *p = compile(SLOW[i], PROMETHEUS_2, true);
        if (pattern_is_fast(p)) {
            fail_msg("%s must go to the engine", SLOW[i]);
        }
        pattern_free(p);
    }
}

static bool matches(const char *re, const char *text, enum prometheus_major major)
{
    struct pattern *p = compile(re, major, true);
    bool is_match = pattern_match(p, view_of(text), NULL, 0);
    pattern_free(p);
    return is_match;
}

static void test_versions(void **state)
{
    (void)state;
    assert_false(matches("(.*)", "a\nb", PROMETHEUS_2));
    assert_true(matches("(.*)", "a\nb", PROMETHEUS_3));
    assert_false(matches("a.b", "a\nb", PROMETHEUS_2));
    assert_true(matches("a.b", "a\nb", PROMETHEUS_3));
    assert_true(matches("(?<n>a)", "a", PROMETHEUS_3));
    assert_false(matches("a", "a\n", PROMETHEUS_3));
}

static void test_language(void **state)
{
    (void)state;
    assert_true(matches("(?P<n>a)|(?P<n>b)", "b", PROMETHEUS_2));
    assert_true(matches("\\pL+", "\xc3\xa9t\xc3\xa9", PROMETHEUS_2));
    assert_true(matches("[[:alpha:]]+\\d\\s\\_", "ab1 _", PROMETHEUS_2));
    assert_true(matches("\\Qa(\\C\\E", "a(\\C", PROMETHEUS_2));
    assert_true(matches("(?i)FOO", "foo", PROMETHEUS_2));
    assert_true(matches("a)(?:b", "ab", PROMETHEUS_2));
    assert_true(matches("[[:^alpha:](?<]", "(", PROMETHEUS_2));
    assert_true(matches("[]a]", "]", PROMETHEUS_2));
    assert_true(matches(".", "\xff", PROMETHEUS_2));
    assert_true(matches("[^a]b",
                        "\xff"
                        "b",
                        PROMETHEUS_2));
    assert_false(matches("..", "\xff", PROMETHEUS_2));
}

static const struct {
    const char *re, *want;
} REFUSED[] = {
    {"(?<n>a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?<`"},
    {"\\C", "error parsing regexp: invalid escape sequence: `\\C`"},
    {"(?P<\xc3\xa9>a)", "error parsing regexp: invalid named capture: `(?P<\xc3\xa9>`"},
    {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
    {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
    {"(a", "error parsing regexp: missing closing ): `^(?:(a)$`"},
    {"a)", "error parsing regexp: unexpected ): `^(?:a))$`"},
    {"[a", "error parsing regexp: missing closing ]: `[a)$`"},
    {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
    {"\\q", "error parsing regexp: invalid escape sequence: `\\q`"},
    {"(?P<n", "error parsing regexp: invalid named capture: `(?P<n)$`"},
    {"(?x)a", "error parsing regexp: invalid or unsupported Perl syntax: `(?x`"},
    {"*", "error parsing regexp: missing argument to repetition operator: `*`"},
    {"a{2,1}", "error parsing regexp: invalid repeat count: `{2,1}`"},
    {"\\p{Foo}", "error parsing regexp: invalid character class range: `\\p{Foo}`"},
    {"[[:foo:]]", "error parsing regexp: invalid character class range: `[:foo:]`"},
    {"a\\", "error parsing regexp: missing closing ): `^(?:a\\)$`"},
    {"(?P<a b>x)", "error parsing regexp: invalid named capture: `(?P<a b>`"},
    {"(?P<>x)", "error parsing regexp: invalid named capture: `(?P<>`"},
    {"(?!x)", "error parsing regexp: invalid or unsupported Perl syntax: `(?!`"},
    {"(?P<n>?:a)", "error parsing regexp: missing argument to repetition operator: `?`"},
    {"\\1", "error parsing regexp: invalid escape sequence: `\\1`"},
    {"[\\Qa]", "error parsing regexp: invalid escape sequence: `\\Q`"},
};

/* The texts are those of promtool 2.42. */
static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(REFUSED); i++) {
        struct errctx err = ERRCTX_INIT;
        struct pattern *p = NULL;
        assert_int_equal(pattern_compile(arena, view_of(REFUSED[i].re), PROMETHEUS_2, true, &p, &err), ERR_INVALID);
        assert_null(p);
        assert_string_equal(err.msg, REFUSED[i].want);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    struct pattern *p = NULL;
    char *text = malloc(PATTERN_BYTES_MAX + 2);
    memset(text, 'a', PATTERN_BYTES_MAX + 1);
    assert_int_equal(pattern_compile(arena, view_make(text, PATTERN_BYTES_MAX + 1), PROMETHEUS_2, true, &p, &err),
                     ERR_LIMIT);
    errctx_clear(&err);
    memset(text, '(', 5000);
    assert_int_equal(pattern_compile(arena, view_make(text, 5000), PROMETHEUS_2, true, &p, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "expression nests too deeply"));
    errctx_clear(&err);
    assert_int_equal(pattern_compile(arena, VIEW("((\\pL{999}){1000}|\\PL{1000}){1,1}(\\pL{1000})(\\pN{1000}.{1000})"),
                                     PROMETHEUS_2, true, &p, &err),
                     ERR_INVALID);
    free(text);
}

static void test_large_alternation(void **state)
{
    (void)state;
    struct bytes re;
    bytes_init(&re, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        bytes_printf(&re, "%shost-%05d\\.example", i == 0 ? "" : "|", i * 7919 % 20000);
    }
    struct pattern *p = compile(re.base, PROMETHEUS_2, true);
    assert_true(pattern_is_fast(p));
    assert_true(pattern_match(p, VIEW("host-13333.example"), NULL, 0));
    assert_false(pattern_match(p, VIEW("host-20000.example"), NULL, 0));
    pattern_free(p);
    bytes_done(&re);
}

static const struct {
    const char *text, *want;
} TEMPLATES[] = {
    {"$1", "f"},
    {"${1}", "f"},
    {"$n", "f"},
    {"${n}", "f"},
    {"$0", "foo"},
    {"$1_x", ""},
    {"$1x", ""},
    {"$nn", ""},
    {"$\xc3\xa9", ""},
    {"${1}_x", "f_x"},
    {"$1-x", "f-x"},
    {"$10", ""},
    {"${10}", ""},
    {"$01", ""},
    {"${01}", ""},
    {"$$1", "$1"},
    {"$$", "$"},
    {"$", "$"},
    {"x$", "x$"},
    {"$-1", "$-1"},
    {"$(1)", "$(1)"},
    {"${1", "${1"},
    {"${ 1}", "${ 1}"},
    {"\\1", "\\1"},
    {"", ""},
    {"a$2b$2", "aoo"},
    {"$2-$1", "oo-f"},
    {"$1$$$2", "f$oo"},
    {"${}", "${}"},
    {"$1$", "f$"},
    {"$\xe2\x82\xac", "$\xe2\x82\xac"},
    {"$100000000000", ""},
    {"$$$1", "$f"},
};

static void test_templates(void **state)
{
    (void)state;
    struct view groups[3];
    struct pattern *p = compile("(?P<n>f)(o+)", PROMETHEUS_2, true);
    assert_true(pattern_match(p, VIEW("foo"), groups, 3));
    for (size_t i = 0; i < LEN(TEMPLATES); i++) {
        struct template *t = template_compile(arena, view_of(TEMPLATES[i].text), p);
        assert_true(template_groups_needed(t) <= 3);
        struct view got = template_expand(t, groups, arena, 100);
        if (!view_is(got, TEMPLATES[i].want) || got.base == NULL) {
            fail_msg("%s gave '%.*s'", TEMPLATES[i].text, VIEW_FMT(got));
        }
    }
    struct template *t = template_compile(arena, VIEW("$0$0"), p);
    assert_null(template_expand(t, groups, arena, 5).base);
    assert_true(view_is(template_expand(t, groups, arena, 6), "foofoo"));
    pattern_free(p);
}

static void test_absent_and_repeated_names(void **state)
{
    (void)state;
    struct view groups[4];
    struct pattern *p = compile("(?P<n>a)|(?P<n>b)|(c)", PROMETHEUS_2, true);
    struct template *t = template_compile(arena, VIEW("<$n$3>"), p);
    assert_int_equal(pattern_group_count(p), 3);
    assert_true(pattern_match(p, VIEW("b"), groups, 4));
    assert_true(view_is(template_expand(t, groups, arena, 100), "<b>"));
    assert_true(pattern_match(p, VIEW("c"), groups, 4));
    assert_true(view_is(template_expand(t, groups, arena, 100), "<c>"));
    pattern_free(p);
}

static void test_replace_all(void **state)
{
    (void)state;
    struct pattern *p = compile("a)|(?:b", PROMETHEUS_2, true);
    struct template *t = template_compile(arena, VIEW("<$0>"), p);
    assert_true(view_is(pattern_replace_all(p, t, VIEW("axb"), arena, 100), "<a>x<b>"));
    assert_null(pattern_replace_all(p, t, VIEW("xax"), arena, 100).base);
    assert_null(pattern_replace_all(p, t, VIEW("axb"), arena, 6).base);
    pattern_free(p);
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
        cmocka_unit_test(test_fast_equals_engine),
        cmocka_unit_test(test_slow_is_slow),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_large_alternation),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_replace_all),
        cmocka_unit_test(test_absent_and_repeated_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
