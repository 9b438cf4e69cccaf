/* Who we are: kubeconfig files, service accounts, items of kubernetes_sd_configs; good ones and each kind of bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/files.h"
#include "k8s/client_priv.h"
#include "k8s/sd.h"
#include "k8s/selector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct http_client *http;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "test_k8s_client.%d", (int)getpid());
    assert_int_equal(mkdir(folder, 0700), 0);
    loop = loop_new();
    http = http_client_new(loop);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(&http);
    loop_free(&loop);
    return files_remove_tree(folder, NULL);
}

static const char *put(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    return path;
}

static int open_config(const char *text, const char *context, struct k8s_client **c, struct errctx *err)
{
    errctx_clear(err);
    *c = NULL;
    return k8s_client_kubeconfig(loop, http, put("config", text), context, c, err);
}

#define CLUSTERS "clusters:\n- {name: c, cluster: {server: 'https://h:1/prefix/', certificate-authority-data: 'QUJD'}}\n"
#define CONTEXTS "contexts:\n- {name: x, context: {cluster: c, user: u, namespace: mon}}\n- {name: y, context: {cluster: nope}}\n"

static void test_kubeconfig(void **state)
{
    (void)state;
    struct k8s_client *c;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(open_config("current-context: x\n" CLUSTERS CONTEXTS "users:\n- {name: u, user: {token: t}}\n", NULL, &c, &err), 0);
    assert_string_equal(k8s_client_url_text(c), "https://h:1/prefix");
    assert_string_equal(k8s_client_namespace(c), "mon");
    k8s_client_unref(c);
    assert_int_equal(open_config(CLUSTERS CONTEXTS "users:\n- {name: u, user: {client-certificate: c.pem, client-key-data: QUJD}}\n", "x", &c,
                                 &err), 0);
    k8s_client_unref(c);
}

static void test_bad_kubeconfigs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *context;
        int rc;
        const char *message;
    } rows[] = {
        {"", NULL, ERR_INVALID, "expected a kubeconfig"},
        {"[a]", NULL, ERR_INVALID, "expected a kubeconfig"},
        {"a: [", NULL, ERR_PARSE, "config:"},
        {CLUSTERS CONTEXTS, NULL, ERR_INVALID, "current-context: expected"},
        {CLUSTERS CONTEXTS, "z", ERR_INVALID, "contexts 'z'"},
        {CLUSTERS CONTEXTS, "y", ERR_INVALID, "clusters 'nope'"},
        {CLUSTERS CONTEXTS, "x", ERR_INVALID, "users 'u'"},
        {CLUSTERS CONTEXTS "users:\n- {name: u, user: {exec: {command: x}}}\n", "x", ERR_UNSUPPORTED, "config:7:"},
        {CLUSTERS CONTEXTS "users:\n- {name: u, user: {client-key-data: '%%%'}}\n", "x", ERR_INVALID, "client-key-data: expected base64"},
        {"clusters:\n- {name: c, cluster: {server: h}}\n" CONTEXTS, "x", ERR_INVALID, "config:2:22: server: expected a URL"},
        {"clusters:\n- {name: c, cluster: {server: 'https://h', insecure-skip-tls-verify: perhaps}}\n" CONTEXTS, "x", ERR_INVALID,
         "expected true or false"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct k8s_client *c;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(open_config(rows[i].text, rows[i].context, &c, &err), rows[i].rc);
        assert_null(c);
        assert_int_equal(err.code, rows[i].rc);
        if (strstr(err.msg, rows[i].message) == NULL) {
            fail_msg("row %zu: %s", i, err.msg);
        }
    }
}

static void test_service_account(void **state)
{
    (void)state;
    struct k8s_client *c = NULL;
    struct errctx err = ERRCTX_INIT;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(k8s_client_in_cluster(loop, http, folder, &c, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "not in a Kubernetes cluster"));
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    errctx_clear(&err);
    assert_int_not_equal(k8s_client_in_cluster(loop, http, folder, &c, &err), 0);
    assert_non_null(strstr(err.msg, "token"));
    put("token", " \n");
    errctx_clear(&err);
    assert_int_equal(k8s_client_in_cluster(loop, http, folder, &c, &err), ERR_INVALID);
    put("token", "t\n");
    errctx_clear(&err);
    assert_int_equal(k8s_client_in_cluster(loop, http, folder, &c, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "ca.crt"));
    put("ca.crt", "x");
    put("namespace", "mon");
    assert_int_equal(k8s_client_in_cluster(loop, http, folder, &c, NULL), 0);
    assert_string_equal(k8s_client_url_text(c), "https://[fd00::1]:443");
    assert_string_equal(k8s_client_namespace(c), "mon");
    k8s_client_unref(c);
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
}

static int read_item(const char *text, struct sd_config *c, struct errctx *err)
{
    struct arena *arena = arena_new();
    struct yaml_node *root = NULL;
    assert_int_equal(yaml_parse(arena, "p.yml", view_of(text), &root, err), 0);
    int rc = sd_config_read("p.yml", "/base", root, c, err);
    arena_free(&arena);
    return rc;
}

static void test_items(void **state)
{
    (void)state;
    struct sd_config a, b;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(read_item("{role: pod, kubeconfig_file: k/c, namespaces: {names: [x, y, x]}, selectors: [{role: node, label: a=b}],"
                               " attach_metadata: {node: true}}", &a, &err), 0);
    assert_int_equal(a.role, SD_POD);
    assert_string_equal(a.kubeconfig, "/base/k/c");
    assert_int_equal(a.namespace_count, 2);
    assert_string_equal(a.selectors[SD_NODE].label, "a=b");
    assert_true(a.attach_node && !a.attach_namespace);
    assert_int_equal(read_item("{role: service, kubeconfig_file: k/c}", &b, &err), 0);
    assert_string_equal(a.client_key, b.client_key);
    sd_config_done(&b);
    assert_int_equal(read_item("{role: service, kubeconfig_file: k/d}", &b, &err), 0);
    assert_string_not_equal(a.client_key, b.client_key);
    sd_config_done(&b);
    sd_config_done(&a);
}

static void test_bad_items(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"[]", "p.yml:1:1: kubernetes_sd_configs: expected a mapping"},
        {"{role: pods}", "p.yml:1:1: kubernetes_sd_configs: no known role"},
        {"{}", "no known role"},
        {"role: pod\nselectors: [{role: service}]", "p.yml:2:13: kubernetes_sd_configs: selectors: expected a selector role that goes with the role pod"},
        {"{role: pod, selectors: [{role: pod}, {role: pod}]}", "duplicated selector role pod"},
        {"{role: pod, api_server: 'https://h', kubeconfig_file: x}", "kubeconfig_file together with api_server"},
        {"{role: pod, api_server: 'https://h', namespaces: {own_namespace: true}}", "own_namespace together with"},
        {"role: pod\nselectors: [{role: pod, label: 'a in b'}]", "p.yml:2:32: kubernetes_sd_configs: selectors: label: expected '('"},
        {"{role: pod, selectors: [{role: pod, field: status.phase}]}", "selectors: field: expected field=value"},
        {"{role: pod, namespaces: {names: [[a]]}}", "namespaces: expected a name"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sd_config c;
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(read_item(rows[i].text, &c, &err), ERR_INVALID);
        if (strstr(err.msg, rows[i].message) == NULL) {
            fail_msg("row %zu: %s", i, err.msg);
        }
    }
}

static void test_selectors(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"", " ", "a", "!a", "a=b", "a==b", "a!=b", "a=", "a = b , c", "x.y/z in (a,b)", "a notin (a)", "a in ()",
                                       "a in (,b)", "a>5", "a < -7", "!x/y,a=b", "A_b.c=D-e", "in in (in)"};
    static const char *const BAD[] = {"=", "a,", ",a", "a b", "a in b", "a in (b", "a in (b c)", "a=b c", "-a", "a-=b", "a=-b", "a>x", "a>", "!",
                                      "a/b/c", "/a", "a/", "X/a", "a..b/c", "a=b=c", "a!b", "a;b", "!a=b", "a in (b))"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        if (selector_label_fault(view_of(GOOD[i])) != NULL) {
            fail_msg("%s: %s", GOOD[i], selector_label_fault(view_of(GOOD[i])));
        }
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (selector_label_fault(view_of(BAD[i])) == NULL) {
            fail_msg("%s was taken", BAD[i]);
        }
    }
    assert_null(selector_field_fault(VIEW("")));
    assert_null(selector_field_fault(VIEW("status.phase!=Succeeded,metadata.name=a,x==b,")));
    assert_null(selector_field_fault(VIEW("a=x\\,y\\=z")));
    assert_non_null(selector_field_fault(VIEW("a")));
    assert_non_null(selector_field_fault(VIEW("=a")));
    assert_non_null(selector_field_fault(VIEW("!=a")));
    assert_non_null(selector_field_fault(VIEW("a=b=c")));
    assert_non_null(selector_field_fault(VIEW("a=b\\x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kubeconfig), cmocka_unit_test(test_bad_kubeconfigs), cmocka_unit_test(test_service_account),
        cmocka_unit_test(test_items),      cmocka_unit_test(test_bad_items),
        cmocka_unit_test(test_selectors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
