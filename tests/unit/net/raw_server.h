/* A server for one test: blocking, a thread for each connection, handled by a function of the test. */
#ifndef KVASS_TESTS_RAW_SERVER_H
#define KVASS_TESTS_RAW_SERVER_H

#include "base/bytes.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define RAW_CONNECTIONS_MAX 256 /* in the life of a server */

struct raw_server;

struct raw_conn {
    struct raw_server *server;
    int fd;
    SSL *ssl; /* NULL = plain */
    struct bytes in;
};

/* Returns when the connection is to be closed. */
typedef void raw_handler_fn(struct raw_conn *c, void *data);

struct raw_server {
    int listen_fd;
    unsigned port;
    pthread_t thread, workers[RAW_CONNECTIONS_MAX];
    raw_handler_fn *handler;
    void *data;
    SSL_CTX *tls; /* set before raw_server_start: every connection begins with a handshake */
    atomic_uint connections;
    atomic_bool stop;
};

void raw_server_start(struct raw_server *s, raw_handler_fn *handler, void *data);
void raw_server_stop(struct raw_server *s);

/* A context for s->tls. client_ca_file NULL = no client certificate asked for. */
SSL_CTX *raw_server_tls(const char *cert_file, const char *key_file, const char *client_ca_file);

/* The next request head, NUL-ended, without its empty line; NULL at the end of the stream or of the test. free() */
char *raw_read_head(struct raw_conn *c);
char *raw_read_body(struct raw_conn *c, size_t len); /* NUL-ended; free() */
void raw_send(struct raw_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void raw_wait_end(struct raw_conn *c); /* until the client hangs up or the test stops the server */

/* Value of a header in a head; NULL when absent. */
const char *raw_header(const char *head, const char *lower_case_name, char buf[512]);

#endif
