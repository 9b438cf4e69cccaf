/* libcurl's multi on libuv, with few system calls.
 *
 * The plain way (a uv_poll per socket) costs two epoll_ctl calls for every request on a kept connection, because
 * libcurl takes a socket out of polling when a transfer ends and puts it back when the next begins. Here the sockets
 * live in an epoll set of our own, that set is one fd under one uv_poll, and a socket stays registered while its
 * connection idles. Three things make that sound:
 *
 *   - only sockets that came through OPENSOCKETFUNCTION and were once waited on for input are kept: the end of those is
 * announced by CLOSESOCKETFUNCTION. The wake-up pipe of libcurl's resolver thread and the losers of a race between
 * addresses are polled too but closed silently, and their numbers are reused at once;
 *   - an event on an idle socket (the server closed it) takes it out of the set, or level-triggered polling would spin;
 *   - the table of what is registered is indexed by fd, and a new socket always starts from an empty entry.
 *
 * Kept connections lie in libcurl's set of the multi, or for callers with many hosts in one of KEPT_SETS sets (shares
 * of this thread alone, hence without locks), because libcurl's work for a transfer grows with the set it belongs to.
 *
 * Must never call out to the user from inside libcurl: finished transfers are collected, `flush` runs, then on_done.
 *
 * A resume hands held-back bytes to the write callback. When that gives up, libcurl returns an error and leaves the
 * transfer there, neither polled nor timed: it would stall until its deadline, so we end it ourselves. */
#include "net/curl_loop.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENT_BATCH      256
#define POOL_MAX         256 /* easy handles kept for reuse; a handle holds about 6 kB */
#define RECV_BUFFER_SIZE 65536L
#define CA_CACHE_SECONDS 300L
#define KEPT_SETS        256 /* 10,000 hosts are 40 a set; a set takes 10 kB */

struct sock {
    bool tracked;    /* came through OPENSOCKETFUNCTION */
    bool connected;  /* was waited on for input: libcurl will announce its end */
    bool active;     /* libcurl wants its events */
    uint32_t events; /* registered in the epoll set; 0 = not registered */
};

struct transfer {
    CURL *easy;
    struct transfer *next; /* in the pool, or among the broken */
    struct curl_slist *kept;
    bool running;
    CURLcode broken; /* what a resume ended with */
    curl_done_fn *on_done;
    void *data;
    char error[CURL_ERROR_SIZE];
};

struct curl_loop {
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned open_handles; /* of the two above */
    int epoll_fd;
    CURLM *multi;
    struct sock *socks; /* by fd */
    size_t sock_cap;
    CURLSH *kept[KEPT_SETS]; /* made when first used */
    struct transfer *pool;
    struct transfer *broken; /* to be ended with the next batch */
    size_t pool_len, easies_out;
    void (*flush)(void *data);
    void *flush_data;
};

void curl_net_init(void)
{
    invariant(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    signal(SIGPIPE, SIG_IGN);
}

static struct sock *sock_at(struct curl_loop *cl, curl_socket_t fd)
{
    if ((size_t)fd >= cl->sock_cap) {
        size_t cap = ((size_t)fd + 64) * 2;
        cl->socks = mem_realloc(cl->socks, cap * sizeof(*cl->socks));
        memset(cl->socks + cl->sock_cap, 0, (cap - cl->sock_cap) * sizeof(*cl->socks));
        cl->sock_cap = cap;
    }
    return &cl->socks[fd];
}

static void sock_register(struct curl_loop *cl, curl_socket_t fd, struct sock *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    if (s->events == events) {
        return;
    }
    int op = s->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(cl->epoll_fd, op, fd, &ev) != 0) {
        /* the number was reused behind our back: the other operation is the right one */
        (void)epoll_ctl(cl->epoll_fd, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    }
    s->events = events;
}

static void sock_unregister(struct curl_loop *cl, curl_socket_t fd, struct sock *s)
{
    if (s->events != 0) {
        (void)epoll_ctl(cl->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        s->events = 0;
    }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socketp)
{
    static const uint32_t EVENTS[] = {
        [CURL_POLL_IN] = EPOLLIN, [CURL_POLL_OUT] = EPOLLOUT, [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT};
    struct curl_loop *cl = data;
    struct sock *s = sock_at(cl, fd);
    (void)easy;
    (void)socketp;
    if (what == CURL_POLL_REMOVE) {
        s->active = false;
        if (!s->tracked || !s->connected) {
            sock_unregister(cl, fd, s);
            *s = (struct sock){0};
        }
    } else if (what != CURL_POLL_NONE) {
        s->active = true;
        s->connected = s->connected || (EVENTS[what] & EPOLLIN) != 0;
        sock_register(cl, fd, s, EVENTS[what]);
    }
    return 0;
}

static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_loop *cl = data;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    *sock_at(cl, fd) = (struct sock){.tracked = true};
    return fd;
}

static int on_close(void *data, curl_socket_t fd)
{
    struct curl_loop *cl = data;
    struct sock *s = sock_at(cl, fd);
    sock_unregister(cl, fd, s); /* a child between fork and exec may still hold the file open */
    *s = (struct sock){0};
    return close(fd);
}

static void leave_broken(struct curl_loop *cl, struct transfer *t)
{
    for (struct transfer **at = &cl->broken; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            t->next = NULL;
            return;
        }
    }
}

static void end_transfer(struct curl_loop *cl, struct transfer *t, CURLcode code)
{
    leave_broken(cl, t);
    curl_multi_remove_handle(cl->multi, t->easy);
    t->running = false;
    t->on_done(t->data, t->easy, t->broken != CURLE_OK ? t->broken : code);
}

static void finish_batch(struct curl_loop *cl)
{
    CURLMsg *msg;
    int left;
    if (cl->flush != NULL) {
        cl->flush(cl->flush_data);
    }
    while ((msg = curl_multi_info_read(cl->multi, &left)) != NULL) {
        CURL *easy = msg->easy_handle;
        CURLcode code = msg->data.result;
        struct transfer *t = NULL;
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
        end_transfer(cl, t, code);
    }
    while (cl->broken != NULL) {
        end_transfer(cl, cl->broken, CURLE_OK);
    }
}

static int select_bits(uint32_t events)
{
    return ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ? CURL_CSELECT_IN : 0) |
           ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) | ((events & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct curl_loop *cl = poll->data;
    struct epoll_event batch[EVENT_BATCH];
    int running;
    (void)status;
    (void)events;
    int n = epoll_wait(cl->epoll_fd, batch, EVENT_BATCH, 0);
    for (int i = 0; i < n; i++) {
        int fd = batch[i].data.fd;
        struct sock *s = sock_at(cl, fd);
        if (s->active) {
            curl_multi_socket_action(cl->multi, fd, select_bits(batch[i].events), &running);
        } else {
            sock_unregister(cl, fd, s);
        }
    }
    finish_batch(cl);
}

static void on_timeout(uv_timer_t *timer)
{
    struct curl_loop *cl = timer->data;
    int running;
    curl_multi_socket_action(cl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_batch(cl);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *data)
{
    struct curl_loop *cl = data;
    (void)multi;
    if (timeout_ms < 0) {
        uv_timer_stop(&cl->timer);
    } else {
        uv_timer_start(&cl->timer, on_timeout, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

struct curl_loop *curl_loop_new(uv_loop_t *uv, const struct curl_loop_conf *conf)
{
    struct curl_loop *cl = mem_calloc(1, sizeof(*cl));
    cl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    invariant(cl->epoll_fd >= 0);
    cl->multi = curl_multi_init();
    invariant(cl->multi != NULL);
    curl_multi_setopt(cl->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(cl->multi, CURLMOPT_SOCKETDATA, cl);
    curl_multi_setopt(cl->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(cl->multi, CURLMOPT_TIMERDATA, cl);
    if (conf->max_connections > 0) {
        curl_multi_setopt(cl->multi, CURLMOPT_MAXCONNECTS, conf->max_connections);
    }
    curl_multi_setopt(cl->multi, CURLMOPT_MAX_HOST_CONNECTIONS, conf->max_host_connections);
    curl_multi_setopt(cl->multi, CURLMOPT_PIPELINING,
                      (long)(conf->no_multiplex ? CURLPIPE_NOTHING : CURLPIPE_MULTIPLEX));
    invariant(uv_poll_init(uv, &cl->poll, cl->epoll_fd) == 0);
    invariant(uv_timer_init(uv, &cl->timer) == 0);
    cl->poll.data = cl->timer.data = cl;
    cl->open_handles = 2;
    invariant(uv_poll_start(&cl->poll, UV_READABLE, on_events) == 0);
    return cl;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct curl_loop *cl = handle->data;
    if (--cl->open_handles == 0) {
        free(cl->socks);
        free(cl);
    }
}

void curl_loop_free(struct curl_loop **handle)
{
    struct curl_loop *cl = *handle;
    if (cl == NULL) {
        return;
    }
    invariant(cl->easies_out == 0);
    while (cl->pool != NULL) {
        struct transfer *t = cl->pool;
        cl->pool = t->next;
        curl_easy_cleanup(t->easy);
        free(t);
    }
    curl_multi_cleanup(cl->multi);
    for (size_t i = 0; i < KEPT_SETS; i++) {
        invariant(cl->kept[i] == NULL || curl_share_cleanup(cl->kept[i]) == CURLSHE_OK);
    }
    uv_close((uv_handle_t *)&cl->poll, on_handle_closed);
    uv_close((uv_handle_t *)&cl->timer, on_handle_closed);
    close(cl->epoll_fd);
    *handle = NULL;
}

static void set_constant_options(struct curl_loop *cl, struct transfer *t)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_SHARE, NULL); /* survives curl_easy_reset */
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* cancelling must not wait for a resolver thread */
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);   /* with it the bundle is parsed at every handshake: 24 ms of CPU */
    curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, cl);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, cl);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECV_BUFFER_SIZE);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* each end of a transfer walks through all that is cached */
}

CURL *curl_loop_easy_get(struct curl_loop *cl)
{
    struct transfer *t = cl->pool;
    if (t != NULL) {
        cl->pool = t->next;
        cl->pool_len--;
    } else {
        t = mem_calloc(1, sizeof(*t));
        t->easy = curl_easy_init();
        invariant(t->easy != NULL);
    }
    t->next = NULL;
    t->error[0] = '\0';
    set_constant_options(cl, t);
    cl->easies_out++;
    return t->easy;
}

static struct transfer *transfer_of(CURL *easy)
{
    struct transfer *t = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    invariant(t != NULL && t->easy == easy);
    return t;
}

void curl_loop_easy_put(struct curl_loop *cl, CURL *easy)
{
    struct transfer *t = transfer_of(easy);
    invariant(!t->running);
    cl->easies_out--;
    curl_slist_free_all(t->kept);
    t->kept = NULL;
    if (cl->pool_len >= POOL_MAX) {
        curl_easy_cleanup(easy);
        free(t);
        return;
    }
    curl_easy_reset(easy);
    t->next = cl->pool;
    cl->pool = t;
    cl->pool_len++;
}

void curl_loop_keep(CURL *easy, struct curl_slist *list)
{
    struct transfer *t = transfer_of(easy);
    curl_slist_free_all(t->kept);
    t->kept = list;
}

void curl_loop_keep_by(struct curl_loop *cl, CURL *easy, uint64_t key)
{
    CURLSH **set = &cl->kept[key % KEPT_SETS];
    if (*set == NULL) {
        *set = curl_share_init();
        invariant(*set != NULL);
        curl_share_setopt(*set, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    }
    curl_easy_setopt(easy, CURLOPT_SHARE, *set);
}

void curl_loop_start(struct curl_loop *cl, CURL *easy, curl_done_fn *on_done, void *data)
{
    struct transfer *t = transfer_of(easy);
    invariant(!t->running);
    t->running = true;
    t->broken = CURLE_OK;
    t->on_done = on_done;
    t->data = data;
    t->error[0] = '\0';
    invariant(curl_multi_add_handle(cl->multi, easy) == CURLM_OK);
}

void curl_loop_cancel(struct curl_loop *cl, CURL *easy)
{
    struct transfer *t = transfer_of(easy);
    if (t->running) {
        leave_broken(cl, t);
        curl_multi_remove_handle(cl->multi, easy);
        t->running = false;
    }
}

void curl_loop_resume(struct curl_loop *cl, CURL *easy)
{
    struct transfer *t = transfer_of(easy);
    if (t->running && t->broken == CURLE_OK) {
        t->broken = curl_easy_pause(easy, CURLPAUSE_CONT);
        if (t->broken != CURLE_OK) {
            t->next = cl->broken;
            cl->broken = t;
        }
        uv_timer_start(&cl->timer, on_timeout, 0, 0);
    }
}

void curl_loop_on_flush(struct curl_loop *cl, void (*flush)(void *data), void *data)
{
    cl->flush = flush;
    cl->flush_data = data;
}

const char *curl_loop_error(CURL *easy, CURLcode code)
{
    struct transfer *t = transfer_of(easy);
    return t->error[0] != '\0' ? t->error : curl_easy_strerror(code);
}
