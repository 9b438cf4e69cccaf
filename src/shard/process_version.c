/* Which Prometheus a binary is: `--version` is asked once at start, with a deadline, and the process ended whatever it
 * does. */
#include "shard/process_version.h"
#include "base/timebase.h"
#include "shard/process_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 2000

/* What the child writes until it closes the pipe, is silent for too long, or the buffer is full. */
static void read_output(int fd, char *out, size_t max)
{
    size_t len = 0;
    int64_t deadline_ms = timebase_monotonic_ms() + TIMEOUT_MS;
    while (len + 1 < max) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - timebase_monotonic_ms();
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0) {
            break;
        }
        ssize_t n = read(fd, out + len, max - 1 - len);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    out[len] = '\0';
}

static int spawn_version(const char *path, int write_fd, pid_t *ret_pid)
{
    char name[] = "prometheus", flag[] = "--version";
    char *argv[] = {name, flag, NULL};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, write_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, write_fd, STDERR_FILENO);
    int failed = posix_spawn(ret_pid, path, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

int process_version(const char *binary, char ret[64], struct errctx *err)
{
    char *path, output[1024];
    int fds[2], rc = process_child_find_binary(binary, &path, err);
    pid_t pid;
    if (rc != 0) {
        return rc;
    }
    if (pipe2(fds, O_CLOEXEC) != 0) {
        free(path);
        return errctx_set_errno(err, errno, "pipe");
    }
    int failed = spawn_version(path, fds[1], &pid);
    close(fds[1]);
    if (failed == 0) {
        read_output(fds[0], output, sizeof(output));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(fds[0]);
    const char *at = failed == 0 ? strstr(output, "version ") : NULL;
    if (failed != 0) {
        rc = errctx_set_errno(err, failed, "start(%s --version)", path);
    } else if (at == NULL || sscanf(at, "version %63[0-9a-zA-Z.+~-]", ret) != 1) {
        rc = errctx_set(err, ERR_INVALID, "%s --version: no version in its output; is it a Prometheus?", path);
    }
    free(path);
    return rc;
}
