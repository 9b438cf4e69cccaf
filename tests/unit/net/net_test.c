/* Helpers of the net tests: see net_test.h. Failures of the test's own machinery end the program. */
#include "net_test.h"

#include "base/files.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* libh2o keeps free lists per thread and cannot give them back when the thread ends. Threads of the daemon live as long
 * as it does; those of the tests do not. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\n";
}

void scratch_init(struct scratch *s)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(s->folder, sizeof(s->folder), "net-test-XXXXXX");
    invariant(mkdtemp(s->folder) != NULL);
}

void scratch_done(struct scratch *s)
{
    invariant(files_remove_tree(s->folder, NULL) == 0);
}

char *scratch_path(const struct scratch *s, const char *name)
{
    return mem_printf("%s/%s", s->folder, name);
}

char *scratch_write(const struct scratch *s, const char *name, const char *content)
{
    char *path = scratch_path(s, name);
    invariant(files_write_atomic(path, view_of(content), 0600, (gid_t)-1, NULL) == 0);
    return path;
}

/* --- certificates */

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    invariant(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static FILE *open_in(const struct scratch *s, const char *name, const char *suffix, const char *mode)
{
    char *path = mem_printf("%s/%s%s", s->folder, name, suffix);
    FILE *f = fopen(path, mode);
    invariant(f != NULL);
    free(path);
    return f;
}

void make_certificate(const struct scratch *s, const char *name, const char *ca, bool is_ca)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = key;
    X509 *cert = X509_new(), *issuer = cert;
    invariant(key != NULL && cert != NULL);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    if (ca != NULL) {
        FILE *f = open_in(s, ca, ".key", "r");
        ca_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
        f = open_in(s, ca, ".crt", "r");
        issuer = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
    }
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    add_extension(cert, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(cert, issuer, NID_subject_alt_name, "DNS:localhost,DNS:server.example,IP:127.0.0.1");
    invariant(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    FILE *f = open_in(s, name, ".key", "w");
    invariant(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
    f = open_in(s, name, ".crt", "w");
    invariant(PEM_write_X509(f, cert) == 1);
    fclose(f);
    if (ca != NULL) {
        X509_free(issuer);
        EVP_PKEY_free(ca_key);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* --- server */

static void *run_server(void *data)
{
    struct test_server *t = data;
    loop_run(t->loop);
    return NULL;
}

void test_server_start(struct test_server *t, const struct http_server_conf *conf, const struct http_row *rows,
                       void *data)
{
    struct errctx err = ERRCTX_INIT;
    bool inherited;
    int fd;
    *t = (struct test_server){.loop = loop_new(), .grace_ms = 2000};
    invariant(listener_open("127.0.0.1:0", NULL, &fd, &inherited, &err) == 0);
    t->port = listener_port(fd);
    if (http_server_new(t->loop, fd, conf, rows, data, &t->http, &err) != 0) {
        fprintf(stderr, "# %s\n", err.msg);
        invariant(!"server did not start");
    }
    invariant(pthread_create(&t->thread, NULL, run_server, t) == 0);
}

static void on_closed(void *data)
{
    struct test_server *t = data;
    t->closed = true;
    loop_stop(t->loop);
}

static void close_server(void *data)
{
    struct test_server *t = data;
    http_server_close(t->http, t->grace_ms, on_closed, t);
}

void test_server_stop(struct test_server *t)
{
    invariant(loop_post(t->loop, close_server, t));
    invariant(pthread_join(t->thread, NULL) == 0);
    invariant(t->closed);
    loop_free(&t->loop);
}

struct posted {
    loop_fn *fn;
    void *data;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
};

static void run_posted(void *data)
{
    struct posted *p = data;
    p->fn(p->data);
    pthread_mutex_lock(&p->lock);
    p->done = true;
    pthread_cond_signal(&p->done_cond);
    pthread_mutex_unlock(&p->lock);
}

void test_server_post(struct test_server *t, loop_fn *fn, void *data)
{
    struct posted p = {.fn = fn, .data = data};
    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.done_cond, NULL);
    invariant(loop_post(t->loop, run_posted, &p));
    pthread_mutex_lock(&p.lock);
    while (!p.done) {
        pthread_cond_wait(&p.done_cond, &p.lock);
    }
    pthread_mutex_unlock(&p.lock);
    pthread_mutex_destroy(&p.lock);
    pthread_cond_destroy(&p.done_cond);
}

/* --- client */

void peer_connect(struct peer *p, unsigned port)
{
    *p = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    bytes_init(&p->in, (size_t)256 << 20);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    invariant(connect(p->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
}

bool peer_connect_tls(struct peer *p, unsigned port, const char *ca_file, const char *cert_file, const char *key_file)
{
    peer_connect(p, port);
    p->ctx = SSL_CTX_new(TLS_client_method());
    if (ca_file != NULL) {
        invariant(SSL_CTX_load_verify_file(p->ctx, ca_file) == 1);
        SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    }
    if (cert_file != NULL) {
        invariant(SSL_CTX_use_certificate_file(p->ctx, cert_file, SSL_FILETYPE_PEM) == 1);
        invariant(SSL_CTX_use_PrivateKey_file(p->ctx, key_file, SSL_FILETYPE_PEM) == 1);
    }
    p->ssl = SSL_new(p->ctx);
    SSL_set_fd(p->ssl, p->fd);
    SSL_set_tlsext_host_name(p->ssl, "localhost");
    return SSL_connect(p->ssl) == 1;
}

void peer_close(struct peer *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
    bytes_done(&p->in);
    ERR_clear_error();
}

void peer_reset(struct peer *p)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    peer_close(p);
}

void peer_send_bytes(struct peer *p, const void *base, size_t len)
{
    const char *at = base;
    while (len > 0) {
        ssize_t n = p->ssl != NULL ? SSL_write(p->ssl, at, (int)len) : send(p->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* the server hung up: the answer tells */
        }
        at += n;
        len -= (size_t)n;
    }
}

void peer_send(struct peer *p, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    invariant(len >= 0);
    peer_send_bytes(p, text, (size_t)len);
    free(text);
}

/* False at the end of the stream, an error or after the time limit. */
static bool fill(struct peer *p)
{
    char *to = bytes_reserve(&p->in, 65536);
    invariant(to != NULL);
    ssize_t n = p->ssl != NULL ? SSL_read(p->ssl, to, 65536) : recv(p->fd, to, 65536, 0);
    if (n <= 0) {
        return false;
    }
    bytes_commit(&p->in, (size_t)n);
    return true;
}

bool peer_at_end(struct peer *p)
{
    char c;
    for (;;) {
        ssize_t n = p->ssl != NULL ? SSL_read(p->ssl, &c, 1) : recv(p->fd, &c, 1, 0);
        if (n <= 0) {
            return p->ssl != NULL || n == 0 || errno == ECONNRESET;
        }
    }
}

static bool read_exactly(struct peer *p, size_t len, struct bytes *out)
{
    while (p->in.len < len) {
        if (!fill(p)) {
            return false;
        }
    }
    bytes_append(out, p->in.base, len);
    bytes_consume(&p->in, len);
    return true;
}

static bool read_line(struct peer *p, struct bytes *out)
{
    char *eol;
    while (p->in.len == 0 || (eol = memmem(p->in.base, p->in.len, "\r\n", 2)) == NULL) {
        if (!fill(p)) {
            return false;
        }
    }
    return read_exactly(p, (size_t)(eol - p->in.base) + 2, out);
}

static bool read_chunks(struct peer *p, struct bytes *out)
{
    for (;;) {
        struct bytes line;
        bytes_init(&line, 1024);
        bool ok = read_line(p, &line);
        size_t len = ok ? strtoul(line.base, NULL, 16) : 0;
        bytes_clear(&line);
        ok = ok && read_exactly(p, len, out) && read_exactly(p, 2, &line);
        bytes_done(&line);
        if (!ok || len == 0) {
            return ok;
        }
    }
}

void peer_read(struct peer *p, bool to_head, struct reply *ret)
{
    struct bytes head, body;
    bytes_init(&head, 1 << 20);
    bytes_init(&body, (size_t)256 << 20);
    *ret = (struct reply){0};
    bool ok;
    size_t before;
    do {
        before = head.len;
        ok = read_line(p, &head);
    } while (ok && head.len - before > 2);
    ret->head = bytes_take(&head, NULL);
    char buf[256];
    if (ok) {
        ret->status = (int)strtol(ret->head + 9, NULL, 10);
        const char *length = reply_header(ret, "content-length", buf);
        bool none = to_head || ret->status == 204 || ret->status == 304;
        if (!none && length != NULL) {
            ok = read_exactly(p, strtoul(length, NULL, 10), &body);
        } else if (!none && reply_header(ret, "transfer-encoding", buf) != NULL) {
            ok = read_chunks(p, &body);
        } else if (!none) {
            while (fill(p)) {
            }
            ok = read_exactly(p, p->in.len, &body);
        }
    }
    ret->closed = !ok;
    ret->body = bytes_take(&body, &ret->body_len);
}

void reply_done(struct reply *r)
{
    free(r->head);
    free(r->body);
}

const char *reply_header(const struct reply *r, const char *name, char buf[256])
{
    size_t len = strlen(name);
    for (const char *at = strstr(r->head, "\r\n"); at != NULL; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            at += len + 1;
            at += strspn(at, " ");
            snprintf(buf, 256, "%.*s", (int)strcspn(at, "\r"), at);
            return buf;
        }
    }
    return NULL;
}

void fetch(unsigned port, const char *request, struct reply *ret)
{
    struct peer p;
    peer_connect(&p, port);
    peer_send_bytes(&p, request, strlen(request));
    peer_read(&p, strncmp(request, "HEAD ", 5) == 0, ret);
    peer_close(&p);
}
