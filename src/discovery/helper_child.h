/* The process behind discovery/helper.h: a Prometheus of our own that dies with us, and the same program asked whether
 * it takes a configuration. */
#ifndef KVASS_DISCOVERY_HELPER_CHILD_H
#define KVASS_DISCOVERY_HELPER_CHILD_H

#include "base/errctx.h"
#include "base/view.h"

#include <stdbool.h>
#include <sys/types.h>

#define HELPER_MESSAGE_MAX 400

/* A path as it is, a bare name by PATH; *ret is malloc'd. ERR_NOT_FOUND. */
int helper_child_find(const char *binary, char **ret, struct errctx *err) MUST_CHECK;

/* Starts argv (argv[0] the path of the program); stdout and stderr are appended to log_fd. The kernel kills the process
 * when the calling thread's process is gone. */
int helper_child_spawn(const char *const *argv, int log_fd, pid_t *ret, struct errctx *err) MUST_CHECK;

/* True, once, when the process has ended. */
bool helper_child_has_ended(pid_t pid, int *ret_status);

/* Kills it and waits for its end. */
void helper_child_end(pid_t pid);

/* Blocks, at most five seconds. ERR_INVALID: the program refuses the file, in its own words; ERR_IO, ERR_TIMEOUT. */
int helper_child_check(const char *binary, const char *config_path, const char *data_dir,
                       struct errctx *err) MUST_CHECK;

/* The words behind err= in a log line of Prometheus, unescaped; false when it has none. */
bool helper_log_error(struct view line, char *ret, size_t size);

#endif
