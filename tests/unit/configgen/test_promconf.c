#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "configgen/promconf.h"
#include "golden.h"

#include <unistd.h>

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

static void check_refused(const char *text, enum prometheus_major major, const char *message)
{
    struct promconf_options opts = {.major = major};
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    int rc = promconf_parse("p.yml", view_of(text), &opts, &c, &err);
    assert_string_equal(err.msg, message);
    assert_true(rc < 0);
    assert_null(c);
}

/* --- the typed view as text, for the golden files */

static void put(struct bytes *out, const char *name, const char *value)
{
    if (value != NULL) {
        bytes_printf(out, "  %s: [%s]\n", name, value);
    }
}

static void put_u64(struct bytes *out, const char *name, uint64_t value)
{
    if (value != 0) {
        bytes_printf(out, "  %s: %llu\n", name, (unsigned long long)value);
    }
}

static void put_pairs(struct bytes *out, const char *name, const struct label *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes_printf(out, "  %s: %.*s=[%.*s]\n", name, VIEW_FMT(pairs[i].name),
                     VIEW_FMT(pairs[i].value));
    }
}

static void put_tls(struct bytes *out, const struct tls_conf *t)
{
    put(out, "ca", t->ca);
    put(out, "ca_file", t->ca_file);
    put(out, "cert_file", t->cert_file);
    put(out, "key_file", t->key_file);
    put(out, "server_name", t->server_name);
    put(out, "min_version", t->min_version);
    put_u64(out, "insecure_skip_verify", t->insecure_skip_verify);
}

static void put_http(struct bytes *out, const struct http_client_conf *h)
{
    put(out, "username", h->username);
    put(out, "password", h->password);
    put(out, "password_file", h->password_file);
    put(out, "auth_type", h->auth_type);
    put(out, "credentials", h->credentials);
    put(out, "credentials_file", h->credentials_file);
    put_tls(out, &h->tls);
    put(out, "proxy_url", h->proxy.url);
    put(out, "no_proxy", h->proxy.no_proxy);
    put_pairs(out, "proxy_connect_header", h->proxy.connect_headers, h->proxy.connect_header_count);
    if (h->oauth2 != NULL) {
        put(out, "client_id", h->oauth2->client_id);
        put(out, "client_secret_file", h->oauth2->client_secret_file);
        put(out, "token_url", h->oauth2->token_url);
        for (size_t i = 0; i < h->oauth2->scope_count; i++) {
            put(out, "scope", h->oauth2->scopes[i]);
        }
        put_pairs(out, "endpoint_param", h->oauth2->endpoint_params,
                  h->oauth2->endpoint_param_count);
        put_tls(out, &h->oauth2->tls);
    }
    for (size_t i = 0; i < h->header_count; i++) {
        put(out, "header", h->headers[i].name);
        for (size_t k = 0; k < h->headers[i].value_count; k++) {
            put(out, "header value", h->headers[i].values[k]);
        }
        for (size_t k = 0; k < h->headers[i].file_count; k++) {
            put(out, "header file", h->headers[i].files[k]);
        }
    }
    bytes_printf(out, "  redirects %d http2 %d\n", h->follow_redirects, h->enable_http2);
}

static void put_rules(struct bytes *out, const char *name, const struct relabel_spec *specs,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct relabel_spec *s = &specs[i];
        bytes_printf(out, "  %s %d:%d %s", name, s->line, s->column,
                     relabel_action_name(s->action));
        for (size_t k = 0; k < s->source_label_count; k++) {
            bytes_printf(out, " %.*s", VIEW_FMT(s->source_labels[k]));
        }
        bytes_printf(out, " sep[%.*s] re[%.*s] -> [%.*s] [%.*s] mod %llu\n", VIEW_FMT(s->separator),
                     VIEW_FMT(s->regex), VIEW_FMT(s->target_label), VIEW_FMT(s->replacement),
                     (unsigned long long)s->modulus);
    }
}

static void put_job(struct bytes *out, const struct job_conf *j)
{
    bytes_printf(out, "job [%s] %s:%d:%d\n", j->name, j->file, j->line, j->column);
    bytes_printf(out, "  every %lld ms, timeout %lld ms, %s [%s], honor labels %d timestamps %d\n",
                 (long long)j->interval_ms, (long long)j->timeout_ms, j->scheme, j->metrics_path,
                 j->honor_labels, j->honor_timestamps);
    put_pairs(out, "param", j->params, j->param_count);
    put_http(out, &j->http);
    put_rules(out, "rule", j->relabel, j->relabel_count);
    put_rules(out, "metric rule", j->metric_relabel, j->metric_relabel_count);
    put_u64(out, "sample_limit", j->sample_limit);
    put_u64(out, "target_limit", j->target_limit);
    put_u64(out, "label_limit", j->label_limit);
    put_u64(out, "label_name_length_limit", j->label_name_length_limit);
    put_u64(out, "label_value_length_limit", j->label_value_length_limit);
    put_u64(out, "body_size_limit", j->body_size_limit);
    put(out, "fallback",
        j->fallback_scrape_protocol[0] != '\0' ? j->fallback_scrape_protocol : NULL);
    bytes_printf(out, "  utf8 %d native %d classic %d\n", j->utf8_names, j->native_histograms,
                 j->always_classic);
    for (size_t i = 0; i < j->sd_count; i++) {
        bytes_printf(out, "  sd %s %d:%d\n", j->sd[i].key, j->sd[i].node->line,
                     j->sd[i].node->column);
    }
}

static void run_good(const char *name, const char *text)
{
    struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    struct bytes out;
    char *path = mem_printf("/golden/%s", name);
    int rc = promconf_parse(path, view_of(text), &opts, &c, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    bytes_init(&out, 1 << 20);
    bytes_printf(&out, "scrape every %lld ms, evaluate every %lld ms, needs %s %s\n",
                 (long long)c->scrape_interval_ms, (long long)c->evaluation_interval_ms,
                 c->needs_version != NULL ? c->needs_version : "-",
                 c->needs_key != NULL ? c->needs_key : "-");
    for (size_t i = 0; i < c->job_count; i++) {
        put_job(&out, &c->jobs[i]);
    }
    bytes_append_str(&out, "---\n"); /* the tree: paths are absolute, nothing else changed */
    assert_int_equal(yaml_write(c->root, &out, &err), 0);
    golden_compare(name, ".want", out.base);
    bytes_done(&out);
    promconf_unref(c);
    free(path);
}

static void run_failing(const char *name, const char *text)
{
    struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    char line[ERRCTX_MSG_MAX + 1];
    char *path = mem_printf("/golden/%s", name);
    int rc = promconf_parse(path, view_of(text), &opts, &c, &err);
    free(path);
    assert_true(rc == ERR_INVALID || rc == ERR_PARSE);
    snprintf(line, sizeof(line), "%s\n", err.msg);
    golden_compare(name, ".want", line);
}

static void good_files(void **state)
{
    (void)state;
    assert_in_range(golden_each(false, run_good), 5, 1000);
}

static void failing_files(void **state)
{
    (void)state;
    assert_in_range(golden_each(true, run_failing), 50, 1000);
}

static void globals_are_inherited(void **state)
{
    (void)state;
    struct promconf *c = parse(
        "global: {scrape_interval: 5s, sample_limit: 7, label_limit: 3}\n"
        "scrape_configs:\n- job_name: a\n- {job_name: b, sample_limit: 9, scrape_interval: 2s}\n",
        PROMETHEUS_3);
    const struct job_conf *a = promconf_job(c, "a"), *b = promconf_job(c, "b");
    assert_int_equal(a->interval_ms, 5000);
    assert_int_equal(a->timeout_ms, 5000);
    assert_int_equal(b->timeout_ms, 2000);
    assert_int_equal(a->sample_limit, 7);
    assert_int_equal(b->sample_limit, 9);
    assert_int_equal(b->label_limit, 3);
    assert_true(a->utf8_names);
    assert_null(promconf_job(c, "c"));
    assert_string_equal(c->needs_version, "2.45");
    promconf_unref(c);
}

static uint64_t hash_of(const char *text)
{
    struct promconf *c = parse(text, PROMETHEUS_2);
    uint64_t h = promconf_job(c, "a")->text_hash;
    promconf_unref(c);
    return h;
}

static void text_hash_follows_the_job(void **state)
{
    (void)state;
    uint64_t base = hash_of("scrape_configs: [{job_name: a}]\n");
    assert_true(base == hash_of("# comment\nscrape_configs:\n- job_name: a\n- job_name: other\n"));
    assert_true(base ==
                hash_of("global: {external_labels: {x: y}}\nscrape_configs: [{job_name: a}]\n"));
    assert_true(base !=
                hash_of("global: {scrape_interval: 30s}\nscrape_configs: [{job_name: a}]\n"));
    assert_true(
        base !=
        hash_of(
            "global: {scrape_protocols: [PrometheusProto]}\nscrape_configs: [{job_name: a}]\n"));
    assert_true(base != hash_of("scrape_configs: [{job_name: a, honor_labels: true}]\n"));
    assert_true(
        hash_of("scrape_configs: [{job_name: a, relabel_configs: [{action: drop, regex: a}]}]") !=
        hash_of("scrape_configs: [{job_name: a, relabel_configs: [{action: drop, regex: b}]}]"));
}

static void hash_covers_the_bytes(void **state)
{
    (void)state;
    struct promconf *a = parse("global:\n", PROMETHEUS_2), *b = parse("global: \n", PROMETHEUS_2);
    struct promconf *again = parse("global:\n", PROMETHEUS_2);
    assert_int_equal(strlen(a->hash), 16);
    assert_string_not_equal(a->hash, b->hash);
    assert_string_equal(a->hash, again->hash);
    promconf_unref(promconf_ref(a));
    promconf_unref(a);
    promconf_unref(b);
    promconf_unref(again);
    promconf_unref(NULL);
}

static void versions_differ(void **state)
{
    (void)state;
    const char *names = "global: {external_labels: {a.b: c}}\n";
    check_refused(names, PROMETHEUS_2,
                  "p.yml:1:28: global.external_labels: \"a.b\" is not a valid label name; expected "
                  "letters, digits and "
                  "underscores");
    promconf_unref(parse(names, PROMETHEUS_3));
    const char *word = "scrape_configs: [{job_name: a, metric_relabel_configs: [{regex: 'null', action: labeldrop}]}]\n";
    check_refused(word, PROMETHEUS_2,
                  "p.yml:1:65: job 'a': metric_relabel_configs[0]: regex \"null\" is refused by this version of "
                  "Prometheus; expected (null)");
    promconf_unref(parse(word, PROMETHEUS_2_53));
    const char *v1 = "alerting: {alertmanagers: [{api_version: v1}]}\n";
    promconf_unref(parse(v1, PROMETHEUS_2));
    check_refused(v1, PROMETHEUS_3,
                  "p.yml:1:42: alerting.alertmanagers[0].api_version: expected v2");
    check_refused("remote_write: [{url: x, queue_config: {max_shards: 0}}]\n", PROMETHEUS_3,
                  "p.yml:1:52: remote_write[0].queue_config.max_shards: not above 0; expected a "
                  "positive number");
}

static void kubernetes_options(void **state)
{
    (void)state;
    const char *text = "remote_write: [{url: x, authorization: &auth {credentials_file: "
                       "/var/run/secrets/kubernetes.io/serviceaccount/token}}]\n"
                       "scrape_configs:\n"
                       "- job_name: a\n"
                       "  authorization: *auth\n"
                       "  tls_config: {ca_file: "
                       "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt, server_name: "
                       "/var/run/secrets/kubernetes.io/serviceaccount}\n"
                       "  kubernetes_sd_configs:\n"
                       "  - role: pod\n"
                       "  - {role: node, api_server: 'https://old', bearer_token: t}\n"
                       "  - {role: node, kubeconfig_file: /k}\n";
    struct promconf_options opts = {.major = PROMETHEUS_2,
                                    .kubernetes_url = "https://new:6443",
                                    .kubernetes_proxy = "http://proxy:1",
                                    .kubernetes_sa_path = "/sa"};
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    struct bytes out;
    assert_int_equal(promconf_parse("/x.yml", view_of(text), &opts, &c, &err), 0);
    bytes_init(&out, 1 << 16);
    assert_int_equal(yaml_write(c->root, &out, &err), 0);
    assert_string_equal(
        out.base,
        "remote_write:\n- url: x\n  authorization:\n"
        "    credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token\n"
        "scrape_configs:\n- job_name: a\n  authorization:\n    credentials_file: /sa/token\n"
        "  tls_config:\n    ca_file: /sa/ca.crt\n"
        "    server_name: /var/run/secrets/kubernetes.io/serviceaccount\n"
        "  kubernetes_sd_configs:\n  - role: pod\n"
        "    authorization:\n      credentials_file: /sa/token\n"
        "    tls_config:\n      ca_file: /sa/ca.crt\n"
        "    api_server: https://new:6443\n    proxy_url: http://proxy:1\n"
        "  - role: node\n    api_server: https://new:6443\n    bearer_token: t\n"
        "    proxy_url: http://proxy:1\n"
        "  - role: node\n    kubeconfig_file: /k\n");
    assert_string_equal(c->jobs[0].http.credentials_file, "/sa/token");
    bytes_done(&out);
    promconf_unref(c);
}

static void write_file(const char *path, const char *text)
{
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(files_write_atomic(path, view_of(text), 0644, (gid_t)-1, &err), 0);
}

static void included_files(void **state)
{
    (void)state;
    char dir[] = "promconf.XXXXXX", path[128];
    struct promconf *c = NULL;
    struct errctx err = ERRCTX_INIT;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/jobs", dir);
    assert_int_equal(files_make_dirs(path, 0755, &err), 0);
    snprintf(path, sizeof(path), "%s/jobs/b.yml", dir);
    write_file(path, "scrape_configs:\n- job_name: b\n  bearer_token_file: tok\n");
    snprintf(path, sizeof(path), "%s/jobs/a.yml", dir);
    write_file(path, "scrape_configs:\n- job_name: a\n");
    snprintf(path, sizeof(path), "%s/main.yml", dir);
    write_file(path, "scrape_config_files: [jobs/*.yml, none/*.yml]\nscrape_configs: [{job_name: "
                     "m, bearer_token_file: tok}]\n");
    assert_int_equal(promconf_load(path, NULL, &c, &err), 0);
    assert_int_equal(c->job_count, 3);
    assert_string_equal(c->jobs[0].name, "m");
    assert_string_equal(c->jobs[1].name, "a");
    assert_non_null(strstr(c->jobs[2].http.credentials_file, "/jobs/tok"));
    assert_int_equal(c->jobs[2].http.credentials_file[0], '/');
    assert_null(strstr(c->jobs[0].http.credentials_file, "/jobs/"));
    char hash[17];
    memcpy(hash, c->hash, sizeof(hash));
    promconf_unref(c);
    snprintf(path, sizeof(path), "%s/jobs/a.yml", dir);
    write_file(path, "scrape_configs:\n- job_name: m\n");
    snprintf(path, sizeof(path), "%s/main.yml", dir);
    assert_int_equal(promconf_load(path, NULL, &c, &err), ERR_INVALID);
    assert_non_null(
        strstr(err.msg, "/jobs/a.yml:2:13: job 'm': job_name: found multiple scrape configs"));
    errctx_clear(&err);
    snprintf(path, sizeof(path), "%s/jobs/a.yml", dir);
    write_file(path, "global: {}\n");
    snprintf(path, sizeof(path), "%s/main.yml", dir);
    assert_int_equal(promconf_load(path, NULL, &c, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "/jobs/a.yml:1:1: global: unknown key"));
    errctx_clear(&err);
    snprintf(path, sizeof(path), "%s/jobs/a.yml", dir);
    write_file(path, "# empty\n");
    snprintf(path, sizeof(path), "%s/main.yml", dir);
    assert_int_equal(promconf_load(path, NULL, &c, &err), 0);
    assert_string_not_equal(hash, c->hash);
    promconf_unref(c);
    assert_int_equal(promconf_load("does/not/exist.yml", NULL, &c, &err), ERR_NOT_FOUND);
    assert_int_equal(files_remove_tree(dir, NULL), 0);
}

struct refusals {
    size_t count, last;
    char message[ERRCTX_MSG_MAX];
};

static void on_refused(void *data, size_t i, const struct errctx *err)
{
    struct refusals *r = data;
    r->count++;
    r->last = i;
    snprintf(r->message, sizeof(r->message), "%s", err->msg);
}

/* Jobs that no file holds: each is taken whole or left out whole, and the rest is as it was. */
static void extra_jobs(void **state)
{
    (void)state;
    const char *text = "global: {scrape_interval: 10s}\nscrape_configs: [{job_name: m}]\n";
    const struct promconf_extra extras[] = {
        {"Monitor a", VIEW("{\"scrape_configs\":[{\"job_name\":\"a\",\"bearer_token_file\":\"tok\"}]}")},
        {"Monitor b", VIEW("{\"scrape_configs\":[{\"job_name\":\"b\"},{\"job_name\":\"m\"}]}")},
        {"Monitor c", VIEW("{\"scrape_configs\":[{\"job_name\":\"b\",\"basic_auth\":{\"password\":\"hush\"}}]}")},
    };
    struct refusals refused = {0};
    struct promconf_options opts = {.major = PROMETHEUS_2,
                                    .extras = extras,
                                    .extra_count = 3,
                                    .on_extra_refused = on_refused,
                                    .extra_data = &refused};
    struct promconf *c = NULL, *plain = NULL, *same = NULL;
    struct errctx err = ERRCTX_INIT;
    struct bytes out;
    bytes_init(&out, 1 << 16);
    assert_int_equal(promconf_parse("/etc/main.yml", view_of(text), NULL, &plain, &err), 0);
    assert_int_equal(promconf_parse("/etc/main.yml", view_of(text), &opts, &c, &err), 0);
    assert_true(c->job_count == 3 && c->file_job_count == 1 && plain->file_job_count == 1);
    assert_string_equal(c->jobs[1].name, "a");
    assert_string_equal(c->jobs[1].file, "Monitor a");
    assert_int_equal(c->jobs[1].interval_ms, 10000);
    assert_string_equal(c->jobs[1].http.credentials_file, "/etc/tok");
    assert_string_equal(c->jobs[2].file, "Monitor c"); /* b is free: the one before was left out whole */
    assert_true(refused.count == 1 && refused.last == 1);
    assert_non_null(strstr(refused.message, "job 'm': job_name: found multiple scrape configs"));
    assert_string_not_equal(c->hash, plain->hash);
    assert_int_equal(promconf_write_redacted(c, &out, &err), 0);
    assert_non_null(strstr(out.base, "<secret>"));
    assert_null(strstr(out.base, "hush"));
    bytes_clear(&out);
    assert_int_equal(promconf_write_whole(c, &out, &err), 0);
    assert_int_equal(promconf_parse("/etc/main.yml", bytes_view(&out), NULL, &same, &err), 0);
    assert_int_equal(same->job_count, 3);
    assert_string_equal(same->jobs[2].http.password, "hush");
    promconf_unref(same);
    /* one that is refused leaves no trace, not in the hash either */
    opts.extras = &extras[1];
    opts.extra_count = 1;
    assert_int_equal(promconf_parse("/etc/main.yml", view_of(text), &opts, &same, &err), 0);
    assert_string_equal(same->hash, plain->hash);
    promconf_unref(same);
    promconf_unref(plain);
    promconf_unref(c);
    bytes_done(&out);
}

static void http_client_of_any_mapping(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct yaml_node *root = NULL;
    struct http_client_conf http = {.username = "untouched"};
    struct errctx err = ERRCTX_INIT;
    const char *text = "url: x\nbasic_auth: {username: u, password_file: ../pw}\n";
    assert_int_equal(yaml_parse(arena, "sd.yml", view_of(text), &root, &err), 0);
    assert_int_equal(promconf_http_client(arena, root, "sd.yml", "/etc/x", &http, &err), 0);
    assert_string_equal(http.password_file, "/etc/pw");
    assert_string_equal(yaml_get(yaml_get(root, "basic_auth"), "password_file")->value.base,
                        "../pw");
    text = "tls_config: {ca_fil: x}\n";
    assert_int_equal(yaml_parse(arena, "sd.yml", view_of(text), &root, &err), 0);
    assert_int_equal(promconf_http_client(arena, root, "sd.yml", "/etc/x", &http, &err),
                     ERR_INVALID);
    assert_string_equal(
        err.msg,
        "sd.yml:1:14: tls_config.ca_fil: unknown key; expected a key that Prometheus has up to "
        "3.14, such as 'ca_file'");
    assert_string_equal(http.username, "u");
    assert_int_equal(promconf_http_client(arena, NULL, "sd.yml", "/etc/x", &http, &err), 0);
    assert_true(http.follow_redirects && http.enable_http2);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(failing_files),
        cmocka_unit_test(globals_are_inherited),
        cmocka_unit_test(text_hash_follows_the_job),
        cmocka_unit_test(hash_covers_the_bytes),
        cmocka_unit_test(versions_differ),
        cmocka_unit_test(kubernetes_options),
        cmocka_unit_test(included_files),
        cmocka_unit_test(extra_jobs),
        cmocka_unit_test(http_client_of_any_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
