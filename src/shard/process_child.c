/* Starting, finding and watching one process.
 *
 * A shard's Prometheus outlives us on purpose: a restart of kvass must not cost a WAL replay. So a child gets its own
 * session, writes its log to a file of its own (a pipe through us would break with us), and no death signal. What ties
 * it to us afterwards is a pid file with the process' start time: a pid alone may by then be somebody else's. The file
 * is written after the process exists, so there is a moment in which we may die without having written it; the argument
 * that names the shard's data folder is unique, and a process that carries it is found by that. Nothing is ever found
 * by its program's name.
 *
 * posix_spawn and not fork: the daemon is threaded and holds much memory. The environment is ours without what systemd
 * addressed to us alone (sockets, notify, watchdog). */
#include "shard/process_child.h"
#include "base/bytes.h"
#include "base/files.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_MAGIC       0x63686c64u
#define CMDLINE_BYTES_MAX ((size_t)131072)

struct process_child {
    uint32_t magic;
    pid_t pid;
    uint64_t start_time; /* clock ticks since boot, from /proc */
    int pidfd;           /* -1 where the system has none */
    uv_poll_t *poll;
    bool adopted, ended;
    process_exit_fn *on_exit;
    void *data;
};

/* ------------------------------------------------------------------------------------------------- asking the system
 */

static int proc_read(pid_t pid, const char *name, struct bytes *out)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    return files_read(path, out, NULL);
}

/* Field 22 of /proc/<pid>/stat, counted behind the program name, which may hold anything. 0 when there is none. A
 * zombie counts as gone. */
static uint64_t proc_start_time(pid_t pid)
{
    struct bytes text;
    uint64_t start = 0;
    bytes_init(&text, 4096);
    if (proc_read(pid, "stat", &text) == 0) {
        const char *at = memrchr(text.base, ')', text.len);
        if (at != NULL && at[1] == ' ' && at[2] != 'Z' && at[2] != 'X') {
            for (int field = 2; at != NULL && field < 22; field++) {
                at = strchr(at + 1, ' ');
            }
            start = at != NULL ? strtoull(at, NULL, 10) : 0;
        }
    }
    bytes_done(&text);
    return start;
}

static bool proc_is_ours(pid_t pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
    return stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* The next NUL-ended argument of a cmdline, or NULL. */
static const char *next_argument(const struct bytes *cmdline, size_t *at)
{
    if (*at >= cmdline->len) {
        return NULL;
    }
    const char *arg = cmdline->base + *at;
    *at += strlen(arg) + 1;
    return arg;
}

static bool proc_has_argument(pid_t pid, const char *wanted)
{
    struct bytes cmdline;
    size_t at = 0;
    bool found = false;
    bytes_init(&cmdline, CMDLINE_BYTES_MAX);
    if (proc_read(pid, "cmdline", &cmdline) == 0) {
        for (const char *arg; !found && (arg = next_argument(&cmdline, &at)) != NULL;) {
            found = strcmp(arg, wanted) == 0;
        }
    }
    bytes_done(&cmdline);
    return found;
}

/* 0 when the pid file names nothing that can be trusted. */
static pid_t find_by_pid_file(const struct process_child_conf *conf)
{
    struct bytes text;
    long pid = 0;
    unsigned long long start = 0;
    bytes_init(&text, 128);
    if (files_read(conf->pid_file, &text, NULL) != 0 || text.len == 0 ||
        sscanf(text.base, "%ld %llu", &pid, &start) != 2 || pid <= 1 || start == 0 ||
        proc_start_time((pid_t)pid) != start || !proc_is_ours((pid_t)pid) ||
        !proc_has_argument((pid_t)pid, conf->identity)) {
        pid = 0;
    }
    bytes_done(&text);
    return (pid_t)pid;
}

static pid_t find_by_identity(const struct process_child_conf *conf)
{
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return 0;
    }
    for (const struct dirent *d; found == 0 && (d = readdir(proc)) != NULL;) {
        char *end = NULL;
        long pid = strtol(d->d_name, &end, 10);
        if (pid > 1 && *end == '\0' && pid != getpid() && proc_is_ours((pid_t)pid) &&
            proc_start_time((pid_t)pid) != 0 && proc_has_argument((pid_t)pid, conf->identity)) {
            found = (pid_t)pid;
        }
    }
    closedir(proc);
    return found;
}

/* -------------------------------------------------------------------------------------------------------------
 * watching */

static void on_poll_closed(uv_handle_t *handle)
{
    int *fd = handle->data;
    close(*fd);
    free(fd);
    free(handle);
}

static void unwatch(struct process_child *c)
{
    if (c->poll != NULL) {
        int *fd = mem_dup(&c->pidfd, sizeof(c->pidfd));
        c->poll->data = fd;
        uv_close((uv_handle_t *)c->poll, on_poll_closed);
    } else if (c->pidfd >= 0) {
        close(c->pidfd);
    }
    c->poll = NULL;
    c->pidfd = -1;
}

void process_child_check(struct process_child *c)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    int status = -1;
    if (c->ended) {
        return;
    }
    pid_t reaped = c->adopted ? -1 : waitpid(c->pid, &status, WNOHANG);
    bool gone = reaped == c->pid;
    if (reaped < 0) {
        uint64_t start = proc_start_time(c->pid);
        gone = start == 0 || start != c->start_time;
    }
    if (gone) {
        c->ended = true;
        unwatch(c);
        c->on_exit(c->data, reaped == c->pid ? status : -1);
    }
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    process_child_check(poll->data);
}

static struct process_child *child_new(struct loop *loop, pid_t pid, bool adopted, process_exit_fn *on_exit, void *data)
{
    struct process_child *c = mem_calloc(1, sizeof(*c));
    *c = (struct process_child){.magic = CHILD_MAGIC, .pid = pid, .adopted = adopted, .on_exit = on_exit, .data = data};
    c->start_time = proc_start_time(pid);
    c->pidfd = pidfd_open(pid, 0);
    if (c->pidfd >= 0) {
        c->poll = mem_calloc(1, sizeof(*c->poll));
        c->poll->data = c;
        if (uv_poll_init(loop_uv(loop), c->poll, c->pidfd) != 0) {
            free(c->poll);
            c->poll = NULL;
        } else {
            uv_poll_start(c->poll, UV_READABLE, on_pidfd);
        }
    }
    return c;
}

void process_child_free(struct process_child **handle)
{
    struct process_child *c = *handle;
    if (c == NULL) {
        return;
    }
    MAGIC_CHECK(c, CHILD_MAGIC);
    unwatch(c);
    c->magic = 0;
    free(c);
    *handle = NULL;
}

pid_t process_child_pid(const struct process_child *c)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    return c->pid;
}

bool process_child_is_adopted(const struct process_child *c)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    return c->adopted;
}

void process_child_signal(struct process_child *c, int sig)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    if (c->ended) {
        return;
    }
    if (c->pidfd >= 0) {
        (void)pidfd_send_signal(c->pidfd, sig, NULL, 0);
    } else if (proc_start_time(c->pid) == c->start_time) {
        (void)kill(c->pid, sig);
    }
}

bool process_child_has_arguments(const struct process_child *c, const struct process_child_conf *conf)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    struct bytes cmdline;
    size_t at = 0, i = 0;
    bytes_init(&cmdline, CMDLINE_BYTES_MAX);
    bool same = proc_read(c->pid, "cmdline", &cmdline) == 0;
    for (const char *arg; same && (arg = next_argument(&cmdline, &at)) != NULL; i++) {
        same = conf->argv[i] != NULL && (i == 0 || strcmp(arg, conf->argv[i]) == 0);
    }
    same = same && i > 0 && conf->argv[i] == NULL;
    bytes_done(&cmdline);
    return same;
}

char *process_child_argument(const struct process_child *c, const char *name)
{
    MAGIC_CHECK(c, CHILD_MAGIC);
    struct bytes cmdline;
    size_t at = 0, len = strlen(name);
    char *value = NULL;
    bytes_init(&cmdline, CMDLINE_BYTES_MAX);
    if (proc_read(c->pid, "cmdline", &cmdline) == 0) {
        for (const char *arg; value == NULL && (arg = next_argument(&cmdline, &at)) != NULL;) {
            if (strncmp(arg, name, len) == 0 && arg[len] == '=') {
                value = mem_strdup(arg + len + 1);
            }
        }
    }
    bytes_done(&cmdline);
    return value;
}

/* -------------------------------------------------------------------------------------------------------------
 * starting */

static bool is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The path to run, malloc'd. */
int process_child_find_binary(const char *binary, char **ret, struct errctx *err)
{
    const char *path = getenv("PATH");
    if (strchr(binary, '/') != NULL) {
        if (!is_executable(binary)) {
            return errctx_set(err, ERR_NOT_FOUND, "%s: no such executable file", binary);
        }
        *ret = mem_strdup(binary);
        return 0;
    }
    for (path = path != NULL ? path : "/usr/bin:/bin"; *path != '\0';) {
        size_t len = strcspn(path, ":");
        char *candidate = mem_printf("%.*s/%s", (int)len, path, binary);
        if (len > 0 && is_executable(candidate)) {
            *ret = candidate;
            return 0;
        }
        free(candidate);
        path += len + (path[len] == ':');
    }
    return errctx_set(err, ERR_NOT_FOUND, "%s: not found in PATH; install it or name its full path", binary);
}

static bool is_private_variable(const char *entry)
{
    static const char *const NAMES[] = {
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC="};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strncmp(entry, NAMES[i], strlen(NAMES[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Borrowed strings in a malloc'd array. */
static char **child_environment(void)
{
    size_t count = 0, len = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **env = mem_calloc(count + 1, sizeof(*env));
    for (size_t i = 0; i < count; i++) {
        if (!is_private_variable(environ[i])) {
            env[len++] = environ[i];
        }
    }
    return env;
}

static char **child_argv(const char *binary, const char *const *argv)
{
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    char **copy = mem_calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = mem_strdup(i == 0 ? binary : argv[i]);
    }
    return copy;
}

static void free_argv(char **argv)
{
    for (size_t i = 0; argv[i] != NULL; i++) {
        free(argv[i]);
    }
    free(argv);
}

static int spawn(const char *binary, char **argv, int log_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char **env = child_environment();
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, log_fd, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int failed = posix_spawn(ret_pid, binary, &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    return failed;
}

/* Trouble here is told, not fatal: the process runs, and can be found by its identity. */
static void write_pid_file(const char *path, const struct process_child *c, struct errctx *err)
{
    char text[64];
    snprintf(text, sizeof(text), "%ld %llu\n", (long)c->pid, (unsigned long long)c->start_time);
    (void)!files_write_atomic(path, view_of(text), 0640, (gid_t)-1, err);
}

int process_child_spawn(struct loop *loop, const struct process_child_conf *conf, process_exit_fn *on_exit, void *data,
                        struct process_child **ret, struct errctx *err)
{
    char *binary = NULL;
    pid_t pid = 0;
    int rc = process_child_find_binary(conf->binary, &binary, err);
    if (rc != 0) {
        return rc;
    }
    process_log_trim(conf->log_file, conf->log_bytes_max);
    int log_fd = open(conf->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log_fd < 0) {
        rc = errctx_set_errno(err, errno, "open(%s)", conf->log_file);
        free(binary);
        return rc;
    }
    char **argv = child_argv(binary, conf->argv);
    int failed = spawn(binary, argv, log_fd, &pid);
    close(log_fd);
    if (failed != 0) {
        (void)errctx_set_errno(err, failed, "start(%s)", binary);
        rc = ERR_IO;
    } else {
        struct process_child *c = child_new(loop, pid, false, on_exit, data);
        write_pid_file(conf->pid_file, c, NULL);
        *ret = c;
    }
    free_argv(argv);
    free(binary);
    return rc;
}

int process_child_adopt(struct loop *loop, const struct process_child_conf *conf, process_exit_fn *on_exit, void *data,
                        struct process_child **ret, struct errctx *err)
{
    pid_t pid = find_by_pid_file(conf);
    bool by_file = pid != 0;
    pid = by_file ? pid : find_by_identity(conf);
    if (pid == 0) {
        return errctx_set(err, ERR_NOT_FOUND, "no running process with %s", conf->identity);
    }
    struct process_child *c = child_new(loop, pid, true, on_exit, data);
    if (!by_file) {
        write_pid_file(conf->pid_file, c, NULL);
    }
    *ret = c;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- the log
 */

/* The writer appends (O_APPEND), so cutting the file under it is safe; lines written between copy and cut are lost. */
void process_log_trim(const char *log_file, size_t bytes_max)
{
    struct stat st;
    if (bytes_max == 0 || stat(log_file, &st) != 0 || (size_t)st.st_size <= bytes_max) {
        return;
    }
    struct bytes text;
    char *older = mem_printf("%s.1", log_file);
    int fd = open(log_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bytes_init(&text, bytes_max);
    char *to = bytes_reserve(&text, bytes_max);
    ssize_t n = fd >= 0 && to != NULL ? pread(fd, to, bytes_max, st.st_size - (off_t)bytes_max) : -1;
    if (n > 0) {
        bytes_commit(&text, (size_t)n);
        (void)!files_write_atomic(older, bytes_view(&text), 0640, (gid_t)-1, NULL);
    }
    if (fd >= 0) {
        (void)!ftruncate(fd, 0);
        close(fd);
    }
    bytes_done(&text);
    free(older);
}

void process_log_last_line(const char *log_file, char *buf, size_t buf_size)
{
    char tail[2048];
    struct stat st;
    int fd = open(log_file, O_RDONLY | O_CLOEXEC);
    buf[0] = '\0';
    if (fd < 0) {
        return;
    }
    off_t from = fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(tail) - 1 ? st.st_size - (off_t)sizeof(tail) + 1 : 0;
    ssize_t n = pread(fd, tail, sizeof(tail) - 1, from);
    close(fd);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' ')) {
        n--;
    }
    if (n <= 0) {
        return;
    }
    tail[n] = '\0';
    const char *line = strrchr(tail, '\n');
    line = line != NULL ? line + 1 : tail;
    /* Prometheus' own cause is more use than its clock and source line. */
    const char *cause = strstr(line, "err=");
    snprintf(buf, buf_size, "%s", cause != NULL ? cause : line);
}

void process_status_text(int status, char *buf, size_t buf_size)
{
    if (status != -1 && WIFEXITED(status)) {
        snprintf(buf, buf_size, "exited with status %d", WEXITSTATUS(status));
    } else if (status != -1 && WIFSIGNALED(status)) {
        snprintf(buf, buf_size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(buf, buf_size, "ended");
    }
}
