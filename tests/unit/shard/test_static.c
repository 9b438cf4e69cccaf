/* Shards from a file: what is read, what is refused and where, and that a shard keeps its group when others come and
 * go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/files.h"
#include "base/mem.h"
#include "shard/static.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[128];
static struct loop *loop;
static unsigned changes;

static void on_change(void *data)
{
    (void)data;
    changes++;
}

static void put(const char *text)
{
    assert_int_equal(files_write_atomic(path, view_of(text), 0644, (gid_t)-1, NULL), 0);
}

static struct provider *start(const char *text)
{
    struct provider *p = NULL;
    put(text);
    assert_int_equal(static_provider_new(loop, path, &p, NULL), 0);
    p->on_change = on_change;
    changes = 0;
    return p;
}

/* "replica/group=id " of every shard, in the order of the list. */
static const char *listing(struct provider *p)
{
    static char text[1024];
    size_t count;
    const struct provider_shard *list = p->ops->list(p, &count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s/%u=%s ", list[i].replica, list[i].group, list[i].id);
    }
    return text;
}

#define SHARD(id) "{id: " id ", url: 'http://" id ":8080/'}"

static void test_read(void **state)
{
    (void)state;
    size_t count;
    struct provider *p =
        start("replicas:\n- shards:\n  - id: a\n    url: http://a:8080/\n    capacity: 5e5\n    zone: z\n"
              "  - {id: b, url: 'https://b', prometheus_url: 'http://p:9090'}\n");
    const struct provider_shard *list = p->ops->list(p, &count);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].api_url, "http://a:8080");
    assert_string_equal(list[0].prometheus_url, "http://a:8080");
    assert_string_equal(list[0].zone, "z");
    assert_int_equal(list[0].capacity_series, 500000);
    assert_string_equal(list[1].prometheus_url, "http://p:9090");
    assert_int_equal(list[1].health, SHARD_HEALTH_READY);
    assert_int_equal(p->ops->desired(p), 2);
    assert_true(p->is_fixed && p->ops->is_known(p));
    p->ops->scale(p, 9, "nothing happens");
    assert_int_equal(p->ops->desired(p), 2);
    p->ops->free(p);
}

static void test_groups_follow_ids(void **state)
{
    (void)state;
    struct provider *p = start("replicas: [{shards: [" SHARD("a") "," SHARD("b") "," SHARD("c") "]}]");
    assert_string_equal(listing(p), "/0=a /1=b /2=c ");
    put("replicas: [{shards: [" SHARD("b") "," SHARD("c") "]}]");
    assert_int_equal(static_provider_reload(p, NULL), 0);
    assert_string_equal(listing(p), "/1=b /2=c ");
    assert_int_equal(p->ops->desired(p), 3);
    assert_int_equal(changes, 1);
    put("replicas: [{shards: [" SHARD("c") "," SHARD("d") "," SHARD("b") "]}]");
    assert_int_equal(static_provider_reload(p, NULL), 0);
    assert_string_equal(listing(p), "/0=d /1=b /2=c ");
    assert_int_equal(static_provider_reload(p, NULL), 0);
    assert_int_equal(changes, 2); /* the same again is no change */
    p->ops->free(p);
}

static void test_replicas_are_paired(void **state)
{
    (void)state;
    struct provider *p =
        start("replicas: [{shards: [" SHARD("a") "," SHARD("b") "]}, {name: x, shards: [{id: a, url: 'http://x'}]}]");
    assert_string_equal(listing(p), "0/0=0/a 0/1=b x/0=x/a ");
    p->ops->free(p);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } CASES[] = {
        {"", "empty"},
        {"[]", "expected replicas"},
        {"replicas: 5", "expected replicas"},
        {"replicas: [5]", ":1:12: expected a replica"},
        {"replica: []", "unknown key 'replica'"},
        {"replicas: [{shards: {}}]", "expected a list"},
        {"replicas: [{shards: [{id: a, uri: x}]}]", ":1:30: unknown key 'uri'"},
        {"replicas: [{shards: [{id: a}]}]", "is no URL"},
        {"replicas: [{shards: [{id: a, url: 'http://'}]}]", "is no URL"},
        {"replicas: [{shards: [{url: 'http://a'}]}]", "without a usable id"},
        {"replicas: [{shards: [{id: [a], url: 'http://a'}]}]", "expected a text"},
        {"replicas: [{shards: [" SHARD("a") "," SHARD("a") "]}]", "listed twice"},
        {"replicas: [{shards: [" SHARD("a") ",{id: b, url: 'http://a:8080'}]}]", "have one URL"},
        {"replicas: [{shards: [{id: a, url: 'http://a', capacity: -1}]}]", "capacity: expected"},
        {"replicas: [{shards: [{id: a, url: 'http://a', capacity: 5x}]}]", "capacity: expected"},
        {"replicas: [{shards: [{id: a, url: 'http://a', capacity: nan}]}]", "capacity: expected"},
        {"replicas: [", "static"},
    };
    struct provider *p = start("replicas: [{shards: [" SHARD("a") "]}]");
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        put(CASES[i].text);
        assert_true(static_provider_reload(p, &err) < 0);
        if (strstr(err.msg, CASES[i].message) == NULL) {
            assert_string_equal(err.msg, CASES[i].message);
        }
        assert_string_equal(listing(p), "/0=a "); /* the last good list stays */
    }
    assert_int_equal(changes, 0);
    unlink(path);
    assert_true(static_provider_reload(p, NULL) < 0);
    p->ops->free(p);
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(static_provider_new(loop, path, &p, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, path));
}

static int begin(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "test_static.%d.yml", (int)getpid());
    loop = loop_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    loop_free(&loop);
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_groups_follow_ids),
        cmocka_unit_test(test_replicas_are_paired),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
