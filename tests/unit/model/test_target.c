/* Scrape URLs against what Go's net/url prints for the same parts, and the identity rule step by step. */
#include "base/hash.h"
#include "model/target.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct label pair(const char *name, const char *value)
{
    return (struct label){view_of(name), view_of(value)};
}

static struct labels *address_labels(const char *scheme, const char *address, const char *path)
{
    struct label items[] = {pair("__scheme__", scheme), pair("__address__", address), pair("__metrics_path__", path)};
    return labels_make(items, 3);
}

struct url_case {
    const char *scheme, *address, *path, *want;
};

static const struct url_case URL_CASES[] = {
    {"http", "h:80", "/metrics", "http://h:80/metrics"},
    {"https", "[::1]:443", "metrics", "https://[::1]:443/metrics"},
    {"http", "h:1", "/a b/%2f?x", "http://h:1/a%20b/%252f%3Fx"},
    {"", "h:1", "/m", "//h:1/m"},
    {"http", "h\"<>!$'()*@%\xc3\xa9/?#:1", "*", "http://h\"<>!$'()*%40%25%C3%A9%2F%3F%23:1/*"},
    {"http", "", "/m", "http:///m"},
    {"", "", "a:b/c", "./a:b/c"},
    {"http", "", "", "http:"},
    {"", "", "", ""},
    {"http", "h:1", "/!$&'()*+,;=:@-_.~<>\"\xc3\xa9\x01#[]|",
     "http://h:1/%21$&%27%28%29%2A+,;=:@-_.~%3C%3E%22%C3%A9%01%23%5B%5D%7C"},
};

static void test_url(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(URL_CASES) / sizeof(URL_CASES[0]); i++) {
        const struct url_case *c = &URL_CASES[i];
        struct labels *l = address_labels(c->scheme, c->address, c->path);
        char *url = target_url(l, NULL, 0);
        assert_string_equal(url, c->want);
        free(url);
        labels_unref(l);
    }
}

static void assert_query(const struct label *labels, size_t label_count, const struct label *params, size_t param_count,
                         const char *want)
{
    struct labels *l = labels_make(labels, label_count);
    char *url = target_url(l, params, param_count);
    assert_string_equal(url, want);
    free(url);
    labels_unref(l);
}

static void test_query(void **state)
{
    (void)state;
    struct label base[] = {pair("__scheme__", "http"), pair("__address__", "h:1"), pair("__param_z", "L"),
                           pair("__param_new", "n w"), pair("__param_", "e")};
    struct label params[] = {pair("z", "1"), pair("a b", "\xc3\xbc&="), pair("z", "2"), pair("y", "")};
    assert_query(base, 2, params, 3, "http://h:1?a+b=%C3%BC%26%3D&z=1&z=2");
    assert_query(base, 4, params, 4, "http://h:1?a+b=%C3%BC%26%3D&new=n+w&y=&z=L&z=2");
    assert_query(base, 5, NULL, 0, "http://h:1?=e&new=n+w&z=L");
    struct label odd[] = {pair("k", "!$&'()*+,;=:@-_.~/?<>\"\xc3\xa9\x01 #[]|%")};
    assert_query(base, 2, odd, 1,
                 "http://h:1?k=%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40-_.~%2F%3F%3C%3E%22%C3%A9%01+%23%5B%5D%7C%25");
}

/* FNV-1a of "0000000000000042" and the URL, as Go's hash/fnv gives it. */
static void test_fnv_vector(void **state)
{
    (void)state;
    uint64_t h = fnv1a64(FNV1A64_INIT, "0000000000000042", 16);
    assert_true(fnv1a64(h, "http://h:80/metrics", 19) == UINT64_C(14651403417260787753));
}

static void test_hash(void **state)
{
    (void)state;
    struct label full[] = {pair("__address__", "h:1"), pair("__meta_x", "m"), pair("__scrape_interval__", "15s"),
                           pair("__scrape_timeout__", "10s"), pair("job", "j")};
    struct label plain[] = {pair("__address__", "h:1"), pair("job", "j")};
    struct label own_timeout[] = {pair("__address__", "h:1"), pair("__scrape_timeout__", "10s"), pair("job", "j")};
    struct labels *a = labels_make(full, 5), *b = labels_make(plain, 2), *c = labels_make(own_timeout, 3);
    uint64_t hash = target_hash(a, "http://h:1/m", 15000, 10000, 15000, 10000);
    assert_true(hash == target_hash(b, "http://h:1/m", 1, 2, 3, 4));
    assert_true(target_hash(a, "http://h:1/m", 15000, 10000, 15000, 9000) ==
                target_hash(c, "http://h:1/m", 15000, 10000, 15000, 9000));
    assert_true(hash != target_hash(a, "http://h:1/m", 15000, 10000, 15000, 9000));
    assert_true(hash != target_hash(a, "http://h:1/n", 15000, 10000, 15000, 10000));
    char text[64];
    int len = snprintf(text, sizeof(text), "%016" PRIu64 "http://h:1/m", labels_hash(b, NULL, NULL));
    assert_true(hash == fnv1a64(FNV1A64_INIT, text, (size_t)len));
    labels_unref(a);
    labels_unref(b);
    labels_unref(c);
}

static void test_life(void **state)
{
    (void)state;
    struct labels *l = address_labels("http", "h:1", "/m"), *d = labels_ref(l);
    struct target *t = target_new("job", l, d, "http://h:1/m", 15000, 10000, 15000, 10000);
    assert_string_equal(t->url, "http://h:1/m");
    assert_true(t->place_key == target_place_key("job", "http://h:1/m"));
    assert_true(t->place_key != target_place_key("job2", "http://h:1/m"));
    assert_true(t->hash == target_hash(l, "http://h:1/m", 0, 0, 0, 0));
    assert_ptr_equal(target_ref(t), t);
    target_unref(t);
    target_unref(t);
    target_unref(NULL);
    t = target_new_with_hash("job", UINT64_MAX, address_labels("http", "h:1", "/m"), "http://h:1/m", 1, 2);
    assert_true(t->hash == UINT64_MAX);
    assert_null(t->discovered);
    target_unref(t);
    assert_true(target_key_hash("a", 1) != target_key_hash("a", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),  cmocka_unit_test(test_query), cmocka_unit_test(test_fnv_vector),
        cmocka_unit_test(test_hash), cmocka_unit_test(test_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
