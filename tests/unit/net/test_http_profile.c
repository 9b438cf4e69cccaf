/* Prepared clients: what reaches the server, for every kind of setting, with files that change under way. */
#include "net_test.h"
#include "raw_server.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "model/labels.h"
#include "net/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a server that remembers the last request and answers as told */

struct recorder {
    struct raw_server raw;
    pthread_mutex_t lock;
    char *head, *body; /* of the last request */
    unsigned requests;
    char location[128]; /* non-empty: answer `redirect` to it */
    int redirect;
    char reply_body[256];
    int reply_status;
    int delay_ms;
};

static void record(struct raw_conn *c, void *data)
{
    struct recorder *r = data;
    char *head, buf[512];
    while ((head = raw_read_head(c)) != NULL) {
        const char *length = raw_header(head, "content-length", buf);
        char *body = raw_read_body(c, length != NULL ? strtoul(length, NULL, 10) : 0);
        pthread_mutex_lock(&r->lock);
        free(r->head);
        free(r->body);
        r->head = head;
        r->body = body;
        r->requests++;
        int delay_ms = r->delay_ms;
        char *answer =
            r->location[0] != '\0'
                ? mem_printf("HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", r->redirect, r->location)
                : mem_printf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                             r->reply_status, strlen(r->reply_body), r->reply_body);
        pthread_mutex_unlock(&r->lock);
        usleep((useconds_t)delay_ms * 1000);
        raw_send(c, "%s", answer);
        free(answer);
    }
}

static void recorder_start(struct recorder *r, SSL_CTX *tls)
{
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    r->reply_status = 200;
    r->redirect = 302;
    r->raw.tls = tls;
    raw_server_start(&r->raw, record, r);
}

static void recorder_stop(struct recorder *r)
{
    raw_server_stop(&r->raw);
    free(r->head);
    free(r->body);
    pthread_mutex_destroy(&r->lock);
}

static void recorder_reply(struct recorder *r, int status, const char *body)
{
    pthread_mutex_lock(&r->lock);
    r->reply_status = status;
    snprintf(r->reply_body, sizeof(r->reply_body), "%s", body);
    pthread_mutex_unlock(&r->lock);
}

static unsigned recorder_count(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->requests;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* A header of the last request; "" when absent. */
static const char *seen(struct recorder *r, const char *name)
{
    static char buf[512];
    pthread_mutex_lock(&r->lock);
    if (r->head == NULL || raw_header(r->head, name, buf) == NULL) {
        buf[0] = '\0';
    }
    pthread_mutex_unlock(&r->lock);
    return buf;
}

static bool seen_line(struct recorder *r, const char *line)
{
    pthread_mutex_lock(&r->lock);
    bool found = r->head != NULL && strstr(r->head, line) != NULL;
    pthread_mutex_unlock(&r->lock);
    return found;
}

static bool seen_in_body(struct recorder *r, const char *part)
{
    pthread_mutex_lock(&r->lock);
    bool found = r->body != NULL && strstr(r->body, part) != NULL;
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* --- a client */

struct outcome {
    unsigned done;
    int status;
    struct errctx err;
};

static void on_done(void *data, const struct http_answer *answer)
{
    struct outcome *o = data;
    o->done++;
    o->status = answer->status;
    o->err = answer->err;
}

static void set_flag(void *data)
{
    *(bool *)data = true;
}

static void run_until(struct loop *loop, const unsigned *done, unsigned want)
{
    bool late = false;
    struct loop_timer *limit = loop_timer_new(loop, set_flag, &late);
    loop_timer_start(limit, 15000, 0);
    while (*done < want && !late) {
        uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
    loop_timer_free(&limit);
    assert_false(late);
}

struct fixture {
    struct scratch *scratch;
    struct loop *loop;
    struct http_client *client;
    struct recorder server;
    struct errctx err; /* of the last call */
};

static void start_tls(struct fixture *f, struct scratch *s, SSL_CTX *tls)
{
    *f = (struct fixture){.scratch = s, .loop = loop_new()};
    f->client = http_client_new(f->loop);
    recorder_start(&f->server, tls);
}

static void start(struct fixture *f, void **state)
{
    start_tls(f, *state, NULL);
}

static void stop(struct fixture *f)
{
    http_client_free(&f->client);
    loop_free(&f->loop);
    recorder_stop(&f->server);
}

static struct http_client_conf base_conf(void)
{
    return (struct http_client_conf){.follow_redirects = true, .enable_http2 = true};
}

static int get_url(struct fixture *f, struct http_profile *p, const char *url)
{
    struct outcome o = {0};
    http_client_send(f->client, &(struct http_request){.url = url, .timeout_ms = 10000, .profile = p}, on_done, &o);
    assert_int_equal(o.done, 0);
    run_until(f->loop, &o.done, 1);
    f->err = o.err;
    return o.status;
}

static int get(struct fixture *f, struct http_profile *p)
{
    char url[128];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u/m?x=1", f->server.raw.tls != NULL ? "https" : "http",
             f->server.raw.port);
    return get_url(f, p, url);
}

/* One call with a profile of its own. */
static int get_with(struct fixture *f, const struct http_client_conf *conf)
{
    struct http_profile *p = http_profile_new(conf);
    int status = get(f, p);
    http_profile_free(&p);
    assert_null(p);
    return status;
}

/* Files are looked at once a second: calls until the header reads `want`, ten seconds at most. */
static bool get_until(struct fixture *f, struct http_profile *p, const char *header, const char *want)
{
    for (int i = 0; i < 100; i++) {
        if (get(f, p) == 200 && strcmp(seen(&f->server, header), want) == 0) {
            return true;
        }
        usleep(100000);
    }
    return false;
}

/* --- credentials */

static void test_plain(void **state)
{
    struct fixture f;
    start(&f, state);
    struct http_client_conf conf = base_conf();
    assert_int_equal(get_with(&f, &conf), 200);
    assert_true(seen_line(&f.server, "GET /m?x=1 HTTP/1.1\r\n"));
    assert_string_equal(seen(&f.server, "authorization"), "");
    stop(&f);
}

static void test_basic(void **state)
{
    struct fixture f;
    start(&f, state);
    struct http_client_conf conf = base_conf();
    conf.has_basic_auth = true;
    conf.username = "alice";
    conf.password = "sec:ret";
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Basic YWxpY2U6c2VjOnJldA==");
    conf.username = "us:er"; /* Go sends it as it is, too */
    conf.password = NULL;
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Basic dXM6ZXI6");
    stop(&f);
}

static void test_files_change(void **state)
{
    struct fixture f;
    start(&f, state);
    char *user = scratch_write(f.scratch, "user", "alice\n"), *pass = scratch_write(f.scratch, "pass", "  one\n");
    struct http_client_conf conf = base_conf();
    conf.has_basic_auth = true;
    conf.username_file = user;
    conf.password_file = pass;
    struct http_profile *p = http_profile_new(&conf);
    assert_int_equal(get(&f, p), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Basic YWxpY2U6b25l");
    free(scratch_write(f.scratch, "pass", "two"));
    assert_true(get_until(&f, p, "authorization", "Basic YWxpY2U6dHdv"));
    free(scratch_write(f.scratch, "user", "bob"));
    assert_true(get_until(&f, p, "authorization", "Basic Ym9iOnR3bw=="));
    unlink(pass);
    int status = 200;
    for (int i = 0; i < 100 && status == 200; i++) {
        usleep(100000);
        status = get(&f, p);
    }
    assert_int_equal(status, 0);
    assert_true(f.err.code != 0);
    assert_non_null(strstr(f.err.msg, pass));
    free(scratch_write(f.scratch, "pass", "three"));
    assert_true(get_until(&f, p, "authorization", "Basic Ym9iOnRocmVl"));
    http_profile_free(&p);
    free(user);
    free(pass);
    stop(&f);
}

static void test_authorization(void **state)
{
    struct fixture f;
    start(&f, state);
    struct http_client_conf conf = base_conf();
    conf.has_authorization = true;
    conf.credentials = "tok.en";
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Bearer tok.en");
    conf.auth_type = "Token";
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Token tok.en");
    char *file = scratch_write(f.scratch, "bearer", "from-file\n");
    conf.auth_type = "Bearer";
    conf.credentials = NULL;
    conf.credentials_file = file;
    struct http_profile *p = http_profile_new(&conf);
    assert_int_equal(get(&f, p), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Bearer from-file");
    free(scratch_write(f.scratch, "bearer", "changed"));
    assert_true(get_until(&f, p, "authorization", "Bearer changed"));
    http_profile_free(&p);
    conf.credentials_file = "absent-file";
    unsigned before = recorder_count(&f.server);
    assert_int_equal(get_with(&f, &conf), 0);
    assert_non_null(strstr(f.err.msg, "absent-file"));
    assert_int_equal(recorder_count(&f.server), before); /* nothing is sent without the credentials */
    free(file);
    stop(&f);
}

static void test_headers(void **state)
{
    struct fixture f;
    start(&f, state);
    char *file = scratch_write(f.scratch, "header", "from file\n");
    const char *values[] = {"one", "two"}, *files[] = {file};
    const struct http_header_conf headers[] = {{.name = "X-First", .values = values, .value_count = 2},
                                               {.name = "X-Second", .files = files, .file_count = 1}};
    struct http_client_conf conf = base_conf();
    conf.headers = headers;
    conf.header_count = 2;
    assert_int_equal(get_with(&f, &conf), 200);
    assert_true(seen_line(&f.server, "X-First: one\r\n"));
    assert_true(seen_line(&f.server, "X-First: two\r\n"));
    assert_true(seen_line(&f.server, "X-Second: from file\r\n"));
    free(file);
    stop(&f);
}

/* --- redirects */

static void test_redirects(void **state)
{
    struct fixture f;
    struct recorder other;
    start(&f, state);
    recorder_start(&other, NULL);
    struct http_client_conf conf = base_conf();
    conf.has_authorization = true;
    conf.credentials = "secret";
    snprintf(f.server.location, sizeof(f.server.location), "http://localhost:%u/there", other.raw.port);
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&f.server, "authorization"), "Bearer secret");
    assert_true(seen_line(&other, "GET /there HTTP/1.1\r\n"));
    assert_string_equal(seen(&other, "authorization"), "");
    conf.has_authorization = false;
    conf.has_basic_auth = true;
    conf.username = "alice";
    conf.password = "secret";
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&other, "authorization"), "");
    conf.has_basic_auth = false;
    conf.has_authorization = true;
    conf.auth_type = "Token"; /* not libcurl's own bearer */
    assert_int_equal(get_with(&f, &conf), 200);
    assert_string_equal(seen(&other, "authorization"), "");
    conf.follow_redirects = false;
    unsigned before = recorder_count(&other);
    assert_int_equal(get_with(&f, &conf), 302);
    assert_int_equal(recorder_count(&other), before);
    conf.follow_redirects = true; /* round and round */
    snprintf(f.server.location, sizeof(f.server.location), "/again");
    before = recorder_count(&f.server);
    assert_int_equal(get_with(&f, &conf), 0);
    assert_int_equal(f.err.code, ERR_LIMIT);
    assert_in_range(recorder_count(&f.server) - before, 2, 12);
    recorder_stop(&other);
    stop(&f);
}

/* --- TLS */

struct files {
    char *ca, *crt, *key, *client_crt, *client_key, *b_crt;
};

static void files_init(struct files *files, struct scratch *s)
{
    *files = (struct files){scratch_path(s, "ca.crt"),     scratch_path(s, "a.crt"),      scratch_path(s, "a.key"),
                            scratch_path(s, "client.crt"), scratch_path(s, "client.key"), scratch_path(s, "b.crt")};
}

static void files_done(struct files *files)
{
    free(files->ca);
    free(files->crt);
    free(files->key);
    free(files->client_crt);
    free(files->client_key);
    free(files->b_crt);
}

static char *read_file(const char *path)
{
    struct bytes text;
    bytes_init(&text, 1 << 20);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(bytes_reserve(&text, 65536), 1, 65536, file);
    bytes_commit(&text, n);
    fclose(file);
    return bytes_take(&text, NULL);
}

static void test_tls(void **state)
{
    struct fixture f;
    struct files files;
    files_init(&files, *state);
    start_tls(&f, *state, raw_server_tls(files.crt, files.key, NULL));
    struct http_client_conf conf = base_conf();
    assert_int_equal(get_with(&f, &conf), 0); /* the system does not know our authority */
    assert_int_equal(f.err.code, ERR_UNAVAILABLE);
    conf.tls.ca_file = files.ca;
    assert_int_equal(get_with(&f, &conf), 200);
    conf.tls.ca_file = files.b_crt;
    assert_int_equal(get_with(&f, &conf), 0);
    conf.tls.ca_file = "absent-file";
    assert_int_equal(get_with(&f, &conf), 0);
    assert_non_null(strstr(f.err.msg, "absent-file"));
    char *inline_ca = read_file(files.ca);
    conf.tls.ca_file = NULL;
    conf.tls.ca = inline_ca;
    assert_int_equal(get_with(&f, &conf), 200);
    conf.tls.server_name = "server.example"; /* named in the certificate */
    assert_int_equal(get_with(&f, &conf), 200);
    assert_true(strncmp(seen(&f.server, "host"), "127.0.0.1:", 10) == 0);
    conf.tls.server_name = "other.example";
    assert_int_equal(get_with(&f, &conf), 0);
    conf.tls.insecure_skip_verify = true;
    assert_int_equal(get_with(&f, &conf), 200);
    conf.tls.ca = NULL;
    conf.tls.server_name = NULL;
    assert_int_equal(get_with(&f, &conf), 200);
    conf.tls.min_version = "TLS13";
    assert_int_equal(get_with(&f, &conf), 200);
    SSL_CTX_set_max_proto_version(f.server.raw.tls, TLS1_2_VERSION);
    http_client_free(&f.client); /* and with it the kept connection */
    f.client = http_client_new(f.loop);
    assert_int_equal(get_with(&f, &conf), 0);
    conf.tls.min_version = NULL;
    conf.tls.max_version = "TLS12";
    assert_int_equal(get_with(&f, &conf), 200);
    free(inline_ca);
    stop(&f);
    files_done(&files);
}

static void test_client_certificate(void **state)
{
    struct fixture f;
    struct files files;
    files_init(&files, *state);
    start_tls(&f, *state, raw_server_tls(files.crt, files.key, files.ca));
    struct http_client_conf conf = base_conf();
    conf.tls.ca_file = files.ca;
    assert_int_equal(get_with(&f, &conf), 0);
    conf.tls.cert_file = files.client_crt;
    conf.tls.key_file = files.client_key;
    struct http_profile *with = http_profile_new(&conf);
    assert_int_equal(get(&f, with), 200);
    conf.tls.cert_file = conf.tls.key_file = NULL;
    char *cert = read_file(files.client_crt), *key = read_file(files.client_key);
    conf.tls.cert = cert;
    conf.tls.key = key;
    assert_int_equal(get_with(&f, &conf), 200);
    /* A connection made with a certificate must not serve a job without one. */
    conf.tls.cert = conf.tls.key = NULL;
    struct http_profile *without = http_profile_new(&conf);
    assert_int_equal(get(&f, with), 200);
    assert_int_equal(get(&f, without), 0);
    http_profile_free(&with);
    http_profile_free(&without);
    free(cert);
    free(key);
    stop(&f);
    files_done(&files);
}

/* --- proxies */

static int get_proxied(struct fixture *f, const struct http_client_conf *conf, const char *url)
{
    struct http_profile *p = http_profile_new(conf);
    int status = get_url(f, p, url);
    http_profile_free(&p);
    return status;
}

/* The recorder plays the proxy. */
static void test_proxy(void **state)
{
    struct fixture f;
    char proxy[128];
    start(&f, state);
    struct http_client_conf conf = base_conf();
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", f.server.raw.port);
    conf.proxy.url = proxy;
    assert_int_equal(get_proxied(&f, &conf, "http://target.example:81/x?y"), 200);
    assert_true(seen_line(&f.server, "GET http://target.example:81/x?y HTTP/1.1\r\n"));
    assert_int_equal(get_proxied(&f, &conf, "http://127.0.0.1:1/x"), 200); /* loopback, too */
    snprintf(proxy, sizeof(proxy), "http://user:p%%40ss@127.0.0.1:%u", f.server.raw.port);
    assert_int_equal(get_proxied(&f, &conf, "http://target.example/"), 200);
    assert_string_equal(seen(&f.server, "proxy-authorization"), "Basic dXNlcjpwQHNz");
    /* https asks the proxy for a tunnel, with the configured headers */
    const struct label connect_headers[] = {{VIEW("X-Connect"), VIEW("a")}, {VIEW("X-Connect"), VIEW("b")}};
    conf.proxy.connect_headers = connect_headers;
    conf.proxy.connect_header_count = 2;
    recorder_reply(&f.server, 403, "");
    assert_int_equal(get_proxied(&f, &conf, "https://target.example/"), 0);
    assert_true(seen_line(&f.server, "CONNECT target.example:443 HTTP/1.1\r\n"));
    assert_true(seen_line(&f.server, "X-Connect: a\r\n"));
    assert_true(seen_line(&f.server, "X-Connect: b\r\n"));
    recorder_reply(&f.server, 200, "");
    assert_int_equal(get_proxied(&f, &conf, "http://target.example/"), 200);
    assert_string_equal(seen(&f.server, "x-connect"), ""); /* for tunnels only */
    stop(&f);
}

/* The proxy answers 200; without it the name does not resolve or the port is closed. */
static void test_no_proxy(void **state)
{
    static const struct {
        const char *no_proxy, *url;
        bool proxied;
    } cases[] = {
        {"", "http://a.invalid/", true},
        {"a.invalid", "http://a.invalid/", false},
        {"a.invalid", "http://b.a.invalid/", false},
        {".a.invalid", "http://b.a.invalid/", false},
        {".a.invalid", "http://a.invalid/", true},
        {"a.invalid", "http://ba.invalid/", true},
        {"x, a.invalid ,y", "http://a.invalid/", false},
        {"a.invalid:81", "http://a.invalid/", true},
        {"a.invalid:81", "http://a.invalid:81/", false},
        {"*", "http://a.invalid/", false},
        {"192.0.2.1", "http://192.0.2.1/", false},
        {"A.Invalid", "http://a.invalid/", false},
        {"x", "http://127.0.0.1:1/", false},
        {"x", "http://localhost:1/", false},
        {"x", "http://127.9.9.9:1/", false},
        {"127.0.0.0/8,240.0.0.0/8", "http://240.0.0.1:1/", false},
        {"10.0.0.0/8", "http://240.0.0.1:1/", true},
    };
    struct fixture f;
    char proxy[128];
    start(&f, state);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", f.server.raw.port);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strstr(cases[i].url, "192.0.2.1") != NULL) {
            continue; /* would wait for a connection that never comes */
        }
        struct http_client_conf conf = base_conf();
        conf.proxy.url = proxy;
        conf.proxy.no_proxy = cases[i].no_proxy;
        bool proxied = get_proxied(&f, &conf, cases[i].url) == 200;
        if (cases[i].no_proxy[0] != '\0' && proxied != cases[i].proxied) {
            fail_msg("no_proxy '%s', %s: %s", cases[i].no_proxy, cases[i].url, proxied ? "proxied" : "direct");
        }
    }
    stop(&f);
}

/* The environment counts when asked for, and only then. */
static void test_environment(void **state)
{
    struct fixture f;
    char proxy[128];
    start(&f, state);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", f.server.raw.port);
    setenv("HTTP_PROXY", proxy, 1);
    setenv("http_proxy", proxy, 1);
    setenv("NO_PROXY", "b.invalid", 1);
    struct http_client_conf conf = base_conf();
    assert_int_equal(get_proxied(&f, &conf, "http://a.invalid/"), 0);
    conf.proxy.from_environment = true;
    assert_int_equal(get_proxied(&f, &conf, "http://a.invalid/"), 200);
    assert_int_equal(get_proxied(&f, &conf, "http://b.invalid/"), 0);
    unsetenv("HTTP_PROXY");
    unsetenv("http_proxy");
    unsetenv("NO_PROXY");
    stop(&f);
}

/* --- OAuth2 */

struct oauth {
    struct fixture f;
    struct recorder tokens;
    struct oauth2_conf oauth2;
    struct http_client_conf conf;
    char token_url[128];
};

static void oauth_start(struct oauth *o, void **state)
{
    memset(o, 0, sizeof(*o));
    start(&o->f, state);
    recorder_start(&o->tokens, NULL);
    snprintf(o->token_url, sizeof(o->token_url), "http://127.0.0.1:%u/token", o->tokens.raw.port);
    o->oauth2 = (struct oauth2_conf){.client_id = "id", .client_secret = "sec", .token_url = o->token_url};
    o->conf = base_conf();
    o->conf.oauth2 = &o->oauth2;
    recorder_reply(&o->tokens, 200, "{\"access_token\":\"t1\",\"token_type\":\"Bearer\",\"expires_in\":3600}");
}

static void oauth_stop(struct oauth *o)
{
    stop(&o->f);
    recorder_stop(&o->tokens);
}

static void test_oauth2(void **state)
{
    struct oauth o;
    static const char *scopes[] = {"read", "write all"};
    const struct label params[] = {{VIEW("audience"), VIEW("a&b")}};
    oauth_start(&o, state);
    o.oauth2.scopes = scopes;
    o.oauth2.scope_count = 2;
    o.oauth2.endpoint_params = params;
    o.oauth2.endpoint_param_count = 1;
    struct http_profile *p = http_profile_new(&o.conf);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get(&o.f, p), 200);
        assert_string_equal(seen(&o.f.server, "authorization"), "Bearer t1");
    }
    assert_int_equal(recorder_count(&o.tokens), 1);
    assert_true(seen_line(&o.tokens, "POST /token HTTP/1.1\r\n"));
    assert_string_equal(seen(&o.tokens, "content-type"), "application/x-www-form-urlencoded");
    assert_true(seen_in_body(&o.tokens, "grant_type=client_credentials"));
    assert_true(seen_in_body(&o.tokens, "audience=a%26b"));
    assert_true(seen_in_body(&o.tokens, "scope=read+write+all") || seen_in_body(&o.tokens, "scope=read%20write%20all"));
    assert_true(strcmp(seen(&o.tokens, "authorization"), "Basic aWQ6c2Vj") == 0 ||
                seen_in_body(&o.tokens, "client_secret=sec"));
    http_profile_free(&p);
    oauth_stop(&o);
}

static void test_oauth2_refresh(void **state)
{
    struct oauth o;
    oauth_start(&o, state);
    recorder_reply(&o.tokens, 200, "{\"access_token\":\"t1\",\"token_type\":\"Bearer\",\"expires_in\":1}");
    struct http_profile *p = http_profile_new(&o.conf);
    assert_int_equal(get(&o.f, p), 200);
    assert_string_equal(seen(&o.f.server, "authorization"), "Bearer t1");
    recorder_reply(&o.tokens, 200, "{\"access_token\":\"t2\",\"token_type\":\"bearer\",\"expires_in\":3600}");
    assert_true(get_until(&o.f, p, "authorization", "Bearer t2"));
    unsigned before = recorder_count(&o.tokens);
    assert_int_equal(get(&o.f, p), 200);
    assert_int_equal(recorder_count(&o.tokens), before);
    http_profile_free(&p);
    oauth_stop(&o);
}

static void test_oauth2_faults(void **state)
{
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        {401, "{\"error\":\"invalid_client\"}"},
        {200, "no json"},
        {200, "{}"},
        {200, "{\"access_token\":\"\"}"},
        {500, ""},
        {200, "{\"access_token\":7}"},
        {200, "[]"},
    };
    struct oauth o;
    oauth_start(&o, state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        recorder_reply(&o.tokens, cases[i].status, cases[i].body);
        assert_int_equal(get_with(&o.f, &o.conf), 0);
        assert_true(o.f.err.code < 0 && o.f.err.code != ERR_AGAIN);
        assert_null(strstr(o.f.err.msg, "sec\""));
    }
    assert_int_equal(recorder_count(&o.f.server), 0);
    /* once the token server has recovered, the same profile works */
    struct http_profile *p = http_profile_new(&o.conf);
    assert_int_equal(get(&o.f, p), 0);
    recorder_reply(&o.tokens, 200, "{\"access_token\":\"t3\",\"token_type\":\"Bearer\"}");
    assert_true(get_until(&o.f, p, "authorization", "Bearer t3"));
    http_profile_free(&p);
    oauth_stop(&o);
}

static void recorder_redirect(struct recorder *r, int status, const char *host, unsigned port)
{
    pthread_mutex_lock(&r->lock);
    r->redirect = status;
    snprintf(r->location, sizeof(r->location), "http://%s:%u/real", host, port);
    pthread_mutex_unlock(&r->lock);
}

/* As Go's client does it: 302 makes a GET of the POST, 307 and 308 keep it; id and secret stay at home. */
static void test_oauth2_redirects(void **state)
{
    static const struct {
        int status;
        const char *host, *line;
        bool authorized;
    } cases[] = {
        {301, "127.0.0.1", "GET /real HTTP/1.1\r\n", true},   {302, "127.0.0.1", "GET /real HTTP/1.1\r\n", true},
        {303, "localhost", "GET /real HTTP/1.1\r\n", false},  {307, "127.0.0.1", "POST /real HTTP/1.1\r\n", true},
        {308, "localhost", "POST /real HTTP/1.1\r\n", false},
    };
    struct oauth o;
    struct recorder real;
    oauth_start(&o, state);
    recorder_start(&real, NULL);
    recorder_reply(&real, 200, "{\"access_token\":\"moved\"}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        recorder_redirect(&o.tokens, cases[i].status, cases[i].host, real.raw.port);
        assert_int_equal(get_with(&o.f, &o.conf), 200);
        assert_string_equal(seen(&o.f.server, "authorization"), "Bearer moved");
        assert_true(seen_line(&real, cases[i].line));
        assert_string_equal(seen(&real, "authorization"), cases[i].authorized ? "Basic aWQ6c2Vj" : "");
        assert_int_equal(seen_in_body(&real, "grant_type=client_credentials"), cases[i].line[0] == 'P');
    }
    unsigned before = recorder_count(&o.tokens);
    recorder_redirect(&o.tokens, 307, "127.0.0.1", o.tokens.raw.port); /* round and round */
    assert_int_equal(get_with(&o.f, &o.conf), 0);
    assert_int_equal(o.f.err.code, ERR_LIMIT);
    assert_int_equal(recorder_count(&o.tokens) - before, 10);
    recorder_redirect(&o.tokens, 300, "127.0.0.1", real.raw.port); /* is none */
    assert_int_equal(get_with(&o.f, &o.conf), 0);
    assert_int_equal(o.f.err.code, ERR_UNAUTHORIZED);
    recorder_stop(&real);
    oauth_stop(&o);
}

/* Many calls at once need one token; a call that is cancelled or too late while waiting leaves the others alone. */
static void test_oauth2_at_once(void **state)
{
    struct oauth o;
    char url[128];
    oauth_start(&o, state);
    o.tokens.delay_ms = 400;
    struct http_profile *p = http_profile_new(&o.conf);
    struct outcome outcomes[20] = {0}, cancelled = {0}, late = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", o.f.server.raw.port);
    struct http_request req = {.url = url, .timeout_ms = 10000, .profile = p};
    struct http_call *call = http_client_send(o.f.client, &req, on_done, &cancelled);
    for (int i = 0; i < 20; i++) {
        http_client_send(o.f.client, &req, on_done, &outcomes[i]);
    }
    req.timeout_ms = 50;
    http_client_send(o.f.client, &req, on_done, &late);
    http_call_cancel(call);
    for (int i = 0; i < 20; i++) {
        run_until(o.f.loop, &outcomes[i].done, 1);
        assert_int_equal(outcomes[i].status, 200);
    }
    assert_int_equal(late.done, 1);
    assert_int_equal(late.err.code, ERR_TIMEOUT);
    assert_int_equal(cancelled.done, 0);
    assert_int_equal(recorder_count(&o.tokens), 1);
    http_profile_free(&p);
    oauth_stop(&o);
}

int main(void)
{
    struct scratch s;
    scratch_init(&s);
    curl_net_init();
    make_certificate(&s, "ca", NULL, true);
    make_certificate(&s, "a", "ca", false);
    make_certificate(&s, "b", NULL, false);
    make_certificate(&s, "client", "ca", false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_plain, &s),
        cmocka_unit_test_prestate(test_basic, &s),
        cmocka_unit_test_prestate(test_files_change, &s),
        cmocka_unit_test_prestate(test_authorization, &s),
        cmocka_unit_test_prestate(test_headers, &s),
        cmocka_unit_test_prestate(test_redirects, &s),
        cmocka_unit_test_prestate(test_tls, &s),
        cmocka_unit_test_prestate(test_client_certificate, &s),
        cmocka_unit_test_prestate(test_proxy, &s),
        cmocka_unit_test_prestate(test_no_proxy, &s),
        cmocka_unit_test_prestate(test_environment, &s),
        cmocka_unit_test_prestate(test_oauth2, &s),
        cmocka_unit_test_prestate(test_oauth2_refresh, &s),
        cmocka_unit_test_prestate(test_oauth2_faults, &s),
        cmocka_unit_test_prestate(test_oauth2_redirects, &s),
        cmocka_unit_test_prestate(test_oauth2_at_once, &s),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&s);
    return rc;
}
