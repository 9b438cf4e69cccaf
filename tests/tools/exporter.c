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
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "exporter_body.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define LISTENERS_MAX 64
#define REQUEST_MAX   ((size_t)32768)
#define OUT_MAX       ((size_t)1 << 20)
#define BLOCK_BYTES   ((size_t)65536)
#define TARGETS_MAX   100000
#define TICK_MS       10

struct vtarget {
    char name[SPEC_TEXT_MAX];
    bool has_spec;
    struct spec spec;
    uint64_t scrapes;
    int64_t last_ms, gap_max_ms;
};

/* First in what epoll's data points to. */
struct endpoint {
    int fd;
    bool is_listener;
};

struct listener {
    struct endpoint at;
    unsigned port;
    struct spec spec;
    uint64_t scrapes;
};

struct conn {
    struct endpoint at;
    struct listener *from;
    struct conn *next_timed, **prev_timed;
    struct bytes in, out;
    struct body *body; /* what is being sent: a cached body or a stream */
    struct stream *stream;
    size_t off;
    uint64_t cut;      /* body bytes after which `fault` acts */
    uint64_t body_sent;
    enum spec_fault fault;
    bool busy, chunked, close_after, body_done, want_write, held;
    uint64_t rate_bytes_s;
    int64_t allowance; /* below 0: sent ahead of the rate */
    int64_t start_ms;
};

static struct {
    int epoll_fd;
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct hashmap targets;
    struct conn *timed;
    uint64_t accepted, open, requests, scrapes, faults, cancelled, bytes_sent;
    struct bytes last_request;
} server;

static void conn_pump(struct conn *c);

/* ------------------------------------------------------------------------------------------------------ virtual targets */

static bool target_equal(const void *entry, const void *key)
{
    return strcmp(((const struct vtarget *)entry)->name, key) == 0;
}

static struct vtarget *target_get(const char *name, bool create)
{
    uint64_t hash = hash_view(view_of(name));
    struct vtarget *t = hashmap_get(&server.targets, hash, name);
    if (t == NULL && create && server.targets.len < TARGETS_MAX) {
        t = mem_calloc(1, sizeof(*t));
        snprintf(t->name, sizeof(t->name), "%s", name);
        hashmap_add(&server.targets, hash, t);
    }
    return t;
}

/* --------------------------------------------------------------------------------------------------------- connections */

static void conn_untime(struct conn *c)
{
    if (c->prev_timed != NULL) {
        *c->prev_timed = c->next_timed;
        if (c->next_timed != NULL) {
            c->next_timed->prev_timed = c->prev_timed;
        }
        c->prev_timed = NULL;
    }
}

static void conn_time(struct conn *c)
{
    if (c->prev_timed == NULL) {
        c->next_timed = server.timed;
        c->prev_timed = &server.timed;
        if (server.timed != NULL) {
            server.timed->prev_timed = &c->next_timed;
        }
        server.timed = c;
    }
}

static void conn_end_answer(struct conn *c)
{
    body_unref(c->body);
    c->body = NULL;
    stream_free(&c->stream);
    conn_untime(c);
    c->busy = false;
}

static void conn_close(struct conn *c, bool reset)
{
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->at.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    conn_end_answer(c);
    close(c->at.fd);
    c->at.fd = -1;
    server.open--;
}

static void conn_free(struct conn *c)
{
    bytes_done(&c->in);
    bytes_done(&c->out);
    free(c);
}

static void conn_watch(struct conn *c, bool want_write)
{
    if (c->at.fd >= 0 && want_write != c->want_write) {
        struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | (want_write ? EPOLLOUT : 0), .data.ptr = c};
        c->want_write = want_write;
        epoll_ctl(server.epoll_fd, EPOLL_CTL_MOD, c->at.fd, &ev);
    }
}

/* The fault's moment has come: the promised bytes are out. */
static void conn_act(struct conn *c)
{
    switch (c->fault) {
    case FAULT_RESET_AFTER:
    case FAULT_RESET:
        conn_close(c, true);
        break;
    case FAULT_STALL:
    case FAULT_STALL_AFTER:
        c->held = true;
        conn_untime(c);
        break;
    default:
        conn_close(c, false);
        break;
    }
}

static bool has_cut(enum spec_fault f)
{
    return f == FAULT_RESET_AFTER || f == FAULT_STALL_AFTER || f == FAULT_CLOSE_AFTER || f == FAULT_HALF_BODY;
}

/* The next run of body bytes, at most `limit`; empty at the end. Streams park theirs in `block`. */
static struct view next_body(struct conn *c, size_t limit, struct bytes *block)
{
    if (c->body != NULL) {
        size_t n = c->body->len - c->off;
        n = n < limit ? n : limit;
        c->off += n;
        return view_make(c->body->base + c->off - n, n);
    }
    if (c->stream != NULL && stream_next(c->stream, block)) {
        return bytes_view(block);
    }
    return view_make(NULL, 0);
}

/* Puts the next wire bytes of the body into out. Streams ignore the cut's exact byte by at most a block, except that what
 * goes over it is dropped. */
static void fill(struct conn *c)
{
    struct bytes block;
    uint64_t room = c->cut - c->body_sent;
    size_t limit = BLOCK_BYTES;
    if (c->rate_bytes_s != 0 && c->allowance < (int64_t)limit) {
        limit = c->allowance > 0 ? (size_t)c->allowance : 0;
    }
    limit = room < limit ? (size_t)room : limit;
    if (limit == 0) {
        return;
    }
    bytes_init(&block, OUT_MAX);
    struct view v = next_body(c, limit, &block);
    v.len = v.len > room ? (size_t)room : v.len;
    c->body_done = v.len == 0;
    if (c->chunked) {
        bytes_printf(&c->out, "%zx\r\n", v.len);
        bytes_append_view(&c->out, v);
        bytes_append_str(&c->out, "\r\n");
    } else {
        bytes_append_view(&c->out, v);
    }
    c->body_sent += v.len;
    c->allowance -= c->rate_bytes_s != 0 ? (int64_t)v.len : 0;
    bytes_done(&block);
}

/* Writes head and a cached body in one call where nothing else needs to happen in between. False when the socket is full. */
static bool write_some(struct conn *c, bool *ret_failed)
{
    struct iovec iov[2] = {{c->out.base, c->out.len}, {NULL, 0}};
    bool direct = c->body != NULL && !c->chunked && c->rate_bytes_s == 0 && c->cut == UINT64_MAX;
    if (direct) {
        iov[1] = (struct iovec){c->body->base + c->off, c->body->len - c->off};
    }
    ssize_t n = writev(c->at.fd, iov, 2);
    if (n < 0) {
        *ret_failed = errno != EAGAIN && errno != EINTR;
        return errno == EINTR;
    }
    server.bytes_sent += (uint64_t)n;
    size_t head = (size_t)n < c->out.len ? (size_t)n : c->out.len;
    if (head == c->out.len) {
        bytes_clear(&c->out);
    } else {
        bytes_consume(&c->out, head);
    }
    c->off += direct ? (size_t)n - head : 0;
    c->body_done = c->body_done || (direct && c->off == c->body->len);
    return c->out.len == 0;
}

/* Sends until the answer is complete, the socket is full, or the clock has to move. */
static void conn_pump(struct conn *c)
{
    bool failed = false;
    while (c->busy && !c->held) {
        if (c->start_ms > timebase_monotonic_ms()) {
            conn_time(c);
            break;
        }
        bool direct = c->body != NULL && !c->chunked && c->rate_bytes_s == 0 && c->cut == UINT64_MAX;
        if (c->out.len == 0 && c->body_sent == c->cut && has_cut(c->fault)) {
            conn_act(c);
            return;
        }
        if (c->out.len == 0 && c->body_done) {
            conn_end_answer(c);
            if (c->close_after) {
                conn_close(c, false);
                return;
            }
            break;
        }
        if (c->out.len == 0 && !direct) {
            fill(c);
            if (c->out.len == 0 && !c->body_done && c->rate_bytes_s != 0 && c->body_sent != c->cut) {
                conn_time(c);
                break;
            }
        }
        if ((c->out.len != 0 || direct) && !write_some(c, &failed)) {
            break;
        }
    }
    if (failed) {
        server.cancelled++;
        conn_close(c, false);
        return;
    }
    conn_watch(c, c->busy && !c->held && c->prev_timed == NULL);
}

/* ------------------------------------------------------------------------------------------------------------- requests */

struct request {
    struct view method, path, query, accept, accept_encoding, authorization;
    size_t body_bytes;
    bool close;
};

static struct view trim(struct view v)
{
    while (v.len > 0 && (*v.base == ' ' || *v.base == '\t')) {
        v.base++;
        v.len--;
    }
    return v;
}

static struct view split(struct view *rest, const char *sep)
{
    const char *at = rest->len != 0 ? memmem(rest->base, rest->len, sep, strlen(sep)) : NULL;
    struct view first = view_make(rest->base, at != NULL ? (size_t)(at - rest->base) : rest->len);
    size_t used = first.len + (at != NULL ? strlen(sep) : 0);
    rest->base += used;
    rest->len -= used;
    return first;
}

static void parse_header(struct request *r, struct view line)
{
    struct view value = line, name = split(&value, ":");
    value = trim(value);
    if (name.len == 6 && strncasecmp(name.base, "accept", 6) == 0) {
        r->accept = value;
    } else if (name.len == 15 && strncasecmp(name.base, "accept-encoding", 15) == 0) {
        r->accept_encoding = value;
    } else if (name.len == 13 && strncasecmp(name.base, "authorization", 13) == 0) {
        r->authorization = value;
    } else if (name.len == 14 && strncasecmp(name.base, "content-length", 14) == 0) {
        for (size_t i = 0; i < value.len && value.base[i] >= '0' && value.base[i] <= '9' && i < 8; i++) {
            r->body_bytes = r->body_bytes * 10 + (size_t)(value.base[i] - '0');
        }
    } else if (name.len == 10 && strncasecmp(name.base, "connection", 10) == 0) {
        r->close = value.len >= 5 && strncasecmp(value.base, "close", 5) == 0;
    }
}

static void parse_request(struct request *r, struct view head)
{
    struct view line = split(&head, "\r\n");
    memset(r, 0, sizeof(*r));
    r->method = split(&line, " ");
    struct view uri = split(&line, " ");
    if (view_has_prefix(uri, VIEW("http://"))) {
        uri.base += 7;
        uri.len -= 7;
        const char *slash = memchr(uri.base, '/', uri.len);
        uri = slash != NULL ? view_make(slash, uri.len - (size_t)(slash - uri.base)) : VIEW("/");
    }
    r->path = split(&uri, "?");
    r->query = uri;
    bool http10 = view_is(line, "HTTP/1.0");
    while (head.len > 0) {
        parse_header(r, split(&head, "\r\n"));
    }
    r->close = r->close || http10;
}

static void respond(struct conn *c, int status, const char *reason, const char *content_type, struct view content)
{
    bytes_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, reason,
                 content_type, content.len);
    bytes_append_view(&c->out, content);
    c->body_done = true;
}

static void write_target_stats(struct json_writer *w, const struct vtarget *t)
{
    json_key(w, t->name);
    json_object_begin(w);
    json_kv_u64(w, "scrapes", t->scrapes);
    json_kv_i64(w, "last_ms", t->last_ms);
    json_kv_i64(w, "gap_max_ms", t->gap_max_ms);
    json_object_end(w);
}

static void answer_stats(struct conn *c, const struct request *r)
{
    struct bytes text;
    struct json_writer w;
    size_t it = 0;
    bytes_init(&text, (size_t)64 << 20);
    json_writer_init(&w, &text);
    json_object_begin(&w);
    json_kv_u64(&w, "accepted", server.accepted);
    json_kv_u64(&w, "connections", server.open);
    json_kv_u64(&w, "requests", server.requests);
    json_kv_u64(&w, "scrapes", server.scrapes);
    json_kv_u64(&w, "faults", server.faults);
    json_kv_u64(&w, "cancelled", server.cancelled);
    json_kv_u64(&w, "bytes_sent", server.bytes_sent);
    json_kv_view(&w, "last_scrape_request", bytes_view(&server.last_request));
    json_key(&w, "listeners");
    json_array_begin(&w);
    for (size_t i = 0; i < server.listener_count; i++) {
        json_object_begin(&w);
        json_kv_u64(&w, "port", server.listeners[i].port);
        json_kv_u64(&w, "series", server.listeners[i].spec.series);
        json_kv_u64(&w, "scrapes", server.listeners[i].scrapes);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_key(&w, "targets");
    json_object_begin(&w);
    bool all = view_is(r->query, "targets=1");
    for (struct vtarget *t; all && (t = hashmap_next(&server.targets, &it)) != NULL;) {
        write_target_stats(&w, t);
    }
    json_object_end(&w);
    json_object_end(&w);
    c->out.max = OUT_MAX + text.len;
    respond(c, 200, "OK", "application/json", bytes_view(&text));
    bytes_done(&text);
}

static void answer_control(struct conn *c, const struct request *r)
{
    char name[SPEC_TEXT_MAX] = "";
    struct errctx err = ERRCTX_INIT;
    struct spec scratch = c->from->spec;
    struct spec *spec = &c->from->spec;
    if (spec_parse_query(&scratch, r->query, name, &err) != 0) {
        respond(c, 400, "Bad Request", "text/plain", view_of(err.msg));
        return;
    }
    struct vtarget *t = name[0] != '\0' ? target_get(name, true) : NULL;
    if (t != NULL) {
        t->spec = t->has_spec ? t->spec : c->from->spec;
        t->has_spec = true;
        spec = &t->spec;
    }
    invariant(spec_parse_query(spec, r->query, name, NULL) == 0);
    respond(c, 204, "No Content", "text/plain", VIEW(""));
}

static void count_scrape(struct conn *c, struct vtarget *t)
{
    server.scrapes++;
    c->from->scrapes++;
    if (t != NULL) {
        int64_t now_ms = timebase_monotonic_ms();
        int64_t gap_ms = t->last_ms != 0 ? now_ms - t->last_ms : 0;
        t->gap_max_ms = gap_ms > t->gap_max_ms ? gap_ms : t->gap_max_ms;
        t->last_ms = now_ms;
        t->scrapes++;
    }
}

/* Answers that are a head and no exposition. True when s was one of them. */
static bool answer_without_body(struct conn *c, const struct request *r, const struct spec *s)
{
    char text[32];
    if (s->authorization[0] != '\0' && !view_is(r->authorization, s->authorization)) {
        respond(c, 401, "Unauthorized", "text/plain", VIEW("401\n"));
        return true;
    }
    switch (s->fault) {
    case FAULT_STATUS:
        snprintf(text, sizeof(text), "%u\n", (unsigned)s->fault_arg);
        respond(c, (int)s->fault_arg, "Fault", "text/plain", view_of(text));
        return true;
    case FAULT_REDIRECT:
        bytes_printf(&c->out, "HTTP/1.1 302 Found\r\nLocation: %.*s\r\nContent-Length: 0\r\n\r\n", VIEW_FMT(r->path));
        c->body_done = true;
        return true;
    case FAULT_NOTHING:
    case FAULT_RESET:
    case FAULT_STALL:
        conn_act(c);
        return true;
    default:
        return false;
    }
}

static void put_head(struct conn *c, const struct spec *s, uint64_t length, uint64_t samples)
{
    const char *encoding = body_content_encoding(s->encoding);
    const char *type = s->fault == FAULT_HTML ? "text/html; charset=utf-8" : body_content_type(s->format);
    bytes_printf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n", type);
    if (encoding != NULL) {
        bytes_printf(&c->out, "Content-Encoding: %s\r\n", encoding);
    }
    if (samples != UINT64_MAX) {
        bytes_printf(&c->out, "X-Samples: %llu\r\n", (unsigned long long)samples);
    }
    if (c->chunked) {
        bytes_append_str(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
    } else {
        bytes_printf(&c->out, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
    }
}

static void answer_body(struct conn *c, const struct request *r, struct spec *s)
{
    bool endless = s->fault == FAULT_ENDLESS;
    spec_negotiate(s, r->accept, r->accept_encoding);
    if (endless || s->size_bytes != 0) {
        s->format = SPEC_FORMAT_TEXT;
        c->stream = stream_new(endless ? UINT64_MAX : s->size_bytes, s->encoding);
        c->chunked = s->chunked || endless || s->encoding != SPEC_ENCODING_IDENTITY;
    } else {
        c->body = body_get(s);
        c->chunked = s->chunked;
    }
    uint64_t length = c->body != NULL ? c->body->len : s->size_bytes;
    c->cut = s->fault == FAULT_HALF_BODY ? length / 2 : has_cut(s->fault) ? s->fault_arg : UINT64_MAX;
    c->cut = has_cut(s->fault) && !c->chunked && c->cut >= length ? length - 1 : c->cut;
    put_head(c, s, length, endless ? UINT64_MAX : c->body != NULL ? c->body->samples : s->size_bytes / STREAM_LINE_BYTES);
}

static void answer_scrape(struct conn *c, const struct request *r)
{
    char name[SPEC_TEXT_MAX] = "";
    struct errctx err = ERRCTX_INIT;
    struct spec s = c->from->spec, ignored = s;
    struct view path = r->path;
    if (view_has_prefix(path, VIEW("/t/"))) {
        path.base += 3;
        path.len -= 3;
        struct view first = split(&path, "/");
        snprintf(name, sizeof(name), "%.*s", VIEW_FMT(first));
    }
    int rc = spec_parse_query(&ignored, r->query, name, &err);
    struct vtarget *t = name[0] != '\0' ? target_get(name, true) : NULL;
    s = t != NULL && t->has_spec ? t->spec : s;
    if (rc != 0 || spec_parse_query(&s, r->query, NULL, &err) != 0) {
        respond(c, 400, "Bad Request", "text/plain", view_of(err.msg));
        return;
    }
    count_scrape(c, t);
    server.faults += s.fault != FAULT_NONE;
    c->fault = s.fault;
    c->rate_bytes_s = s.rate_bytes_s;
    c->start_ms = s.delay_ms != 0 ? timebase_monotonic_ms() + (int64_t)s.delay_ms : 0;
    if (!answer_without_body(c, r, &s)) {
        answer_body(c, r, &s);
    }
}

static void answer(struct conn *c, struct view head)
{
    struct request r;
    parse_request(&r, head);
    server.requests++;
    c->busy = true;
    c->body_done = c->chunked = c->held = false;
    c->off = 0;
    c->body_sent = c->rate_bytes_s = 0;
    c->allowance = 0;
    c->cut = UINT64_MAX;
    c->fault = FAULT_NONE;
    c->start_ms = 0;
    c->close_after = r.close;
    c->out.max = OUT_MAX;
    if (view_is(r.path, "/metrics") || view_has_prefix(r.path, VIEW("/t/"))) {
        bytes_clear(&server.last_request);
        bytes_append_view(&server.last_request, head);
        answer_scrape(c, &r);
    } else if (view_is(r.path, "/control") && view_is(r.method, "POST")) {
        answer_control(c, &r);
    } else if (view_is(r.path, "/stats")) {
        answer_stats(c, &r);
    } else {
        respond(c, 404, "Not Found", "text/plain", VIEW("not found\n"));
    }
}

/* Takes whole requests out of `in` as long as nothing is being answered. */
static void conn_serve(struct conn *c)
{
    while (c->at.fd >= 0 && !c->busy && c->in.len > 0) {
        struct request r;
        const char *end = memmem(c->in.base, c->in.len, "\r\n\r\n", 4);
        if (end == NULL) {
            break;
        }
        size_t head = (size_t)(end - c->in.base) + 2;
        parse_request(&r, view_make(c->in.base, head));
        if (c->in.len < head + 2 + r.body_bytes) {
            break;
        }
        answer(c, view_make(c->in.base, head));
        bytes_consume(&c->in, head + 2 + r.body_bytes);
        if (c->at.fd >= 0) {
            conn_pump(c);
        }
    }
}

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

/* --------------------------------------------------------------------------------------------------------------- the loop */

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
