/* Running the user's Prometheus for its service discovery.
 *
 * The process holds nothing worth keeping, so it is killed outright, and the kernel does so when we die. That needs
 * prctl between fork and exec, which posix_spawn has not; only async-signal-safe calls are made there.
 *
 * Prometheus has no flag that only checks a file. But it loads its configuration before it opens its port, so one that
 * is given a port no system has ends within a tenth of a second, and its last words tell how far it came. */
#include "discovery/helper_child.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_TIMEOUT_MS    5000
#define CHECK_BYTES_MAX     ((size_t)64 << 10)
#define IMPOSSIBLE_ADDRESS  "127.0.0.1:99999"
#define WORDS_OF_GOOD_FILES "Unable to start web listener"
#define WORDS_OF_BAD_FILES  "Error loading config"

int helper_child_find(const char *binary, char **ret, struct errctx *err)
{
    const char *path = getenv("PATH");
    if (strchr(binary, '/') != NULL) {
        if (access(binary, X_OK) != 0) {
            return errctx_set(err, ERR_NOT_FOUND, "%s is no program that can be run", binary);
        }
        *ret = mem_strdup(binary);
        return 0;
    }
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; *at != '\0';) {
        size_t len = strcspn(at, ":");
        char *candidate = mem_printf("%.*s/%s", (int)len, at, binary);
        if (len > 0 && access(candidate, X_OK) == 0) {
            *ret = candidate;
            return 0;
        }
        free(candidate);
        at += len + (at[len] == ':');
    }
    return errctx_set(err, ERR_NOT_FOUND, "no program %s in PATH", binary);
}

static bool is_ours_alone(const char *variable)
{
    static const char *const names[] = {"NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_", "GOGC=", "INVOCATION_ID="};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* In the child, behind fork: async-signal-safe calls only. */
static void child_run(char *const *argv, char **envp, int log_fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent) {
        int null_fd = open("/dev/null", O_RDONLY);
        if (null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
            dup2(log_fd, STDERR_FILENO) >= 0) {
            execve(argv[0], argv, envp);
        }
    }
    _exit(127);
}

int helper_child_spawn(const char *const *argv, int log_fd, pid_t *ret, struct errctx *err)
{
    static char thrift[] = "GOGC=50"; /* little garbage at the price of a little time */
    VEC(char *) envp = {0}, args = {0};
    for (char **v = environ; *v != NULL; v++) {
        if (!is_ours_alone(*v)) {
            *vec_push(&envp) = *v;
        }
    }
    *vec_push(&envp) = thrift;
    *vec_push(&envp) = NULL;
    for (size_t i = 0; argv[i] != NULL; i++) {
        *vec_push(&args) = mem_strdup(argv[i]);
    }
    *vec_push(&args) = NULL;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        child_run(args.items, envp.items, log_fd, parent);
    }
    int why = errno;
    vec_done(&envp);
    for (size_t i = 0; i < args.len; i++) {
        free(args.items[i]);
    }
    vec_done(&args);
    if (pid < 0) {
        return errctx_set_errno(err, why, "start %s", argv[0]);
    }
    *ret = pid;
    return 0;
}

bool helper_child_has_ended(pid_t pid, int *ret_status)
{
    return waitpid(pid, ret_status, WNOHANG) == pid;
}

void helper_child_end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
}

static bool read_until_end(int fd, struct bytes *out)
{
    int64_t deadline_ms = timebase_monotonic_ms() + CHECK_TIMEOUT_MS;
    char *room;
    while ((room = bytes_reserve(out, 4096)) != NULL) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - timebase_monotonic_ms();
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0) {
            return false;
        }
        ssize_t n = read(fd, room, 4096);
        if (n <= 0) {
            return n == 0;
        }
        bytes_commit(out, (size_t)n);
    }
    return false;
}

bool helper_log_error(struct view line, char *ret, size_t size)
{
    static const char mark[] = " err=";
    const char *at = memmem(line.base, line.len, mark, sizeof(mark) - 1), *end = line.base + line.len;
    size_t n = 0;
    if (at == NULL) {
        return false;
    }
    at += sizeof(mark) - 1;
    bool is_quoted = at < end && *at == '"';
    for (at += is_quoted; at < end && *at != (is_quoted ? '"' : ' ') && n + 1 < size; at++) {
        bool is_escape = *at == '\\' && at + 1 < end;
        at += is_escape;
        ret[n++] = *at;
        if (is_escape && (*at == 'n' || *at == 't')) {
            ret[n - 1] = ' ';
        }
    }
    ret[n] = '\0';
    return n > 0;
}

/* "parsing YAML file F: yaml: unmarshal errors:  line 7: field x not found ..." from "field" on: that file is ours. */
static const char *without_place(const char *words)
{
    const char *at = strstr(words, ".yml: ");
    words = at != NULL ? at + 6 : words;
    at = strstr(words, "unmarshal errors:");
    const char *line = at != NULL ? strstr(at, "line ") : NULL;
    const char *behind = line != NULL ? strstr(line, ": ") : NULL;
    return behind != NULL ? behind + 2 : words;
}

/* What the output of a check comes to. */
static int check_verdict(const char *binary, struct bytes *output, struct errctx *err)
{
    char words[HELPER_MESSAGE_MAX];
    const char *line = strstr(output->base, WORDS_OF_BAD_FILES);
    if (line != NULL) {
        struct view rest = view_make(line, strcspn(line, "\n"));
        bool is_told = helper_log_error(rest, words, sizeof(words));
        return errctx_set(err, ERR_INVALID, "%s; expected what this Prometheus has",
                          is_told ? without_place(words) : "no reason told");
    }
    if (strstr(output->base, WORDS_OF_GOOD_FILES) != NULL) {
        return 0;
    }
    while (output->len > 0 && output->base[output->len - 1] == '\n') {
        output->base[--output->len] = '\0';
    }
    line = memrchr(output->base, '\n', output->len);
    return errctx_set(err, ERR_IO,
                      "%s did not say whether it takes the configuration; is it a Prometheus? Its last words: %.200s",
                      binary, line != NULL ? line + 1 : output->base);
}

int helper_child_check(const char *binary, const char *config_path, const char *data_dir, struct errctx *err)
{
    char *config = mem_printf("--config.file=%s", config_path), *data = mem_printf("--storage.tsdb.path=%s", data_dir);
    const char *const argv[] = {binary, config, data, "--web.listen-address=" IMPOSSIBLE_ADDRESS, NULL};
    struct bytes output;
    int fds[2], rc;
    pid_t pid;
    bytes_init(&output, CHECK_BYTES_MAX);
    bytes_append_str(&output, "");
    if (pipe2(fds, O_CLOEXEC) != 0) {
        rc = errctx_set_errno(err, errno, "pipe");
    } else {
        rc = helper_child_spawn(argv, fds[1], &pid, err);
        close(fds[1]);
        if (rc == 0) {
            bool is_whole = read_until_end(fds[0], &output);
            helper_child_end(pid);
            rc = is_whole ? check_verdict(binary, &output, err)
                          : errctx_set(err, ERR_TIMEOUT, "%s took too long to look at its configuration", binary);
        }
        close(fds[0]);
    }
    bytes_done(&output);
    free(config);
    free(data);
    return rc;
}
