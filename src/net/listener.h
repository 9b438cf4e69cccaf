/* Listening sockets: bound here, or inherited (systemd socket activation: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES). */
#ifndef KVASS_NET_LISTENER_H
#define KVASS_NET_LISTENER_H

#include "base/errctx.h"

#include <stdbool.h>
#include <stddef.h>

/* A bound, listening, non-blocking, close-on-exec fd for "host:port", ":port" (all addresses) or "[v6]:port". When an
 * inherited socket is bound to the same address, or carries the given fd name, it is taken instead and *ret_inherited
 * is true. ERR_IO: the message has address, cause and, for a port in use, the remedy. */
int listener_open(const char *address, const char *fd_name, int *ret_fd, bool *ret_inherited,
                  struct errctx *err) MUST_CHECK;

/* Splits an address; port 0..65535. Host may be empty. */
int listener_parse_address(const char *address, char host[256], unsigned *ret_port, struct errctx *err) MUST_CHECK;

/* Inherited listening sockets that are none of fds: nobody answers on them. *at begins at 0; false: no further one.
 * `ret` gets the address it is bound to. */
bool listener_next_unused(const int *fds, size_t count, int *at, char ret[64]);

/* The port a listening fd is bound to (for port 0). */
unsigned listener_port(int fd);

#endif
