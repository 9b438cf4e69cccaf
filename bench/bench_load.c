/* A load generator for proxies: GET requests on kept connections, one in flight on each, as Prometheus sends them.
 * Closed loop, or at a fixed rate; then a late answer counts from when its request was due, so that a stall is not
 * hidden. Prints one line of JSON. What is under way when the time is up is waited for and counted, so that the proxy's
 * CPU time belongs to whole answers. Bodies are cut to the bone (MSG_TRUNC: the kernel throws them away), so that the
 * generator is never what is measured.
 *
 *     bench_load --port=N --target=TEXT [--host=H] [--connections=8] [--seconds=1] [--rate=0]
 * [--accept-encoding=identity]
 *
 * TEXT is the request target: a path, or an absolute URL for a forward proxy. */
#include "base/mem.h"
#include "base/timebase.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEAD_MAX      4096
#define EVENT_BATCH   64
#define LATENCIES_MAX ((size_t)4 << 20)

struct settings {
    int port, connections;
    double seconds, rate;
    const char *target, *host, *accept_encoding;
};

enum body_kind { BODY_HEAD, BODY_LENGTH, BODY_CHUNK_SIZE, BODY_CHUNK };

struct conn {
    int fd;
    enum body_kind kind;
    bool busy, chunked;
    uint64_t left; /* of the body or chunk with its CRLF */
    uint64_t turn; /* the how manieth request of the plan is next */
    int64_t due_us;
    size_t have;
    char head[HEAD_MAX];
};

struct load {
    struct settings set;
    char request[8192];
    size_t request_len;
    struct conn *conns;
    int epoll_fd;
    int64_t begin_us, end_us, last_us; /* the last answer */
    int busy;
    uint32_t *latencies;
    size_t count;
    uint64_t bytes;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct load *l, struct conn *c)
{
    c->busy = true;
    l->busy++;
    c->kind = BODY_HEAD;
    c->have = 0;
    if (send(c->fd, l->request, l->request_len, MSG_NOSIGNAL) != (ssize_t)l->request_len) {
        die("send");
    }
}

/* When the next request of the connection is to leave: at once, or by the rate. */
static int64_t next_due(const struct load *l, const struct conn *c, int64_t now_us)
{
    size_t index = (size_t)(c - l->conns);
    double order = (double)c->turn * l->set.connections + (double)index;
    return l->set.rate > 0 ? l->begin_us + (int64_t)(order * 1e6 / l->set.rate) : now_us;
}

static void answer_ended(struct load *l, struct conn *c)
{
    int64_t now_us = timebase_monotonic_us();
    if (l->count < LATENCIES_MAX) {
        l->latencies[l->count++] = (uint32_t)(now_us - c->due_us);
    }
    l->last_us = now_us;
    l->busy--;
    c->busy = false;
    c->turn++;
    c->due_us = next_due(l, c, now_us);
    if (now_us < l->end_us && c->due_us <= now_us) {
        send_request(l, c);
    }
}

static void head_ended(struct load *l, struct conn *c, size_t head_len)
{
    (void)l;
    if (memcmp(c->head, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "bench_load: %.*s\n", (int)strcspn(c->head, "\r\n"), c->head);
        exit(1);
    }
    c->head[head_len] = '\0';
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->chunked = length == NULL;
    c->kind = c->chunked ? BODY_CHUNK_SIZE : BODY_LENGTH;
    c->left = length != NULL ? strtoull(length + 17, NULL, 10) : 0;
}

/* Takes what is in head[]: heads and chunk sizes; false: more bytes are needed. */
static bool take_text(struct load *l, struct conn *c)
{
    bool in_head = c->kind == BODY_HEAD;
    const char *end = memmem(c->head, c->have, in_head ? "\r\n\r\n" : "\r\n", in_head ? 4 : 2);
    if (end == NULL) {
        return false;
    }
    size_t used = (size_t)(end - c->head) + (in_head ? 4 : 2);
    if (in_head) {
        char keep = c->head[used];
        head_ended(l, c, used - 1);
        c->head[used] = keep;
    } else {
        uint64_t size = strtoull(c->head, NULL, 16);
        c->kind = BODY_CHUNK;
        c->left = size + 2;
        c->chunked = size != 0;
    }
    c->have -= used;
    memmove(c->head, c->head + used, c->have);
    return true;
}

/* Takes `n` bytes of a body or chunk; true when the answer is whole. */
static bool take_body(struct conn *c, uint64_t n)
{
    c->left -= n;
    if (c->left > 0) {
        return false;
    }
    if (c->kind == BODY_CHUNK && c->chunked) {
        c->kind = BODY_CHUNK_SIZE;
        return false;
    }
    return true;
}

static bool take_buffered(struct load *l, struct conn *c)
{
    for (;;) {
        bool text = c->kind == BODY_HEAD || c->kind == BODY_CHUNK_SIZE;
        if (text) {
            if (!take_text(l, c)) {
                return false;
            }
            continue;
        }
        uint64_t n = c->have < c->left ? c->have : c->left;
        c->have -= n;
        memmove(c->head, c->head + n, c->have);
        if (take_body(c, n)) {
            return true;
        }
        if (c->have == 0) {
            return false;
        }
    }
}

static void on_readable(struct load *l, struct conn *c)
{
    while (c->busy) {
        bool text = c->kind == BODY_HEAD || c->kind == BODY_CHUNK_SIZE;
        ssize_t n = text ? recv(c->fd, c->head + c->have, HEAD_MAX - 1 - c->have, MSG_DONTWAIT)
                         : recv(c->fd, NULL, c->left, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            errno = n == 0 ? ECONNRESET : errno;
            die("answer");
        }
        l->bytes += (uint64_t)n;
        bool whole = text ? (c->have += (size_t)n, take_buffered(l, c)) : take_body(c, (uint64_t)n);
        if (whole) {
            answer_ended(l, c);
        }
    }
}

static void open_connections(struct load *l)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->set.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->conns = mem_calloc((size_t)l->set.connections, sizeof(*l->conns));
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < l->set.connections; i++) {
        struct conn *c = &l->conns[i];
        int one = 1;
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
            die("connect");
        }
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
    }
}

/* Sends what is due; microseconds until the next is. */
static int64_t send_due(struct load *l, int64_t now_us)
{
    int64_t wait_us = 100000;
    for (int i = 0; i < l->set.connections && now_us < l->end_us; i++) {
        struct conn *c = &l->conns[i];
        if (!c->busy && c->due_us <= now_us) {
            send_request(l, c);
        } else if (!c->busy && c->due_us - now_us < wait_us) {
            wait_us = c->due_us - now_us;
        }
    }
    return wait_us > 0 ? wait_us : 0;
}

static void run(struct load *l)
{
    l->begin_us = timebase_monotonic_us();
    l->end_us = l->begin_us + (int64_t)(l->set.seconds * 1e6);
    for (int i = 0; i < l->set.connections; i++) {
        l->conns[i].due_us = next_due(l, &l->conns[i], l->begin_us);
    }
    for (int64_t now_us; (now_us = timebase_monotonic_us()) < l->end_us || l->busy > 0;) {
        struct epoll_event events[EVENT_BATCH];
        int64_t wait_us = send_due(l, now_us);
        struct timespec wait = {.tv_nsec = wait_us * 1000};
        int n = epoll_pwait2(l->epoll_fd, events, EVENT_BATCH, &wait, NULL);
        for (int i = 0; i < n; i++) {
            on_readable(l, events[i].data.ptr);
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_result(struct load *l)
{
    if (l->count == 0) {
        fprintf(stderr, "bench_load: no answer came in time\n");
        exit(1);
    }
    qsort(l->latencies, l->count, sizeof(l->latencies[0]), compare);
    printf("{\"requests\":%zu,\"rps\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"bytes\":%llu}\n", l->count,
           (double)l->count * 1e6 / (double)(l->last_us - l->begin_us), l->latencies[l->count / 2],
           l->latencies[l->count * 99 / 100], l->latencies[l->count - 1], (unsigned long long)l->bytes);
}

static struct settings read_settings(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"port", 1, NULL, 'p'},
                                            {"target", 1, NULL, 't'},
                                            {"host", 1, NULL, 'h'},
                                            {"connections", 1, NULL, 'c'},
                                            {"seconds", 1, NULL, 's'},
                                            {"rate", 1, NULL, 'r'},
                                            {"accept-encoding", 1, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    struct settings s = {.connections = 8, .seconds = 1, .host = "bench", .accept_encoding = "identity"};
    for (int opt; (opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (opt) {
        case 'p':
            s.port = (int)strtol(optarg, NULL, 10);
            break;
        case 't':
            s.target = optarg;
            break;
        case 'h':
            s.host = optarg;
            break;
        case 'c':
            s.connections = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            s.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            s.rate = strtod(optarg, NULL);
            break;
        case 'e':
            s.accept_encoding = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (s.port <= 0 || s.target == NULL || s.connections <= 0 || !(s.seconds > 0)) {
        fputs("usage: bench_load --port=N --target=TEXT [options]\n", stderr);
        exit(2);
    }
    return s;
}

int main(int argc, char **argv)
{
    struct load l = {.set = read_settings(argc, argv)};
    int n = snprintf(
        l.request, sizeof(l.request),
        "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Prometheus/2.42.0\r\nAccept: text/plain;version=0.0.4;q=0.5,"
        "*/*;q=0.1\r\nAccept-Encoding: %s\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
        l.set.target, l.set.host, l.set.accept_encoding);
    if (n < 0 || (size_t)n >= sizeof(l.request)) {
        fputs("bench_load: the request is too long\n", stderr);
        return 2;
    }
    l.request_len = (size_t)n;
    l.latencies = mem_alloc(LATENCIES_MAX * sizeof(*l.latencies));
    open_connections(&l);
    run(&l);
    print_result(&l);
    return 0;
}
