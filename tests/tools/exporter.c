/* kvass-test-exporter: many virtual scrape targets in one small process, for tests and benchmarks.
 *
 *     kvass-test-exporter --listen=127.0.0.1:0 [--listen=...] [--series=10045] [--any-key=value]
 *
 * prints `listening on 127.0.0.1:PORT` per listener and serves
 *
 *     GET  /metrics?KEYS          a scrape; /t/NAME/metrics?KEYS is the virtual target NAME (also ?target=NAME)
 *     POST /control?KEYS          changes the defaults of this listener, or of one target (?target=NAME); answers 204
 *     GET  /stats[?targets=1]     counters as JSON
 *
 * KEYS: series=N (exactly N sample lines), seed=N, label_bytes=N, format=text|openmetrics|protobuf|auto,
 * encoding=auto|identity|gzip|zstd (auto: what Accept-Encoding takes), chunked=1, size=BYTES (a generated body of that decoded size,
 * never stored: size/64 samples), slow=BYTES_PER_S, delay_ms=N, authorization=TEXT (else 401), and faults, written name=arg or
 * fault=name:arg: status:500 redirect html garbage nothing reset stall reset_after:BYTES stall_after:BYTES close_after:BYTES
 * half_body truncate wrong_crc endless long_line:BYTES none. Keys of a URL win over /control, those over --options.
 *
 * One thread, epoll, keep-alive, no TLS. It reads hostile bytes only from its own tests, yet every buffer has a cap. */
#include "base/mem.h"
#include "base/timebase.h"
#include "exporter_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 10

struct server server;

static void on_readable(struct conn *c)
{
    char *to = bytes_reserve(&c->in, 4096);
    if (to == NULL) {
        conn_close(c, false);
        return;
    }
    ssize_t n = recv(c->at.fd, to, 4096, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            server.cancelled += c->busy;
            conn_close(c, false);
        }
        return;
    }
    bytes_commit(&c->in, (size_t)n);
    conn_serve(c);
}

static void on_acceptable(struct listener *l)
{
    for (int fd; (fd = accept4(l->at.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int one = 1;
        struct conn *c = mem_calloc(1, sizeof(*c));
        struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c->at.fd = fd;
        c->from = l;
        bytes_init(&c->in, REQUEST_MAX);
        bytes_init(&c->out, OUT_MAX);
        epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, fd, &ev);
        server.accepted++;
        server.open++;
    }
}

static void conn_event(struct conn *c, uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable(c);
    }
    if (c->at.fd >= 0 && (events & EPOLLOUT) != 0) {
        conn_pump(c);
        conn_serve(c);
    }
    if (c->at.fd < 0) {
        conn_free(c);
    }
}

static void run_timed(void)
{
    for (struct conn *c = server.timed, *next; c != NULL; c = next) {
        next = c->next_timed;
        uint64_t step = c->rate_bytes_s * TICK_MS / 1000;
        c->allowance += step != 0 ? (int64_t)step : 1;
        conn_untime(c);
        conn_pump(c);
        conn_serve(c);
        if (c->at.fd < 0) {
            conn_free(c);
        }
    }
}

static void loop_forever(void)
{
    int64_t tick_ms = timebase_monotonic_ms();
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(server.epoll_fd, events, 256, server.timed != NULL ? TICK_MS : -1);
        for (int i = 0; i < n; i++) {
            const struct endpoint *at = events[i].data.ptr;
            if (at->is_listener) {
                on_acceptable(events[i].data.ptr);
            } else {
                conn_event(events[i].data.ptr, events[i].events);
            }
        }
        if (timebase_monotonic_ms() >= tick_ms + TICK_MS) {
            tick_ms = timebase_monotonic_ms();
            run_timed();
        }
    }
}

static int listener_add(const char *address)
{
    char host[64];
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    unsigned port = 0;
    int one = 1;
    struct listener *l = &server.listeners[server.listener_count];
    if (server.listener_count == LISTENERS_MAX || sscanf(address, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &sin.sin_addr) != 1) {
        fprintf(stderr, "--listen=%s: expected 127.0.0.1:PORT, at most %d times\n", address, LISTENERS_MAX);
        return -1;
    }
    sin.sin_port = htons((uint16_t)port);
    l->at.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(l->at.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l->at.fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(l->at.fd, 4096) != 0 ||
        getsockname(l->at.fd, (struct sockaddr *)&sin, &len) != 0) {
        fprintf(stderr, "--listen=%s: %s\n", address, strerror(errno));
        close(l->at.fd);
        return -1;
    }
    l->at.is_listener = true;
    l->port = ntohs(sin.sin_port);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
    epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, l->at.fd, &ev);
    server.listener_count++;
    printf("listening on %s:%u\n", host, l->port);
    return 0;
}

int main(int argc, char **argv)
{
    struct spec defaults;
    struct errctx err = ERRCTX_INIT;
    spec_init(&defaults);
    signal(SIGPIPE, SIG_IGN);
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    hashmap_init(&server.targets, target_equal);
    bytes_init(&server.last_request, REQUEST_MAX);
    for (int i = 1; i < argc; i++) {
        char key[SPEC_TEXT_MAX];
        const char *eq = strchr(argv[i], '=');
        if (strncmp(argv[i], "--", 2) != 0 || eq == NULL) {
            fprintf(stderr, "%s: expected --key=value\n", argv[i]);
            return 2;
        }
        snprintf(key, sizeof(key), "%.*s", (int)(eq - argv[i] - 2), argv[i] + 2);
        if (strcmp(key, "listen") == 0) {
            if (listener_add(eq + 1) != 0) {
                return 1;
            }
        } else if (spec_set(&defaults, key, eq + 1, &err) != 0) {
            fprintf(stderr, "%s\n", err.msg);
            return 2;
        }
    }
    if (server.listener_count == 0 && listener_add("127.0.0.1:0") != 0) {
        return 1;
    }
    for (size_t i = 0; i < server.listener_count; i++) {
        server.listeners[i].spec = defaults;
    }
    fflush(stdout);
    loop_forever();
    return 0;
}
