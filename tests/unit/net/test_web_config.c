/* The web configuration file: what promtool accepts and refuses, and what is read from it. */
#include "net_test.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "net/web_config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "$2y$10$QQJQ8mGc0Gl9yqkVB1c3ZuH8CE6sI0pGZb2vQk3mS5oT7rX4wY1Aa"
#define REST "QQJQ8mGc0Gl9yqkVB1c3ZuH8CE6sI0pGZb2vQk3mS5oT7rX4wY1Aa"
#define TLS  "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n"

static const struct {
    const char *text;
    bool good;
} cases[] = {
    {"", true},
    {"# nothing\n", true},
    {"{}", true},
    {"~", true},
    {"---\n", true},
    {"---\n...\n---\nsecond: document\n", true},
    {"[]", false},
    {"text", false},
    {"a: [", false},
    {"unknown: 1\n", false},
    {"tls_server_config:\n", true},
    {"tls_server_config: {}\n", true},
    {"tls_server_config: []\n", false},
    {"tls_server_config: text\n", false},
    {TLS, true},
    {TLS TLS, false},
    {TLS "  cert_file: a.crt\n", false},
    {TLS "  nonsense: 1\n", false},
    {TLS "  min_version: TLS13\n  max_version: TLS13\n", true},
    {TLS "  min_version: TLS10\n", true},
    {TLS "  min_version: TLS13\n  max_version: TLS12\n", true},
    {TLS "  min_version: tls12\n", false},
    {TLS "  min_version: SSL30\n", false},
    {TLS "  min_version: 12\n", false},
    {TLS "  min_version: [TLS12]\n", false},
    {TLS "  max_version: \"TLS12\"\n", true},
    {TLS "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n", true},
    {TLS "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n", true},
    {TLS "  cipher_suites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305]\n", false},
    {TLS "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", false},
    {TLS "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256]\n", false},
    {TLS "  cipher_suites: []\n", true},
    {TLS "  cipher_suites:\n", true},
    {TLS "  cipher_suites: TLS_AES_128_GCM_SHA256\n", false},
    {TLS "  cipher_suites: {a: b}\n", false},
    {TLS "  curve_preferences: [CurveP256, X25519, CurveP384, CurveP521]\n", true},
    {TLS "  curve_preferences: [P-256]\n", false},
    {TLS "  prefer_server_cipher_suites: false\n", true},
    {TLS "  prefer_server_cipher_suites: off\n", true},
    {TLS "  prefer_server_cipher_suites: 1\n", false},
    {TLS "  prefer_server_cipher_suites: \"true\"\n", false},
    {TLS "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: a.crt\n", true},
    {TLS "  client_auth_type: RequireAndVerifyClientCert\n", true},
    {TLS "  client_auth_type: RequireAnyClientCert\n", true},
    {TLS "  client_auth_type: RequireClientCert\n", true},
    {TLS "  client_auth_type: RequestClientCert\n", true},
    {TLS "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: a.crt\n", true},
    {TLS "  client_auth_type: NoClientCert\n", true},
    {TLS "  client_auth_type: \"\"\n", true},
    {TLS "  client_auth_type: Nothing\n", false},
    {TLS "  client_auth_type: NoClientCert\n  client_ca_file: a.crt\n", false},
    {TLS "  client_ca_file: a.crt\n", false},
    {TLS "  client_auth_type: RequestClientCert\n  client_ca_file: absent.crt\n", false},
    {TLS "  client_auth_type: RequestClientCert\n  client_ca_file: a.key\n", true},
    {"tls_server_config:\n  cert_file: a.crt\n", false},
    {"tls_server_config:\n  key_file: a.key\n", false},
    {"tls_server_config:\n  client_auth_type: NoClientCert\n", false},
    {"tls_server_config:\n  client_ca_file: a.crt\n", false},
    {"tls_server_config:\n  min_version: TLS12\n", true},
    {"tls_server_config:\n  cipher_suites: [none]\n", false},
    {"tls_server_config:\n  cert_file: a.crt\n  key_file: b.key\n", false},
    {"tls_server_config:\n  cert_file: absent.crt\n  key_file: a.key\n", false},
    {"tls_server_config:\n  cert_file: a.crt\n  key_file: absent.key\n", false},
    {"tls_server_config:\n  cert_file: a.key\n  key_file: a.crt\n", false},
    {"tls_server_config:\n  cert_file: ~\n  key_file: ~\n", true},
    {"http_server_config:\n  http2: true\n", true},
    {"http_server_config:\n  http2: no\n", true},
    {"http_server_config:\n  http2: maybe\n", false},
    {"http_server_config:\n  http3: true\n", false},
    {"http_server_config:\n  headers:\n", true},
    {"http_server_config:\n  headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff}\n", true},
    {"http_server_config:\n  headers: {X-Frame-Options: sameorigin, X-XSS-Protection: 1, Strict-Transport-Security: "
     "a}\n",
     true},
    {"http_server_config:\n  headers: {Content-Security-Policy: \"default-src 'self'\"}\n", true},
    {"http_server_config:\n  headers: {X-Frame-Options: allow}\n", false},
    {"http_server_config:\n  headers: {X-Frame-Options: DENY}\n", false},
    {"http_server_config:\n  headers: {x-frame-options: deny}\n", false},
    {"http_server_config:\n  headers: {X-Foo: bar}\n", false},
    {"http_server_config:\n  headers: {X-XSS-Protection: a, X-XSS-Protection: b}\n", false},
    {"http_server_config:\n  headers: [X-XSS-Protection]\n", false},
    {"basic_auth_users:\n", true},
    {"basic_auth_users: {}\n", true},
    {"basic_auth_users:\n  alice: " HASH "\n", true},
    {"basic_auth_users:\n  alice: $2a$10$" REST "\n", true},
    {"basic_auth_users:\n  alice: $2b$04$" REST "\n", true},
    {"basic_auth_users:\n  alice: $2b$31$" REST "\n", true},
    {"basic_auth_users:\n  alice: $2b$32$" REST "\n", false},
    {"basic_auth_users:\n  alice: $2b$03$" REST "\n", false},
    {"basic_auth_users:\n  alice: $2b$xx$" REST "\n", false},
    {"basic_auth_users:\n  alice: $2$10$" REST "\n", true},
    {"basic_auth_users:\n  alice: $1$10$" REST "x\n", true},
    {"basic_auth_users:\n  alice: $3a$10$" REST "\n", false},
    {"basic_auth_users:\n  alice: x2a$10$" REST "\n", false},
    {"basic_auth_users:\n  alice: $2a$10$" REST "longer\n", true},
    {"basic_auth_users:\n  alice: secret\n", false},
    {"basic_auth_users:\n  alice: ''\n", false},
    {"basic_auth_users:\n  alice:\n", false},
    {"basic_auth_users:\n  1: " HASH "\n", true},
    {"basic_auth_users:\n  '': " HASH "\n", true},
    {"basic_auth_users:\n  alice: " HASH "\n  bob: " HASH "\n", true},
    {"basic_auth_users:\n  alice: " HASH "\n  alice: " HASH "\n", false},
    {"basic_auth_users: [alice]\n", false},
    {"basic_auth_users: alice\n", false},
    {"basic_auth_users:\n  alice: [" HASH "]\n", false},
    {"basic_auth_users: &x\n  alice: " HASH "\nhttp_server_config: {}\n", true},
    {"tls_server_config: &t\n  cert_file: &c a.crt\n  key_file: a.key\n  client_ca_file: *c\n  client_auth_type: "
     "RequestClientCert\n",
     true},
    {"tls_server_config:\n  <<: {cert_file: a.crt, key_file: a.key}\n  min_version: TLS13\n", true},
    {"tls_server_config:\n  <<: [{cert_file: a.crt}, {key_file: a.key}]\n", true},
    {"tls_server_config:\n  <<: {unknown: a.crt}\n", false},
    {"tls_server_config:\n  <<: 1\n", false},
    {"basic_auth_users:\n  <<: {alice: " HASH "}\n  bob: " HASH "\n", true},
    {"a: *unknown\n", false},
    {"\t\n", false},
    {"basic_auth_users: {alice: \"" HASH "\"}\n", true},
    {"? [a]\n: b\n", false},
};

static bool promtool_accepts(const char *path)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp("promtool", "promtool", "check", "web-config", path, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 127);
    return WEXITSTATUS(status) == 0;
}

static bool we_accept(const char *path, struct errctx *err)
{
    struct web_config *c = NULL;
    SSL_CTX *tls = NULL;
    int rc = web_config_load(path, &c, &tls, err);
    assert_int_equal(rc == 0, c != NULL);
    assert_int_equal(rc != 0, err->code != 0);
    assert_true(rc == 0 || err->msg[0] != '\0');
    web_config_free(&c);
    SSL_CTX_free(tls);
    return rc == 0;
}

static bool have_promtool(void)
{
    return access("/usr/bin/promtool", X_OK) == 0;
}

static void test_cases(void **state)
{
    struct scratch *s = *state;
    unsigned wrong = 0;
    if (!have_promtool()) {
        skip();
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = scratch_write(s, "web.yml", cases[i].text);
        struct errctx err = ERRCTX_INIT;
        bool oracle = promtool_accepts(path), ours = we_accept(path, &err);
        if (oracle != ours || ours != cases[i].good) {
            print_message("# expected %d, promtool says %d, we say %d (%s):\n%s\n", cases[i].good, oracle, ours,
                          err.msg, cases[i].text);
            wrong++;
        }
        free(path);
    }
    assert_int_equal(wrong, 0);
}

static struct web_config *parse(const char *text)
{
    struct web_config *c = NULL;
    struct errctx err = ERRCTX_INIT;
    int rc = web_config_parse(view_of(text), "/etc/kvass", &c, &err);
    if (rc != 0) {
        print_message("%s\n", err.msg);
    }
    assert_int_equal(rc, 0);
    return c;
}

static void test_values(void **state)
{
    (void)state;
    struct web_config *c = parse("tls_server_config:\n"
                                 "  cert_file: certs/a.crt\n"
                                 "  key_file: /abs/a.key\n"
                                 "  client_ca_file: ca.crt\n"
                                 "  client_auth_type: VerifyClientCertIfGiven\n"
                                 "  min_version: TLS11\n"
                                 "  max_version: TLS12\n"
                                 "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA,\n"
                                 "    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
                                 "  curve_preferences: [X25519, CurveP256]\n"
                                 "  prefer_server_cipher_suites: no\n"
                                 "http_server_config:\n"
                                 "  http2: false\n"
                                 "  headers:\n"
                                 "    Content-Security-Policy: |\n      a\n      b\n"
                                 "basic_auth_users: {alice: " HASH ", 7: " HASH "}\n");
    assert_string_equal(c->cert_file, "/etc/kvass/certs/a.crt");
    assert_string_equal(c->key_file, "/abs/a.key");
    assert_string_equal(c->client_ca_file, "/etc/kvass/ca.crt");
    assert_int_equal(c->client_auth, WEB_CLIENT_AUTH_VERIFY_IF_GIVEN);
    assert_int_equal(c->min_version, TLS1_1_VERSION);
    assert_int_equal(c->max_version, TLS1_2_VERSION);
    assert_string_equal(c->cipher_list, "AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384");
    assert_string_equal(c->group_list, "X25519:P-256");
    assert_false(c->prefer_server_ciphers);
    assert_false(c->http2);
    assert_int_equal(c->header_count, 1);
    assert_string_equal(c->headers[0].value, "a b ");
    assert_int_equal(c->user_count, 2);
    assert_true(view_is(c->users[1].name, "7"));
    assert_true(view_is(c->users[0].hash, HASH));
    web_config_free(&c);
    c = parse("");
    assert_null(c->cert_file);
    assert_int_equal(c->min_version, TLS1_2_VERSION);
    assert_true(c->http2);
    assert_int_equal(c->user_count, 0);
    web_config_free(&c);
}

static void check_message(const char *text, int code, const char *want)
{
    struct web_config *c = NULL;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(web_config_parse(view_of(text), ".", &c, &err), code);
    assert_string_equal(err.msg, want);
    assert_null(c);
}

static void test_messages(void **state)
{
    (void)state;
    check_message("tls_server_config:\n  cert: x\n", ERR_INVALID, "2:3: unknown field 'cert'");
    check_message("basic_auth_users:\n  bob: secret\n", ERR_INVALID, "2:3: bcrypt hash too short for user 'bob'");
    check_message(TLS "  min_version: TLS9\n", ERR_INVALID, "4:16: unknown TLS version: 'TLS9'");
    check_message("a: [", ERR_PARSE, "2:1: did not find expected node content");
    check_message("tls_server_config: {key_file: a}", ERR_INVALID, "tls_server_config: missing cert_file");
}

/* Nine merges, each of the one before: cost and depth stay bounded. */
static void test_bounds(void **state)
{
    (void)state;
    struct bytes text;
    bytes_init(&text, 1 << 21);
    bytes_append_str(&text, "tls_server_config: {<<: {<<: {<<: {<<: {<<: {<<: {<<: {<<: {<<: {}}}}}}}}}}\n");
    struct web_config *c = NULL;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(web_config_parse(bytes_view(&text), ".", &c, &err), ERR_LIMIT);
    bytes_clear(&text);
    bytes_append_str(&text, "basic_auth_users: &a {<<: *a}\n"); /* an alias to what it is part of */
    errctx_clear(&err);
    assert_true(web_config_parse(bytes_view(&text), ".", &c, &err) < 0);
    bytes_clear(&text);
    for (size_t i = 0; i <= WEB_CONFIG_BYTES_MAX; i++) {
        bytes_append_char(&text, '#');
    }
    errctx_clear(&err);
    assert_int_equal(web_config_parse(bytes_view(&text), ".", &c, &err), ERR_LIMIT);
    bytes_done(&text);
}

int main(void)
{
    struct scratch s;
    scratch_init(&s);
    make_certificate(&s, "a", NULL, false);
    make_certificate(&s, "b", NULL, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_cases, &s),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bounds),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&s);
    return rc;
}
