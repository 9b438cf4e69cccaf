/* HTTP server of the API listeners: see http_server.h.
 *
 * libh2o reads and writes; this file decides who may connect and how long they may take. libh2o 2.2 has one timeout for
 * heads and idle connections and none for bodies and answers, so a sweep looks at each connection a few times a second:
 * a head that trickles, a body or an answer that moves no byte, bodies that together outgrow their budget. The sweep
 * only ever shuts a socket down; libh2o then finds out by itself and cleans up on its own path.
 *
 * When all places are taken, whoever comes next gets the place of one that asks for nothing: first of those that never
 * finished a head, then of idle ones, the longest waiting first. So connections that are only held open, by the
 * thousand, keep nobody out. A place that is being used is never taken, but then what stands still loses it sooner.
 *
 * Closing goes step by step, because libh2o asserts on a context with open connections, and its timers are memory of
 * ours that libuv still holds after h2o_context_dispose: see server_finish. */
#include "net/http_exchange.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_MAGIC      0x68747370U
#define SWEEP_MS          100
#define PATIENT_MS        250 /* a place is not taken from one that came just now */
#define CROWDED_STALL_MS  2000
#define FORCE_MS          500 /* for the 503s of a forced close to leave */
#define BODY_BUDGET_TIMES 4

struct server_conn {
    uv_tcp_t tcp; /* first: libh2o closes it, on_tcp_closed frees the whole */
    struct http_server *server;
    h2o_socket_t *sock;
    struct server_conn *next, **at;
    int64_t begun_ms, head_since_ms, still_since_ms;
    int64_t idle_since_ms; /* since its last request, as far as is known; 0: it has had none */
    bool busy;
    size_t bytes_read, bytes_queued;
    bool cut;
};

struct server_handler {
    h2o_handler_t super;
    struct http_server *server;
};

struct http_server {
    uint32_t magic;
    struct exchange_env env;
    http_raw_fn *raw; /* instead of rows */
    h2o_globalconf_t globalconf;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    uv_tcp_t listener;
    uv_timer_t sweep, shut;
    uv_loop_t *uv;
    struct server_conn *conns;
    unsigned conn_count, conns_max;
    bool accept_pending; /* one connection waits in libuv until another ends */
    int64_t head_ms, stall_ms;
    size_t body_budget_bytes;
    bool forced;
    loop_fn *on_closed;
    void *on_closed_data;
};

static void on_sweep(uv_timer_t *timer);
static void make_room(struct http_server *s);
static void server_finish_soon(struct http_server *s);

/* --- connections */

static void on_tcp_closed(uv_handle_t *handle)
{
    free(handle); /* server_conn begins with it */
}

static void accept_one(struct http_server *s);

static void on_conn_closed(void *data)
{
    struct server_conn *conn = data;
    struct http_server *s = conn->server;
    *conn->at = conn->next;
    if (conn->next != NULL) {
        conn->next->at = conn->at;
    }
    s->conn_count--;
    if (s->env.closing) {
        if (s->conn_count == 0) {
            server_finish_soon(s);
        }
    } else if (s->accept_pending) {
        s->accept_pending = false;
        accept_one(s);
    }
    if (s->conn_count == 0 && !s->env.closing) {
        uv_timer_stop(&s->sweep);
    }
}

static void conn_begin(struct http_server *s, struct server_conn *conn)
{
    uv_tcp_nodelay(&conn->tcp, 1);
    conn->sock = h2o_uv_socket_create((uv_stream_t *)&conn->tcp, on_tcp_closed);
    conn->sock->on_close.cb = on_conn_closed;
    conn->sock->on_close.data = conn;
    conn->next = s->conns;
    conn->at = &s->conns;
    if (conn->next != NULL) {
        conn->next->at = &conn->next;
    }
    s->conns = conn;
    conn->begun_ms = timebase_monotonic_ms();
    if (s->conn_count++ == 0) {
        uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    }
    s->accept.ssl_ctx = s->env.auth != NULL ? http_auth_tls(s->env.auth) : NULL;
    h2o_accept(&s->accept, conn->sock);
}

static void accept_one(struct http_server *s)
{
    struct server_conn *conn = mem_calloc(1, sizeof(*conn));
    conn->server = s;
    invariant(uv_tcp_init(s->uv, &conn->tcp) == 0);
    if (uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)&conn->tcp) != 0) {
        uv_close((uv_handle_t *)&conn->tcp, on_tcp_closed);
        return;
    }
    conn_begin(s, conn);
}

/* --- sweep */

static void conn_cut(struct server_conn *conn)
{
    conn->cut = true;
    shutdown(h2o_socket_get_fd(conn->sock), SHUT_RDWR);
}

static size_t conn_unsent(const struct server_conn *conn)
{
    int in_kernel = 0;
    if (ioctl(h2o_socket_get_fd(conn->sock), SIOCOUTQ, &in_kernel) != 0) {
        in_kernel = 0;
    }
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp) + (size_t)in_kernel;
}

/* True when nothing moved for `limit_ms`. */
static bool conn_is_still(struct server_conn *conn, int64_t now_ms, int64_t limit_ms)
{
    size_t queued = conn_unsent(conn);
    bool moved = conn->sock->bytes_read != conn->bytes_read || queued != conn->bytes_queued;
    conn->bytes_read = conn->sock->bytes_read;
    conn->bytes_queued = queued;
    if (moved || conn->still_since_ms == 0) {
        conn->still_since_ms = now_ms;
    }
    return now_ms - conn->still_since_ms > limit_ms;
}

struct sweep {
    struct http_server *server;
    int64_t now_ms;
    size_t body_bytes;
    struct server_conn *largest;
};

/* For each HTTP connection libh2o knows; those still in their TLS handshake have libh2o's own timeout. */
static int sweep_request(h2o_req_t *req, void *data)
{
    struct sweep *sweep = data;
    struct http_server *s = sweep->server;
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct server_conn *conn = sock->on_close.data;
    bool idle = req->method.base == NULL;
    bool reading = h2o_socket_is_reading(sock) != 0, writing = h2o_socket_is_writing(sock) != 0;
    if (conn->cut) {
        return 0;
    }
    bool in_head = idle && reading && sock->input->size != 0;
    conn->head_since_ms = !in_head ? 0 : conn->head_since_ms != 0 ? conn->head_since_ms : sweep->now_ms;
    bool moving = writing || (!idle && reading);
    int64_t stall_ms = s->accept_pending && s->stall_ms > CROWDED_STALL_MS ? CROWDED_STALL_MS : s->stall_ms;
    if (!idle) {
        conn->idle_since_ms = sweep->now_ms;
    }
    if (!moving) {
        conn->still_since_ms = 0;
    }
    if ((in_head && sweep->now_ms - conn->head_since_ms > s->head_ms) ||
        (moving && conn_is_still(conn, sweep->now_ms, stall_ms))) {
        conn_cut(conn);
        return 0;
    }
    if (sock->input->size > HTTP_HEAD_BYTES_MAX) { /* more than a head: a body */
        sweep->body_bytes += sock->input->size;
        if (reading && (sweep->largest == NULL || sock->input->size > sweep->largest->sock->input->size)) {
            sweep->largest = conn;
        }
    }
    return 0;
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    struct sweep sweep = {.server = s, .now_ms = timebase_monotonic_ms()};
    s->globalconf.http1.callbacks.foreach_request(&s->ctx, sweep_request, &sweep);
    if (sweep.body_bytes > s->body_budget_bytes && sweep.largest != NULL) {
        conn_cut(sweep.largest);
    }
    if (s->accept_pending) {
        make_room(s);
    }
}

/* --- room for one more */

static int mark_busy(h2o_req_t *req, void *data)
{
    (void)data;
    struct server_conn *conn = req->conn->callbacks->get_socket(req->conn)->on_close.data;
    conn->busy = req->method.base != NULL;
    return 0;
}

/* Since when it has been asking for nothing; those in their TLS handshake do so, too. */
static int64_t conn_waiting_since(const struct server_conn *conn)
{
    return conn->idle_since_ms != 0 ? conn->idle_since_ms : conn->begun_ms;
}

static bool conn_goes_before(const struct server_conn *a, const struct server_conn *b)
{
    bool a_is_new = a->idle_since_ms == 0, b_is_new = b->idle_since_ms == 0;
    return a_is_new != b_is_new ? a_is_new : conn_waiting_since(a) < conn_waiting_since(b);
}

static void make_room(struct http_server *s)
{
    int64_t now_ms = timebase_monotonic_ms();
    struct server_conn *victim = NULL;
    for (struct server_conn *conn = s->conns; conn != NULL; conn = conn->next) {
        if (conn->cut) {
            return; /* its place will do */
        }
        conn->busy = false;
    }
    s->globalconf.http1.callbacks.foreach_request(&s->ctx, mark_busy, NULL);
    for (struct server_conn *conn = s->conns; conn != NULL; conn = conn->next) {
        if (!conn->busy && (victim == NULL || conn_goes_before(conn, victim))) {
            victim = conn;
        }
    }
    if (victim != NULL && now_ms - conn_waiting_since(victim) >= PATIENT_MS) {
        conn_cut(victim);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_server *s = listener->data;
    if (status != 0 || s->env.closing) {
        return;
    }
    if (s->conn_count >= s->conns_max) {
        s->accept_pending = true; /* libuv stops polling the listener until uv_accept */
        make_room(s);
    } else {
        accept_one(s);
    }
}

/* --- start */

static int on_req(h2o_handler_t *handler, h2o_req_t *req)
{
    struct http_server *s = ((struct server_handler *)handler)->server;
    struct server_conn *conn = req->conn->callbacks->get_socket(req->conn)->on_close.data;
    conn->idle_since_ms = timebase_monotonic_ms();
    if (s->raw != NULL) {
        return s->raw(req, s->env.data);
    }
    exchange_begin(&s->env, req);
    return 0;
}

static void configure(struct http_server *s, const struct http_server_conf *conf)
{
    size_t body_max = conf->request_bytes_max != 0 ? conf->request_bytes_max : (size_t)64 << 20;
    h2o_config_init(&s->globalconf);
    s->globalconf.server_name = (h2o_iovec_t){NULL, 0};
    s->globalconf.http1.upgrade_to_http2 = 0;
    s->globalconf.http1.req_timeout = (uint64_t)(conf->idle_ms != 0 ? conf->idle_ms : 120000);
    s->globalconf.max_request_entity_size = body_max + body_max / 8; /* libh2o counts the chunk heads, too */
    s->env.body_bytes_max = body_max;
    h2o_hostconf_t *host = h2o_config_register_host(&s->globalconf, h2o_iovec_init("default", 7), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_compress_args_t gzip = {.min_size = 0, .gzip = {.quality = 1}, .brotli = {.quality = -1}};
    if (s->raw == NULL) {
        h2o_compress_register(path, &gzip);
    }
    struct server_handler *handler = (struct server_handler *)h2o_create_handler(path, sizeof(*handler));
    handler->super.on_req = on_req;
    handler->server = s;
    s->conns_max = conf->connections_max != 0 ? conf->connections_max : 512;
    s->head_ms = conf->head_ms != 0 ? conf->head_ms : 10000;
    s->stall_ms = conf->stall_ms != 0 ? conf->stall_ms : 30000;
    s->body_budget_bytes = body_max * BODY_BUDGET_TIMES;
}

static int start_listening(struct http_server *s, int listen_fd, struct errctx *err)
{
    int rc = uv_tcp_open(&s->listener, listen_fd);
    if (rc != 0) {
        close(listen_fd);
    } else {
        rc = uv_listen((uv_stream_t *)&s->listener, SOMAXCONN, on_connection);
    }
    return rc != 0 ? errctx_set(err, ERR_IO, "listen: %s", uv_strerror(rc)) : 0;
}

static int server_new(struct loop *loop, int listen_fd, const struct http_server_conf *conf,
                      const struct http_row *rows, http_raw_fn *raw, void *data, struct http_server **ret,
                      struct errctx *err)
{
    struct http_auth *auth = NULL;
    if (conf->web_config_file != NULL || conf->token_file != NULL) {
        int rc = http_auth_new(loop, conf->web_config_file, conf->token_file, &auth, err);
        if (rc != 0) {
            close(listen_fd);
            return rc;
        }
    }
    struct http_server *s = mem_calloc(1, sizeof(*s));
    s->magic = SERVER_MAGIC;
    s->raw = raw;
    s->env = (struct exchange_env){
        .rows = rows,
        .data = data,
        .auth = auth,
        .on_answer = conf->on_answer,
        .open_health = conf->open_health,
        .forward = conf->forward,
    };
    s->uv = loop_uv(loop);
    configure(s, conf);
    h2o_context_init(&s->ctx, s->uv, &s->globalconf);
    s->accept = (h2o_accept_ctx_t){.ctx = &s->ctx, .hosts = s->globalconf.hosts};
    invariant(uv_tcp_init(s->uv, &s->listener) == 0);
    invariant(uv_timer_init(s->uv, &s->sweep) == 0);
    invariant(uv_timer_init(s->uv, &s->shut) == 0);
    s->listener.data = s->sweep.data = s->shut.data = s;
    int rc = start_listening(s, listen_fd, err);
    if (rc != 0) {
        http_server_close(s, 0, NULL, NULL);
        return rc;
    }
    *ret = s;
    return 0;
}

int http_server_new(struct loop *loop, int listen_fd, const struct http_server_conf *conf, const struct http_row *rows,
                    void *data, struct http_server **ret, struct errctx *err)
{
    return server_new(loop, listen_fd, conf, rows, NULL, data, ret, err);
}

int http_server_new_raw(struct loop *loop, int listen_fd, const struct http_server_conf *conf, http_raw_fn *on_request,
                        void *data, struct http_server **ret, struct errctx *err)
{
    return server_new(loop, listen_fd, conf, NULL, on_request, data, ret, err);
}

/* --- close: listener, idle connections, exchanges, grace over, context, memory */

static void on_second_barrier(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    loop_fn *on_closed = s->on_closed;
    void *data = s->on_closed_data;
    h2o_config_dispose(&s->globalconf);
    s->magic = 0;
    free(s);
    if (on_closed != NULL) {
        on_closed(data);
    }
}

static void on_first_barrier(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    uv_close((uv_handle_t *)&s->shut, on_second_barrier);
}

/* libuv runs close callbacks in batches, in no order we may rely on. The timers inside the context are closed in the
 * batch of `sweep`; `shut` is closed from that batch, so its callback comes after all of them: only then the memory may
 * go. */
static void server_finish(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    uv_timer_stop(&s->shut);
    exchange_detach_all(&s->env);
    http_auth_free(&s->env.auth);
    h2o_context_dispose(&s->ctx);
    uv_close((uv_handle_t *)&s->sweep, on_first_barrier);
}

/* Not at once: libh2o is still closing the connection that was the last. */
static void server_finish_soon(struct http_server *s)
{
    uv_timer_stop(&s->sweep);
    uv_timer_start(&s->shut, server_finish, 0, 0);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    if (!s->forced) {
        s->forced = true;
        exchange_detach_all(&s->env);
        uv_timer_start(&s->shut, on_grace_over, FORCE_MS, FORCE_MS);
        return;
    }
    for (struct server_conn *conn = s->conns; conn != NULL; conn = conn->next) {
        conn_cut(conn);
    }
}

void http_server_close(struct http_server *s, int64_t grace_ms, loop_fn *on_closed, void *data)
{
    MAGIC_CHECK(s, SERVER_MAGIC);
    invariant(!s->env.closing);
    s->env.closing = true;
    s->on_closed = on_closed;
    s->on_closed_data = data;
    s->ctx.shutdown_requested = 1;
    uv_close((uv_handle_t *)&s->listener, NULL);
    if (s->conn_count == 0) {
        server_finish_soon(s);
        return;
    }
    uv_timer_start(&s->shut, on_grace_over, (uint64_t)(grace_ms > 0 ? grace_ms : 0), 0);
    for (struct server_conn *conn = s->conns; conn != NULL; conn = conn->next) {
        shutdown(h2o_socket_get_fd(conn->sock), SHUT_RD); /* those being answered are not read from */
    }
}
