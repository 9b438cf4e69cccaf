/* The table of what may be scraped: by shard, job and hash, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/intern.h"
#include "proxy/table.h"

static struct target *make(const char *job, const char *host)
{
    const struct label items[] = {{VIEW("__address__"), view_of(host)}, {VIEW("job"), view_of(job)}};
    return target_new(intern(job), labels_make(items, 2), NULL, host, 1000, 1000, 1000, 1000);
}

static struct promconf *empty_conf(void)
{
    const struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *conf = NULL;
    assert_int_equal(promconf_parse("/p.yml", VIEW("scrape_configs: []"), &opts, &conf, NULL), 0);
    return conf;
}

static void lookups(void **state)
{
    struct promconf *conf = empty_conf();
    struct assignment a[2] = {{.target = make("a", "http://h1:1/")},
                              {.target = make("b", "http://h2:1/"), .state = ASSIGNMENT_LEAVING}};
    uint64_t h0 = a[0].target->hash, h1 = a[1].target->hash;
    const char *shard = NULL;
    (void)state;
    struct proxy_table *t = proxy_table_new(conf, 7);
    proxy_table_add(t, intern("shard-0"), a, 2);
    assert_int_equal(proxy_table_generation(t), 7);
    assert_string_equal(proxy_table_stop_reason(t), "");
    /* the only shard need not be named */
    assert_ptr_equal(proxy_table_find(t, VIEW(""), VIEW("a"), h0, &shard), a[0].target);
    assert_string_equal(shard, "shard-0");
    assert_ptr_equal(proxy_table_find(t, VIEW("shard-0"), VIEW("b"), h1, &shard), a[1].target);
    assert_null(proxy_table_find(t, VIEW("shard-0"), VIEW("b"), h0, &shard));
    assert_null(proxy_table_find(t, VIEW("shard-0"), VIEW("a"), h0 + 1, &shard));
    assert_null(proxy_table_find(t, VIEW("shard-1"), VIEW("a"), h0, &shard));
    proxy_table_add(t, intern("shard-1"), a, 1);
    assert_null(proxy_table_find(t, VIEW(""), VIEW("a"), h0, &shard));
    assert_ptr_equal(proxy_table_find(t, VIEW("shard-1"), VIEW("a"), h0, &shard), a[0].target);
    proxy_table_set_stop_reason(t, "maintenance");
    assert_string_equal(proxy_table_stop_reason(t), "maintenance");
    /* the table keeps its targets alive */
    target_unref(a[0].target);
    target_unref(a[1].target);
    assert_true(proxy_table_find(t, VIEW("shard-0"), VIEW("a"), h0, &shard)->hash == h0);
    proxy_table_unref(proxy_table_ref(t));
    proxy_table_unref(t);
    promconf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lookups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
