/* Objects of the Prometheus Operator as jobs: tests/unit/k8s/operator/<case>.json must give <case>.yml, whose content
 * was compared with what the Prometheus Operator is documented to write and is read by promtool in
 * tests/integration/test_operator_promtool.py. "@3" in a name is the version of the servers. Hostile objects cost
 * themselves: an error that names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/mem.h"
#include "configgen/promconf.h"
#include "k8s/operator_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool is_config_map;
    const char *key, *value;
} STORED[] = {
    {"login", false, "user", "ann"},
    {"login", false, "password", "s3cret: \"x\"\n"},
    {"login", false, "token", "tok-1"},
    {"tls", false, "ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n"},
    {"tls", false, "tls.key", "-----BEGIN PRIVATE KEY-----\nBBBB\n"},
    {"tls-map", true, "tls.crt", "-----BEGIN CERTIFICATE-----\nCCCC\n"},
    {"oauth", true, "id", "client"},
    {"binary", false, "b", "\xff\xfe"},
};

static int read_ref(void *data, const struct operator_ref *ref, struct view *ret, struct errctx *err)
{
    (void)data;
    for (size_t i = 0; i < sizeof(STORED) / sizeof(STORED[0]); i++) {
        if (strcmp(STORED[i].name, ref->name) == 0 && strcmp(STORED[i].key, ref->key) == 0 &&
            STORED[i].is_config_map == ref->is_config_map) {
            *ret = view_of(STORED[i].value);
            return 0;
        }
    }
    if (strcmp(ref->name, "later") == 0) {
        return ERR_AGAIN;
    }
    return errctx_set(err, ERR_NOT_FOUND, "Secret %s/%s has no key %s", ref->namespace, ref->name, ref->key);
}

static enum operator_resource resource_of(const json_t *object)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    assert_non_null(kind);
    for (int r = 0; r < OPERATOR_RESOURCE_COUNT; r++) {
        if (strcmp(operator_resource_kind((enum operator_resource)r), kind) == 0) {
            return (enum operator_resource)r;
        }
    }
    fail_msg("unknown kind %s", kind);
    return OPERATOR_PROBES;
}

static struct operator_job_conf conf = {.major = PROMETHEUS_2_53, .kubeconfig = "", .read = read_ref};

static int write_object(const json_t *object, struct bytes *out, char *warning, struct errctx *err)
{
    const json_t *meta = json_object_get(object, "metadata");
    const struct operator_object o = {
        .resource = resource_of(object),
        .namespace = json_string_value(json_object_get(meta, "namespace")),
        .name = json_string_value(json_object_get(meta, "name")),
        .spec = json_object_get(object, "spec"),
    };
    return operator_job_write(&o, &conf, out, warning, err);
}

/* ---------------------------------------------------------------- golden files */

static char *read_case(const char *name, const char *ending)
{
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    const char *top = getenv("top_srcdir");
    char *path = mem_printf("%s/tests/unit/k8s/operator/%s%s", top != NULL ? top : "..", name, ending);
    bytes_init(&text, (size_t)1 << 20);
    if (files_read(path, &text, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    free(path);
    return bytes_take(&text, NULL);
}

static void check_case(const char *name, const char *warning_wanted)
{
    char warning[OPERATOR_WARNING_MAX];
    char *source = read_case(name, ".json");
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    struct arena *arena = arena_new();
    struct yaml_node *got, *want;
    json_t *object = json_loads(source, 0, NULL);
    const char *at = strchr(name, '@');
    conf.major = at != NULL ? prometheus_version_or(at + 1, PROMETHEUS_2_53) : PROMETHEUS_2_53;
    assert_non_null(object);
    bytes_init(&text, (size_t)1 << 20);
    if (write_object(object, &text, warning, &err) != 0) {
        fail_msg("%s: %s", name, err.msg);
    }
    assert_string_equal(warning, warning_wanted);
    if (getenv("KVASS_TEST_PRINT") != NULL) {
        printf("%s\t%s\n", name, text.base);
    } else {
        char *golden = read_case(name, ".yml");
        assert_int_equal(yaml_parse(arena, "got", bytes_view(&text), &got, &err), 0);
        assert_int_equal(yaml_parse(arena, "want", view_of(golden), &want, &err), 0);
        if (!yaml_equal(got, want)) {
            fail_msg("%s is not as expected: %s", name, text.base);
        }
        free(golden);
    }
    free(source);
    json_decref(object);
    bytes_done(&text);
    arena_free(&arena);
}

static void test_golden(void **state)
{
    (void)state;
    check_case("servicemonitor-minimal", "");
    check_case("servicemonitor-full", "");
    check_case("servicemonitor-slices", "");
    check_case("servicemonitor-kubelet", "");
    check_case("servicemonitor-new@3.8", "");
    check_case("servicemonitor-old@2.42",
               "spec.keepDroppedTargets: left out: it needs Prometheus 2.47, see prometheus.version");
    check_case("podmonitor-full", "");
    check_case("podmonitor-role", "");
    check_case("probe-static", "");
    check_case("probe-ingress", "");
    check_case("probe-both", "");
    check_case("scrapeconfig-static", "");
    check_case("scrapeconfig-mechanisms", "");
    check_case("scrapeconfig-foreign", "");
    check_case("scrapeconfig-names@3", "");
    conf.major = PROMETHEUS_2_53;
}

/* ---------------------------------------------------------------- refusals */

static int write_spec(const char *kind, const char *spec, struct bytes *out, char *warning, struct errctx *err)
{
    json_t *object = json_pack("{s:s,s:{s:s,s:s},s:o?}", "kind", kind, "metadata", "name", "n", "namespace", "ns",
                               "spec", json_loads(spec, JSON_DECODE_ANY, NULL));
    assert_non_null(object);
    bytes_init(out, (size_t)2 << 20);
    int rc = write_object(object, out, warning, err);
    json_decref(object);
    return rc;
}

static void refuse(const char *kind, const char *spec, int code, const char *message)
{
    char warning[OPERATOR_WARNING_MAX];
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    int rc = write_spec(kind, spec, &text, warning, &err);
    if (strcmp(err.msg, message) != 0) {
        fail_msg("%s: \"%s\", expected \"%s\"", spec, err.msg, message);
    }
    assert_int_equal(rc, code);
    assert_int_equal(text.len, 0); /* nothing of it */
    bytes_done(&text);
}

#define SM(endpoint) "{\"selector\":{},\"endpoints\":[" endpoint "]}"

static void test_refuses(void **state)
{
    (void)state;
    refuse("ServiceMonitor", "[]", ERR_INVALID, "spec: expected an object");
    refuse("ServiceMonitor", "null", ERR_INVALID, "spec: expected an object");
    refuse("ServiceMonitor", "{\"endpoints\":{}}", ERR_INVALID, "spec.endpoints: expected a list");
    refuse("ServiceMonitor", "{\"endpoints\":[1]}", ERR_INVALID, "spec.endpoints[0]: expected an object");
    refuse("ServiceMonitor", "{\"selector\":[],\"endpoints\":[{}]}", ERR_INVALID, "spec.selector: expected an object");
    refuse("ServiceMonitor", SM("{\"port\":\"a\"},{\"path\":7}"), ERR_INVALID,
           "spec.endpoints[1].path: expected a text");
    refuse("ServiceMonitor", SM("{\"interval\":\"10s\",\"scrapeTimeout\":\"1m\"}"), ERR_INVALID,
           "spec.endpoints[0]: scrapeTimeout 1m is greater than interval 10s");
    refuse("ServiceMonitor",
           SM("{\"basicAuth\":{\"username\":{\"name\":\"login\",\"key\":\"user\"}},\"bearerTokenFile\":\"/t\"}"),
           ERR_INVALID, "spec.endpoints[0]: basicAuth together with bearerTokenFile; expected at most one of them");
    refuse("ServiceMonitor", SM("{\"basicAuth\":{\"password\":{\"name\":\"login\",\"key\":\"absent\"}}}"),
           ERR_NOT_FOUND, "spec.endpoints[0].basicAuth.password: Secret ns/login has no key absent");
    refuse("ServiceMonitor", SM("{\"bearerTokenSecret\":{\"name\":\"login\"}}"), ERR_INVALID,
           "spec.endpoints[0].bearerTokenSecret: no key; expected one of login");
    refuse("ServiceMonitor", SM("{\"bearerTokenSecret\":{\"name\":\"binary\",\"key\":\"b\"}}"), ERR_INVALID,
           "spec.endpoints[0].bearerTokenSecret: key b of binary is no text");
    refuse("ServiceMonitor", SM("{\"tlsConfig\":{\"ca\":{\"secret\":{},\"configMap\":{}}}}"), ERR_INVALID,
           "spec.endpoints[0].tlsConfig.ca: secret together with configMap; expected one of them");
    refuse("ServiceMonitor", SM("{\"params\":{\"a\":\"b\"}}"), ERR_INVALID,
           "spec.endpoints[0].params.a: expected a list");
    refuse("ServiceMonitor", SM("{\"relabelings\":[{\"modulus\":-1}]}"), ERR_INVALID,
           "spec.endpoints[0].relabelings[0].modulus: expected a number of 0 or more");
    refuse(
        "ServiceMonitor",
        "{\"selector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Like\"}]},\"endpoints\":[{}]}", ERR_INVALID,
        "spec.selector.matchExpressions[0]: expected a key, and one of In, NotIn, Exists and DoesNotExist as operator");
    refuse("PodMonitor",
           "{\"selector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]},\"podMetricsEndpoints\":[{}]}",
           ERR_INVALID, "spec.selector.matchExpressions[0]: no values; expected some");
    refuse("PodMonitor", "{\"podMetricsEndpoints\":[{\"portNumber\":\"x\"}]}", ERR_INVALID,
           "spec.podMetricsEndpoints[0]: portNumber: expected a number");
    refuse("Probe", "{\"targets\":{}}", ERR_INVALID, "spec: prober.url: expected the address of the prober");
    refuse("Probe", "{\"prober\":{\"url\":\"u\"}}", ERR_INVALID,
           "spec.targets.ingress: no targets; expected targets.staticConfig or targets.ingress");
    refuse("ScrapeConfig", "{\"futureSDConfigs\":[{}]}", ERR_UNSUPPORTED,
           "spec.futureSDConfigs: no known mechanism of discovery");
    refuse("ScrapeConfig", "{\"gceSDConfigs\":[{\"a\":[[[[[[[[1]]]]]]]]}]}", ERR_LIMIT,
           "spec.gceSDConfigs[0].a: nested too deeply");
    refuse("ScrapeConfig", "{\"scrapeInterval\":\"ten\"}", ERR_INVALID,
           "spec.scrapeInterval: not a valid duration string: \"ten\"");
}

static void test_switches(void **state)
{
    (void)state;
    conf.no_files = true;
    refuse("ServiceMonitor", SM("{\"tlsConfig\":{\"caFile\":\"/ca\"}}"), ERR_INVALID,
           "spec.endpoints[0].tlsConfig.caFile: a file of the machine; they are switched off by operator.files");
    refuse("ScrapeConfig", "{\"fileSDConfigs\":[{\"files\":[\"/a.json\"]}]}", ERR_INVALID,
           "spec.fileSDConfigs[0].files: a file of the machine; they are switched off by operator.files");
    /* mechanisms whose keys are not listed, in either spelling, at any depth */
    refuse("ScrapeConfig", "{\"nomadSDConfigs\":[{\"server\":\"s\",\"bearer_token_file\":\"/token\"}]}", ERR_INVALID,
           "spec.nomadSDConfigs[0].bearer_token_file: a file of the machine; they are switched off by operator.files");
    refuse("ScrapeConfig", "{\"ec2SDConfigs\":[{\"tls_config\":{\"caFile\":\"/ca\"}}]}", ERR_INVALID,
           "spec.ec2SDConfigs[0].tls_config.caFile: a file of the machine; they are switched off by operator.files");
    conf.no_files = false;
    conf.read = NULL;
    refuse(
        "ServiceMonitor", SM("{\"bearerTokenSecret\":{\"name\":\"login\",\"key\":\"token\"}}"), ERR_INVALID,
        "spec.endpoints[0].bearerTokenSecret: a reference to Secret login; they are switched off by operator.secrets");
    conf.read = read_ref;
    refuse("ServiceMonitor", SM("{\"bearerTokenSecret\":{\"name\":\"later\",\"key\":\"token\"}}"), ERR_AGAIN,
           "a Secret or ConfigMap has not been read yet");
}

static void warn(const char *kind, const char *spec, const char *message)
{
    char warning[OPERATOR_WARNING_MAX];
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(write_spec(kind, spec, &text, warning, &err), 0);
    assert_string_equal(warning, message);
    bytes_done(&text);
}

static void test_warnings(void **state)
{
    (void)state;
    warn("ServiceMonitor", "{\"scrapeClass\":\"c\",\"endpoints\":[]}",
         "spec: scrapeClass c has no meaning here: it belongs to a Prometheus object");
    warn("PodMonitor", "{\"podMetricsEndpoints\":[{\"brandNew\":1}]}",
         "spec.podMetricsEndpoints[0].brandNew: left out: not known");
}

static void test_kubeconfig(void **state)
{
    char warning[OPERATOR_WARNING_MAX];
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    (void)state;
    conf.kubeconfig = "/etc/kube";
    assert_int_equal(write_spec("ServiceMonitor", SM("{}"), &text, warning, &err), 0);
    assert_non_null(strstr(text.base, "\"kubeconfig_file\":\"/etc/kube\""));
    bytes_done(&text);
    assert_int_equal(
        write_spec("ScrapeConfig",
                   "{\"kubernetesSDConfigs\":[{\"role\":\"Node\"},{\"role\":\"Node\",\"apiServer\":\"https://x\"}]}",
                   &text, warning, &err),
        0);
    assert_non_null(strstr(text.base, "[{\"role\":\"node\",\"kubeconfig_file\":\"/etc/kube\"},{\"api_server\""));
    assert_null(strstr(strstr(text.base, "kubeconfig_file") + 1, "kubeconfig_file"));
    bytes_done(&text);
    conf.kubeconfig = "";
}

/* What YAML would take for something else arrives as it was. */
static void test_characters(void **state)
{
    (void)state;
    static const char WANTED[] = "a\x7f\xc2\x85 b\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\\ \"'\t\xc3\xa9${1}%: #";
    char warning[OPERATOR_WARNING_MAX];
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    struct promconf *c = NULL;
    json_t *spec = json_pack("{s:[{s:[s],s:{s:s}}]}", "staticConfigs", "targets", "a:1", "labels", "l", WANTED);
    char *source = json_dumps(spec, 0);
    assert_int_equal(write_spec("ScrapeConfig", source, &text, warning, &err), 0);
    assert_int_equal(promconf_parse("/x.yml", bytes_view(&text), NULL, &c, &err), 0);
    const struct yaml_node *labels = yaml_get(c->jobs[0].sd[0].node->items[0], "labels");
    assert_string_equal(yaml_get(labels, "l")->value.base, WANTED);
    promconf_unref(c);
    bytes_done(&text);
    free(source);
    json_decref(spec);
}

/* One object cannot make more than its share. */
static void test_bounds(void **state)
{
    (void)state;
    struct bytes spec;
    bytes_init(&spec, (size_t)8 << 20);
    bytes_append_str(&spec, "{\"endpoints\":[");
    for (size_t i = 0; i < 501; i++) {
        bytes_append_str(&spec, i == 0 ? "{}" : ",{}");
    }
    bytes_append_str(&spec, "]}");
    refuse("ServiceMonitor", spec.base, ERR_LIMIT, "spec: endpoints: more than 500");
    bytes_clear(&spec);
    bytes_append_str(&spec, "{\"staticConfigs\":[{\"targets\":[\"");
    for (size_t i = 0; i < 1200000; i++) {
        bytes_append_char(&spec, 'x');
    }
    bytes_append_str(&spec, "\"]}]}");
    char warning[OPERATOR_WARNING_MAX];
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(write_spec("ScrapeConfig", spec.base, &text, warning, &err), ERR_LIMIT);
    bytes_done(&text);
    bytes_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_refuses),    cmocka_unit_test(test_switches),
        cmocka_unit_test(test_warnings),   cmocka_unit_test(test_kubeconfig), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
