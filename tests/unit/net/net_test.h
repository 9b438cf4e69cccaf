/* For the tests of this room: a server on a thread of its own, a blocking raw client, certificates, scratch files. */
#ifndef KVASS_TESTS_NET_TEST_H
#define KVASS_TESTS_NET_TEST_H

#include "base/bytes.h"
#include "net/http_server.h"

#include <openssl/ssl.h>
#include <pthread.h>

/* A scratch folder below the working directory; removed by scratch_done. */
struct scratch {
    char folder[64];
};
void scratch_init(struct scratch *s);
void scratch_done(struct scratch *s);
char *scratch_path(const struct scratch *s, const char *name);                       /* free() */
char *scratch_write(const struct scratch *s, const char *name, const char *content); /* free() the path */

/* A key and a certificate for localhost and 127.0.0.1 as name.key, name.crt, signed by itself or by `ca` (a name made
 * before). */
void make_certificate(const struct scratch *s, const char *name, const char *ca, bool is_ca);

struct test_server {
    struct loop *loop;
    pthread_t thread;
    struct http_server *http;
    unsigned port;
    bool closed;
    int64_t grace_ms;
};

/* Listens on 127.0.0.1, port chosen by the kernel. */
void test_server_start(struct test_server *t, const struct http_server_conf *conf, const struct http_row *rows,
                       void *data);
void test_server_stop(struct test_server *t);                          /* close, wait, free */
void test_server_post(struct test_server *t, loop_fn *fn, void *data); /* runs there, returns when done */

/* Blocking client connection; every wait ends after ten seconds. */
struct peer {
    int fd;
    SSL *ssl;
    SSL_CTX *ctx;
    struct bytes in;
};

struct reply {
    int status;
    char *head, *body; /* NUL-ended */
    size_t body_len;
    bool closed; /* the server ended the connection before a whole answer */
};

void peer_connect(struct peer *p, unsigned port);
/* Files may be NULL; false when the handshake fails. */
bool peer_connect_tls(struct peer *p, unsigned port, const char *ca_file, const char *cert_file, const char *key_file);
void peer_close(struct peer *p);
void peer_reset(struct peer *p); /* ends by RST */
void peer_send(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void peer_send_bytes(struct peer *p, const void *base, size_t len);
bool peer_at_end(struct peer *p); /* waits for the server to end the connection */
void peer_read(struct peer *p, bool to_head, struct reply *ret);
void reply_done(struct reply *r);
const char *reply_header(const struct reply *r, const char *lower_case_name, char buf[256]); /* NULL when absent */

/* One request on a connection of its own. */
void fetch(unsigned port, const char *request, struct reply *ret);

#endif
