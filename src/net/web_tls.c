/* The TLS context of a listener: see web_config.h.
 *
 * Sessions are neither cached nor ticketed: API clients keep their connections, and a resumed session would skip the
 * client certificate check after the authorities changed. No ALPN is announced, so clients speak HTTP/1.1. A key that
 * wants a passphrase is an error, never a prompt on a terminal. */
#include "net/web_config.h"

#include "base/bytes.h"
#include "base/files.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <string.h>

#define PEM_BYTES_MAX ((size_t)4 << 20)

struct cipher_row {
    const char *go_name, *openssl_name; /* NULL: TLS 1.3, which is not chosen by list */
};

static const struct cipher_row cipher_rows[] = {
    {"TLS_AES_128_GCM_SHA256", NULL},
    {"TLS_AES_256_GCM_SHA384", NULL},
    {"TLS_CHACHA20_POLY1305_SHA256", NULL},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

const char *web_tls_cipher_name(struct view go_name, bool *ret_tls13)
{
    for (size_t i = 0; i < sizeof(cipher_rows) / sizeof(cipher_rows[0]); i++) {
        if (view_is(go_name, cipher_rows[i].go_name)) {
            *ret_tls13 = cipher_rows[i].openssl_name == NULL;
            return *ret_tls13 ? cipher_rows[i].go_name : cipher_rows[i].openssl_name;
        }
    }
    return NULL;
}

static int tls_error(struct errctx *err, const char *what, const char *path)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return errctx_set(err, ERR_INVALID, "%s %s: %s", what, path, reason != NULL ? reason : "not usable");
}

static int no_passphrase(char *buf, int size, int for_writing, void *data)
{
    (void)buf;
    (void)size;
    (void)for_writing;
    (void)data;
    return -1;
}

static int accept_any_certificate(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* What is not a certificate in the file is passed over, as Go does. */
static int load_authorities(SSL_CTX *ctx, const char *path, struct errctx *err)
{
    struct bytes pem;
    bytes_init(&pem, PEM_BYTES_MAX);
    int rc = files_read(path, &pem, err);
    BIO *bio = rc == 0 ? BIO_new_mem_buf(pem.base != NULL ? pem.base : "", (int)pem.len) : NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    size_t left = bio != NULL ? BIO_ctrl_pending(bio) + 1 : 0;
    while (bio != NULL && BIO_ctrl_pending(bio) < left) {
        left = BIO_ctrl_pending(bio);
        X509 *ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
        if (ca == NULL) {
            bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            ERR_clear_error();
            if (at_end) {
                break;
            }
            continue;
        }
        if (X509_STORE_add_cert(store, ca) == 1) {
            SSL_CTX_add_client_CA(ctx, ca);
        }
        X509_free(ca);
    }
    ERR_clear_error();
    BIO_free(bio);
    bytes_done(&pem);
    return rc;
}

static int set_client_auth(SSL_CTX *ctx, const struct web_config *c, struct errctx *err)
{
    int mode = SSL_VERIFY_NONE;
    bool verify = false;
    switch (c->client_auth) {
    case WEB_CLIENT_AUTH_NONE:
        break;
    case WEB_CLIENT_AUTH_REQUEST:
        mode = SSL_VERIFY_PEER;
        break;
    case WEB_CLIENT_AUTH_REQUIRE_ANY:
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        break;
    case WEB_CLIENT_AUTH_VERIFY_IF_GIVEN:
        mode = SSL_VERIFY_PEER;
        verify = true;
        break;
    case WEB_CLIENT_AUTH_REQUIRE_AND_VERIFY:
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        verify = true;
        break;
    }
    SSL_CTX_set_verify(ctx, mode, mode != SSL_VERIFY_NONE && !verify ? accept_any_certificate : NULL);
    if (c->client_ca_file != NULL) {
        return load_authorities(ctx, c->client_ca_file, err);
    }
    return verify && SSL_CTX_set_default_verify_paths(ctx) != 1
               ? tls_error(err, "certificate authorities of", "the system")
               : 0;
}

static int set_protocol(SSL_CTX *ctx, const struct web_config *c, struct errctx *err)
{
    bool only_tls13 = c->cipher_list != NULL && c->cipher_list[0] == '\0';
    SSL_CTX_set_min_proto_version(ctx, only_tls13 ? TLS1_3_VERSION : c->min_version);
    SSL_CTX_set_max_proto_version(ctx, c->max_version);
    uint64_t options = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
    SSL_CTX_set_options(ctx, options | (c->prefer_server_ciphers ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0));
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (c->min_version < TLS1_2_VERSION && SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0") != 1) {
        return tls_error(err, "min_version", "below TLS12");
    }
    if (c->cipher_list != NULL && !only_tls13 && SSL_CTX_set_cipher_list(ctx, c->cipher_list) != 1) {
        return tls_error(err, "cipher_suites", c->cipher_list);
    }
    if (c->group_list != NULL && SSL_CTX_set1_groups_list(ctx, c->group_list) != 1) {
        return tls_error(err, "curve_preferences", c->group_list);
    }
    return 0;
}

static int set_certificate(SSL_CTX *ctx, const struct web_config *c, struct errctx *err)
{
    struct bytes probe; /* the system's reason is clearer than OpenSSL's */
    bytes_init(&probe, PEM_BYTES_MAX);
    int rc = files_read(c->cert_file, &probe, err);
    bytes_clear(&probe);
    if (rc == 0) {
        rc = files_read(c->key_file, &probe, err);
    }
    if (probe.base != NULL) {
        OPENSSL_cleanse(probe.base, probe.len);
    }
    bytes_done(&probe);
    if (rc != 0) {
        return rc;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, c->cert_file) != 1) {
        return tls_error(err, "certificate", c->cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, c->key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        return tls_error(err, "private key", c->key_file);
    }
    return 0;
}

int web_tls_build(const struct web_config *c, SSL_CTX **ret, struct errctx *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return tls_error(err, "TLS", "context");
    }
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    int rc = set_certificate(ctx, c, err);
    if (rc == 0) {
        rc = set_protocol(ctx, c, err);
    }
    if (rc == 0) {
        rc = set_client_auth(ctx, c, err);
    }
    if (rc != 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *ret = ctx;
    return 0;
}
