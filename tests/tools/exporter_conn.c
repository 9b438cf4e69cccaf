/* The test exporter's sending side: a cached body goes out with its head in one writev; chunked, slow and generated ones go block by
 * block; faults that act in the middle of a body are a count of bytes after which they act. */
#include "base/mem.h"
#include "base/timebase.h"
#include "exporter_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void conn_untime(struct conn *c)
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

void conn_close(struct conn *c, bool reset)
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

void conn_free(struct conn *c)
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
void conn_act(struct conn *c)
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

bool fault_has_cut(enum spec_fault f)
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
void conn_pump(struct conn *c)
{
    bool failed = false;
    while (c->busy && !c->held) {
        if (c->start_ms > timebase_monotonic_ms()) {
            conn_time(c);
            break;
        }
        bool direct = c->body != NULL && !c->chunked && c->rate_bytes_s == 0 && c->cut == UINT64_MAX;
        if (c->out.len == 0 && c->body_sent == c->cut && fault_has_cut(c->fault)) {
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
