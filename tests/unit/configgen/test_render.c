#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/intern.h"
#include "base/vec.h"
#include "configgen/render.h"
#include "golden.h"

static const struct render_options DEFAULTS = {
    .proxy_url = "http://127.0.0.1:8008", .form = TARGET_FORM_STATIC, .shard_id = "shard-7"};

static struct promconf *parse(const char *text, enum prometheus_major major)
{
    struct promconf_options opts = {.major = major};
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    int rc = promconf_parse("/etc/p/prometheus.yml", view_of(text), &opts, &c, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return c;
}

/* "name=value" words, NULL-terminated. */
static struct assignment assign(const char *job, uint64_t hash, enum assignment_state state,
                                const char *const *words)
{
    struct label labels[16];
    size_t count = 0;
    for (; *words != NULL; words++) {
        const char *sign = strchr(*words, '=');
        labels[count++] =
            (struct label){view_make(*words, (size_t)(sign - *words)), view_of(sign + 1)};
    }
    struct target *t = target_new_with_hash(intern(job), hash, labels_make(labels, count),
                                            "http://x/", 60000, 10000);
    return (struct assignment){.target = t, .state = state};
}
#define ASSIGN(job, hash, ...)                                                                     \
    assign(job, hash, ASSIGNMENT_ASSIGNED, (const char *const[]){__VA_ARGS__, NULL})

static void release(struct assignment *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        target_unref(items[i].target);
    }
}

static char *config(const struct promconf *c, const struct render_options *opts,
                    const struct assignment *items, size_t count)
{
    struct bytes out;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&out, 1 << 24);
    int rc = render_config(c, opts, items, count, &out, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return bytes_take(&out, NULL);
}

static void check_config(const char *in, const struct render_options *opts,
                         struct assignment *items, size_t count, const char *want)
{
    struct promconf *c = parse(in, PROMETHEUS_2);
    char *got = config(c, opts, items, count), *again = config(c, opts, items, count);
    assert_string_equal(got, want);
    assert_string_equal(got, again);
    free(got);
    free(again);
    release(items, count);
    promconf_unref(c);
}

static void check_file(const char *in, enum prometheus_major major, struct assignment *items,
                       size_t count, const char *want)
{
    struct promconf *c = parse(in, major);
    struct bytes out;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&out, 1 << 20);
    assert_int_equal(render_target_file(&c->jobs[0], &DEFAULTS, items, count, &out, &err), 0);
    assert_string_equal(out.base, want);
    bytes_done(&out);
    release(items, count);
    promconf_unref(c);
}

static void jobs_lose_what_the_proxy_does(void **state)
{
    (void)state;
    check_config(
        "scrape_configs:\n- job_name: a\n  scheme: https\n  honor_labels: true\n  basic_auth: "
        "{username: u, password: p}\n"
        "  tls_config: {ca_file: ca}\n  proxy_url: http://p\n  proxy_connect_header: {a: [b]}\n"
        "  follow_redirects: true\n  enable_http2: true\n  http_headers: {X: {values: [y]}}\n  "
        "params: {m: [n]}\n"
        "  target_limit: 5\n  sample_limit: 6\n  metric_relabel_configs: [{action: drop, regex: "
        "x}]\n"
        "  relabel_configs: [{target_label: a, replacement: b}]\n  ec2_sd_configs: [{region: r}]\n"
        "  static_configs: [{targets: [x]}]\n",
        &DEFAULTS, NULL, 0,
        "scrape_configs:\n- job_name: a\n  honor_labels: true\n  sample_limit: 6\n  "
        "metric_relabel_configs:\n"
        "  - action: drop\n    regex: x\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n"
        "  follow_redirects: false\n  static_configs: []\n");
    check_config("scrape_configs:\n- {job_name: a, authorization: {credentials: c}}\n- {job_name: "
                 "b, bearer_token: c}\n"
                 "- {job_name: c, bearer_token_file: c}\n"
                 "- {job_name: d, oauth2: {client_id: a, client_secret: c, token_url: d}}\n",
                 &DEFAULTS, NULL, 0,
                 "scrape_configs:\n"
                 "- job_name: a\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n  "
                 "follow_redirects: false\n  static_configs: []\n"
                 "- job_name: b\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n  "
                 "follow_redirects: false\n  static_configs: []\n"
                 "- job_name: c\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n  "
                 "follow_redirects: false\n  static_configs: []\n"
                 "- job_name: d\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n  "
                 "follow_redirects: false\n  static_configs: []\n");
}

#define DROP_PART                                                                                  \
    "  metric_relabel_configs:\n  - action: labeldrop\n    regex: kvass_part\n"
#define TO_PROXY "  scheme: http\n  proxy_url: http://127.0.0.1:8008\n  follow_redirects: false\n"

/* First of the job's rules where targets may be parts, and where one is. */
static void the_label_of_parts_is_dropped(void **state)
{
    (void)state;
    const char *in = "scrape_configs:\n- job_name: a\n  metric_relabel_configs: [{action: drop, regex: x}]\n"
                     "- job_name: b\n  metric_relabel_configs:\n- {job_name: c}\n";
    struct render_options opts = DEFAULTS;
    opts.split = true;
    check_config(in, &opts, NULL, 0,
                 "scrape_configs:\n- job_name: a\n" DROP_PART "  - action: drop\n    regex: x\n" TO_PROXY
                 "  static_configs: []\n- job_name: b\n" DROP_PART TO_PROXY
                 "  static_configs: []\n- job_name: c\n" DROP_PART TO_PROXY "  static_configs: []\n");
    opts = DEFAULTS;
    opts.form = TARGET_FORM_FILE;
    opts.target_dir = "/t";
    struct assignment part = ASSIGN("c", 1, "__address__=h:1", "kvass_part=0", "__kvass_parts__=2");
    check_config("scrape_configs: [{job_name: b}, {job_name: c}]", &opts, &part, 1,
                 "scrape_configs:\n- job_name: b\n" TO_PROXY "  file_sd_configs:\n  - files:\n    - "
                 "/t/b.json\n- job_name: c\n" DROP_PART TO_PROXY
                 "  file_sd_configs:\n  - files:\n    - /t/c.json\n");
    struct assignment user = ASSIGN("b", 1, "__address__=h:1", "kvass_part=0");
    check_config("scrape_configs: [{job_name: b}]", &opts, &user, 1,
                 "scrape_configs:\n- job_name: b\n" TO_PROXY
                 "  file_sd_configs:\n  - files:\n    - /t/b.json\n");
}

static void file_form_names_one_file_a_job(void **state)
{
    (void)state;
    struct render_options opts = DEFAULTS;
    struct promconf *c = parse("scrape_configs: [{job_name: 'a b'}]", PROMETHEUS_2);
    struct bytes out;
    struct errctx err = ERRCTX_INIT;
    opts.form = TARGET_FORM_FILE;
    bytes_init(&out, 1 << 20);
    assert_int_equal(render_config(c, &opts, NULL, 0, &out, &err), ERR_INVALID);
    assert_string_equal(
        err.msg,
        "render(/etc/p/prometheus.yml): no folder for target files; expected an absolute path");
    opts.target_dir = "/run/t";
    opts.proxy_url = "";
    errctx_clear(&err);
    assert_int_equal(render_config(c, &opts, NULL, 0, &out, &err), ERR_INVALID);
    opts.proxy_url = "http://p:1";
    opts.self_monitor = true;
    assert_int_equal(render_config(c, &opts, NULL, 0, &out, NULL), ERR_INVALID);
    opts.self_monitor = false;
    struct assignment items[] = {ASSIGN("a b", 1, "__address__=x:1")};
    assert_int_equal(render_config(c, &opts, items, 1, &out, NULL), 0);
    assert_string_equal(
        out.base, "scrape_configs:\n- job_name: 'a b'\n  scheme: http\n  proxy_url: http://p:1\n"
                  "  follow_redirects: false\n  file_sd_configs:\n  - files:\n"
                  "    - '/run/t/a%20b.json'\n");
    release(items, 1);
    bytes_done(&out);
    promconf_unref(c);
}

static void targets_of_a_job(void **state)
{
    (void)state;
    struct assignment items[] = {
        ASSIGN("a", 9, "__address__=b:1", "__scheme__=https", "__metrics_path__=/m", "job=other",
               "instance=i", "__scrape_interval__=30s", "dc=x", "__tmp_x=y", "__param_m=mine"),
        ASSIGN("other", 1, "__address__=x:1"),
        assign("a", 2, ASSIGNMENT_LEAVING, (const char *const[]){"__address__=gone:1", NULL}),
        assign("a", UINT64_MAX, ASSIGNMENT_IN_TRANSFER,
               (const char *const[]){"__address__=c:1", "__scheme__=http", NULL}),
        ASSIGN("a", 3, "__address__=a", "__scheme__=http", "__metrics_path__=/metrics", "job=a"),
    };
    check_file(
        "scrape_configs: [{job_name: a, params: {m: [x, y], n: [z], 'collect[]': [q], e: []}}]",
        PROMETHEUS_2, items, 5,
        "[{\"targets\":[\"a:80\"],\"labels\":{\"__metrics_path__\":\"/"
        "metrics\",\"__param__hash\":\"3\","
        "\"__param__jobName\":\"a\",\"__param__scheme\":\"http\",\"__param__shard\":\"shard-7\",\"_"
        "_param_m\":\"x\","
        "\"__param_n\":\"z\",\"__scheme__\":\"http\",\"instance\":\"a:80\",\"job\":\"a\"}},"
        "{\"targets\":[\"b:1\"],\"labels\":{\"__metrics_path__\":\"/m\",\"__param__hash\":\"9\","
        "\"__param__jobName\":\"a\",\"__param__scheme\":\"https\",\"__param__shard\":\"shard-7\","
        "\"__param_m\":\"mine\","
        "\"__param_n\":\"z\",\"__scheme__\":\"http\",\"__scrape_interval__\":\"30s\",\"__tmp_x\":"
        "\"y\",\"dc\":\"x\","
        "\"instance\":\"i\",\"job\":\"other\"}},"
        "{\"targets\":[\"c:1\"],\"labels\":{\"__metrics_path__\":\"/"
        "\",\"__param__hash\":\"18446744073709551615\","
        "\"__param__jobName\":\"a\",\"__param__scheme\":\"http\",\"__param__shard\":\"shard-7\",\"_"
        "_param_m\":\"x\","
        "\"__param_n\":\"z\",\"__scheme__\":\"http\",\"instance\":\"c:1\"}}]\n");
    check_file("scrape_configs: [{job_name: a}]", PROMETHEUS_2, NULL, 0, "[]\n");
}

static void ports_come_from_the_original_scheme(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"h", "http", "h:80"},
        {"h", "https", "h:443"},
        {"h", "", "h:80"},
        {"h:1", "https", "h:1"},
        {"h:", "https", "h:443"},
        {"[::1]", "https", "[::1]:443"},
        {"[::1]:9", "http", "[::1]:9"},
        {"::1", "http", "::1"},
        {"10.0.0.1", "http", "10.0.0.1:80"},
        {"h", "ftp", "h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct promconf *c = parse("scrape_configs: [{job_name: a}]", PROMETHEUS_2);
        char address[64], scheme[64], want[80];
        snprintf(address, sizeof(address), "__address__=%s", cases[i][0]);
        snprintf(scheme, sizeof(scheme), "__scheme__=%s", cases[i][1]);
        snprintf(want, sizeof(want), "[{\"targets\":[\"%s\"]", cases[i][2]);
        struct assignment items[] = {ASSIGN("a", 1, address, scheme)};
        struct bytes out;
        bytes_init(&out, 1 << 16);
        assert_int_equal(render_target_file(&c->jobs[0], &DEFAULTS, items, 1, &out, NULL), 0);
        assert_memory_equal(out.base, want, strlen(want));
        bytes_done(&out);
        release(items, 1);
        promconf_unref(c);
    }
}

static void one_bad_target_costs_itself(void **state)
{
    (void)state;
    struct assignment items[] = {
        ASSIGN("a", 1, "x=y"),
        ASSIGN("a", 2, "__address__=http://a/b"),
        ASSIGN("a", 3, "__address__=x:1", "bad=\xff"),
        ASSIGN("a", 4, "__address__=good:1", "job=a"),
    };
    check_file(
        "scrape_configs: [{job_name: a}]", PROMETHEUS_3, items, 4,
        "[{\"targets\":[\"good:1\"],\"labels\":{\"__metrics_path__\":\"/\",\"__param__hash\":\"4\","
        "\"__param__jobName\":\"a\",\"__param__scheme\":\"http\",\"__param__shard\":\"shard-7\","
        "\"__scheme__\":\"http\",\"instance\":\"good:1\",\"job\":\"a\"}}]\n");
}

#define MAP_RULES "relabel_configs: [{action: labelmap, regex: __meta_(.+)}]"
#define ROUTED(hash)                                                                               \
    "\"__param__hash\":\"" hash                                                                    \
    "\",\"__param__jobName\":\"a\",\"__param__scheme\":\"http\",\"__param__shard\":\"shard-7\","

static void refused_names_travel_under_a_prefix(void **state)
{
    (void)state;
    struct assignment items[] = {ASSIGN("a", 1, "__address__=x:1", "1=one", "a.b=c", "ok=y")};
    check_file(
        "scrape_configs: [{job_name: a, " MAP_RULES "}]", PROMETHEUS_2, items, 1,
        "[{\"targets\":[\"x:1\"],\"labels\":{\"__invalid_label_1\":\"one\",\"__metrics_path__\":\"/"
        "\"," ROUTED("1") "\"__scheme__\":\"http\",\"instance\":\"x:1\",\"ok\":\"y\"}}]\n");
    struct assignment same[] = {ASSIGN("a", 1, "__address__=x:1", "1=one", "a.b=c", "ok=y")};
    check_file(
        "scrape_configs: [{job_name: a, " MAP_RULES "}]", PROMETHEUS_3, same, 1,
        "[{\"targets\":[\"x:1\"],\"labels\":{\"1\":\"one\",\"__metrics_path__\":\"/\"," ROUTED(
            "1") "\"__scheme__\":\"http\",\"a.b\":\"c\",\"instance\":\"x:1\",\"ok\":\"y\"}}]\n");
    check_config(
        "scrape_configs: [{job_name: a, " MAP_RULES "}]", &DEFAULTS, NULL, 0,
        "scrape_configs:\n- job_name: a\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n"
        "  follow_redirects: false\n  relabel_configs:\n  - action: labelmap\n    regex: "
        "'__invalid_label_(.+)'\n"
        "    replacement: '$1'\n  static_configs: []\n");
}

static void a_removed_job_label_stays_removed(void **state)
{
    (void)state;
    const char *in =
        "scrape_configs: [{job_name: a, relabel_configs: [{action: labeldrop, regex: job}]}]";
    struct assignment items[] = {ASSIGN("a", 1, "__address__=x:1")};
    check_file(in, PROMETHEUS_2, items, 1,
               "[{\"targets\":[\"x:1\"],\"labels\":{\"__kvass_no_job__\":\"1\",\"__metrics_path__"
               "\":\"/\"," ROUTED("1") "\"__scheme__\":\"http\",\"instance\":\"x:1\"}}]\n");
    check_config(
        in, &DEFAULTS, NULL, 0,
        "scrape_configs:\n- job_name: a\n  scheme: http\n  proxy_url: http://127.0.0.1:8008\n"
        "  follow_redirects: false\n  relabel_configs:\n  - source_labels:\n    - "
        "__kvass_no_job__\n"
        "    regex: '1'\n    target_label: job\n    replacement: ''\n  static_configs: []\n");
}

static void external_labels_know_shard_and_replica(void **state)
{
    (void)state;
    struct render_options opts = DEFAULTS;
    opts.shard_id = "0";
    opts.replica = "r";
    const char *in = "global:\n  scrape_interval: 5s\n  external_labels:\n    a: ${SHARD}\n    b: "
                     "x-${REPLICA}-${SHARD}-$SHARD\n"
                     "    c: $${SHARD} ${HOME} $\n    d: \"5\"\n    e:\n";
    check_config(
        in, &opts, NULL, 0,
        "global:\n  scrape_interval: 5s\n  external_labels:\n    a: '0'\n    b: 'x-r-0-$SHARD'\n"
        "    c: $${SHARD} ${HOME} $\n    d: \"5\"\n    e:\nscrape_configs: []\n");
    opts.shard_id = opts.replica = NULL;
    check_config("global: {external_labels: {a: '${SHARD}'}}", &opts, NULL, 0,
                 "global:\n  external_labels:\n    a: '${SHARD}'\nscrape_configs: []\n");
}

static void rules_can_be_left_out(void **state)
{
    (void)state;
    struct render_options opts = DEFAULTS;
    const char *in = "rule_files: [r.yml]\nalerting: {alertmanagers: [{scheme: "
                     "https}]}\nscrape_config_files: [none*.yml]\n";
    check_config(in, &opts, NULL, 0,
                 "rule_files:\n- /etc/p/r.yml\nalerting:\n  alertmanagers:\n  - scheme: "
                 "https\nscrape_configs: []\n");
    opts.drop_rules = true;
    check_config(in, &opts, NULL, 0, "scrape_configs: []\n");
}

/* Each agent gets what it takes, without --strictParse=false and the like. */
static void agents_get_less(void **state)
{
    (void)state;
    struct render_options opts = DEFAULTS;
    const char *in = "global: {scrape_interval: 5s, evaluation_interval: 7s, external_labels: {a: b}}\n"
                     "rule_files: [r.yml]\nremote_read: [{url: 'http://r/'}]\nremote_write: [{url: 'http://w/'}]\n"
                     "storage: {tsdb: {out_of_order_time_window: 1m}}\n";
    opts.server = RENDER_AGENT;
    check_config(in, &opts, NULL, 0,
                 "global:\n  scrape_interval: 5s\n  evaluation_interval: 7s\n  external_labels:\n    a: b\n"
                 "remote_write:\n- url: 'http://w/'\nstorage:\n  tsdb:\n    out_of_order_time_window: 1m\n"
                 "scrape_configs: []\n");
    opts.server = RENDER_VMAGENT;
    check_config(in, &opts, NULL, 0,
                 "global:\n  scrape_interval: 5s\n  external_labels:\n    a: b\nscrape_configs: []\n");
    check_config("global:\nrule_files: [r.yml]\n", &opts, NULL, 0, "global:\nscrape_configs: []\n");
}

static void self_monitor(void **state)
{
    (void)state;
    struct render_options opts = DEFAULTS;
    opts.self_monitor = true;
    opts.shard_id = "prom-rep-0-12";
    opts.prometheus_address = "127.0.0.1:9090/prefix/";
    check_config("", &opts, NULL, 0,
                 "scrape_configs:\n- job_name: prometheus_shards\n  metrics_path: "
                 "/prefix/metrics\n  static_configs:\n"
                 "  - targets:\n    - '127.0.0.1:9090'\n    labels:\n      replicate: "
                 "prom-rep-0-12\n      shard: '12'\n");
    check_config("scrape_configs: [{job_name: prometheus_shards}]", &opts, NULL, 0,
                 "scrape_configs:\n- job_name: prometheus_shards\n  scheme: http\n  proxy_url: "
                 "http://127.0.0.1:8008\n"
                 "  follow_redirects: false\n  static_configs: []\n");
}

static void aliases_are_not_edited_through(void **state)
{
    (void)state;
    const char *in =
        "remote_write: [{url: 'http://r', basic_auth: &b {username: u, password: p}}]\n"
        "scrape_configs:\n- &j\n  job_name: a\n  basic_auth: *b\n- {<<: *j, job_name: b}\n";
    struct promconf *c = parse(in, PROMETHEUS_2);
    struct bytes before, after;
    bytes_init(&before, 1 << 16);
    bytes_init(&after, 1 << 16);
    assert_int_equal(yaml_write(c->root, &before, NULL), 0);
    char *got = config(c, &DEFAULTS, NULL, 0);
    assert_int_equal(yaml_write(c->root, &after, NULL), 0);
    assert_string_equal(before.base, after.base);
    assert_non_null(strstr(
        got,
        "remote_write:\n- url: 'http://r'\n  basic_auth:\n    username: u\n    password: p\n"));
    assert_null(strstr(strstr(got, "scrape_configs"), "password"));
    free(got);
    bytes_done(&before);
    bytes_done(&after);
    promconf_unref(c);
}

static void file_names_are_unique_and_plain(void **state)
{
    (void)state;
    char long_a[400], long_b[400];
    memset(long_a, 'x', sizeof(long_a));
    long_a[sizeof(long_a) - 1] = '\0';
    memcpy(long_b, long_a, sizeof(long_b));
    long_b[sizeof(long_b) - 2] = 'y';
    const char *const names[] = {"a",       "A",    "a b",  "a%20b",           "a/b",
                                 "..",      ".",    "a*",   "a?[x]",           "é",
                                 "a.b-c_d", long_a, long_b, "kubernetes/pods", "\\"};
    char *files[sizeof(names) / sizeof(names[0])];
    size_t count = sizeof(names) / sizeof(names[0]);
    for (size_t i = 0; i < count; i++) {
        files[i] = render_target_file_name(names[i]);
        assert_in_range(strlen(files[i]), 1, 200);
        assert_null(strpbrk(files[i], "/*?[\\ "));
        assert_int_not_equal(files[i][0], '.');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(files[i], files[k]);
        }
    }
    assert_string_equal(files[10], "a.b-c_d");
    assert_string_equal(files[4], "a%2Fb");
    for (size_t i = 0; i < count; i++) {
        free(files[i]);
    }
}

static void querier(void **state)
{
    (void)state;
    const char *const urls[] = {"http://a:1/", "https://b/pre", "http://a:1"};
    struct bytes out;
    bytes_init(&out, 1 << 16);
    assert_int_equal(render_querier(urls, 3, &out, NULL), 0);
    assert_string_equal(out.base,
                        "remote_read:\n- url: http://a:1/api/v1/read\n  read_recent: true\n"
                        "- url: https://b/pre/api/v1/read\n  read_recent: true\n");
    bytes_clear(&out);
    assert_int_equal(render_querier(NULL, 0, &out, NULL), 0);
    assert_string_equal(out.base, "remote_read: []\n");
    bytes_done(&out);
}

static void output_over_its_cap(void **state)
{
    (void)state;
    struct promconf *c = parse("scrape_configs: [{job_name: a}]", PROMETHEUS_2);
    struct bytes out;
    bytes_init(&out, 5);
    assert_int_equal(render_config(c, &DEFAULTS, NULL, 0, &out, NULL), ERR_LIMIT);
    bytes_clear(&out);
    struct assignment items[] = {ASSIGN("a", 1, "__address__=x:1")};
    assert_int_equal(render_target_file(&c->jobs[0], &DEFAULTS, items, 1, &out, NULL), ERR_LIMIT);
    release(items, 1);
    bytes_done(&out);
    promconf_unref(c);
}

static void secrets_are_hidden_from_people(void **state)
{
    (void)state;
    struct promconf *c =
        parse("global: {external_labels: {password: label}}\n"
              "remote_write:\n- url: http://u:pw@h:1/x\n  sigv4: {region: r, secret_key: s3}\n"
              "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: x}\n"
              "  static_configs: [{targets: ['a:1'], labels: {token: shown}}]\n"
              "- job_name: b\n  authorization: {credentials: c, }\n  proxy_url: http://user@h/\n"
              "- job_name: c\n  tls_config: {key: k, cert: shown, ca_file: f}\n  http_headers: {X: "
              "{secrets: [s1, s2]}}\n"
              "- job_name: d\n  consul_sd_configs: [{token: t, password: ''}]\n",
              PROMETHEUS_2);
    struct bytes out;
    bytes_init(&out, 1 << 16);
    assert_int_equal(promconf_write_redacted(c, &out, NULL), 0);
    assert_string_equal(out.base, "global:\n"
                                  "  external_labels:\n"
                                  "    password: label\n"
                                  "remote_write:\n"
                                  "- url: http://u:xxxxx@h:1/x\n"
                                  "  sigv4:\n"
                                  "    region: r\n"
                                  "    secret_key: <secret>\n"
                                  "scrape_configs:\n"
                                  "- job_name: a\n"
                                  "  basic_auth:\n"
                                  "    username: u\n"
                                  "    password: <secret>\n"
                                  "  static_configs:\n"
                                  "  - targets:\n"
                                  "    - 'a:1'\n"
                                  "    labels:\n"
                                  "      token: shown\n"
                                  "- job_name: b\n"
                                  "  authorization:\n"
                                  "    credentials: <secret>\n"
                                  "  proxy_url: http://user@h/\n"
                                  "- job_name: c\n"
                                  "  tls_config:\n"
                                  "    key: <secret>\n"
                                  "    cert: shown\n"
                                  "    ca_file: /etc/p/f\n"
                                  "  http_headers:\n"
                                  "    X:\n"
                                  "      secrets:\n"
                                  "      - <secret>\n"
                                  "      - <secret>\n"
                                  "- job_name: d\n"
                                  "  consul_sd_configs:\n"
                                  "  - token: <secret>\n"
                                  "    password: ''\n");
    bytes_done(&out);
    promconf_unref(c);
}

static void golden_files(const char *name, const char *text)
{
    struct promconf_options conf_opts = {.major = PROMETHEUS_2};
    struct promconf *c = NULL;
    struct render_options opts = DEFAULTS;
    char *path = mem_printf("/golden/%s", name);
    assert_int_equal(promconf_parse(path, view_of(text), &conf_opts, &c, NULL), 0);
    VEC(struct assignment) items = {0};
    for (size_t i = 0; i < c->job_count; i++) {
        *vec_push(&items) = ASSIGN(c->jobs[i].name, i + 1, "__address__=host", "__scheme__=https",
                                   "__metrics_path__=/m", "job=j", "label='quoted' \"5\" é");
    }
    char *got = config(c, &opts, items.items, items.len);
    golden_compare(name, ".shard.want", got);
    free(got);
    release(items.items, items.len);
    vec_done(&items);
    promconf_unref(c);
    free(path);
}

static void golden(void **state)
{
    (void)state;
    assert_in_range(golden_each(false, golden_files), 5, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_lose_what_the_proxy_does),
        cmocka_unit_test(the_label_of_parts_is_dropped),
        cmocka_unit_test(file_form_names_one_file_a_job),
        cmocka_unit_test(targets_of_a_job),
        cmocka_unit_test(ports_come_from_the_original_scheme),
        cmocka_unit_test(one_bad_target_costs_itself),
        cmocka_unit_test(refused_names_travel_under_a_prefix),
        cmocka_unit_test(a_removed_job_label_stays_removed),
        cmocka_unit_test(external_labels_know_shard_and_replica),
        cmocka_unit_test(rules_can_be_left_out),
        cmocka_unit_test(agents_get_less),
        cmocka_unit_test(self_monitor),
        cmocka_unit_test(aliases_are_not_edited_through),
        cmocka_unit_test(file_names_are_unique_and_plain),
        cmocka_unit_test(querier),
        cmocka_unit_test(output_over_its_cap),
        cmocka_unit_test(secrets_are_hidden_from_people),
        cmocka_unit_test(golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
