/* Prepared HTTP clients: see http_profile.h.
 *
 * Redirects are not left to libcurl: it would send configured headers to any host, keep the proxy chosen for the first
 * URL, and know nothing of no_proxy. Each hop is a request of its own; what is secret goes to the first URL's host
 * only, and never from https to http. Certificates go as blobs, read when their files change. A tls_config.server_name
 * is the URL's host for libcurl, connected to the real one (CONNECT_TO), with the real Host header: so SNI,
 * verification and the connection pool all see the same name. */
#include "net/http_profile.h"
#include "base/arena.h"
#include "base/mem.h"
#include "model/labels.h"
#include "net/http_no_proxy.h"
#include "net/http_oauth2.h"
#include "net/http_profile_file.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define CA_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

struct profile_header {
    char *name;
    struct profile_file value;
};

struct http_profile {
    struct arena *arena;
    bool has_basic, has_authorization, follow_redirects, http2, insecure;
    struct profile_file username, password, credentials, ca, cert, key;
    char *auth_type, *server_name;
    long ssl_version;
    char *proxy_url, *no_proxy;
    bool proxy_from_environment;
    struct curl_slist *connect_headers;
    struct profile_header *headers;
    size_t header_count;
    struct oauth2 *oauth2;
};

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static char *copy(struct http_profile *p, const char *s)
{
    return is_set(s) ? arena_strdup(p->arena, s) : NULL;
}

static long tls_version(const char *name, long fallback, bool max)
{
    static const struct {
        const char *name;
        long min, max;
    } VERSIONS[] = {
        {"TLS10", CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_0},
        {"TLS11", CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_1},
        {"TLS12", CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_2},
        {"TLS13", CURL_SSLVERSION_TLSv1_3, CURL_SSLVERSION_MAX_TLSv1_3},
    };
    for (size_t i = 0; name != NULL && i < sizeof(VERSIONS) / sizeof(VERSIONS[0]); i++) {
        if (strcmp(VERSIONS[i].name, name) == 0) {
            return max ? VERSIONS[i].max : VERSIONS[i].min;
        }
    }
    return fallback;
}

static void take_headers(struct http_profile *p, const struct http_client_conf *conf)
{
    size_t total = 0;
    for (size_t i = 0; i < conf->header_count; i++) {
        total += conf->headers[i].value_count + conf->headers[i].file_count;
    }
    p->headers = mem_calloc(total + 1, sizeof(*p->headers));
    for (size_t i = 0; i < conf->header_count; i++) {
        const struct http_header_conf *h = &conf->headers[i];
        for (size_t k = 0; k < h->value_count; k++) {
            p->headers[p->header_count].name = copy(p, h->name);
            profile_file_init(&p->headers[p->header_count++].value, NULL, h->values[k]);
        }
        for (size_t k = 0; k < h->file_count; k++) {
            p->headers[p->header_count].name = copy(p, h->name);
            profile_file_init(&p->headers[p->header_count++].value, h->files[k], NULL);
        }
    }
}

static void take_proxy(struct http_profile *p, const struct http_proxy_conf *conf)
{
    p->proxy_url = copy(p, conf->url);
    p->no_proxy = copy(p, conf->no_proxy);
    p->proxy_from_environment = conf->from_environment;
    for (size_t i = 0; i < conf->connect_header_count; i++) {
        char *line =
            mem_printf("%.*s: %.*s", VIEW_FMT(conf->connect_headers[i].name), VIEW_FMT(conf->connect_headers[i].value));
        p->connect_headers = curl_slist_append(p->connect_headers, line);
        free(line);
    }
}

struct http_profile *http_profile_new(const struct http_client_conf *conf)
{
    struct http_profile *p = mem_calloc(1, sizeof(*p));
    p->arena = arena_new();
    p->has_basic = conf->has_basic_auth;
    p->has_authorization = conf->has_authorization;
    p->follow_redirects = conf->follow_redirects;
    p->http2 = conf->enable_http2;
    profile_file_init(&p->username, conf->username_file, conf->username);
    profile_file_init(&p->password, conf->password_file, conf->password);
    profile_file_init(&p->credentials, conf->credentials_file, conf->credentials);
    profile_file_init(&p->ca, conf->tls.ca_file, conf->tls.ca);
    profile_file_init(&p->cert, conf->tls.cert_file, conf->tls.cert);
    profile_file_init(&p->key, conf->tls.key_file, conf->tls.key);
    p->auth_type = copy(p, conf->auth_type);
    p->server_name = copy(p, conf->tls.server_name);
    p->insecure = conf->tls.insecure_skip_verify;
    p->ssl_version = tls_version(conf->tls.min_version, CURL_SSLVERSION_TLSv1_2, false) |
                     tls_version(conf->tls.max_version, CURL_SSLVERSION_MAX_DEFAULT, true);
    take_proxy(p, &conf->proxy);
    take_headers(p, conf);
    p->oauth2 = conf->oauth2 != NULL ? oauth2_new(conf->oauth2) : NULL;
    return p;
}

void http_profile_free(struct http_profile **handle)
{
    struct http_profile *p = *handle;
    if (p == NULL) {
        return;
    }
    struct profile_file *files[] = {&p->username, &p->password, &p->credentials, &p->ca, &p->cert, &p->key};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        profile_file_done(files[i]);
    }
    for (size_t i = 0; i < p->header_count; i++) {
        profile_file_done(&p->headers[i].value);
    }
    free(p->headers);
    curl_slist_free_all(p->connect_headers);
    oauth2_free(&p->oauth2);
    arena_free(&p->arena);
    free(p);
    *handle = NULL;
}

/* ---------------------------------------------------------------- applying */

static int set_text(CURL *easy, CURLoption option, struct profile_file *f, struct errctx *err)
{
    struct view v;
    int rc = profile_file_get(f, true, &v, err);
    if (rc == 0) {
        char *text = mem_dup(v.base, v.len);
        curl_easy_setopt(easy, option, text);
        explicit_bzero(text, v.len);
        free(text);
    }
    return rc;
}

static int set_blob(CURL *easy, CURLoption option, struct profile_file *f, struct errctx *err)
{
    struct view v;
    if (!profile_file_is_set(f)) {
        return 0;
    }
    int rc = profile_file_get(f, false, &v, err);
    if (rc == 0) {
        struct curl_blob blob = {.len = v.len, .flags = CURL_BLOB_COPY};
        memcpy(&blob.data, &v.base, sizeof(blob.data));
        curl_easy_setopt(easy, option, &blob);
    }
    return rc;
}

static void append_header(struct curl_slist **headers, const char *name, struct view value)
{
    char *line = value.len > 0 ? mem_printf("%s: %.*s", name, VIEW_FMT(value)) : mem_printf("%s;", name);
    *headers = curl_slist_append(*headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
}

static int set_auth(struct http_profile *p, CURL *easy, struct curl_slist **headers, struct errctx *err)
{
    int rc = 0;
    if (p->oauth2 != NULL) {
        struct errctx why = ERRCTX_INIT;
        const char *token = oauth2_token(p->oauth2, &why);
        if (token == NULL) {
            return errctx_set(err, why.code, "%s", why.msg);
        }
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token);
    } else if (p->has_basic) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        rc = set_text(easy, CURLOPT_USERNAME, &p->username, err);
        rc = rc == 0 ? set_text(easy, CURLOPT_PASSWORD, &p->password, err) : rc;
    } else if (p->has_authorization && (p->auth_type == NULL || strcasecmp(p->auth_type, "bearer") == 0)) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        rc = set_text(easy, CURLOPT_XOAUTH2_BEARER, &p->credentials, err);
    } else if (p->has_authorization) {
        struct view v;
        rc = profile_file_get(&p->credentials, true, &v, err);
        if (rc == 0) {
            char *value = mem_printf("%s %.*s", p->auth_type, VIEW_FMT(v));
            append_header(headers, "Authorization", view_of(value)); /* libcurl drops it for another host */
            explicit_bzero(value, strlen(value));
            free(value);
        }
    }
    return rc;
}

/* URL with tls server_name as host, connected to the real host. */
static void set_server_name(struct http_profile *p, CURL *easy, const char *url, struct curl_slist **headers)
{
    char *host = NULL, *port = NULL, *renamed = NULL;
    CURLU *u = curl_url();
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, p->server_name, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &renamed, 0) == CURLUE_OK) {
        char *to = mem_printf("%s:%s:%s:%s", p->server_name, port, host, port);
        bool usual = strcmp(port, "443") == 0;
        char *name = mem_printf("%s%s%s", host, usual ? "" : ":", usual ? "" : port);
        struct curl_slist *connect_to = curl_slist_append(NULL, to);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to);
        curl_loop_keep(easy, connect_to);
        curl_easy_setopt(easy, CURLOPT_URL, renamed);
        append_header(headers, "Host", view_of(name));
        free(to);
        free(name);
    }
    curl_free(host);
    curl_free(port);
    curl_free(renamed);
    curl_url_cleanup(u);
}

/* libcurl still looks into the subject's common name when a certificate names no host elsewhere; Go's client, and so
 * Prometheus, does not. */
static int on_certificate(int good, X509_STORE_CTX *ctx)
{
    GENERAL_NAMES *names = NULL;
    bool named = false;
    if (!good || X509_STORE_CTX_get_error_depth(ctx) != 0) {
        return good;
    }
    names = X509_get_ext_d2i(X509_STORE_CTX_get_current_cert(ctx), NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = sk_GENERAL_NAME_value(names, i)->type;
        named = named || type == GEN_DNS || type == GEN_IPADD;
    }
    GENERAL_NAMES_free(names);
    if (!named) {
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_HOSTNAME_MISMATCH);
    }
    return named;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *data)
{
    (void)easy;
    (void)data;
    SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, on_certificate);
    return CURLE_OK;
}

static int set_tls(struct http_profile *p, CURL *easy, const char *url, struct curl_slist **headers, struct errctx *err)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, p->ssl_version);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, p->insecure ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, p->insecure ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, p->insecure ? NULL : on_ssl_ctx);
    if (profile_file_is_set(&p->ca)) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        int rc = set_blob(easy, CURLOPT_CAINFO_BLOB, &p->ca, err);
        if (rc != 0) {
            return rc;
        }
    } else {
        curl_easy_setopt(easy, CURLOPT_CAINFO, CA_BUNDLE);
    }
    int rc = set_blob(easy, CURLOPT_SSLCERT_BLOB, &p->cert, err);
    rc = rc == 0 ? set_blob(easy, CURLOPT_SSLKEY_BLOB, &p->key, err) : rc;
    if (rc == 0 && p->server_name != NULL) {
        set_server_name(p, easy, url, headers);
    }
    return rc;
}

static const char *environment_proxy(const char *url)
{
    bool tls = strncasecmp(url, "https:", 6) == 0;
    const char *upper = getenv(tls ? "HTTPS_PROXY" : "HTTP_PROXY");
    return is_set(upper) ? upper : getenv(tls ? "https_proxy" : "http_proxy");
}

static const char *environment_no_proxy(void)
{
    const char *upper = getenv("NO_PROXY");
    return is_set(upper) ? upper : getenv("no_proxy");
}

/* Of a proxy URL: what Go's client speaks. The URL is not named in the error, it may hold a password. */
static bool proxy_scheme_is_known(const char *proxy)
{
    static const char *const SCHEMES[] = {"http://", "https://", "socks5://", "socks5h://"};
    for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++) {
        if (strncasecmp(proxy, SCHEMES[i], strlen(SCHEMES[i])) == 0) {
            return true;
        }
    }
    return strstr(proxy, "://") == NULL;
}

/* The connection to an https:// proxy takes the same certificates, as in Go. */
static int set_proxy_tls(struct http_profile *p, CURL *easy, struct errctx *err)
{
    curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, p->ssl_version);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, p->insecure ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, p->insecure ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, p->insecure ? NULL : on_ssl_ctx);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, profile_file_is_set(&p->ca) ? NULL : CA_BUNDLE);
    int rc = set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, &p->ca, err);
    rc = rc == 0 ? set_blob(easy, CURLOPT_PROXY_SSLCERT_BLOB, &p->cert, err) : rc;
    return rc == 0 ? set_blob(easy, CURLOPT_PROXY_SSLKEY_BLOB, &p->key, err) : rc;
}

static int set_proxy(struct http_profile *p, CURL *easy, const char *url, struct errctx *err)
{
    const char *proxy = p->proxy_from_environment ? environment_proxy(url) : p->proxy_url;
    const char *no_proxy = p->proxy_from_environment ? environment_no_proxy() : p->no_proxy;
    bool has_exceptions = p->proxy_from_environment || p->no_proxy != NULL;
    if (!is_set(proxy) || (has_exceptions && no_proxy_matches(no_proxy != NULL ? no_proxy : "", url))) {
        return 0;
    }
    if (!proxy_scheme_is_known(proxy)) {
        return errctx_set(err, ERR_INVALID, "the scheme of the proxy's URL is none of http, https, socks5");
    }
    if (strncasecmp(proxy, "socks5://", 9) == 0) { /* the proxy resolves names, as with Go */
        char *remote = mem_printf("socks5h://%s", proxy + 9);
        curl_easy_setopt(easy, CURLOPT_PROXY, remote);
        explicit_bzero(remote, strlen(remote));
        free(remote);
    } else {
        curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    }
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    if (strncasecmp(url, "https:", 6) == 0) { /* libcurl would send them with plain requests, too */
        curl_easy_setopt(easy, CURLOPT_PROXYHEADER, p->connect_headers);
    }
    return strncasecmp(proxy, "https:", 6) == 0 ? set_proxy_tls(p, easy, err) : 0;
}

/* ---------------------------------------------------------------- redirects */

static char *url_part(const char *url, CURLUPart part)
{
    char *text = NULL;
    CURLU *u = curl_url();
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK || curl_url_get(u, part, &text, 0) != CURLUE_OK) {
        text = NULL;
    }
    curl_url_cleanup(u);
    return text;
}

bool http_profile_same_party(const char *origin, const char *url)
{
    char *a = url_part(origin, CURLUPART_HOST), *b = url_part(url, CURLUPART_HOST);
    bool same = a != NULL && b != NULL && strcasecmp(a, b) == 0;
    curl_free(a);
    curl_free(b);
    return same && (strncasecmp(origin, "https:", 6) != 0 || strncasecmp(url, "https:", 6) == 0);
}

bool http_profile_follows(const struct http_profile *p, int status)
{
    return p->follow_redirects && (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

char *http_profile_redirect(const struct http_profile *p, CURL *easy)
{
    long status = 0;
    char *to = NULL;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (!http_profile_follows(p, (int)status) || curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK ||
        to == NULL || (strncasecmp(to, "http://", 7) != 0 && strncasecmp(to, "https://", 8) != 0)) {
        return NULL;
    }
    return mem_strdup(to);
}

/* ---------------------------------------------------------------- all of it */

/* A handle that served an earlier hop begins anew. */
static void clear_options(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, NULL);
    curl_easy_setopt(easy, CURLOPT_PASSWORD, NULL);
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, NULL);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, NULL);
    curl_loop_keep(easy, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROXYHEADER, NULL);
}

static int set_secrets(struct http_profile *p, CURL *easy, struct curl_slist **headers, struct errctx *err)
{
    int rc = set_auth(p, easy, headers, err);
    for (size_t i = 0; rc == 0 && i < p->header_count; i++) {
        struct view v;
        rc = profile_file_get(&p->headers[i].value, true, &v, err);
        if (rc == 0) {
            append_header(headers, p->headers[i].name, v);
        }
    }
    return rc;
}

int http_profile_apply(struct http_profile *p, CURL *easy, const char *url, const char *origin,
                       struct curl_slist **headers, struct errctx *err)
{
    int rc = 0;
    bool tls = strncasecmp(url, "https:", 6) == 0;
    clear_options(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    if (origin == NULL || http_profile_same_party(origin, url)) {
        rc = set_secrets(p, easy, headers, err);
    }
    if (rc == 0 && tls) {
        rc = set_tls(p, easy, url, headers, err);
    }
    if (rc == 0) {
        rc = set_proxy(p, easy, url, err);
    }
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(tls && p->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    return rc;
}

void http_profile_wait(struct http_profile *p, struct curl_loop *cl, void (*on_ready)(void *data), void *data)
{
    oauth2_wait(p->oauth2, cl, on_ready, data);
}

void http_profile_wait_cancel(struct http_profile *p, void *data)
{
    if (p->oauth2 != NULL) {
        oauth2_wait_cancel(p->oauth2, data);
    }
}
