/* Listening sockets: see listener.h.
 *
 * Inherited sockets are looked at on every call instead of being remembered: the service manager's variables stay in
 * the environment (LISTEN_PID keeps children from believing them), and a socket is recognised by what it is bound to.
 * The address wins over the name, because all sockets of one .socket unit carry the same name unless told otherwise.
 *
 * Resolving a host name blocks, which is why listeners are opened at start, before any loop runs. */
#include "net/listener.h"

#include "base/mem.h"

#include <systemd/sd-daemon.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_MAX 256

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

static int parse_port(const char *text, unsigned *ret)
{
    unsigned port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5) {
        return ERR_PARSE;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return ERR_PARSE;
        }
        port = port * 10 + (unsigned)(*c - '0');
    }
    if (port > 65535) {
        return ERR_PARSE;
    }
    *ret = port;
    return 0;
}

int listener_parse_address(const char *address, char host[HOST_MAX], unsigned *ret_port, struct errctx *err)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL) {
        return errctx_set(err, ERR_PARSE, "address '%s' has no port: write host:port, :port or [v6]:port", address);
    }
    const char *begin = address, *end = colon;
    if (*begin == '[') {
        if (end == begin + 1 || end[-1] != ']') {
            return errctx_set(err, ERR_PARSE, "address '%s': '[' without ']:' before the port", address);
        }
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return errctx_set(err, ERR_PARSE, "address '%s': an IPv6 address goes in brackets, [v6]:port", address);
    }
    size_t len = (size_t)(end - begin);
    if (len >= HOST_MAX) {
        return errctx_set(err, ERR_LIMIT, "address has a host of %zu bytes; at most %d", len, HOST_MAX - 1);
    }
    unsigned port;
    if (parse_port(colon + 1, &port) != 0) {
        return errctx_set(err, ERR_PARSE, "address '%s': the port is not a number from 0 to 65535", address);
    }
    memcpy(host, begin, len);
    host[len] = '\0';
    *ret_port = port;
    return 0;
}

static unsigned address_port(const union address *a)
{
    if (a->any.sa_family == AF_INET) {
        return ntohs(a->v4.sin_port);
    }
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

static bool address_is_any(const union address *a)
{
    if (a->any.sa_family == AF_INET) {
        return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
    }
    return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static bool address_equal(const union address *a, const struct sockaddr *sa)
{
    if (a->any.sa_family != sa->sa_family) {
        return false;
    }
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in b;
        memcpy(&b, sa, sizeof(b));
        return a->v4.sin_addr.s_addr == b.sin_addr.s_addr && a->v4.sin_port == b.sin_port;
    }
    if (sa->sa_family != AF_INET6) {
        return false;
    }
    struct sockaddr_in6 b;
    memcpy(&b, sa, sizeof(b));
    return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b.sin6_addr) && a->v6.sin6_port == b.sin6_port;
}

static bool bound_address(int fd, union address *ret)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || listening == 0) {
        return false;
    }
    len = sizeof(*ret);
    return getsockname(fd, &ret->any, &len) == 0 && (ret->any.sa_family == AF_INET || ret->any.sa_family == AF_INET6);
}

struct inherited {
    int count; /* fds from SD_LISTEN_FDS_START on */
    char **names;
};

static void inherited_done(struct inherited *in)
{
    for (char **name = in->names; name != NULL && *name != NULL; name++) {
        free(*name);
    }
    free(in->names);
}

static int find_by_address(const struct inherited *in, const char *host, unsigned port, const struct addrinfo *list)
{
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + in->count; fd++) {
        union address bound;
        if (!bound_address(fd, &bound)) {
            continue;
        }
        if (host[0] == '\0' && address_is_any(&bound) && address_port(&bound) == port && port != 0) {
            return fd;
        }
        for (const struct addrinfo *ai = list; ai != NULL && port != 0; ai = ai->ai_next) {
            if (address_equal(&bound, ai->ai_addr)) {
                return fd;
            }
        }
    }
    return -1;
}

static int find_by_name(const struct inherited *in, const char *fd_name)
{
    union address bound;
    for (int i = 0; fd_name != NULL && in->names != NULL && i < in->count; i++) {
        if (strcmp(in->names[i], fd_name) == 0 && bound_address(SD_LISTEN_FDS_START + i, &bound)) {
            return SD_LISTEN_FDS_START + i;
        }
    }
    return -1;
}

static void format_address(const union address *a, char ret[64])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = a->any.sa_family == AF_INET6;
    inet_ntop(a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, host,
              sizeof(host));
    snprintf(ret, 64, v6 ? "[%s]:%u" : "%s:%u", host, address_port(a));
}

static bool is_one_of(const union address *bound, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        union address other;
        if (fds[i] >= 0 && bound_address(fds[i], &other) && address_equal(bound, &other.any)) {
            return true;
        }
    }
    return false;
}

bool listener_next_unused(const int *fds, size_t count, int *at, char ret[64])
{
    int inherited = sd_listen_fds(0);
    while (*at < inherited) {
        union address bound;
        int fd = SD_LISTEN_FDS_START + (*at)++;
        if (bound_address(fd, &bound) && !is_one_of(&bound, fds, count)) {
            format_address(&bound, ret);
            return true;
        }
    }
    return false;
}

/* The inherited socket that holds the port, under another address than the one asked for. */
static bool find_holder(const struct inherited *in, unsigned port, char ret[64])
{
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + in->count; fd++) {
        union address bound;
        if (bound_address(fd, &bound) && address_port(&bound) == port) {
            format_address(&bound, ret);
            return true;
        }
    }
    return false;
}

static const char *remedy_of(int errno_value)
{
    switch (errno_value) {
    case EADDRINUSE:
        return ": another process holds the port; stop it or choose another address";
    case EACCES:
        return ": ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port";
    case EADDRNOTAVAIL:
        return ": no interface of this host has that address";
    default:
        return "";
    }
}

static int fail_open(const char *address, unsigned port, const struct inherited *in, int failed, struct errctx *err)
{
    char holder[64];
    if (failed == EADDRINUSE && find_holder(in, port, holder)) {
        return errctx_set(
            err, ERR_IO,
            "listen on %s: the .socket unit of this service holds the port as %s; change it there as well, by "
            "'systemctl edit' and ListenStream=",
            address, holder);
    }
    return errctx_set(err, ERR_IO, "listen on %s: %s%s", address, strerror(failed), remedy_of(failed));
}

static bool set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* -1 with errno set. */
static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    union address a = {0};
    memcpy(&a, ai->ai_addr, ai->ai_addrlen);
    int on = 1, v6_only = address_is_any(&a) ? 0 : 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (ai->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) == 0) &&
        bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) {
        return fd;
    }
    int failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

/* All addresses: IPv6 first, because that socket takes IPv4 too. A host name: IPv4 first, as "localhost" is understood.
 */
static int bind_any(const struct addrinfo *list, bool all_addresses, int *ret_errno)
{
    int first = all_addresses ? AF_INET6 : AF_INET;
    int failed = EADDRNOTAVAIL;
    for (int pass = 0; pass < 2; pass++) {
        for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
            if ((ai->ai_family == first) != (pass == 0)) {
                continue;
            }
            int fd = bind_one(ai);
            if (fd >= 0) {
                return fd;
            }
            failed = errno;
            if (failed == EADDRINUSE || failed == EACCES) {
                *ret_errno = failed;
                return -1;
            }
        }
    }
    *ret_errno = failed;
    return -1;
}

static int resolve(const char *address, const char *host, unsigned port, struct addrinfo **ret, struct errctx *err)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, ret);
    if (rc != 0) {
        return errctx_set(err, ERR_IO, "listen on %s: %s", address, gai_strerror(rc));
    }
    return 0;
}

int listener_open(const char *address, const char *fd_name, int *ret_fd, bool *ret_inherited, struct errctx *err)
{
    char host[HOST_MAX];
    unsigned port;
    int rc = listener_parse_address(address, host, &port, err);
    if (rc != 0) {
        return rc;
    }
    struct addrinfo *list = NULL;
    rc = resolve(address, host, port, &list, err);
    if (rc != 0) {
        return rc;
    }
    struct inherited in = {0};
    in.count = sd_listen_fds_with_names(0, &in.names);
    in.count = in.count < 0 ? 0 : in.count;
    int fd = find_by_address(&in, host, port, list);
    if (fd < 0) {
        fd = find_by_name(&in, fd_name);
    }
    bool taken = fd >= 0;
    int failed = 0;
    if (!taken) {
        fd = bind_any(list, host[0] == '\0', &failed);
    } else {
        /* A copy: the numbers from 3 on must stay valid, or the next look at them fails. */
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        failed = fd < 0 || !set_flags(fd) ? errno : 0;
    }
    if (fd < 0 || failed != 0) {
        rc = fail_open(address, port, &in, failed, err);
    } else {
        *ret_fd = fd;
        *ret_inherited = taken;
    }
    inherited_done(&in);
    freeaddrinfo(list);
    return rc;
}

unsigned listener_port(int fd)
{
    union address bound;
    return bound_address(fd, &bound) ? address_port(&bound) : 0;
}
