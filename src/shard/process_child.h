/* One operating-system process of a shard: started in a session of its own, watched through a pidfd, found again by pid
 * file and start time after we ourselves were restarted. No policy here: process.c decides when. Control loop only. */
#ifndef KVASS_SHARD_PROCESS_CHILD_H
#define KVASS_SHARD_PROCESS_CHILD_H

#include "base/errctx.h"
#include "base/loop.h"

#include <stdbool.h>
#include <sys/types.h>

struct process_child;

/* What to run and where its traces are kept. Borrowed for the call. */
struct process_child_conf {
    const char *binary;      /* a path, or a name looked up in PATH */
    const char *const *argv; /* NULL-ended; argv[0] is replaced by the binary found */
    const char *identity;    /* the one argument no other process has: --storage.tsdb.path=... */
    const char *pid_file, *log_file;
    size_t log_bytes_max; /* the log is cut at this size, one older piece is kept */
};

/* on_exit runs once from the loop, after the process has ended; status is that of waitpid, or -1 for an adopted
 * process, whose status nobody can tell. The handle stays valid until process_child_free. */
typedef void process_exit_fn(void *data, int status);

/* ERR_NOT_FOUND: no such binary; ERR_IO: everything else the system refused. The messages name path and cause. */
int process_child_spawn(struct loop *loop, const struct process_child_conf *conf, process_exit_fn *on_exit, void *data,
                        struct process_child **ret, struct errctx *err) MUST_CHECK;

/* The process the pid file speaks of, if it still runs, is the same (start time), is ours (user) and runs with
 * conf->identity; without a usable pid file every process of our user is asked for that argument, as the file may not
 * have been written in time. ERR_NOT_FOUND when there is none. */
int process_child_adopt(struct loop *loop, const struct process_child_conf *conf, process_exit_fn *on_exit, void *data,
                        struct process_child **ret, struct errctx *err) MUST_CHECK;

/* Lets go of the process, which goes on running when it does; no on_exit afterwards. */
void process_child_free(struct process_child **child);

pid_t process_child_pid(const struct process_child *child);
bool process_child_is_adopted(const struct process_child *child);

/* True when its arguments (argv[0] apart) are those of conf. */
bool process_child_has_arguments(const struct process_child *child, const struct process_child_conf *conf);

/* The value of an argument "name=value" it was started with, malloc'd; NULL when there is none. */
char *process_child_argument(const struct process_child *child, const char *name);

/* Only ever reaches this process: the pidfd keeps the number from meaning another one. */
void process_child_signal(struct process_child *child, int sig);

/* Where the system has no pidfd this notices the end of the process; call it every second or so. */
void process_child_check(struct process_child *child);

/* Keeps the log within its bound while the process writes on. */
void process_log_trim(const char *log_file, size_t bytes_max);

/* The last non-empty line of the log, cut to fit; "" when there is none. */
void process_log_last_line(const char *log_file, char *buf, size_t buf_size);

/* A sentence for a waitpid status: "exited with status 1", "was killed by signal 9 (Killed)", "ended". */
void process_status_text(int status, char *buf, size_t buf_size);

/* The executable behind a name: a path as it is, a bare name by PATH. *ret is malloc'd. ERR_NOT_FOUND with a remedy. */
int process_child_find_binary(const char *binary, char **ret, struct errctx *err) MUST_CHECK;

#endif
