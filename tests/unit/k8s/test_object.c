/* Packed objects: what a schema keeps, what is shared, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "k8s/event.h"
#include "k8s/schema.h"
#include "k8s/texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SCHEMA[] = "metadata(uid! labels) spec(nodeName ports(name number)) all";

static struct k8s_texts *texts;
static struct k8s_schema *schema;

static int setup(void **state)
{
    (void)state;
    texts = k8s_texts_new();
    schema = k8s_schema_new(SCHEMA);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(k8s_texts_count(texts), 0); /* every reference was given back */
    k8s_schema_free(&schema);
    k8s_texts_free(&texts);
    return 0;
}

static struct k8s_object *make(const char *text)
{
    json_t *tree = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(tree);
    struct k8s_object *o = k8s_object_new(tree, schema, texts);
    json_decref(tree);
    return o;
}

static void assert_text(struct k8s_value v, const char *want)
{
    char got[256];
    snprintf(got, sizeof(got), "%.*s", VIEW_FMT(k8s_text(v)));
    assert_string_equal(got, want);
}

static void test_keeps_what_the_schema_names(void **state)
{
    (void)state;
    struct k8s_object *o = make(
        "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"u-1\",\"labels\":{\"app\":\"x\",\"b.c/d\":\"\"},"
        "\"managedFields\":[{\"a\":1}]},\"spec\":{\"nodeName\":\"k\",\"secret\":1,\"ports\":[{\"name\":\"p\",\"number\":80,\"x\":{}},"
        "{\"number\":null}]},\"all\":{\"t\":true,\"f\":false,\"r\":0.5,\"l\":[[],{}],\"n\":-7}}");
    struct k8s_value root = k8s_object_root(o);
    assert_true(view_is(k8s_object_name(o), "a") && view_is(k8s_object_namespace(o), "n"));
    assert_text(k8s_at(root, "metadata.uid"), "u-1");
    assert_text(k8s_get(k8s_at(root, "metadata.labels"), "b.c/d"), "");
    assert_true(k8s_has(k8s_get(k8s_at(root, "metadata.labels"), "b.c/d")));
    assert_false(k8s_has(k8s_get(root, "kind")));
    assert_false(k8s_has(k8s_at(root, "metadata.managedFields")));
    assert_false(k8s_has(k8s_at(root, "metadata.name")));
    assert_text(k8s_at(root, "spec.nodeName"), "k");
    struct k8s_iter it = k8s_iter(k8s_at(root, "spec.ports"));
    assert_true(k8s_next(&it));
    assert_text(k8s_get(it.value, "number"), "80");
    assert_false(k8s_has(k8s_get(it.value, "x")));
    assert_true(k8s_next(&it));
    assert_false(k8s_has(k8s_get(it.value, "number")));
    assert_false(k8s_next(&it));
    assert_text(k8s_at(root, "all.t"), "true");
    assert_text(k8s_at(root, "all.r"), "0.5");
    assert_text(k8s_at(root, "all.n"), "-7");
    assert_text(k8s_at(root, "all.l"), ""); /* no scalar */
    assert_text(k8s_at(root, "all.t.deeper"), "");
    k8s_object_free(o, texts);
}

/* What is kept as JSON tells 80 from "80", and the order of keys is no change. */
static void test_a_member_as_json(void **state)
{
    (void)state;
    struct k8s_schema *whole = k8s_schema_new("metadata(uid!) spec=");
    const char *const sources[] = {
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"b\":[80,\"80\",null,true],\"a\":{}}}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"a\":{},\"b\":[80,\"80\",null,true]},\"status\":1}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":7}"};
    struct k8s_object *o[3];
    for (size_t i = 0; i < 3; i++) {
        json_t *tree = k8s_schema_load(whole, false, view_of(sources[i]), NULL);
        assert_non_null(tree);
        o[i] = k8s_object_new(tree, whole, texts);
        json_decref(tree);
    }
    assert_text(k8s_at(k8s_object_root(o[0]), "spec"), "{\"a\":{},\"b\":[80,\"80\",null,true]}");
    assert_true(k8s_object_equal(o[0], o[1]));
    assert_text(k8s_at(k8s_object_root(o[2]), "spec"), "7");
    for (size_t i = 0; i < 3; i++) {
        k8s_object_free(o[i], texts);
    }
    k8s_schema_free(&whole);
}

static void test_equal_content_is_equal_bytes(void **state)
{
    (void)state;
    struct k8s_object *a = make("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\",\"labels\":{\"x\":\"y\"}}}");
    struct k8s_object *b = make("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"2\",\"labels\":{\"x\":\"y\"}}}");
    struct k8s_object *c = make("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"2\",\"labels\":{\"x\":\"z\"}}}");
    assert_true(k8s_object_equal(a, b));
    assert_false(k8s_object_equal(a, c));
    k8s_object_free(a, texts);
    assert_text(k8s_at(k8s_object_root(b), "metadata.labels.x"), "y"); /* b has its own references */
    k8s_object_free(b, texts);
    k8s_object_free(c, texts);
}

static void test_shares_texts(void **state)
{
    (void)state;
    struct k8s_object *all[1000];
    for (size_t i = 0; i < 1000; i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "{\"metadata\":{\"name\":\"pod-%zu\",\"uid\":\"%zu\",\"labels\":{\"a-rather-long-key\":\"a-rather-long-value\"}}}", i, i);
        all[i] = make(text);
        assert_in_range(k8s_object_bytes(all[i]), 1, 64);
    }
    assert_in_range(k8s_texts_count(texts), 1, 10);
    for (size_t i = 0; i < 1000; i++) {
        k8s_object_free(all[i], texts);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const BAD[] = {"{}", "[]", "{\"metadata\":{}}", "{\"metadata\":{\"name\":\"\"}}", "{\"metadata\":{\"name\":7}}",
                                      "{\"metadata\":[\"name\"]}"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_null(make(BAD[i]));
    }
}

static void test_refuses_depth_and_size(void **state)
{
    (void)state;
    char deep[512] = "{\"metadata\":{\"name\":\"a\"},\"all\":";
    size_t used = strlen(deep);
    memset(deep + used, '[', 60);
    memset(deep + used + 60, ']', 60);
    snprintf(deep + used + 120, sizeof(deep) - used - 120, "}");
    assert_null(make(deep));

    size_t len = (size_t)5 << 20;
    char *huge = mem_alloc(len + 64);
    size_t head = (size_t)snprintf(huge, 64, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"}},\"all\":\"");
    memset(huge + head, 'x', len);
    snprintf(huge + head + len, 3, "\"}");
    assert_null(make(huge));
    free(huge);
}

static void test_a_text_with_a_nul(void **state)
{
    (void)state;
    struct k8s_object *o = make("{\"metadata\":{\"name\":\"a\\u0000b\",\"labels\":{\"k\":\"v\\u0000w\"}}}");
    assert_int_equal(k8s_object_name(o).len, 3);
    assert_int_equal(k8s_text_at(k8s_object_root(o), "metadata.labels.k").len, 3);
    k8s_object_free(o, texts);
}

static void test_events(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        enum k8s_event_type type;
        const char *version;
        bool ends;
    } ROWS[] = {
        {"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}", 0, K8S_EVENT_ADDED, "7", false},
        {"{\"object\":{},\"type\":\"DELETED\"}", 0, K8S_EVENT_DELETED, "", false},
        {"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\",\"annotations\":{\"k8s.io/initial-events-end\":"
         "\"true\"}}}}", 0, K8S_EVENT_BOOKMARK, "9", true},
        {"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}", 0, K8S_EVENT_ADDED,
         "", false},
        {"{\"type\":\"ERROR\",\"object\":{\"code\":410}}", 0, K8S_EVENT_ERROR, "", false},
        {"{\"type\":\"SOMETHING\",\"object\":{}}", 0, K8S_EVENT_OTHER, "", false},
        {"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":7}}}", 0, K8S_EVENT_ADDED, "", false},
        {"{\"type\":\"ADDED\",\"object\":[]}", ERR_PARSE, 0, "", false},
        {"{\"type\":1,\"object\":{}}", ERR_PARSE, 0, "", false},
        {"{\"object\":{}}", ERR_PARSE, 0, "", false},
        {"{\"type\":\"ADDED\",\"object\":{}", ERR_PARSE, 0, "", false},
        {"", ERR_PARSE, 0, "", false},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct k8s_event e;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(k8s_event_read(view_of(ROWS[i].text), schema, &e, &err), ROWS[i].rc);
        assert_int_equal(err.code, ROWS[i].rc);
        if (ROWS[i].rc == 0) {
            assert_int_equal(e.type, ROWS[i].type);
            assert_string_equal(e.resource_version, ROWS[i].version);
            assert_int_equal(e.ends_initial, ROWS[i].ends);
            k8s_event_done(&e);
        }
    }
}

static void test_pruning(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"{}", "{}"},
        {"{ \"kind\" : \"Pod\" , \"x\":[{\"a\":\"]}\\\"\"}], \"spec\" : {\"y\":1,\"nodeName\":\"n\"} }",
         "{\"kind\":\"Pod\",\"spec\":{\"nodeName\":\"n\"}}"},
        {"{\"metadata\":{\"managedFields\":[{}],\"name\":\"a\",\"labels\":{\"managedFields\":[1, 2]}}}",
         "{\"metadata\":{\"name\":\"a\",\"labels\":{\"managedFields\":[1, 2]}}}"},
        {"{\"spec\":{\"ports\":[ {\"name\":\"p\",\"z\":0} , null, [[{\"z\":0}]], 7 ]}}",
         "{\"spec\":{\"ports\":[{\"name\":\"p\"},null,[[{\"z\":0}]],7]}}"},
        {"{\"spec\":null,\"metadata\":true}", "{\"spec\":null,\"metadata\":true}"},
        {"{\"a\":}", NULL}, {"{\"a\" 1}", NULL}, {"{\"a\":1", NULL}, {"{\"a\":\"x", NULL}, {"{\"a\":\"x\\", NULL}, {"{a:1}", NULL},
        {"{\"spec\":{]}", NULL}, {"{} {}", NULL}, {"", NULL}, {"{\"a\":1,}", NULL}, {"{\"spec\":[}", NULL},
    };
    struct k8s_schema *s = k8s_schema_new(SCHEMA);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes out;
        bytes_init(&out, 1000);
        int rc = k8s_schema_prune(s, false, view_of(rows[i].in), &out);
        assert_int_equal(rc, rows[i].out != NULL ? 0 : ERR_PARSE);
        if (rows[i].out != NULL) {
            assert_string_equal(out.base, rows[i].out);
        }
        bytes_done(&out);
    }
    k8s_schema_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keeps_what_the_schema_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_member_as_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal_content_is_equal_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_depth_and_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_text_with_a_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test(test_pruning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
