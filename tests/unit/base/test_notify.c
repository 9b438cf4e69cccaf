/* The words systemd hears, read from a socket in its place. */
#include "base/notify.h"
#include "base_test.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static const char *heard(int fd)
{
    static char text[1024];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_messages(void **state)
{
    (void)state;
    char dir[] = "/tmp/kvass_notify_XXXXXX"; /* a socket's path must be short */
    assert_non_null(mkdtemp(dir));
    char *path = mem_printf("%s/notify", dir);
    int fd = listen_at(path);
    setenv("NOTIFY_SOCKET", path, 1);
    notify_ready();
    assert_string_equal(heard(fd), "READY=1");
    notify_reloading();
    const char *reloading = heard(fd);
    assert_memory_equal(reloading, "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_true(strtoll(reloading + 27, NULL, 10) > 0);
    notify_status("%d shards\nREADY=0", 3);
    assert_string_equal(heard(fd), "STATUS=3 shards READY=0");
    notify_watchdog();
    assert_string_equal(heard(fd), "WATCHDOG=1");
    notify_stopping();
    assert_string_equal(heard(fd), "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    notify_ready();
    assert_string_equal(heard(fd), "");
    close(fd);
    free(path);
    assert_int_equal(files_remove_tree(dir, NULL), 0);
}

static void test_watchdog_interval(void **state)
{
    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_interval_ms(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(notify_watchdog_interval_ms(), 15000);
    setenv("WATCHDOG_USEC", "1", 1);
    assert_int_equal(notify_watchdog_interval_ms(), 1);
    setenv("WATCHDOG_PID", "1", 1); /* meant for another process */
    assert_int_equal(notify_watchdog_interval_ms(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages), cmocka_unit_test(test_watchdog_interval)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
