/* Users, tokens, TLS and client certificates of a listener, and what happens when their files change under it. */
#include "net_test.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "net/http_query.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned handled; /* by the server's thread; read after it stopped */

static void on_hello(struct http_exchange *x, void *data)
{
    (void)data;
    handled++;
    struct view n = http_query(x, "n", 0);
    size_t len = n.base != NULL ? strtoul(n.base, NULL, 10) : 5;
    char *content = mem_alloc(len + 1);
    memset(content, 'h', len);
    http_respond(x, 200, "text/plain", view_make(content, len));
    free(content);
}

static const struct http_row rows[] = {
    {"GET", "/hello", on_hello}, {"GET", "/api/v1/hello", on_hello}, {NULL, NULL, NULL}};

static char *bcrypt(const char *prefix, const char *password)
{
    struct crypt_data room = {0};
    char setting[64];
    snprintf(setting, sizeof(setting), "$2b$05$QQJQ8mGc0Gl9yqkVB1c3Zu");
    const char *made = crypt_r(password, setting, &room);
    assert_non_null(made);
    return mem_printf("%s%s", prefix, made + 3); /* version letter of our choice */
}

static char *basic(const char *user_pass)
{
    unsigned char text[512];
    EVP_EncodeBlock(text, (const unsigned char *)user_pass, (int)strlen(user_pass));
    return mem_printf("Authorization: Basic %s\r\n", text);
}

static int status_with(struct peer *p, const char *header, char challenge[256])
{
    struct reply r;
    char buf[256];
    peer_send(p, "GET /hello HTTP/1.1\r\nHost: x\r\n%s\r\n", header);
    peer_read(p, false, &r);
    int status = r.status;
    if (challenge != NULL) {
        const char *found = reply_header(&r, "www-authenticate", buf);
        snprintf(challenge, 256, "%s", found != NULL ? found : "");
    }
    reply_done(&r);
    return status;
}

static int status_of(unsigned port, const char *header)
{
    struct peer p;
    peer_connect(&p, port);
    int status = status_with(&p, header, NULL);
    peer_close(&p);
    return status;
}

static int login(unsigned port, const char *user_pass)
{
    char *header = basic(user_pass);
    int status = status_of(port, header);
    free(header);
    return status;
}

static char *write_users(struct scratch *s)
{
    char *a = bcrypt("$2a", "secret"), *b = bcrypt("$2y", "p:w:d"), *c = bcrypt("$2", "old"),
         *d = bcrypt("$2b", "gr\xc3\xbc\xc3\x9f");
    char *text = mem_printf("basic_auth_users:\n  alice: %s\n  bob: %s\n  carol: %s\n  dan: %s\n  eve: %slonger\n", a,
                            b, c, d, a);
    char *path = scratch_write(s, "web.yml", text);
    free(a);
    free(b);
    free(c);
    free(d);
    free(text);
    return path;
}

static void test_users(void **state)
{
    struct scratch *s = *state;
    struct test_server t;
    char *path = write_users(s);
    char challenge[256];
    handled = 0;
    test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
    struct peer p;
    peer_connect(&p, t.port);
    assert_int_equal(status_with(&p, "", challenge), 401);
    assert_string_equal(challenge, "Basic");
    peer_close(&p);
    for (int round = 0; round < 2; round++) { /* the second from the cache */
        assert_int_equal(login(t.port, "alice:secret"), 200);
        assert_int_equal(login(t.port, "bob:p:w:d"), 200);
        assert_int_equal(login(t.port, "carol:old"), 200);
        assert_int_equal(login(t.port, "dan:gr\xc3\xbc\xc3\x9f"), 200);
        assert_int_equal(login(t.port, "eve:secret"), 401);
        assert_int_equal(login(t.port, "alice:Secret"), 401);
        assert_int_equal(login(t.port, "alice:"), 401);
        assert_int_equal(login(t.port, "alice"), 401);
        assert_int_equal(login(t.port, ":"), 401);
        assert_int_equal(login(t.port, "nobody:secret"), 401);
        assert_int_equal(login(t.port, "bob:secret"), 401);
    }
    assert_int_equal(status_of(t.port, "Authorization: Basic !!!\r\n"), 401);
    assert_int_equal(status_of(t.port, "Authorization: Basic\r\n"), 401);
    assert_int_equal(status_of(t.port, "Authorization: Bearer secret\r\n"), 401);
    assert_int_equal(status_of(t.port, "authorization: bAsIc YWxpY2U6c2VjcmV0\r\n"), 200);
    struct reply r;
    fetch(t.port, "GET /api/v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", &r);
    assert_int_equal(r.status, 401);
    assert_string_equal(r.body, "{\"status\":\"error\",\"errorType\":\"unauthorized\",\"error\":\"Unauthorized\"}");
    reply_done(&r);
    fetch(t.port, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", &r); /* what exists is not told to strangers */
    assert_int_equal(r.status, 401);
    reply_done(&r);
    test_server_stop(&t);
    assert_int_equal(handled, 9);
    free(path);
}

/* Many at once with the same and with different passwords; the server stops while some are being judged. */
static void test_users_at_once(void **state)
{
    struct scratch *s = *state;
    struct test_server t;
    char *path = write_users(s);
    test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
    struct peer p[40];
    for (int i = 0; i < 40; i++) {
        char user_pass[64];
        snprintf(user_pass, sizeof(user_pass), "alice:%s", i % 2 == 0 ? "secret" : "wrong");
        if (i % 4 == 3) {
            snprintf(user_pass, sizeof(user_pass), "alice:wrong%d", i);
        }
        char *header = basic(user_pass);
        peer_connect(&p[i], t.port);
        peer_send(&p[i], "GET /hello HTTP/1.1\r\nHost: x\r\n%s\r\n", header);
        free(header);
    }
    for (int i = 0; i < 40; i++) {
        struct reply r;
        peer_read(&p[i], false, &r);
        assert_int_equal(r.status, i % 2 == 0 ? 200 : 401);
        reply_done(&r);
        peer_close(&p[i]);
    }
    for (int i = 0; i < 40; i++) {
        char user_pass[64];
        snprintf(user_pass, sizeof(user_pass), "bob:wrong%d", i);
        char *header = basic(user_pass);
        peer_connect(&p[i], t.port);
        peer_send(&p[i], "GET /hello HTTP/1.1\r\nHost: x\r\n%s\r\n", header);
        free(header);
    }
    t.grace_ms = 1;
    test_server_stop(&t);
    for (int i = 0; i < 40; i++) {
        peer_close(&p[i]);
    }
    free(path);
}

static void test_users_change(void **state)
{
    struct scratch *s = *state;
    struct test_server t;
    char *path = write_users(s);
    test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
    struct peer p;
    peer_connect(&p, t.port);
    assert_int_equal(login(t.port, "alice:secret"), 200);
    char *hash = bcrypt("$2y", "new");
    char *text = mem_printf(
        "basic_auth_users:\n  alice: %s\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\n", hash);
    free(scratch_write(s, "web.yml", text));
    assert_int_equal(login(t.port, "alice:secret"), 401);
    assert_int_equal(login(t.port, "bob:p:w:d"), 401);
    char *header = basic("alice:new");
    assert_int_equal(status_with(&p, header, NULL), 200);
    struct reply r;
    char buf[256];
    peer_send(&p, "GET /hello HTTP/1.1\r\nHost: x\r\n%s\r\n", header);
    peer_read(&p, false, &r);
    assert_string_equal(reply_header(&r, "x-frame-options", buf), "deny");
    reply_done(&r);
    free(scratch_write(s, "web.yml", "basic_auth_users: ["));
    assert_int_equal(status_with(&p, header, NULL), 500);
    assert_int_equal(status_of(t.port, ""), 500);
    unlink(path);
    assert_int_equal(status_with(&p, header, NULL), 500);
    free(scratch_write(s, "web.yml", text));
    assert_int_equal(status_with(&p, header, NULL), 200);
    free(scratch_write(s, "web.yml", ""));
    assert_int_equal(status_with(&p, "", NULL), 200);
    peer_close(&p);
    test_server_stop(&t);
    free(header);
    free(hash);
    free(text);
    free(path);
}

static void test_token(void **state)
{
    struct scratch *s = *state;
    struct test_server t;
    char challenge[256];
    char *token = scratch_write(s, "token", " abc.def-1\n");
    test_server_start(&t, &(struct http_server_conf){.token_file = token}, rows, NULL);
    struct peer p;
    peer_connect(&p, t.port);
    assert_int_equal(status_with(&p, "", challenge), 401);
    assert_string_equal(challenge, "Bearer");
    assert_int_equal(status_with(&p, "Authorization: Bearer abc.def-1\r\n", NULL), 200);
    assert_int_equal(status_with(&p, "Authorization: bearer abc.def-1\r\n", NULL), 200);
    assert_int_equal(status_with(&p, "Authorization: Bearer abc.def-2\r\n", NULL), 401);
    assert_int_equal(status_with(&p, "Authorization: Bearer abc.def-11\r\n", NULL), 401);
    assert_int_equal(status_with(&p, "Authorization: Bearer \r\n", NULL), 401);
    assert_int_equal(status_with(&p, "Authorization: Basic abc.def-1\r\n", NULL), 401);
    free(scratch_write(s, "token", "other"));
    assert_int_equal(status_with(&p, "Authorization: Bearer abc.def-1\r\n", NULL), 401);
    assert_int_equal(status_with(&p, "Authorization: Bearer other\r\n", NULL), 200);
    free(scratch_write(s, "token", " \n"));
    assert_int_equal(status_with(&p, "Authorization: Bearer \r\n", NULL), 500);
    peer_close(&p);
    test_server_stop(&t);
    /* beside users: either suffices */
    char *path = write_users(s);
    free(scratch_write(s, "token", "tok"));
    test_server_start(&t, &(struct http_server_conf){.token_file = token, .web_config_file = path}, rows, NULL);
    assert_int_equal(status_of(t.port, "Authorization: Bearer tok\r\n"), 200);
    assert_int_equal(login(t.port, "alice:secret"), 200);
    assert_int_equal(login(t.port, "alice:tok"), 401);
    assert_int_equal(status_of(t.port, ""), 401);
    test_server_stop(&t);
    free(path);
    free(token);
}

static void test_start_faults(void **state)
{
    struct scratch *s = *state;
    struct loop *loop = loop_new();
    struct http_server *http = NULL;
    char *path = scratch_write(s, "web.yml", "nonsense: 1\n"), *empty = scratch_write(s, "token", "");
    const struct http_server_conf confs[] = {
        {.web_config_file = path}, {.token_file = empty}, {.web_config_file = "absent"}, {.token_file = "absent"}};
    for (size_t i = 0; i < 4; i++) {
        struct errctx err = ERRCTX_INIT;
        assert_true(http_server_new(loop, dup(0), &confs[i], rows, NULL, &http, &err) < 0);
        assert_non_null(strstr(err.msg, i == 0 ? path : i == 1 ? empty : "absent"));
        assert_null(http);
    }
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(http_server_new(loop, dup(0), &(struct http_server_conf){0}, rows, NULL, &http, &err), ERR_IO);
    loop_free(&loop);
    free(path);
    free(empty);
}

/* --- TLS */

static char *write_tls(struct scratch *s, const char *name, const char *more)
{
    char *text = mem_printf("tls_server_config:\n  cert_file: %s.crt\n  key_file: %s.key\n%s", name, name, more);
    char *path = scratch_write(s, "web.yml", text);
    free(text);
    return path;
}

static void check_tls_sizes(struct peer *p, const char *accept)
{
    for (size_t n = 0; n < 70000; n = n * 3 + 1) {
        struct reply r;
        peer_send(p, "GET /hello?n=%zu HTTP/1.1\r\nHost: x\r\n%s\r\n", n, accept);
        peer_read(p, false, &r);
        assert_int_equal(r.status, 200);
        assert_false(r.closed);
        if (accept[0] == '\0') {
            assert_int_equal(r.body_len, n);
        }
        reply_done(&r);
        peer_send(p, "HEAD /hello?n=%zu HTTP/1.1\r\nHost: x\r\n%s\r\n", n, accept);
        peer_read(p, true, &r);
        assert_int_equal(r.status, 200);
        reply_done(&r);
    }
}

static void test_tls(void **state)
{
    struct scratch *s = *state;
    struct test_server t;
    char *path = write_tls(s, "a", "  min_version: TLS12\n"), *a_crt = scratch_path(s, "a.crt"),
         *b_crt = scratch_path(s, "b.crt");
    test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
    struct peer p, q;
    assert_true(peer_connect_tls(&p, t.port, a_crt, NULL, NULL));
    check_tls_sizes(&p, "");
    check_tls_sizes(&p, "Accept-Encoding: gzip\r\n");
    assert_false(peer_connect_tls(&q, t.port, b_crt, NULL, NULL));
    peer_close(&q);
    peer_connect(&q, t.port); /* plain text on a TLS port */
    peer_send(&q, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(peer_at_end(&q));
    peer_close(&q);
    /* a new certificate is used by new connections, the old connection goes on */
    free(write_tls(s, "b", ""));
    assert_true(peer_connect_tls(&q, t.port, b_crt, NULL, NULL));
    check_tls_sizes(&q, "");
    peer_close(&q);
    check_tls_sizes(&p, "");
    /* broken: connections work, requests get 500 */
    free(write_tls(s, "absent", ""));
    assert_true(peer_connect_tls(&q, t.port, b_crt, NULL, NULL));
    assert_int_equal(status_with(&q, "", NULL), 500);
    assert_int_equal(status_with(&p, "", NULL), 500);
    make_certificate(s, "absent", NULL, false); /* the file that was missing comes; the configuration stays as it is */
    int status = 500;
    for (int i = 0; i < 200 && status == 500; i++) {
        usleep(50000);
        status = status_with(&p, "", NULL);
    }
    assert_int_equal(status, 200);
    free(scratch_write(s, "web.yml", "")); /* TLS cannot be switched off under way */
    assert_int_equal(status_with(&p, "", NULL), 500);
    free(write_tls(s, "b", ""));
    assert_int_equal(status_with(&p, "", NULL), 200);
    peer_close(&p);
    peer_close(&q);
    test_server_stop(&t);
    free(path);
    free(a_crt);
    free(b_crt);
}

/* TLS 1.3 lets a client believe it is connected before the server has judged its certificate: the request tells. */
static int tls_status(struct scratch *s, unsigned port, const char *client)
{
    struct peer p;
    char *ca = scratch_path(s, "a.crt");
    char *crt = client != NULL ? mem_printf("%s/%s.crt", s->folder, client) : NULL;
    char *key = client != NULL ? mem_printf("%s/%s.key", s->folder, client) : NULL;
    int status = 0;
    if (peer_connect_tls(&p, port, ca, crt, key)) {
        status = status_with(&p, "", NULL);
    }
    peer_close(&p);
    free(ca);
    free(crt);
    free(key);
    return status;
}

static void test_client_certificates(void **state)
{
    struct scratch *s = *state;
    static const struct {
        const char *more;
        int none, own, foreign; /* status; 0 = no connection */
    } cases[] = {
        {"", 200, 200, 200},
        {"  client_auth_type: RequestClientCert\n", 200, 200, 200},
        {"  client_auth_type: RequireAnyClientCert\n", 0, 200, 200},
        {"  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n", 200, 200, 0},
        {"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n", 0, 200, 0},
        {"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  max_version: TLS12\n", 0, 200, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_server t;
        char *path = write_tls(s, "a", cases[i].more);
        test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
        assert_int_equal(tls_status(s, t.port, NULL), cases[i].none);
        assert_int_equal(tls_status(s, t.port, "client"), cases[i].own);
        assert_int_equal(tls_status(s, t.port, "b"), cases[i].foreign);
        test_server_stop(&t);
        free(path);
    }
}

static void test_tls_versions(void **state)
{
    struct scratch *s = *state;
    static const struct {
        const char *more, *version, *cipher;
    } cases[] = {
        {"", "TLSv1.3", NULL},
        {"  max_version: TLS12\n", "TLSv1.2", NULL},
        {"  min_version: TLS13\n  max_version: TLS12\n", NULL, NULL},
        {"  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n", "TLSv1.2",
         "ECDHE-ECDSA-AES256-GCM-SHA384"},
        {"  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", "TLSv1.3", NULL},
        {"  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", NULL, NULL},
        {"  max_version: TLS11\n  min_version: TLS10\n", NULL, NULL}, /* our client refuses these */
        {"  curve_preferences: [CurveP384]\n", "TLSv1.3", NULL},
    };
    char *a_crt = scratch_path(s, "a.crt");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_server t;
        struct peer p;
        char *path = write_tls(s, "a", cases[i].more);
        test_server_start(&t, &(struct http_server_conf){.web_config_file = path}, rows, NULL);
        assert_int_equal(peer_connect_tls(&p, t.port, a_crt, NULL, NULL), cases[i].version != NULL);
        if (cases[i].version != NULL) {
            assert_string_equal(SSL_get_version(p.ssl), cases[i].version);
            assert_true(cases[i].cipher == NULL || strcmp(SSL_get_cipher_name(p.ssl), cases[i].cipher) == 0);
            assert_int_equal(status_with(&p, "", NULL), 200);
        }
        peer_close(&p);
        test_server_stop(&t);
        free(path);
    }
    free(a_crt);
}

int main(void)
{
    struct scratch s;
    scratch_init(&s);
    make_certificate(&s, "a", NULL, false);
    make_certificate(&s, "b", NULL, false);
    make_certificate(&s, "ca", NULL, true);
    make_certificate(&s, "client", "ca", false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_users, &s),
        cmocka_unit_test_prestate(test_users_at_once, &s),
        cmocka_unit_test_prestate(test_users_change, &s),
        cmocka_unit_test_prestate(test_token, &s),
        cmocka_unit_test_prestate(test_start_faults, &s),
        cmocka_unit_test_prestate(test_tls, &s),
        cmocka_unit_test_prestate(test_client_certificates, &s),
        cmocka_unit_test_prestate(test_tls_versions, &s),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&s);
    return rc;
}
