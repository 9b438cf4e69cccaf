/* Client settings as a scrape has them: tokens that come late or never, redirects, proxies, names on certificates, many
 * scrapes of one job at once, tables that change under way. */
#include "proxy_test.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "net/curl_loop.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "s3cr3t-value"

/* --- servers that keep the heads they saw, and answer as told */

struct seen {
    struct raw_server raw;
    pthread_mutex_t lock;
    struct bytes heads;
    char answer[512]; /* whole; "" = a metric */
    int delay_ms;
};

static void see(struct raw_conn *c, void *data)
{
    struct seen *s = data;
    char *head;
    while ((head = raw_read_head(c)) != NULL) {
        char buf[512];
        const char *length = raw_header(head, "content-length", buf);
        free(raw_read_body(c, length != NULL ? strtoul(length, NULL, 10) : 0));
        pthread_mutex_lock(&s->lock);
        bytes_append_str(&s->heads, head);
        bytes_append_str(&s->heads, "\r\n\r\n");
        free(head);
        char *answer =
            mem_strdup(s->answer[0] != '\0' ? s->answer : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n");
        int delay_ms = s->delay_ms;
        pthread_mutex_unlock(&s->lock);
        usleep((useconds_t)delay_ms * 1000);
        raw_send(c, "%s", answer);
        free(answer);
    }
}

static void seen_init(struct seen *s)
{
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    bytes_init(&s->heads, 1 << 20);
}

static void seen_start(struct seen *s, SSL_CTX *tls)
{
    seen_init(s);
    s->raw.tls = tls;
    raw_server_start(&s->raw, see, s);
}

static void seen_done(struct seen *s)
{
    bytes_done(&s->heads);
    pthread_mutex_destroy(&s->lock);
}

static void seen_stop(struct seen *s)
{
    raw_server_stop(&s->raw);
    seen_done(s);
}

static void seen_answer(struct seen *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void seen_answer(struct seen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&s->lock);
    vsnprintf(s->answer, sizeof(s->answer), fmt, ap);
    pthread_mutex_unlock(&s->lock);
    va_end(ap);
}

static bool has_seen(struct seen *s, const char *text)
{
    pthread_mutex_lock(&s->lock);
    bool found = s->heads.len > 0 && strcasestr(s->heads.base, text) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void forget_seen(struct seen *s)
{
    pthread_mutex_lock(&s->lock);
    bytes_clear(&s->heads);
    pthread_mutex_unlock(&s->lock);
}

static void expect_status(struct rig *r, int status)
{
    struct reply reply;
    unsigned before = r->records;
    rig_get(r, "X-Prometheus-Scrape-Timeout-Seconds: 8\r\n", &reply);
    if (reply.status != status) {
        fail_msg("%d instead of %d: %s", reply.status, status, reply.head);
    }
    reply_done(&reply);
    assert_true(rig_wait_records(r, before + 1));
}

static bool wait_idle(struct rig *r)
{
    for (int i = 0; i < 150 && metric_cell_get(metric_cell(METRIC_PROXY_ACTIVE_SCRAPES)) > 0; i++) {
        rig_pump(r, 100);
    }
    return metric_cell_get(metric_cell(METRIC_PROXY_ACTIVE_SCRAPES)) == 0;
}

/* --- OAuth2 */

/* Scrapes and probes that end while their token is still on its way are not touched when it comes. */
static void test_token_comes_too_late(void **state)
{
    struct seen tokens, target;
    struct rig r = {0};
    struct reply reply;
    (void)state;
    seen_start(&tokens, NULL);
    seen_init(&target);
    tokens.delay_ms = 1500;
    seen_answer(&tokens, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
    char *yaml =
        mem_printf("oauth2: {client_id: a, client_secret: b, token_url: 'http://127.0.0.1:%u/t'}", tokens.raw.port);
    rig_start(&r, yaml, see, &target);
    free(yaml);
    struct proxy_table *t = rig_table(&r);
    proxy_probe(r.proxy, t, r.target); /* waits on, and fails in the waking */
    rig_get(&r, "X-Prometheus-Scrape-Timeout-Seconds: 0.3\r\n", &reply);
    assert_int_equal(reply.status, 504);
    assert_non_null(strstr(reply.head, "access token"));
    reply_done(&reply);
    char *request = rig_request(&r, "GET", "1.1", "");
    struct peer p; /* a client that hangs up while its scrape waits */
    peer_connect(&p, r.port);
    peer_send(&p, "%s", request);
    rig_pump(&r, 300);
    peer_close(&p);
    free(request);
    assert_true(rig_wait_records(&r, 2));
    assert_true(wait_idle(&r));
    assert_int_equal(r.records, 2);
    assert_false(has_seen(&target, "GET"));
    proxy_table_unref(t);
    rig_stop(&r);
    seen_done(&target);
    seen_stop(&tokens);
}

/* Credentials in the form when the endpoint does not take them in the header; escaped as Go does it. */
static void test_token_styles(void **state)
{
    struct seen tokens, target;
    struct rig r = {0};
    (void)state;
    seen_start(&tokens, NULL);
    seen_init(&target);
    seen_answer(
        &tokens,
        "HTTP/1.1 201 X\r\nContent-Length: 48\r\n\r\n{\"access_token\":\"tok\",\"expires_in\":\"3600\",\"x\":1}  ");
    char *yaml = mem_printf("oauth2: {client_id: 'a b', client_secret: 'p:/+%%', token_url: 'http://127.0.0.1:%u/t'}",
                            tokens.raw.port);
    rig_start(&r, yaml, see, &target);
    free(yaml);
    expect_status(&r, 200);
    assert_true(has_seen(&target, "authorization: Bearer tok\r\n"));
    assert_true(has_seen(&tokens, "authorization: Basic YStiOnAlM0ElMkYlMkIlMjU=\r\n")); /* a+b:p%3A%2F%2B%25 */
    rig_stop(&r);
    seen_done(&target);
    seen_stop(&tokens);
}

/* --- redirects */

static void test_redirects(void **state)
{
    struct seen first, other;
    struct rig r = {0};
    (void)state;
    seen_init(&first);
    seen_start(&other, NULL);
    rig_start(&r,
              "authorization: {credentials: " SECRET "}, "
              "http_headers: {X-Key: {secrets: [" SECRET "]}, X-Plain: {values: [plain]}}",
              see, &first);
    expect_status(&r, 200);
    assert_true(has_seen(&first, "authorization: Bearer " SECRET "\r\n"));
    assert_true(has_seen(&first, "x-key: " SECRET "\r\n"));
    static const int CODES[] = {301, 302, 303, 307, 308};
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        seen_answer(&first,
                    "HTTP/1.1 %d X\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\nLocation: "
                    "http://localhost:%u/there\r\n\r\nabc",
                    CODES[i], other.raw.port);
        forget_seen(&other);
        expect_status(&r, 200);
        assert_int_equal(r.last.scraped, 1);
        assert_true(has_seen(&other, "GET /there HTTP/1.1\r\n"));
        assert_true(has_seen(&other, "x-prometheus-scrape-timeout-seconds: 8\r\n"));
        assert_false(has_seen(&other, SECRET));
        assert_false(has_seen(&other, "x-plain"));
    }
    /* the same host by another port is the same party, as in Go */
    forget_seen(&other);
    seen_answer(&first, "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: //127.0.0.1:%u/there\r\n\r\n",
                other.raw.port);
    expect_status(&r, 200);
    assert_true(has_seen(&other, SECRET));
    /* round and round; nowhere; to another language */
    seen_answer(&first, "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: /again\r\n\r\n");
    expect_status(&r, 502);
    assert_non_null(strstr(r.last.error, "10 redirects"));
    seen_answer(&first, "HTTP/1.1 302 Lost\r\nContent-Length: 0\r\n\r\n");
    expect_status(&r, 302);
    seen_answer(&first, "HTTP/1.1 302 File\r\nContent-Length: 0\r\nLocation: file:///etc/passwd\r\n\r\n");
    expect_status(&r, 302);
    rig_stop(&r);
    seen_done(&first);
    seen_stop(&other);
}

static void test_no_redirects(void **state)
{
    struct seen first;
    struct rig r = {0};
    (void)state;
    seen_init(&first);
    seen_answer(&first, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /there\r\n\r\n");
    rig_start(&r, "follow_redirects: false", see, &first);
    expect_status(&r, 302);
    assert_non_null(strstr(r.last.error, "server returned HTTP status 302 Found"));
    assert_false(has_seen(&first, "/there"));
    rig_stop(&r);
    seen_done(&first);
}

/* From http to https through a proxy: the tunnel carries the headers configured for it, the first request does not. */
static void test_redirect_into_a_tunnel(void **state)
{
    struct seen proxy;
    struct rig r = {.url = mem_strdup("http://target.test/metrics")};
    (void)state;
    seen_start(&proxy, NULL);
    seen_answer(&proxy, "HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: https://target.test/metrics\r\n\r\n");
    char *yaml = mem_printf("proxy_url: 'http://u:pw@127.0.0.1:%u', proxy_connect_header: {X-Connect: [" SECRET "]}",
                            proxy.raw.port);
    rig_start(&r, yaml, see, &proxy);
    free(yaml);
    expect_status(&r, 502);
    assert_null(strstr(r.last.error, "pw"));
    const char *tunnel = strstr(proxy.heads.base, "CONNECT target.test:443 HTTP/1.1\r\n");
    assert_non_null(tunnel);
    assert_non_null(strstr(tunnel, "X-Connect: " SECRET "\r\n"));
    assert_ptr_equal(strstr(proxy.heads.base, SECRET), strstr(tunnel, SECRET));
    assert_true(has_seen(&proxy, "GET http://target.test/metrics HTTP/1.1\r\n"));
    rig_stop(&r);
    seen_stop(&proxy);
}

/* --- proxies */

static void test_scrape_proxy(void **state)
{
    struct seen proxy;
    char url[64];
    (void)state;
    seen_start(&proxy, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy.raw.port);
    for (int tls = 0; tls <= 1; tls++) {
        struct rig r = {.url = mem_strdup(tls ? "https://target.test/m" : "http://target.test/m"),
                        .conf = {.scrape_proxy = url}};
        forget_seen(&proxy);
        rig_start(&r, "proxy_url: 'http://own.test:3128', proxy_connect_header: {X-Connect: [" SECRET "]}", see,
                  &proxy);
        if (tls) {
            seen_answer(&proxy, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        }
        expect_status(&r, tls ? 502 : 200);
        assert_true(
            has_seen(&proxy, tls ? "CONNECT target.test:443 HTTP/1.1\r\n" : "GET http://target.test/m HTTP/1.1\r\n"));
        assert_true(has_seen(&proxy, "origin-proxy: http://own.test:3128\r\n"));
        assert_false(has_seen(&proxy, SECRET)); /* was meant for the job's own proxy */
        rig_stop(&r);
    }
    seen_stop(&proxy);
}

/* An unusable proxy is an error that does not show its password. */
static void test_odd_proxies(void **state)
{
    static const char *const URLS[] = {"ftp://u:" SECRET "@127.0.0.1:1", "http://u:" SECRET "@127.0.0.1:1",
                                       "socks5://u:" SECRET "@127.0.0.1:1", "https://u:" SECRET "@127.0.0.1:1"};
    (void)state;
    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        struct rig r = {.url = mem_strdup("http://target.test/m")};
        struct seen unused;
        seen_init(&unused);
        char *yaml = mem_printf("proxy_url: '%s'", URLS[i]);
        rig_start(&r, yaml, see, &unused);
        free(yaml);
        expect_status(&r, 502);
        assert_null(strstr(r.last.error, SECRET));
        rig_stop(&r);
        seen_done(&unused);
    }
}

/* --- TLS */

struct crowd {
    struct rig *rig;
    atomic_uint good;
};

static void *scrape_often(void *data)
{
    struct crowd *c = data;
    for (int i = 0; i < 10; i++) {
        struct reply reply;
        rig_get(c->rig, "X-Prometheus-Scrape-Timeout-Seconds: 9\r\n", &reply);
        atomic_fetch_add(&c->good, reply.status == 200);
        reply_done(&reply);
    }
    return NULL;
}

/* Many scrapes of one job at once, with all that a job can carry, while new tables come. */
static void crowd_scrapes(struct rig *r)
{
    struct crowd c = {.rig = r};
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        invariant(pthread_create(&threads[i], NULL, scrape_often, &c) == 0);
    }
    for (int i = 0; i < 50; i++) {
        proxy_publish(r->proxy, rig_table(r));
        rig_pump(r, 5);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&c.good), 80);
    assert_true(rig_wait_records(r, 80));
}

static void test_server_name(void **state)
{
    struct scratch *files = *state;
    struct seen target;
    struct rig r = {.conf = {.threads = 2, .disable_keep_alive = true}};
    char *crt = scratch_path(files, "a.crt"), *key = scratch_path(files, "a.key"), *ca = scratch_path(files, "ca.crt");
    seen_init(&target);
    r.upstream.tls = raw_server_tls(crt, key, NULL);
    char *cwd = getcwd(NULL, 0);
    char *yaml = mem_printf(
        "tls_config: {ca_file: %s/%s, server_name: localhost}, http_headers: {X-Key: {values: [v]}}", cwd, ca);
    free(cwd);
    rig_start(&r, yaml, see, &target);
    free(yaml);
    crowd_scrapes(&r);
    char *host = mem_printf("host: 127.0.0.1:%u\r\n", r.upstream.port);
    assert_true(has_seen(&target, host)); /* the name is for the certificate only */
    assert_false(has_seen(&target, "host: localhost"));
    free(host);
    rig_stop(&r);
    seen_done(&target);
    free(crt);
    free(key);
    free(ca);
}

/* Eight scrapes at once share two connections, and all of them end well. */
static void test_connections_of_a_host(void **state)
{
    struct seen target;
    struct rig r = {.conf = {.threads = 2, .host_connections_max = 2}};
    (void)state;
    seen_init(&target);
    target.delay_ms = 5;
    rig_start(&r, "", see, &target);
    crowd_scrapes(&r);
    assert_in_range(atomic_load(&r.upstream.connections), 1, 2);
    rig_stop(&r);
    seen_done(&target);
}

/* --- IPv6 */

static void test_ipv6(void **state)
{
    struct seen target;
    struct rig r = {0};
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof(a);
    (void)state;
    seen_start(&target, NULL);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0) {
        skip();
    }
    invariant(listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    seen_stop(&target);
    seen_init(&target);
    r.url = mem_printf("http://[::1]:%u/metrics", ntohs(a.sin6_port));
    rig_start(&r, "", see, &target);
    dup2(fd, r.upstream.listen_fd); /* the server goes on with the other listener */
    close(fd);
    expect_status(&r, 200);
    char *host = mem_printf("host: [::1]:%u\r\n", ntohs(a.sin6_port));
    assert_true(has_seen(&target, host));
    free(host);
    rig_stop(&r);
    seen_done(&target);
}

int main(void)
{
    struct scratch files;
    scratch_init(&files);
    curl_net_init();
    make_certificate(&files, "ca", NULL, true);
    make_certificate(&files, "a", "ca", false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_comes_too_late),
        cmocka_unit_test(test_token_styles),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_no_redirects),
        cmocka_unit_test(test_redirect_into_a_tunnel),
        cmocka_unit_test(test_scrape_proxy),
        cmocka_unit_test(test_odd_proxies),
        cmocka_unit_test_prestate(test_server_name, &files),
        cmocka_unit_test(test_connections_of_a_host),
        cmocka_unit_test(test_ipv6),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_done(&files);
    return failed;
}
