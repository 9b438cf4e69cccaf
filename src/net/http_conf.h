/* HTTP client settings as a prometheus.yml spells them (scrape jobs, http_sd, ...): plain strings, NULL or "" when
 * absent. Filled by configgen, used by net/http_profile. All strings live in the owner's arena. */
#ifndef KVASS_NET_HTTP_CONF_H
#define KVASS_NET_HTTP_CONF_H

#include "base/view.h"

struct tls_conf {
    const char *ca, *ca_file, *cert, *cert_file, *key, *key_file; /* inline or file */
    const char *server_name, *min_version, *max_version;          /* TLS10 .. TLS13 */
    bool insecure_skip_verify;
};

struct http_proxy_conf {
    const char *url, *no_proxy;
    bool from_environment;
    const struct label *connect_headers; /* name, value; repeated names allowed (struct label of model/labels.h) */
    size_t connect_header_count;
};

struct oauth2_conf {
    const char *client_id, *client_secret, *client_secret_file, *token_url;
    const char **scopes;
    size_t scope_count;
    const struct label *endpoint_params;
    size_t endpoint_param_count;
    struct tls_conf tls;
    struct http_proxy_conf proxy;
};

struct http_header_conf {
    const char *name;
    const char **values; /* and secrets */
    size_t value_count;
    const char **files;
    size_t file_count;
};

struct http_client_conf {
    const char *username, *username_file, *password, *password_file; /* basic_auth */
    bool has_basic_auth;
    const char *auth_type, *credentials, *credentials_file; /* authorization, bearer_token(_file) */
    bool has_authorization;
    const struct oauth2_conf *oauth2; /* NULL = none */
    struct tls_conf tls;
    struct http_proxy_conf proxy;
    const struct http_header_conf *headers;
    size_t header_count;
    bool follow_redirects; /* default true */
    bool enable_http2;     /* default true */
};

#endif
