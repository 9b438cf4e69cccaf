/* OAuth2 client credentials: see http_oauth2.h. The token endpoint is called as golang.org/x/oauth2 does it for
 * Prometheus: a form by POST, the client's id and secret by basic authentication, form-encoded first; when the endpoint
 * takes no such thing, as fields of the form. Messages never carry the secret or the answer's text.
 *
 * Redirects are followed as Go's client follows those of a POST: 301, 302 and 303 turn it into a GET without the form,
 * 307 and 308 send the form again. The header with id and secret goes to the endpoint's own host only, and a form that
 * holds them never from https to http.
 *
 * A waiter that is woken may end its scrape, and with it the profile and this object: freeing waits for the waking to
 * end. */
#include "net/http_oauth2.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "model/labels.h"
#include "net/http_profile.h"
#include "net/http_profile_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

#define ANSWER_BYTES_MAX ((size_t)256 << 10)
#define FETCH_TIMEOUT_MS 30000L
#define EARLY_MS         10000  /* a token is not used in its last ten seconds */
#define LIFETIME_MS      300000 /* when the answer names none */
#define BACKOFF_MS       2000

struct waiter {
    void (*on_ready)(void *data);
    void *data;
};

struct oauth2 {
    struct profile_file secret;
    struct http_profile *profile; /* TLS, proxy and client authentication of the endpoint */
    char *url, *form, *client_id;
    char *next_url; /* of a redirect; NULL = url */
    int hops;
    bool as_get;               /* a redirect has turned the POST into one */
    char *token, *secret_used; /* the token was got, or is being got, with this secret */
    bool in_form;              /* id and secret go into the form */
    bool style_known;
    bool waking, doomed;
    int64_t valid_until_ms, retry_at_ms;
    struct errctx last_err;
    struct curl_loop *cl;
    CURL *easy;
    struct curl_slist *headers;
    struct bytes answer;
    VEC(struct waiter) waiters;
};

static void form_add(struct bytes *form, CURL *easy, const char *key, struct view value)
{
    char *k = curl_easy_escape(easy, key, 0);
    char *v = curl_easy_escape(easy, value.len > 0 ? value.base : "", (int)value.len);
    bytes_printf(form, "%s%s=%s", form->len > 0 ? "&" : "", k, value.len > 0 ? v : "");
    curl_free(k);
    curl_free(v);
}

static char *make_form(const struct oauth2_conf *conf)
{
    struct bytes form, scopes;
    CURL *easy = curl_easy_init();
    bytes_init(&form, ANSWER_BYTES_MAX);
    bytes_init(&scopes, ANSWER_BYTES_MAX);
    form_add(&form, easy, "grant_type", VIEW("client_credentials"));
    for (size_t i = 0; i < conf->scope_count; i++) {
        bytes_printf(&scopes, "%s%s", i > 0 ? " " : "", conf->scopes[i]);
    }
    if (conf->scope_count > 0) {
        form_add(&form, easy, "scope", bytes_view(&scopes));
    }
    for (size_t i = 0; i < conf->endpoint_param_count; i++) {
        char *key = mem_dup(conf->endpoint_params[i].name.base, conf->endpoint_params[i].name.len);
        form_add(&form, easy, key, conf->endpoint_params[i].value);
        free(key);
    }
    curl_easy_cleanup(easy);
    bytes_done(&scopes);
    return bytes_take(&form, NULL);
}

struct oauth2 *oauth2_new(const struct oauth2_conf *conf)
{
    const struct http_client_conf http = {
        .tls = conf->tls, .proxy = conf->proxy, .follow_redirects = true, .enable_http2 = true};
    struct oauth2 *o = mem_calloc(1, sizeof(*o));
    o->url = mem_strdup(conf->token_url != NULL ? conf->token_url : "");
    o->client_id = mem_strdup(conf->client_id != NULL ? conf->client_id : "");
    o->form = make_form(conf);
    o->profile = http_profile_new(&http);
    profile_file_init(&o->secret, conf->client_secret_file, conf->client_secret);
    bytes_init(&o->answer, ANSWER_BYTES_MAX);
    return o;
}

static void drop_transfer(struct oauth2 *o)
{
    if (o->easy != NULL) {
        curl_loop_cancel(o->cl, o->easy);
        curl_loop_easy_put(o->cl, o->easy);
        o->easy = NULL;
    }
    curl_slist_free_all(o->headers);
    o->headers = NULL;
}

static void forget(char **secret)
{
    if (*secret != NULL) {
        explicit_bzero(*secret, strlen(*secret));
        MEM_FREE(*secret);
    }
}

void oauth2_free(struct oauth2 **handle)
{
    struct oauth2 *o = *handle;
    if (o == NULL) {
        return;
    }
    *handle = NULL;
    if (o->waking) {
        o->doomed = true;
        return;
    }
    drop_transfer(o);
    http_profile_free(&o->profile);
    profile_file_done(&o->secret);
    forget(&o->token);
    forget(&o->secret_used);
    bytes_done(&o->answer);
    vec_done(&o->waiters);
    free(o->url);
    free(o->next_url);
    free(o->form);
    free(o->client_id);
    free(o);
}

/* A secret that has changed since makes the token worthless. */
static int check_secret(struct oauth2 *o, struct errctx *err)
{
    struct view secret;
    int rc = profile_file_get(&o->secret, true, &secret, err);
    if (rc == 0 && o->easy == NULL && o->secret_used != NULL && !view_is(secret, o->secret_used)) {
        forget(&o->token);
        forget(&o->secret_used);
        errctx_clear(&o->last_err);
    }
    return rc;
}

const char *oauth2_token(struct oauth2 *o, struct errctx *err)
{
    int64_t now_ms = timebase_monotonic_ms();
    if (check_secret(o, err) != 0) {
        return NULL;
    }
    if (o->token != NULL && now_ms < o->valid_until_ms) {
        return o->token;
    }
    if (o->easy == NULL && o->last_err.code != 0 && now_ms < o->retry_at_ms) {
        errctx_set(err, o->last_err.code, "oauth2: %s", o->last_err.msg);
    } else {
        errctx_set(err, ERR_AGAIN, "oauth2: a token is being fetched");
    }
    return NULL;
}

/* o may be gone afterwards. */
static void wake_all(struct oauth2 *o)
{
    size_t count = o->waiters.len; /* those that begin to wait meanwhile wait for the next fetch */
    bool nested = o->waking;
    o->waking = true;
    for (; count > 0 && o->waiters.len > 0; count--) {
        struct waiter w = o->waiters.items[0];
        vec_remove(&o->waiters, 0);
        w.on_ready(w.data);
    }
    o->waking = nested;
    if (o->doomed && !nested) {
        o->doomed = false;
        oauth2_free(&o);
    }
}

static double seconds_of(const json_t *value)
{
    return json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
}

static int take_answer(struct oauth2 *o, long status, struct errctx *err)
{
    json_error_t why;
    json_t *root = json_loadb(bytes_view(&o->answer).base, o->answer.len, 0, &why);
    const char *token = json_string_value(json_object_get(root, "access_token"));
    double seconds = seconds_of(json_object_get(root, "expires_in"));
    int rc = 0;
    if (status < 200 || status > 299 || token == NULL || token[0] == '\0') {
        rc =
            errctx_set(err, ERR_UNAUTHORIZED, "the token endpoint answered status %ld without an access_token", status);
    } else {
        int64_t lifetime_ms = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1000) : LIFETIME_MS;
        forget(&o->token);
        o->token = mem_strdup(token);
        o->valid_until_ms =
            timebase_monotonic_ms() + (lifetime_ms > 2 * EARLY_MS ? lifetime_ms - EARLY_MS : lifetime_ms / 2);
    }
    json_decref(root);
    return rc;
}

static int begin(struct oauth2 *o, struct errctx *err);

static void forget_redirects(struct oauth2 *o)
{
    MEM_FREE(o->next_url);
    o->hops = 0;
    o->as_get = false;
}

/* The endpoint refused id and secret in the header: once more with both in the form. */
static bool try_form(struct oauth2 *o)
{
    forget_redirects(o);
    if (o->style_known || o->in_form) {
        o->in_form = o->in_form && o->style_known;
        return false;
    }
    struct errctx err = ERRCTX_INIT;
    o->in_form = true;
    return begin(o, &err) == 0;
}

static void on_done(void *data, CURL *easy, CURLcode code);

static void start(struct oauth2 *o)
{
    curl_loop_start(o->cl, o->easy, on_done, o);
}

/* The next hop of a redirect; ERR_NOT_FOUND when the answer is none. */
static int follow(struct oauth2 *o, CURL *easy, long status)
{
    char *url = http_profile_redirect(o->profile, easy);
    if (url == NULL) {
        return ERR_NOT_FOUND;
    }
    free(o->next_url);
    o->next_url = url;
    o->as_get = o->as_get || status < 307;
    if (++o->hops >= HTTP_REDIRECTS_MAX) {
        return errctx_set(&o->last_err, ERR_LIMIT, "token endpoint: stopped after %d redirects", HTTP_REDIRECTS_MAX);
    }
    bytes_clear(&o->answer);
    drop_transfer(o);
    return begin(o, &o->last_err);
}

static void on_done(void *data, CURL *easy, CURLcode code)
{
    struct oauth2 *o = data;
    bool refused = false;
    long status = 0;
    errctx_clear(&o->last_err);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    int rc = code == CURLE_OK ? follow(o, easy, status) : 0;
    if (code == CURLE_OK && rc == 0) {
        start(o);
        return;
    }
    if (code != CURLE_OK) {
        errctx_set(&o->last_err, ERR_UNAVAILABLE, "token endpoint: %s", curl_loop_error(easy, code));
    } else if (rc == ERR_NOT_FOUND) {
        refused = take_answer(o, status, &o->last_err) != 0;
        o->style_known = o->style_known || !refused;
    }
    o->retry_at_ms = timebase_monotonic_ms() + BACKOFF_MS;
    bytes_clear(&o->answer);
    drop_transfer(o);
    if (refused && try_form(o)) {
        start(o);
        return;
    }
    drop_transfer(o);
    wake_all(o);
}

static size_t on_body(char *base, size_t size, size_t count, void *data)
{
    struct oauth2 *o = data;
    bytes_append(&o->answer, base, size * count);
    return o->answer.overflow ? CURL_WRITEFUNC_ERROR : size * count;
}

/* As Go's url.QueryEscape. */
static char *escaped(CURL *easy, const char *text)
{
    char *escape = curl_easy_escape(easy, text, 0);
    char *out = mem_strdup(escape), *to = out;
    for (const char *at = escape; *at != '\0';) {
        bool space = strncmp(at, "%20", 3) == 0;
        *to++ = space ? '+' : *at;
        at += space ? 3 : 1;
    }
    *to = '\0';
    explicit_bzero(escape, strlen(escape));
    curl_free(escape);
    return out;
}

static void set_credentials(struct oauth2 *o)
{
    bool at_home = o->next_url == NULL || http_profile_same_party(o->url, o->next_url);
    char *id = escaped(o->easy, o->client_id), *secret = escaped(o->easy, o->secret_used);
    if (!o->as_get && !o->in_form) {
        curl_easy_setopt(o->easy, CURLOPT_POSTFIELDS, o->form);
    } else if (!o->as_get) {
        char *form = mem_printf("client_id=%s&client_secret=%s&%s", id, secret, o->form);
        curl_easy_setopt(o->easy, CURLOPT_COPYPOSTFIELDS, form);
        forget(&form);
    }
    if (!o->in_form && at_home) {
        curl_easy_setopt(o->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(o->easy, CURLOPT_USERNAME, id);
        curl_easy_setopt(o->easy, CURLOPT_PASSWORD, secret);
    }
    free(id);
    forget(&secret);
}

static int begin(struct oauth2 *o, struct errctx *err)
{
    struct view secret;
    const char *url = o->next_url != NULL ? o->next_url : o->url;
    int rc = profile_file_get(&o->secret, true, &secret, err);
    o->easy = curl_loop_easy_get(o->cl);
    if (rc == 0 && o->in_form && !o->as_get && strncasecmp(o->url, "https:", 6) == 0 &&
        strncasecmp(url, "https:", 6) != 0) {
        rc = errctx_set(err, ERR_INVALID, "token endpoint: redirected from https to http with a secret in the form");
    }
    if (rc == 0) {
        rc = http_profile_apply(o->profile, o->easy, url, NULL, &o->headers, err);
    }
    if (rc != 0) {
        return rc;
    }
    forget(&o->secret_used);
    o->secret_used = mem_dup(secret.base, secret.len);
    curl_easy_setopt(o->easy, o->as_get ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
    set_credentials(o);
    o->headers = curl_slist_append(o->headers, "Accept: application/json");
    curl_easy_setopt(o->easy, CURLOPT_HTTPHEADER, o->headers);
    curl_easy_setopt(o->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(o->easy, CURLOPT_WRITEDATA, o);
    curl_easy_setopt(o->easy, CURLOPT_TIMEOUT_MS, FETCH_TIMEOUT_MS);
    return 0;
}

void oauth2_wait(struct oauth2 *o, struct curl_loop *cl, void (*on_ready)(void *data), void *data)
{
    *vec_push(&o->waiters) = (struct waiter){on_ready, data};
    if (o->easy != NULL) {
        return;
    }
    struct errctx err = ERRCTX_INIT;
    o->cl = cl;
    forget_redirects(o);
    if (begin(o, &err) == 0) {
        start(o);
        return;
    }
    o->last_err = err;
    o->retry_at_ms = timebase_monotonic_ms() + BACKOFF_MS;
    drop_transfer(o);
    wake_all(o);
}

void oauth2_wait_cancel(struct oauth2 *o, void *data)
{
    for (size_t i = 0; i < o->waiters.len;) {
        if (o->waiters.items[i].data == data) {
            vec_remove(&o->waiters, i);
        } else {
            i++;
        }
    }
}
