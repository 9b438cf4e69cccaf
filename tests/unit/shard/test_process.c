/* The process provider with real Prometheus servers where their behaviour matters, and with small scripts in their place where
 * only ends and errors do. Every process started here is ended by its pid; every wait is bounded and ends on a fact.
 *
 * `test_process supervise FOLDER PORT` is the other half of the adoption test: a supervisor that can be killed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/files.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "shard/process.h"
#include "shard/process_child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000

static struct world {
    char folder[PATH_MAX];
    struct loop *loop;
    struct http_client *http;
    struct provider *p;
    struct process_conf conf;
    unsigned port;
    size_t prepared, refusals; /* of prepare: how often called, how often yet to say ERR_AGAIN */
    bool stopped;
} w;

/* Binds without listening: nobody else gets the port, and the provider sees it as taken. */
static int take_port(unsigned port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(fd, 1) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The first of `count` free ports in a row. */
static unsigned free_ports(unsigned count)
{
    for (unsigned base = 26000 + (unsigned)getpid() % 6000; base < 60000; base += count) {
        unsigned got = 0;
        for (int fd; got < count && (fd = take_port(base + got)) >= 0; got++) {
            close(fd);
        }
        if (got == count) {
            return base;
        }
    }
    fail_msg("no free ports");
    return 0;
}

static int write_config(void *data, const struct process_shard *shard, struct errctx *err)
{
    (void)data;
    w.prepared++;
    if (w.refusals > 0) {
        w.refusals--;
        return ERR_AGAIN;
    }
    char *path = mem_printf("%s/prometheus.yml", shard->dir);
    int rc = files_write_if_changed(path, VIEW("global: {scrape_interval: 10s}\n"), 0640, (gid_t)-1, NULL, err);
    free(path);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    char name[] = "test_process.XXXXXX";
    memset(&w, 0, sizeof(w));
    if (mkdtemp(name) == NULL || realpath(name, w.folder) == NULL) {
        return -1;
    }
    w.loop = loop_new();
    w.http = http_client_new(w.loop);
    w.port = free_ports(3);
    w.conf = (struct process_conf){.data_dir = w.folder, .base_port = w.port, .groups_max = 3, .stop_children = true,
                                   .backoff_first_ms = 50, .backoff_max_ms = 200, .prepare = write_config};
    return 0;
}

static void provider_start(void)
{
    struct errctx err = ERRCTX_INIT;
    if (process_provider_new(w.loop, w.http, &w.conf, &w.p, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static const struct provider_shard *listed(unsigned i)
{
    size_t count;
    const struct provider_shard *list = w.p->ops->list(w.p, &count);
    return i < count ? &list[i] : NULL;
}

/* Turns the loop until the condition holds. */
#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        int64_t deadline_ms_ = timebase_monotonic_ms() + WAIT_MS;                                                      \
        while (!(condition)) {                                                                                         \
            if (timebase_monotonic_ms() > deadline_ms_) {                                                              \
                const struct provider_shard *s_ = w.p != NULL ? listed(0) : NULL;                                      \
                fail_msg("waited in vain for %s; shard-0: %s", #condition, s_ != NULL ? s_->error : "none");           \
            }                                                                                                          \
            uv_run(loop_uv(w.loop), UV_RUN_ONCE);                                                                      \
        }                                                                                                              \
    } while (0)

static bool is_ready(unsigned group)
{
    const struct provider_shard *s = listed(group);
    return s != NULL && s->health == SHARD_HEALTH_READY;
}

static bool error_has(unsigned group, const char *text)
{
    const struct provider_shard *s = listed(group);
    return s != NULL && strstr(s->error, text) != NULL;
}

static void on_stopped(void *data)
{
    (void)data;
    w.stopped = true;
}

/* Ends the provider; its children too when asked. */
static void provider_end(bool children)
{
    if (w.p != NULL) {
        w.stopped = false;
        process_provider_stop_children(w.p, children);
        w.p->ops->stop(w.p, on_stopped, NULL);
        run_until(w.stopped);
        w.p->ops->free(w.p);
        w.p = NULL;
    }
}

static int teardown(void **state)
{
    (void)state;
    provider_end(true);
    http_client_free(&w.http);
    loop_free(&w.loop);
    return files_remove_tree(w.folder, NULL);
}

static bool is_alive(int pid)
{
    char path[64];
    struct bytes text;
    bytes_init(&text, 4096);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    bool alive = files_read(path, &text, NULL) == 0 && text.len != 0 && strstr(text.base, ") Z ") == NULL;
    bytes_done(&text);
    return alive;
}

static bool exists(const char *name)
{
    char *path = mem_printf("%s/%s", w.folder, name);
    bool yes = access(path, F_OK) == 0;
    free(path);
    return yes;
}

/* A script in the place of Prometheus. */
static void use_script(const char *body)
{
    static char path[PATH_MAX + 16];
    char *text = mem_printf("#!/bin/sh\n%s\n", body);
    snprintf(path, sizeof(path), "%s/fake", w.folder);
    assert_int_equal(files_write_atomic(path, view_of(text), 0755, (gid_t)-1, NULL), 0);
    free(text);
    w.conf.binary = path;
}

static size_t count_lines(const char *name)
{
    struct bytes text;
    char *path = mem_printf("%s/%s", w.folder, name);
    size_t n = 0;
    bytes_init(&text, 1 << 20);
    if (files_read(path, &text, NULL) == 0) {
        for (size_t i = 0; i < text.len; i++) {
            n += text.base[i] == '\n';
        }
    }
    bytes_done(&text);
    free(path);
    return n;
}

/* ------------------------------------------------------------------------------------------------------ real Prometheus */

static void test_start_crash_scale_stop(void **unused)
{
    (void)unused;
    char url[64];
    provider_start();
    assert_int_equal(w.p->ops->desired(w.p), 0);
    assert_true(w.p->ops->is_known(w.p));
    w.p->ops->scale(w.p, 1, "test");
    run_until(is_ready(0));
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", w.port);
    assert_string_equal(listed(0)->prometheus_url, url);
    assert_string_equal(listed(0)->id, "shard-0");
    assert_string_equal(listed(0)->error, "");
    int pid = process_provider_pid(w.p, 0);
    assert_int_equal(getsid(pid), pid); /* a session of its own */
    assert_int_equal(kill(pid, SIGKILL), 0);
    run_until(error_has(0, "killed by signal 9"));
    assert_int_equal(listed(0)->health, SHARD_HEALTH_STARTING);
    run_until(is_ready(0));
    assert_int_not_equal(process_provider_pid(w.p, 0), pid);
    w.p->ops->scale(w.p, 2, "test");
    run_until(is_ready(1));
    int second = process_provider_pid(w.p, 1);
    w.p->ops->scale(w.p, 1, "test");
    assert_null(listed(1)); /* what is being ended is no shard any more */
    run_until(process_provider_pid(w.p, 1) == 0);
    assert_false(is_alive(second));
    assert_true(is_ready(0));
    assert_true(exists("shards/shard-1/data")); /* kept */
    pid = process_provider_pid(w.p, 0);
    provider_end(true);
    assert_false(is_alive(pid));
    assert_true(exists("shards/shard-0/data/wal"));
    /* the number outlives us */
    provider_start();
    assert_int_equal(w.p->ops->desired(w.p), 1);
}

static pid_t supervisor_start(void)
{
    char port[16];
    char *const argv[] = {program_invocation_name, (char[]){"supervise"}, w.folder, port, NULL};
    pid_t pid = 0;
    snprintf(port, sizeof(port), "%u", w.port);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    return pid;
}

static bool answers_ready(void)
{
    int fd = take_port(w.port);
    if (fd >= 0) {
        close(fd);
        return false;
    }
    return exists("shards/shard-0/data/queries.active");
}

static int pid_in_file(void)
{
    struct bytes text;
    int pid = 0;
    char *path = mem_printf("%s/shards/shard-0/pid", w.folder);
    bytes_init(&text, 128);
    if (files_read(path, &text, NULL) == 0 && text.len != 0) {
        (void)!sscanf(text.base, "%d", &pid);
    }
    bytes_done(&text);
    free(path);
    return pid;
}

static void test_adoption_after_kill_9(void **unused)
{
    (void)unused;
    pid_t supervisor = supervisor_start();
    for (int i = 0; i < WAIT_MS / 50 && (pid_in_file() == 0 || !answers_ready()); i++) {
        usleep(50000);
    }
    int pid = pid_in_file();
    assert_true(pid > 0);
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    assert_true(is_alive(pid));
    provider_start();
    assert_int_equal(process_provider_pid(w.p, 0), pid);
    assert_int_equal(w.p->ops->desired(w.p), 1);
    run_until(is_ready(0));
    assert_int_equal(process_provider_pid(w.p, 0), pid);
    assert_int_equal(w.prepared, 0); /* it runs: nothing to prepare */
    provider_end(false);
    assert_true(is_alive(pid));
    /* no pid file, as if we had died a moment earlier: found by its data folder; other arguments: replaced, in its time */
    char *path = mem_printf("%s/shards/shard-0/pid", w.folder);
    assert_int_equal(unlink(path), 0);
    free(path);
    static const char *const args[] = {"--log.level=warn", NULL};
    w.conf.extra_args = args;
    provider_start();
    assert_int_equal(process_provider_pid(w.p, 0), pid);
    run_until(process_provider_pid(w.p, 0) != pid && is_ready(0));
    assert_false(is_alive(pid));
    /* an adopted process that ends is noticed like any other */
    pid = process_provider_pid(w.p, 0);
    provider_end(false);
    provider_start();
    assert_int_equal(process_provider_pid(w.p, 0), pid);
    run_until(is_ready(0));
    assert_int_equal(kill(pid, SIGKILL), 0);
    run_until(process_provider_pid(w.p, 0) != pid && is_ready(0));
}

static void test_port_taken(void **unused)
{
    (void)unused;
    int fd = take_port(w.port);
    assert_true(fd >= 0);
    provider_start();
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "is in use by another program"));
    assert_int_equal(listed(0)->health, SHARD_HEALTH_STARTING);
    assert_int_equal(process_provider_pid(w.p, 0), 0);
    close(fd);
    run_until(is_ready(0));
}

static void test_a_configuration_that_is_refused(void **unused)
{
    (void)unused;
    static const char *const args[] = {"--no-such-flag", NULL};
    w.conf.extra_args = args;
    provider_start();
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "exited with status"));
    assert_true(error_has(0, "no-such-flag")); /* its own words */
}

/* ------------------------------------------------------------------------------------------------------- scripts instead */

static void test_back_off_and_the_reason(void **unused)
{
    (void)unused;
    char body[PATH_MAX + 128];
    snprintf(body, sizeof(body), "echo start >>%s/starts\necho 'ts=1 level=error err=\"boom: no luck\"' >&2\nexit 3", w.folder);
    use_script(body);
    provider_start();
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "exited with status 3: err=\"boom: no luck\""));
    run_until(count_lines("starts") >= 4);
    assert_int_equal(listed(0)->health, SHARD_HEALTH_STARTING);
    w.p->ops->scale(w.p, 0, "test");
    run_until(process_provider_pid(w.p, 0) == 0);
    assert_null(listed(0));
}

static void test_a_binary_that_vanishes(void **unused)
{
    (void)unused;
    struct errctx err = ERRCTX_INIT;
    w.conf.binary = "no-such-prometheus";
    assert_int_equal(process_provider_new(w.loop, w.http, &w.conf, &w.p, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "no-such-prometheus: not found in PATH"));
    w.p = NULL;
    use_script("exec sleep 100");
    provider_start();
    assert_int_equal(unlink(w.conf.binary), 0);
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "no such executable file"));
    use_script("exec sleep 100");
    run_until(process_provider_pid(w.p, 0) != 0);
}

static void test_a_folder_that_cannot_be_used(void **unused)
{
    (void)unused;
    use_script("exec sleep 100");
    provider_start();
    char *path = mem_printf("%s/shards/shard-0", w.folder);
    assert_int_equal(files_write_atomic(path, VIEW("in the way"), 0600, (gid_t)-1, NULL), 0);
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "/shards/shard-0): File exists"));
    assert_int_equal(process_provider_pid(w.p, 0), 0);
    assert_int_equal(unlink(path), 0);
    run_until(process_provider_pid(w.p, 0) != 0);
    free(path);
}

static void test_sigkill_after_the_grace(void **unused)
{
    (void)unused;
    use_script("trap '' TERM\necho up >>\"${0%/fake}/ups\"\nwhile :; do sleep 1; done");
    w.conf.stop_grace_ms = 300;
    provider_start();
    w.p->ops->scale(w.p, 1, "test");
    run_until(count_lines("ups") == 1);
    int pid = process_provider_pid(w.p, 0);
    w.p->ops->scale(w.p, 0, "test");
    run_until(process_provider_pid(w.p, 0) == 0);
    assert_false(is_alive(pid));
    /* wanted again while it was ending or after: it starts again */
    w.p->ops->scale(w.p, 1, "test");
    run_until(count_lines("ups") == 2);
}

static void test_delete_only_when_asked(void **unused)
{
    (void)unused;
    use_script("exec sleep 100");
    w.conf.delete_data = true;
    provider_start();
    w.p->ops->scale(w.p, 2, "test");
    run_until(process_provider_pid(w.p, 1) != 0);
    assert_true(exists("shards/shard-1/data"));
    w.p->ops->scale(w.p, 1, "test");
    run_until(process_provider_pid(w.p, 1) == 0 && !exists("shards/shard-1"));
    assert_true(exists("shards/shard-0/data"));
    provider_end(true); /* an end is no shrinking */
    assert_true(exists("shards/shard-0/data"));
}

static void test_waits_for_its_configuration(void **unused)
{
    (void)unused;
    use_script("exec sleep 100");
    w.refusals = 2;
    provider_start();
    w.p->ops->scale(w.p, 1, "test");
    run_until(error_has(0, "waits for its configuration"));
    run_until(process_provider_pid(w.p, 0) != 0);
    assert_int_equal(w.prepared, 3);
}

static void test_the_wanted_number(void **unused)
{
    (void)unused;
    use_script("exec sleep 100");
    provider_start();
    w.p->ops->scale(w.p, 1000, "test"); /* bounded by groups_max */
    assert_int_equal(w.p->ops->desired(w.p), 3);
    w.p->ops->scale(w.p, 2, "test");
    run_until(process_provider_pid(w.p, 0) != 0 && process_provider_pid(w.p, 1) != 0);
    int pids[] = {process_provider_pid(w.p, 0), process_provider_pid(w.p, 1)};
    provider_end(false);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    /* a torn file: what runs is what is wanted, and nothing does */
    char *path = mem_printf("%s/shards/wanted", w.folder);
    assert_int_equal(files_write_atomic(path, VIEW("banana"), 0600, (gid_t)-1, NULL), 0);
    provider_start();
    assert_int_equal(w.p->ops->desired(w.p), 0);
    run_until(count_lines("shards/wanted") == 1);
    free(path);
}

/* ---------------------------------------------------------------------------------------------------------------- pieces */

static void test_settings_that_are_refused(void **unused)
{
    (void)unused;
    static const char *const ours[] = {"--log.level=warn", "--web.listen-address=:1", NULL};
    struct errctx err = ERRCTX_INIT;
    w.conf.extra_args = ours;
    assert_int_equal(process_provider_new(w.loop, w.http, &w.conf, &w.p, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "--web.listen-address"));
    w.conf.extra_args = NULL;
    w.conf.base_port = 65534;
    errctx_clear(&err);
    assert_int_equal(process_provider_new(w.loop, w.http, &w.conf, &w.p, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "65536"));
    w.conf.base_port = w.port;
    w.conf.data_dir = "/dev/null/store";
    errctx_clear(&err);
    assert_int_equal(process_provider_new(w.loop, w.http, &w.conf, &w.p, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "/dev/null"));
}

static void never(void *data, int status)
{
    (void)data;
    (void)status;
    fail_msg("nothing was started");
}

/* A pid file that speaks of a process which is not the shard's, though pid and start time are right. */
static void test_a_pid_file_of_somebody_else(void **unused)
{
    (void)unused;
    struct bytes stat;
    struct process_child *c = NULL;
    char *pid_file = mem_printf("%s/pid", w.folder), *identity = mem_printf("--storage.tsdb.path=%s/data", w.folder), text[64];
    const struct process_child_conf conf = {.binary = "prometheus", .identity = identity, .pid_file = pid_file, .log_file = "/dev/null"};
    unsigned long long start = 0;
    bytes_init(&stat, 4096);
    assert_int_equal(files_read("/proc/self/stat", &stat, NULL), 0);
    const char *at = strrchr(stat.base, ')');
    for (int field = 2; field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    start = strtoull(at, NULL, 10);
    static const char *const rest[] = {"", "\n", "1 1\n", "banana", "-1 5\n", "99999999999999999999 1\n"};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        assert_int_equal(files_write_atomic(pid_file, view_of(rest[i]), 0600, (gid_t)-1, NULL), 0);
        assert_int_equal(process_child_adopt(w.loop, &conf, never, NULL, &c, NULL), ERR_NOT_FOUND);
    }
    snprintf(text, sizeof(text), "%d %llu\n", (int)getpid(), start);
    assert_int_equal(files_write_atomic(pid_file, view_of(text), 0600, (gid_t)-1, NULL), 0);
    assert_int_equal(process_child_adopt(w.loop, &conf, never, NULL, &c, NULL), ERR_NOT_FOUND);
    assert_null(c);
    bytes_done(&stat);
    free(identity);
    free(pid_file);
}

static void test_the_log_stays_bounded(void **unused)
{
    (void)unused;
    char *path = mem_printf("%s/log", w.folder), *older = mem_printf("%s/log.1", w.folder), line[64];
    struct bytes text;
    struct stat st;
    bytes_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        bytes_printf(&text, "ts=%d level=info msg=\"line\"\n", i);
    }
    assert_int_equal(files_write_atomic(path, bytes_view(&text), 0640, (gid_t)-1, NULL), 0);
    process_log_last_line(path, line, sizeof(line));
    assert_string_equal(line, "ts=999 level=info msg=\"line\"");
    process_log_trim(path, text.len);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, text.len);
    process_log_trim(path, 1000);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(stat(older, &st), 0);
    assert_int_equal(st.st_size, 1000);
    process_log_last_line(older, line, sizeof(line));
    assert_string_equal(line, "ts=999 level=info msg=\"line\"");
    process_log_last_line(path, line, sizeof(line));
    assert_string_equal(line, "");
    process_log_last_line("/no/such/file", line, sizeof(line));
    assert_string_equal(line, "");
    bytes_done(&text);
    free(path);
    free(older);
}

/* ------------------------------------------------------------------------------------------------------- the other half */

static int supervise(const char *folder, const char *port)
{
    w.loop = loop_new();
    w.http = http_client_new(w.loop);
    w.conf = (struct process_conf){.data_dir = folder, .base_port = (unsigned)strtoul(port, NULL, 10), .groups_max = 3,
                                   .prepare = write_config};
    if (process_provider_new(w.loop, w.http, &w.conf, &w.p, NULL) != 0) {
        return 1;
    }
    w.p->ops->scale(w.p, 1, "test");
    loop_run(w.loop);
    return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    curl_net_init();
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT, false);
    if (argc == 4 && strcmp(argv[1], "supervise") == 0) {
        return supervise(argv[2], argv[3]);
    }
    const struct CMUnitTest tests[] = {
        CASE(test_start_crash_scale_stop),
        CASE(test_adoption_after_kill_9),
        CASE(test_port_taken),
        CASE(test_a_configuration_that_is_refused),
        CASE(test_back_off_and_the_reason),
        CASE(test_a_binary_that_vanishes),
        CASE(test_a_folder_that_cannot_be_used),
        CASE(test_sigkill_after_the_grace),
        CASE(test_delete_only_when_asked),
        CASE(test_waits_for_its_configuration),
        CASE(test_the_wanted_number),
        CASE(test_settings_that_are_refused),
        CASE(test_a_pid_file_of_somebody_else),
        CASE(test_the_log_stays_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
