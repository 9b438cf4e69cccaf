/* Blocking server: see raw_server.h. Reads wake up ten times a second to see whether the test is over. */
#include "raw_server.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "net/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static bool wait_readable(struct raw_server *s, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&s->stop)) {
        if (poll(&p, 1, 100) > 0) {
            return true;
        }
    }
    return false;
}

static bool handshake(struct raw_conn *c)
{
    if (c->server->tls == NULL) {
        return true;
    }
    c->ssl = SSL_new(c->server->tls);
    SSL_set_fd(c->ssl, c->fd);
    return SSL_accept(c->ssl) == 1;
}

static void *run_connection(void *data)
{
    struct raw_conn *c = data;
    if (handshake(c)) {
        c->server->handler(c, c->server->data);
    }
    bytes_done(&c->in);
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
    return NULL;
}

static void *run(void *data)
{
    struct raw_server *s = data;
    while (wait_readable(s, s->listen_fd)) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        struct timeval limit = {.tv_sec = 10};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        struct raw_conn *c = mem_calloc(1, sizeof(*c));
        c->server = s;
        c->fd = fd;
        bytes_init(&c->in, 1 << 20);
        unsigned n = atomic_fetch_add(&s->connections, 1); /* before anything is answered on it */
        invariant(n < RAW_CONNECTIONS_MAX && pthread_create(&s->workers[n], NULL, run_connection, c) == 0);
    }
    for (unsigned i = 0; i < atomic_load(&s->connections); i++) {
        pthread_join(s->workers[i], NULL);
    }
    return NULL;
}

void raw_server_start(struct raw_server *s, raw_handler_fn *handler, void *data)
{
    bool inherited;
    invariant(listener_open("127.0.0.1:0", NULL, &s->listen_fd, &inherited, NULL) == 0);
    s->port = listener_port(s->listen_fd);
    s->handler = handler;
    s->data = data;
    atomic_store(&s->connections, 0);
    atomic_store(&s->stop, false);
    invariant(pthread_create(&s->thread, NULL, run, s) == 0);
}

void raw_server_stop(struct raw_server *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->listen_fd);
    SSL_CTX_free(s->tls);
    s->tls = NULL;
}

SSL_CTX *raw_server_tls(const char *cert_file, const char *key_file, const char *client_ca_file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    invariant(SSL_CTX_use_certificate_chain_file(ctx, cert_file) == 1);
    invariant(SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) == 1);
    if (client_ca_file != NULL) {
        invariant(SSL_CTX_load_verify_file(ctx, client_ca_file) == 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

static bool fill(struct raw_conn *c)
{
    char chunk[4096];
    bool ready = c->ssl != NULL && SSL_pending(c->ssl) > 0;
    if (!ready && !wait_readable(c->server, c->fd)) {
        return false;
    }
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, chunk, sizeof(chunk)) : recv(c->fd, chunk, sizeof(chunk), 0);
    if (n <= 0) {
        return false;
    }
    bytes_append(&c->in, chunk, (size_t)n);
    return true;
}

char *raw_read_head(struct raw_conn *c)
{
    char *end;
    while (c->in.len == 0 || (end = memmem(c->in.base, c->in.len, "\r\n\r\n", 4)) == NULL) {
        if (!fill(c)) {
            return NULL;
        }
    }
    size_t len = (size_t)(end - c->in.base) + 2;
    char *head = mem_dup(c->in.base, len);
    bytes_consume(&c->in, len + 2);
    return head;
}

char *raw_read_body(struct raw_conn *c, size_t len)
{
    while (c->in.len < len && fill(c)) {
    }
    len = len < c->in.len ? len : c->in.len;
    char *body = mem_dup(c->in.base != NULL ? c->in.base : "", len);
    bytes_consume(&c->in, len);
    return body;
}

void raw_send(struct raw_conn *c, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    invariant(len >= 0);
    for (int at = 0; at < len;) {
        ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, text + at, len - at)
                                   : send(c->fd, text + at, (size_t)(len - at), MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        at += (int)n;
    }
    free(text);
}

void raw_wait_end(struct raw_conn *c)
{
    while (fill(c)) {
        bytes_clear(&c->in);
    }
}

const char *raw_header(const char *head, const char *name, char buf[512])
{
    size_t len = strlen(name);
    for (const char *at = strstr(head, "\r\n"); at != NULL; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            at += len + 1;
            at += strspn(at, " ");
            snprintf(buf, 512, "%.*s", (int)strcspn(at, "\r"), at);
            return buf;
        }
    }
    return NULL;
}
