/* Answers of a Consul agent: labels, addresses, health, what a bad entry costs, the rules of the index. */
#include "base/bytes.h"
#include "base/mem.h"
#include "discovery/consul_read.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct target_group *read_ok(const char *body, size_t *ret_skipped)
{
    const struct consul_instances of = {"web", "dc1", ","};
    struct errctx err = ERRCTX_INIT;
    struct target_group *g = NULL;
    if (consul_read_instances(&of, view_of(body), &g, ret_skipped, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return g;
}

static void assert_label(const struct labels *l, const char *name, const char *value)
{
    struct view v = labels_get(l, view_of(name));
    if (!view_is(v, value)) {
        fail_msg("%s is \"%.*s\", expected \"%s\"", name, VIEW_FMT(v), value);
    }
}

static void test_labels(void **state)
{
    size_t skipped = 9;
    struct target_group *g = read_ok(
        "[{\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.1\",\"Meta\":{\"rack-id\":\"r1\",\"nul\":null},"
        "\"TaggedAddresses\":{\"lan.v4\":\"10.0.0.1\"},\"ModifyIndex\":18446744073709551615},"
        "\"Service\":{\"ID\":\"web-1\",\"Tags\":[\"a\",\"b\"],\"Address\":\"\",\"Port\":8080,\"Namespace\":\"ns\","
        "\"Partition\":\"pt\",\"Meta\":{\"v\":\"1\"}},\"Checks\":[]},"
        "{\"Node\":{\"Node\":\"n2\",\"Address\":\"10.0.0.2\"},\"Service\":{\"Address\":\"fd00::2\",\"Port\":0,\"Tags\":"
        "null}}]",
        &skipped);
    (void)state;
    assert_int_equal(skipped, 0);
    assert_int_equal(g->count, 2);
    assert_string_equal(g->source, "web");
    assert_label(g->common, "__meta_consul_service", "web");
    assert_label(g->common, "__meta_consul_dc", "dc1");
    const struct labels *l = g->targets[0];
    assert_label(l, "__address__", "10.0.0.1:8080");
    assert_label(l, "__meta_consul_address", "10.0.0.1");
    assert_label(l, "__meta_consul_node", "n1");
    assert_label(l, "__meta_consul_namespace", "ns");
    assert_label(l, "__meta_consul_partition", "pt");
    assert_label(l, "__meta_consul_tags", ",a,b,");
    assert_label(l, "__meta_consul_service_port", "8080");
    assert_label(l, "__meta_consul_service_id", "web-1");
    assert_label(l, "__meta_consul_health", "passing");
    assert_label(l, "__meta_consul_metadata_rack_id", "r1");
    assert_label(l, "__meta_consul_service_metadata_v", "1");
    assert_label(l, "__meta_consul_tagged_address_lan_v4", "10.0.0.1");
    assert_int_equal(labels_count(l), 12);
    l = g->targets[1];
    assert_label(l, "__address__", "[fd00::2]:0");
    assert_label(l, "__meta_consul_service_address", "fd00::2");
    assert_label(l, "__meta_consul_tags", ",,");
    target_group_unref(g);
}

static void test_health(void **state)
{
    static const struct {
        const char *checks, *health;
    } CASES[] = {
        {"null", "passing"},
        {"[{\"Status\":\"passing\"},{\"Status\":\"warning\"}]", "warning"},
        {"[{\"Status\":\"critical\"},{\"Status\":\"warning\"}]", "critical"},
        {"[{\"Status\":\"critical\"},{\"CheckID\":\"_node_maintenance\",\"Status\":\"critical\"}]", "maintenance"},
        {"[{\"CheckID\":\"_service_maintenance:web-1\"}]", "maintenance"},
        {"[{\"Status\":\"unheard-of\"}]", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char *body =
            mem_printf("[{\"Node\":{\"Address\":\"h\"},\"Service\":{\"Port\":1},\"Checks\":%s}]", CASES[i].checks);
        size_t skipped;
        struct target_group *g = read_ok(body, &skipped);
        assert_int_equal(g->count, 1);
        assert_label(g->targets[0], "__meta_consul_health", CASES[i].health);
        target_group_unref(g);
        free(body);
    }
}

static void test_bad_entries_cost_themselves(void **state)
{
    static const char *const BAD[] = {
        "null",
        "7",
        "{}",
        "{\"Node\":null,\"Service\":{}}",
        "{\"Node\":{},\"Service\":[]}",
        "{\"Node\":{},\"Service\":{\"Port\":\"80\"}}",
        "{\"Node\":{},\"Service\":{\"Port\":-1}}",
        "{\"Node\":{},\"Service\":{\"Port\":1.5}}",
        "{\"Node\":{},\"Service\":{\"Tags\":\"a\"}}",
        "{\"Node\":{},\"Service\":{\"Tags\":[1]}}",
        "{\"Node\":{\"Meta\":{\"a\":1}},\"Service\":{}}",
        "{\"Node\":{\"Address\":5},\"Service\":{}}",
        "{\"Node\":{},\"Service\":{},\"Checks\":[{\"Status\":1}]}",
        "{\"Node\":{},\"Service\":{\"Port\":1e300}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *body = mem_printf("[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1}},%s,"
                                "{\"Node\":{\"Address\":\"b\"},\"Service\":{\"Port\":2}}]",
                                BAD[i]);
        size_t skipped;
        struct target_group *g = read_ok(body, &skipped);
        if (g->count != 2 || skipped != 1) {
            fail_msg("%s: %zu targets, %zu skipped", BAD[i], g->count, skipped);
        }
        target_group_unref(g);
        free(body);
    }
}

static void test_large_labels_cost_their_instance(void **state)
{
    struct bytes body;
    size_t skipped, len;
    bytes_init(&body, 1 << 20);
    bytes_append_str(&body, "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1,\"Meta\":{\"x\":\"");
    for (int i = 0; i < 70000; i++) {
        bytes_append_char(&body, 'x');
    }
    bytes_append_str(&body, "\"}}},{\"Node\":{\"Address\":\"b\"},\"Service\":{\"Port\":2}}]");
    char *text = bytes_take(&body, &len);
    struct target_group *g = read_ok(text, &skipped);
    (void)state;
    assert_int_equal(g->count, 1);
    assert_int_equal(skipped, 1);
    target_group_unref(g);
    free(text);
}

static void test_answers_that_are_none(void **state)
{
    static const char *const BODIES[] = {"", "{}", "[", "5", "\"x\"", "[]]"};
    (void)state;
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        const struct consul_instances of = {"web", "dc1", ","};
        struct errctx err = ERRCTX_INIT;
        struct target_group *g = NULL;
        size_t skipped;
        assert_int_not_equal(consul_read_instances(&of, view_of(BODIES[i]), &g, &skipped, &err), 0);
        assert_null(g);
        assert_true(err.msg[0] != '\0');
    }
}

static char seen[200];

static void on_service(void *data, const char *name, bool is_wanted)
{
    (void)data;
    size_t len = strlen(seen);
    snprintf(seen + len, sizeof(seen) - len, "%s%s ", name, is_wanted ? "+" : "-");
}

static void test_services(void **state)
{
    static const char *tags[] = {"a", "b"}, *names[] = {"web", "odd"};
    struct consul_wanted wanted = {.tags = tags, .tag_count = 2};
    const char *body = "{\"web\":[\"b\",\"x\",\"a\"],\"db\":[\"a\"],\"none\":[],\"odd\":3}";
    struct errctx err = ERRCTX_INIT;
    (void)state;
    seen[0] = '\0';
    assert_int_equal(consul_read_services(&wanted, view_of(body), on_service, NULL, &err), 0);
    assert_string_equal(seen, "web+ db- none- odd- ");
    seen[0] = '\0';
    wanted = (struct consul_wanted){.names = names, .name_count = 2};
    assert_int_equal(consul_read_services(&wanted, view_of(body), on_service, NULL, &err), 0);
    assert_string_equal(seen, "web+ db- none- odd+ ");
    assert_int_equal(consul_read_services(&wanted, VIEW("[]"), on_service, NULL, &err), ERR_INVALID);
}

static void test_index(void **state)
{
    uint64_t index = 0;
    (void)state;
    assert_true(consul_index_step(VIEW("7"), &index));
    assert_int_equal(index, 7);
    assert_false(consul_index_step(VIEW("7"), &index)); /* the wait ended, nothing is new */
    assert_true(consul_index_step(VIEW("9"), &index));
    assert_int_equal(index, 9);
    assert_true(consul_index_step(VIEW("3"), &index)); /* backwards: begin anew */
    assert_int_equal(index, 0);
    static const char *const NONE[] = {"", "0", "-1", "x", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++) {
        index = 5;
        assert_true(consul_index_step(view_of(NONE[i]), &index)); /* no blocking query is possible */
        assert_int_equal(index, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_bad_entries_cost_themselves),
        cmocka_unit_test(test_large_labels_cost_their_instance),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
