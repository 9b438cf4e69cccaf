/* Shared by the parts of the test exporter: exporter.c (loop, listeners), exporter_conn.c (sending), exporter_answer.c (what to
 * send). */
#ifndef KVASS_TESTS_TOOLS_EXPORTER_PRIV_H
#define KVASS_TESTS_TOOLS_EXPORTER_PRIV_H

#include "base/hashmap.h"
#include "exporter_body.h"

#define LISTENERS_MAX 64
#define REQUEST_MAX   ((size_t)32768)
#define OUT_MAX       ((size_t)1 << 20)
#define BLOCK_BYTES   ((size_t)65536)
#define TARGETS_MAX   100000

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

struct server {
    int epoll_fd;
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct hashmap targets;
    struct conn *timed;
    uint64_t accepted, open, requests, scrapes, faults, cancelled, bytes_sent;
    struct bytes last_request;
};

extern struct server server;

/* exporter_conn.c */
void conn_act(struct conn *c); /* the fault's moment has come */
void conn_close(struct conn *c, bool reset);
void conn_free(struct conn *c);
void conn_untime(struct conn *c);
void conn_pump(struct conn *c); /* sends until the answer is complete, the socket is full, or the clock has to move */
bool fault_has_cut(enum spec_fault f);

/* exporter_answer.c */
bool target_equal(const void *entry, const void *key);
void conn_serve(struct conn *c); /* takes whole requests out of `in` as long as nothing is being answered */

#endif
