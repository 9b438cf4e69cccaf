/* Lookups: see dns_lookup.h.
 *
 * One c-ares channel per round: it takes the servers of the resolv.conf of the moment, and its sockets go with it.
 * c-ares tells which sockets to watch; each has a uv_poll of its own that outlives it until libuv has closed the
 * handle. c-ares tries the servers in turn and turns to TCP by itself; the search list is ours (resolv_conf.h says
 * why).
 *
 * c-ares calls back from within ares_query and ares_destroy too: nothing is freed there, on_end comes from a timer. */
#include "discovery/dns_lookup.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/vec.h"

#include <ares.h>
#include <arpa/inet.h>

#define ASK_MS     2000
#define EDNS_BYTES 4096
#define ASKS_MAX   200 /* names under way at a time */

struct socket_watch {
    uv_poll_t poll;
    struct dns_lookup *owner; /* NULL once closed */
    ares_socket_t fd;
};

struct name_lookup {
    struct dns_lookup *owner;
    size_t at;        /* in conf.names */
    size_t candidate; /* being asked for */
    bool has_failure; /* of a candidate: then nobody can say that the name does not exist */
    struct errctx err;
};

struct dns_lookup {
    struct dns_lookup_conf conf;
    struct loop *loop;
    ares_channel channel;
    struct arena *arena;
    struct loop_timer *timer; /* c-ares' own timeouts, and the begin and end of the round */
    VEC(struct socket_watch *) sockets;
    struct name_lookup *names;
    size_t begun, ended, under_way;
    bool is_ending, is_freed;
};

static void begin_names(struct dns_lookup *l);

/* --- sockets and time */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void rearm(struct dns_lookup *l)
{
    struct timeval wait = {.tv_sec = 3600}, rest;
    if (l->is_ending || l->is_freed) {
        return;
    }
    const struct timeval *t = ares_timeout(l->channel, &wait, &rest);
    loop_timer_start(l->timer, (int64_t)t->tv_sec * 1000 + t->tv_usec / 1000 + 1, 0);
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
    struct socket_watch *w = handle->data;
    struct dns_lookup *l = w->owner;
    if (l == NULL) {
        return;
    }
    bool is_bad = status < 0;
    ares_process_fd(l->channel, is_bad || (events & UV_READABLE) != 0 ? w->fd : ARES_SOCKET_BAD,
                    is_bad || (events & UV_WRITABLE) != 0 ? w->fd : ARES_SOCKET_BAD);
    begin_names(l);
    rearm(l);
}

static void socket_close(struct dns_lookup *l, size_t i)
{
    struct socket_watch *w = l->sockets.items[i];
    w->owner = NULL;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_closed);
    vec_remove(&l->sockets, i);
}

/* c-ares wants to hear of a socket, or (neither) is about to close it. */
static void on_socket_state(void *data, ares_socket_t fd, int wants_read, int wants_write)
{
    struct dns_lookup *l = data;
    size_t i = 0;
    while (i < l->sockets.len && l->sockets.items[i]->fd != fd) {
        i++;
    }
    if (!wants_read && !wants_write) {
        if (i < l->sockets.len) {
            socket_close(l, i);
        }
        return;
    }
    if (i == l->sockets.len) {
        struct socket_watch *w = mem_calloc(1, sizeof(*w));
        w->owner = l;
        w->fd = fd;
        w->poll.data = w;
        invariant(uv_poll_init_socket(loop_uv(l->loop), &w->poll, fd) == 0);
        *vec_push(&l->sockets) = w;
    }
    uv_poll_start(&l->sockets.items[i]->poll, (wants_read ? UV_READABLE : 0) | (wants_write ? UV_WRITABLE : 0),
                  on_socket);
}

/* --- names */

static void ask(struct name_lookup *n);

static void begin_names(struct dns_lookup *l)
{
    while (l->begun < l->conf.name_count && l->under_way < ASKS_MAX) {
        l->under_way++;
        ask(&l->names[l->begun++]);
    }
}

static void name_end(struct name_lookup *n, struct view message)
{
    struct dns_lookup *l = n->owner;
    l->under_way--;
    l->ended++;
    l->conf.on_name(l->conf.data, n->at, message, message.len == 0 && n->has_failure ? &n->err : NULL);
    if (l->ended == l->conf.name_count) {
        l->is_ending = true;
        loop_timer_start(l->timer, 0, 0);
    }
}

static void on_query(void *data, int status, int timeouts, unsigned char *message, int len)
{
    struct name_lookup *n = data;
    (void)timeouts;
    if (n->owner->is_freed) {
        return;
    }
    if ((status == ARES_SUCCESS || status == ARES_ENODATA) && message != NULL && len > 0) {
        name_end(n, view_make((const char *)message, (size_t)len));
        return;
    }
    if (status != ARES_ENOTFOUND) {
        n->has_failure = true;
        errctx_set(&n->err, ERR_UNAVAILABLE, "could not resolve \"%s\": %s", n->owner->conf.names[n->at],
                   ares_strerror(status));
    }
    n->candidate++;
    ask(n);
}

/* Recursion is bounded by the length of the search list. */
static void ask(struct name_lookup *n)
{
    struct dns_lookup *l = n->owner;
    const char *name = resolv_conf_candidate(l->conf.resolv, l->conf.names[n->at], n->candidate, l->arena);
    if (name == NULL) {
        name_end(n, VIEW(""));
        return;
    }
    ares_query(l->channel, name, DNS_CLASS_IN, (int)l->conf.type, on_query, n);
}

static void on_timer(void *data)
{
    struct dns_lookup *l = data;
    if (l->is_ending) {
        l->conf.on_end(l->conf.data);
        return;
    }
    ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    begin_names(l);
    rearm(l);
}

/* --- life */

static int set_servers(struct dns_lookup *l, struct errctx *err)
{
    struct ares_addr_node nodes[RESOLV_SERVERS_MAX] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < l->conf.resolv->server_count; i++) {
        const char *text = l->conf.resolv->servers[i];
        bool is_v6 = strchr(text, ':') != NULL;
        nodes[count].family = is_v6 ? AF_INET6 : AF_INET;
        if (inet_pton(nodes[count].family, text, &nodes[count].addr) == 1) {
            count++;
        }
    }
    for (size_t i = 0; i + 1 < count; i++) {
        nodes[i].next = &nodes[i + 1];
    }
    if (count == 0 || ares_set_servers(l->channel, nodes) != ARES_SUCCESS) {
        return errctx_set(err, ERR_INVALID, "resolv.conf: none of its nameservers is an address");
    }
    return 0;
}

static int open_channel(struct dns_lookup *l, struct errctx *err)
{
    static char lookups[] = "b", nowhere[] = "/dev/null";
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = ASK_MS,
        .tries = 1,
        .ednspsz = EDNS_BYTES,
        .lookups = lookups,
        .resolvconf_path = nowhere,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = l,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
               ARES_OPT_RESOLVCONF | ARES_OPT_NOROTATE | ARES_OPT_SOCK_STATE_CB;
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS) {
        status = ares_init_options(&l->channel, &options, mask);
    }
    if (status != ARES_SUCCESS) {
        return errctx_set(err, ERR_UNAVAILABLE, "the resolver cannot start: %s", ares_strerror(status));
    }
    return set_servers(l, err);
}

int dns_lookup_start(struct loop *loop, const struct dns_lookup_conf *conf, struct dns_lookup **ret, struct errctx *err)
{
    struct dns_lookup *l = mem_calloc(1, sizeof(*l));
    l->conf = *conf;
    l->loop = loop;
    l->arena = arena_new();
    l->names = mem_calloc(conf->name_count + 1, sizeof(*l->names));
    for (size_t i = 0; i < conf->name_count; i++) {
        l->names[i] = (struct name_lookup){.owner = l, .at = i};
    }
    l->timer = loop_timer_new(loop, on_timer, l);
    int rc = open_channel(l, err);
    if (rc != 0) {
        dns_lookup_free(&l);
        return rc;
    }
    l->is_ending = conf->name_count == 0;
    loop_timer_start(l->timer, 0, 0);
    *ret = l;
    return 0;
}

void dns_lookup_free(struct dns_lookup **handle)
{
    struct dns_lookup *l = *handle;
    if (l == NULL) {
        return;
    }
    l->is_freed = true;
    if (l->channel != NULL) {
        ares_destroy(l->channel);
    }
    while (l->sockets.len != 0) {
        socket_close(l, l->sockets.len - 1);
    }
    ares_library_cleanup();
    vec_done(&l->sockets);
    loop_timer_free(&l->timer);
    arena_free(&l->arena);
    free(l->names);
    MEM_FREE(*handle);
}
