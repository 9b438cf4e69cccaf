/* The web configuration file of Prometheus and its exporters (exporter-toolkit): TLS, users, response headers. Accepts
 * and refuses what `promtool check web-config` accepts and refuses. */
#ifndef KVASS_NET_WEB_CONFIG_H
#define KVASS_NET_WEB_CONFIG_H

#include "base/arena.h"
#include "base/errctx.h"

#include <openssl/ssl.h>

#define WEB_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define WEB_CONFIG_USERS_MAX 10000

struct web_user {
    struct view name, hash; /* bcrypt, syntax checked */
};

struct web_header {
    const char *name, *value;
};

enum web_client_auth {
    WEB_CLIENT_AUTH_NONE,
    WEB_CLIENT_AUTH_REQUEST,
    WEB_CLIENT_AUTH_REQUIRE_ANY,
    WEB_CLIENT_AUTH_VERIFY_IF_GIVEN,
    WEB_CLIENT_AUTH_REQUIRE_AND_VERIFY,
};

struct web_config {
    struct arena *arena;                               /* owns all below */
    const char *cert_file, *key_file, *client_ca_file; /* joined to the folder of the file; NULL when absent */
    const char *client_auth_type;                      /* as written; NULL when absent */
    enum web_client_auth client_auth;
    int min_version, max_version;      /* TLS1_2_VERSION, ... */
    char *cipher_list;                 /* OpenSSL's spelling, NULL = default; "" = none below TLS 1.3 */
    char *group_list;                  /* OpenSSL's spelling, NULL = default */
    bool prefer_server_ciphers, http2; /* http2 is read and ignored: our listeners speak HTTP/1.1 */
    struct web_user *users;
    size_t user_count;
    struct web_header *headers;
    size_t header_count;
};

/* Parses text. `folder` is what relative paths are joined to. ERR_PARSE, ERR_INVALID or ERR_LIMIT; the message has line
 * and column where there is one. Touches no file. */
int web_config_parse(struct view text, const char *folder, struct web_config **ret, struct errctx *err) MUST_CHECK;

/* Reads and parses path, and builds the TLS context when the file asks for TLS (*ret_tls NULL otherwise). */
int web_config_load(const char *path, struct web_config **ret, SSL_CTX **ret_tls, struct errctx *err) MUST_CHECK;

void web_config_free(struct web_config **c);

/* web_tls.c: certificate, key and client authorities are read from their files here. */
int web_tls_build(const struct web_config *c, SSL_CTX **ret, struct errctx *err) MUST_CHECK;

/* The OpenSSL name of a cipher suite Go considers secure, NULL when unknown; *ret_tls13 tells a suite of TLS 1.3. */
const char *web_tls_cipher_name(struct view go_name, bool *ret_tls13);

#endif
