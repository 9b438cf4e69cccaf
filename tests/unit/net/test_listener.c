/* Listeners: addresses, error texts, sockets handed over by a service manager (this program again, as a child). */
#include "base/invariant.h"
#include "base/mem.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void check_address(const char *address, const char *want_host, unsigned want_port)
{
    struct errctx err = ERRCTX_INIT;
    char host[256] = "untouched";
    unsigned port = 77777;
    int rc = listener_parse_address(address, host, &port, &err);
    if (want_host == NULL) {
        assert_int_equal(rc, ERR_PARSE);
        assert_non_null(strstr(err.msg, address));
        assert_string_equal(host, "untouched");
        assert_int_equal(port, 77777);
    } else {
        assert_int_equal(rc, 0);
        assert_string_equal(host, want_host);
        assert_int_equal(port, want_port);
    }
}

static void test_address(void **state)
{
    (void)state;
    check_address("127.0.0.1:9089", "127.0.0.1", 9089);
    check_address(":8080", "", 8080);
    check_address("localhost:0", "localhost", 0);
    check_address("[::1]:65535", "::1", 65535);
    check_address("[fe80::1%lo]:1", "fe80::1%lo", 1);
    check_address("9090", NULL, 0);
    check_address("", NULL, 0);
    check_address("a:", NULL, 0);
    check_address("a:65536", NULL, 0);
    check_address("a:99999999999", NULL, 0);
    check_address("a:-1", NULL, 0);
    check_address("a:1x", NULL, 0);
    check_address("::1:80", NULL, 0);
    check_address("[::1:80", NULL, 0);
    check_address("[]:80", "", 80);
    char longer[400];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer + 300, ":80", 4);
    char host[256];
    unsigned port;
    assert_int_equal(listener_parse_address(longer, host, &port, NULL), ERR_LIMIT);
}

static bool connects(int family, unsigned port)
{
    int fd = socket(family, SOCK_STREAM, 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int rc = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                               : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    close(fd);
    return rc == 0;
}

static bool host_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return has;
}

static int open_ok(const char *address, const char *name, bool want_inherited)
{
    struct errctx err = ERRCTX_INIT;
    int fd = -1;
    bool inherited = !want_inherited;
    int rc = listener_open(address, name, &fd, &inherited, &err);
    if (rc != 0) {
        print_message("%s\n", err.msg);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(inherited, want_inherited);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_in_range(listener_port(fd), 1, 65535);
    return fd;
}

static void test_open(void **state)
{
    (void)state;
    static const char *const v4[] = {"127.0.0.1:0", "localhost:0", ":0"};
    for (size_t i = 0; i < 3; i++) {
        int fd = open_ok(v4[i], "api", false);
        assert_true(connects(AF_INET, listener_port(fd)));
        assert_int_equal(connects(AF_INET6, listener_port(fd)), i == 2 && host_has_ipv6());
        close(fd);
    }
    if (host_has_ipv6()) {
        int fd = open_ok("[::1]:0", NULL, false);
        assert_true(connects(AF_INET6, listener_port(fd)));
        assert_false(connects(AF_INET, listener_port(fd)));
        close(fd);
    }
    assert_int_equal(listener_port(0), 0);
}

static void check_fault(const char *address, const char *want)
{
    struct errctx err = ERRCTX_INIT;
    int fd = -7;
    bool inherited = true;
    assert_int_equal(listener_open(address, NULL, &fd, &inherited, &err), ERR_IO);
    assert_string_equal(err.msg, want);
    assert_int_equal(fd, -7);
    assert_true(inherited);
}

static void test_faults(void **state)
{
    (void)state;
    char address[64], want[200];
    int fd = open_ok("127.0.0.1:0", NULL, false);
    snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(fd));
    snprintf(want, sizeof(want),
             "listen on %s: Address already in use: another process holds the port; stop it or choose another address",
             address);
    check_fault(address, want);
    close(fd);
    close(open_ok(address, NULL, false)); /* at once: SO_REUSEADDR */
    check_fault("192.0.2.1:9",
                "listen on 192.0.2.1:9: Cannot assign requested address: no interface of this host has that address");
    struct errctx err = ERRCTX_INIT;
    bool inherited;
    assert_int_equal(listener_open("no-such-host.invalid:1", NULL, &fd, &inherited, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "listen on no-such-host.invalid:1: "));
}

/* --- socket activation: the parent plays the service manager */

static int bare_socket(const char *host, unsigned *ret_port)
{
    char address[64];
    snprintf(address, sizeof(address), "%s:0", host);
    int fd = open_ok(address, NULL, false);
    *ret_port = listener_port(fd);
    return fd;
}

/* Runs `check` in a child whose fds 3 and 4 are a and b, under the given names. */
static int with_inherited(int a, int b, const char *names, void (*check)(const unsigned *), const unsigned *ports)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char text[32];
        /* out of the way first, then to where the protocol wants them */
        int high_a = fcntl(a, F_DUPFD, 20), high_b = fcntl(b, F_DUPFD, 20);
        if (dup2(high_a, 3) != 3 || dup2(high_b, 4) != 4) {
            _exit(90);
        }
        fcntl(3, F_SETFL, 0); /* systemd hands them over blocking */
        snprintf(text, sizeof(text), "%d", (int)getpid());
        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_FDNAMES", names, 1);
        check(ports);
        _exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int child_open(const char *address, const char *name, bool *ret_inherited)
{
    int fd = -1;
    struct errctx err = ERRCTX_INIT;
    return listener_open(address, name, &fd, ret_inherited, &err) == 0 ? fd : -1;
}

static void child_must(bool ok, int code)
{
    if (!ok) {
        _exit(code);
    }
}

/* An inherited socket comes as a copy: the same port under another number, closed without harm to the next look. */
static bool takes(const char *address, const char *name, unsigned port)
{
    bool inherited = false;
    int fd = child_open(address, name, &inherited);
    bool ok = fd > 4 && inherited && listener_port(fd) == port && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
              (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
    close(fd);
    return ok;
}

static void check_child(const unsigned *ports)
{
    char address[64];
    bool inherited = false;
    snprintf(address, sizeof(address), "127.0.0.1:%u", ports[1]);
    child_must(takes(address, "api", ports[1]), 1); /* the address wins over the name */
    snprintf(address, sizeof(address), "localhost:%u", ports[0]);
    child_must(takes(address, NULL, ports[0]), 2);
    child_must(takes("127.0.0.1:1", "proxy", ports[1]), 4);
    int fd = child_open("127.0.0.1:0", "other", &inherited);
    child_must(fd > 4 && !inherited, 5);
    setenv("LISTEN_PID", "1", 1); /* meant for another process */
    child_must(child_open("127.0.0.1:0", "api", &inherited) > 4 && !inherited, 6);
}

static void check_any_child(const unsigned *ports)
{
    char address[64];
    bool inherited = false;
    snprintf(address, sizeof(address), ":%u", ports[0]);
    child_must(takes(address, NULL, ports[0]), 1);
    snprintf(address, sizeof(address), ":%u", ports[1]); /* fd 4 is bound to one address only, and holds the port */
    child_must(child_open(address, NULL, &inherited) < 0, 2);
    struct errctx err = ERRCTX_INIT;
    int fd = -1;
    child_must(listener_open(address, NULL, &fd, &inherited, &err) == ERR_IO && strstr(err.msg, ".socket unit") != NULL,
               3);
    snprintf(address, sizeof(address), "holds the port as 127.0.0.1:%u;", ports[1]);
    child_must(strstr(err.msg, address) != NULL, 4);
}

/* Only what nobody took is told: none of two, one of two, both. */
static void check_unused_child(const unsigned *ports)
{
    char address[64], seen[64];
    bool inherited = false;
    int at = 0, fds[2] = {-1, -1};
    snprintf(address, sizeof(address), "127.0.0.1:%u", ports[0]);
    fds[0] = child_open(address, NULL, &inherited);
    child_must(fds[0] >= 0 && inherited, 1);
    child_must(listener_next_unused(fds, 2, &at, seen), 2);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ports[1]);
    child_must(strcmp(seen, address) == 0, 3);
    child_must(!listener_next_unused(fds, 2, &at, seen), 4);
    fds[1] = child_open(address, NULL, &inherited);
    at = 0;
    child_must(!listener_next_unused(fds, 2, &at, seen), 5);
    at = 0;
    child_must(listener_next_unused(NULL, 0, &at, seen) && listener_next_unused(NULL, 0, &at, seen) &&
                   !listener_next_unused(NULL, 0, &at, seen),
               6);
}

static void test_inherited(void **state)
{
    (void)state;
    unsigned ports[2];
    int a = bare_socket("127.0.0.1", &ports[0]), b = bare_socket("127.0.0.1", &ports[1]);
    assert_int_equal(with_inherited(a, b, "api:proxy", check_child, ports), 0);
    assert_int_equal(with_inherited(a, b, "kvass.socket:kvass.socket", check_unused_child, ports), 0);
    close(a);
    a = bare_socket("", &ports[0]);
    assert_int_equal(with_inherited(a, b, "kvass.socket:kvass.socket", check_any_child, ports), 0);
    close(a);
    close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
