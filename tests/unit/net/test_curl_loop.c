/* The glue between libcurl and libuv: whatever libcurl does with its sockets, an event is never lost. A lost one shows
 * as a transfer that ends by its deadline. */
#include "raw_server.h"

#include "base/invariant.h"
#include "base/loop.h"
#include "base/mem.h"
#include "net/curl_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000L

struct fixture {
    struct loop *loop;
    struct curl_loop *curl;
};

/* --- one transfer */

struct get {
    struct fixture *f;
    CURL *easy;
    CURLcode code;
    bool done;
    size_t bytes;
    size_t pause_every; /* pause after so many bytes; 0 = never */
    size_t give_up_at;  /* bytes; 0 = never */
    size_t since_pause;
    bool paused;
    unsigned *left; /* of transfers; the last one stops the loop */
    struct curl_slist *resolve;
    struct loop_timer *resume;
};

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct get *g = data;
    (void)base;
    g->bytes += size * count;
    if (g->give_up_at != 0 && g->bytes >= g->give_up_at) {
        return CURL_WRITEFUNC_ERROR;
    }
    g->since_pause += size * count;
    if (g->pause_every != 0 && g->since_pause >= g->pause_every) {
        g->since_pause = 0;
        g->paused = true;
        curl_easy_pause(g->easy, CURLPAUSE_RECV);
    }
    return size * count;
}

static void on_done(void *data, CURL *easy, CURLcode code)
{
    struct get *g = data;
    (void)easy;
    g->code = code;
    g->done = true;
    if (--*g->left == 0) {
        loop_stop(g->f->loop);
    }
}

static void on_resume(void *data)
{
    struct get *g = data;
    if (g->paused && !g->done) {
        g->paused = false;
        curl_loop_resume(g->f->curl, g->easy);
    }
}

static void get_start(struct get *g, struct fixture *f, const char *url, const char *resolve, unsigned *left)
{
    g->f = f;
    g->left = left;
    g->easy = curl_loop_easy_get(f->curl);
    curl_easy_setopt(g->easy, CURLOPT_URL, url);
    curl_easy_setopt(g->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(g->easy, CURLOPT_WRITEDATA, g);
    curl_easy_setopt(g->easy, CURLOPT_TIMEOUT_MS, DEADLINE_MS);
    curl_easy_setopt(g->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(g->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    if (resolve != NULL) {
        g->resolve = curl_slist_append(NULL, resolve);
        curl_easy_setopt(g->easy, CURLOPT_RESOLVE, g->resolve);
    }
    if (g->pause_every != 0) {
        g->resume = loop_timer_new(f->loop, on_resume, g);
        loop_timer_start(g->resume, 1, 1);
    }
    curl_loop_start(f->curl, g->easy, on_done, g);
}

static void get_end(struct get *g)
{
    curl_loop_easy_put(g->f->curl, g->easy);
    curl_slist_free_all(g->resolve);
    loop_timer_free(&g->resume);
}

static void get_one(struct fixture *f, const char *url, const char *resolve, CURLcode *ret_code)
{
    struct get g = {0};
    unsigned left = 1;
    get_start(&g, f, url, resolve, &left);
    loop_run(f->loop);
    *ret_code = g.code;
    get_end(&g);
}

static void fixture_init(struct fixture *f)
{
    f->loop = loop_new();
    f->curl = curl_loop_new(loop_uv(f->loop), &(struct curl_loop_conf){.max_connections = 64});
}

static void fixture_done(struct fixture *f)
{
    curl_loop_free(&f->curl);
    loop_free(&f->loop);
}

/* --- a listener whose queue is full, so that connecting takes until it is served (about a second: the next SYN) */

struct busy {
    int listen_fd, filler[4];
    unsigned port;
    pthread_t thread;
};

static void *serve_busy(void *data)
{
    struct busy *b = data;
    usleep(200000);
    for (;;) {
        int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        char buf[2048];
        if (fd < 0) {
            return NULL;
        }
        struct timeval limit = {.tv_sec = 1};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n > 0) {
            static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            (void)!write(fd, ANSWER, sizeof(ANSWER) - 1);
        }
        close(fd);
        if (n > 0) {
            return NULL;
        }
    }
}

static void busy_start(struct busy *b)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    b->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    invariant(bind(b->listen_fd, (struct sockaddr *)&a, len) == 0 && listen(b->listen_fd, 0) == 0);
    invariant(getsockname(b->listen_fd, (struct sockaddr *)&a, &len) == 0);
    b->port = ntohs(a.sin_port);
    for (size_t i = 0; i < sizeof(b->filler) / sizeof(b->filler[0]); i++) {
        b->filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(b->filler[i], (struct sockaddr *)&a, len);
        usleep(20000);
    }
    invariant(pthread_create(&b->thread, NULL, serve_busy, b) == 0);
}

static void busy_stop(struct busy *b)
{
    for (size_t i = 0; i < sizeof(b->filler) / sizeof(b->filler[0]); i++) {
        close(b->filler[i]);
    }
    shutdown(b->listen_fd, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listen_fd);
}

/* The first address refuses, libcurl closes that socket without a word, and the socket for the next address gets its
 * number: libcurl believes that number to be polled already. */
static void test_second_address(void **state)
{
    struct fixture f;
    struct busy b;
    CURLcode code;
    (void)state;
    busy_start(&b);
    fixture_init(&f);
    char *url = mem_printf("http://two.test:%u/", b.port);
    char *resolve = mem_printf("two.test:%u:127.0.0.3,127.0.0.1", b.port);
    get_one(&f, url, resolve, &code);
    assert_int_equal(code, CURLE_OK);
    free(url);
    free(resolve);
    fixture_done(&f);
    busy_stop(&b);
}

/* Three chunks in one packet, then silence on an open connection. */
static void send_chunks(struct raw_conn *c, void *data)
{
    (void)data;
    free(raw_read_head(c));
    raw_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\naaaa\r\n4\r\nbbbb\r\n4\r\ncccc\r\n");
    raw_wait_end(c);
}

/* The write callback pauses at the first chunk, and gives up at one that a resume hands over: libcurl leaves such a
 * transfer without events and without a timer. */
static void test_give_up_in_a_resume(void **state)
{
    struct fixture f;
    struct raw_server server;
    unsigned left = 1;
    (void)state;
    memset(&server, 0, sizeof(server));
    raw_server_start(&server, send_chunks, NULL);
    fixture_init(&f);
    char *url = mem_printf("http://127.0.0.1:%u/", server.port);
    struct get g = {.pause_every = 4, .give_up_at = 8};
    get_start(&g, &f, url, NULL, &left);
    loop_run(f.loop);
    assert_int_equal(g.code, CURLE_WRITE_ERROR);
    assert_in_range(g.bytes, 8, 12);
    get_end(&g);
    /* cancelled before it was told */
    struct get again = {.pause_every = 4, .give_up_at = 8};
    left = 2;
    get_start(&again, &f, url, NULL, &left);
    loop_timer_stop(again.resume);
    while (!again.paused) {
        uv_run(loop_uv(f.loop), UV_RUN_ONCE);
    }
    curl_loop_resume(f.curl, again.easy);
    curl_loop_cancel(f.curl, again.easy);
    uv_run(loop_uv(f.loop), UV_RUN_NOWAIT);
    assert_false(again.done);
    get_end(&again);
    free(url);
    fixture_done(&f);
    raw_server_stop(&server);
}

/* A loser of a race between two addresses is closed without a word; then its number is a resolver's pipe, twice: the
 * second must be polled although the first was never closed either, as far as we know. */
static void test_silent_losers(void **state)
{
    struct fixture f;
    struct raw_server server;
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    CURLcode code;
    (void)state;
    memset(&server, 0, sizeof(server));
    raw_server_start(&server, send_chunks, NULL);
    a.sin6_port = htons((uint16_t)server.port);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[3];
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        raw_server_stop(&server);
        skip();
    }
    invariant(listen(fd, 0) == 0);
    for (size_t i = 0; i < 3; i++) {
        filler[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&a, sizeof(a));
        usleep(20000);
    }
    fixture_init(&f);
    char *url = mem_printf("http://two.test:%u/", server.port);
    char *resolve = mem_printf("two.test:%u:[::1],127.0.0.1", server.port);
    struct get g = {.give_up_at = 1};
    unsigned left = 1;
    get_start(&g, &f, url, resolve, &left);
    loop_run(f.loop);
    assert_int_equal(g.code, CURLE_WRITE_ERROR);
    get_end(&g);
    for (int i = 0; i < 3; i++) { /* refused at the end, or not found: either way not by the deadline */
        get_one(&f, "http://nowhere.invalid:1/", NULL, &code);
        assert_int_not_equal(code, CURLE_OPERATION_TIMEDOUT);
    }
    free(url);
    free(resolve);
    fixture_done(&f);
    for (size_t i = 0; i < 3; i++) {
        close(filler[i]);
    }
    close(fd);
    raw_server_stop(&server);
}

/* --- names: libcurl's resolver thread calls this instead of the C library's */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held; /* calls wait until it is false */
    unsigned calls, returned;
} resolver = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0};

/* Every name is 127.0.0.1, but "nowhere" is none. The list is one allocation, which freeaddrinfo below gives back. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct entry {
        struct addrinfo info;
        struct sockaddr_in address;
    } * e;
    (void)hints;
    pthread_mutex_lock(&resolver.lock);
    resolver.calls++;
    pthread_cond_broadcast(&resolver.changed);
    while (resolver.held) {
        pthread_cond_wait(&resolver.changed, &resolver.lock);
    }
    resolver.returned++;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
    if (strncmp(node, "nowhere", 7) == 0) {
        return EAI_NONAME;
    }
    e = mem_calloc(1, sizeof(*e));
    e->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    e->address.sin_port = htons((uint16_t)(service != NULL ? strtoul(service, NULL, 10) : 0));
    e->info = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    e->info.ai_addrlen = sizeof(e->address);
    e->info.ai_addr = (struct sockaddr *)&e->address;
    *ret = &e->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
}

static void resolver_hold(bool held)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.held = held;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
}

/* Until the resolver's thread has been asked once more. */
static void wait_for_call(struct fixture *f, unsigned calls)
{
    for (bool begun = false; !begun; usleep(1000)) {
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        pthread_mutex_lock(&resolver.lock);
        begun = resolver.calls > calls;
        pthread_mutex_unlock(&resolver.lock);
    }
}

static unsigned resolver_calls(void)
{
    pthread_mutex_lock(&resolver.lock);
    unsigned calls = resolver.calls;
    pthread_mutex_unlock(&resolver.lock);
    return calls;
}

/* Names that are not found, one after the other, each answered when libcurl waits for it already: the pipe has the
 * number it had the time before, and no socket had it in between. */
static void look_for_nowhere(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        struct get g = {0};
        unsigned left = 1, calls = resolver_calls();
        resolver_hold(true);
        get_start(&g, f, "http://nowhere.test:1/", NULL, &left);
        wait_for_call(f, calls);
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        resolver_hold(false);
        while (left > 0) {
            uv_run(loop_uv(f->loop), UV_RUN_ONCE);
        }
        assert_int_equal(g.code, CURLE_COULDNT_RESOLVE_HOST);
        get_end(&g);
    }
}

/* Kept or closed after the answer, as the path says. */
static void answer_short(struct raw_conn *c, void *data)
{
    char *head;
    bool close_it = false;
    (void)data;
    while (!close_it && (head = raw_read_head(c)) != NULL) {
        close_it = strstr(head, "/close") != NULL;
        raw_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        free(head);
    }
}

/* Names are looked up by a thread that wakes us by a pipe of its own, whose numbers are those of sockets a moment later
 * and a moment before: rounds of lookups, with connections kept, closed by the server, refused, or never found in
 * between. Each transfer must end by itself. */
static void test_resolver_wakes_us(void **state)
{
    enum { ROUNDS = 20, AT_ONCE = 6 };
    struct fixture f;
    struct raw_server server;
    (void)state;
    memset(&server, 0, sizeof(server));
    raw_server_start(&server, answer_short, NULL);
    fixture_init(&f);
    look_for_nowhere(&f);
    for (int round = 0; round < ROUNDS; round++) {
        struct get gets[AT_ONCE] = {0};
        unsigned left = AT_ONCE;
        resolver_hold(round % 2 == 0); /* every second time all of them wait, and are answered at once */
        for (int i = 0; i < AT_ONCE; i++) {
            bool refused = i == 4, missing = i == 5;
            char *url = mem_printf("http://%s%d.test:%u/%s", missing ? "nowhere" : "name", (round + i) % 9,
                                   refused ? 1 : server.port, (round + i) % 3 == 0 ? "keep" : "close");
            get_start(&gets[i], &f, url, NULL, &left);
            free(url);
        }
        for (int i = 0; i < 3; i++) {
            uv_run(loop_uv(f.loop), UV_RUN_NOWAIT);
        }
        resolver_hold(false);
        while (left > 0) { /* some may have ended already */
            uv_run(loop_uv(f.loop), UV_RUN_ONCE);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            CURLcode want = i == 4 ? CURLE_COULDNT_CONNECT : i == 5 ? CURLE_COULDNT_RESOLVE_HOST : CURLE_OK;
            assert_int_equal(gets[i].code, want);
            get_end(&gets[i]);
        }
    }
    look_for_nowhere(&f);
    fixture_done(&f);
    raw_server_stop(&server);
}

/* A cancelled transfer does not wait for a resolver that hangs. */
static void test_cancel_in_the_resolver(void **state)
{
    struct fixture f;
    struct get g = {0};
    unsigned left = 2, calls = resolver_calls();
    (void)state;
    fixture_init(&f);
    resolver_hold(true);
    unsigned returned = calls; /* none is under way */
    get_start(&g, &f, "http://hangs.test:1/", NULL, &left);
    wait_for_call(&f, calls);
    curl_loop_cancel(f.curl, g.easy);
    get_end(&g);
    fixture_done(&f);
    pthread_mutex_lock(&resolver.lock);
    assert_int_equal(resolver.returned, returned); /* it hangs still: nobody waited for it */
    pthread_mutex_unlock(&resolver.lock);
    assert_false(g.done);
    resolver_hold(false);
    pthread_mutex_lock(&resolver.lock);
    while (resolver.returned == returned) {
        pthread_cond_wait(&resolver.changed, &resolver.lock);
    }
    pthread_mutex_unlock(&resolver.lock);
    usleep(50000); /* the thread's own end, for leak checkers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_address),         cmocka_unit_test(test_give_up_in_a_resume),
        cmocka_unit_test(test_silent_losers),          cmocka_unit_test(test_resolver_wakes_us),
        cmocka_unit_test(test_cancel_in_the_resolver),
    };
    curl_net_init();
    alarm(300); /* what waits for a thread in vain shall end */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
