/* Authentication of a listener: see http_auth.h.
 *
 * bcrypt is slow on purpose (60 ms and more), so it runs on libuv's thread pool, one at a time per listener, and
 * verdicts are remembered under a keyed hash of (user, stored hash, password). A user that does not exist costs the
 * same work as a wrong password. Good and bad verdicts have a cache each: guessing cannot push out those who are let
 * in. Stored hashes are given to libcrypt as $2b$, the one algorithm Go's bcrypt runs whatever the letter says. */
#include "net/http_auth.h"

#include "base/bytes.h"
#include "base/files.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "net/http_query.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define KEY_LEN              32
#define CACHE_LEN            128
#define TOKEN_BYTES_MAX      4096
#define CREDENTIAL_BYTES_MAX 4096
#define WATCHED_MAX          5
#define RETRY_MS             1000
#define NOBODY_HASH          "$2b$10$QQJQ8mGc0Gl9yqkVB1c3ZuH8CE6sI0pGZb2vQk3mS5oT7rX4wY1Aa"

struct verdict_key {
    unsigned char bytes[KEY_LEN];
};

struct verdict_cache {
    struct verdict_key keys[CACHE_LEN];
    size_t len, next;
};

struct file_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    bool exists;
};

struct waiter {
    struct waiter *next;
    struct verdict_key key;
    char *password, *hash;
    bool user_exists;
    http_verdict_fn *on_verdict;
    void *data;
};

struct http_auth {
    struct loop *loop;
    char *web_config_file, *token_file;
    struct web_config *config; /* NULL without a file */
    SSL_CTX *tls;
    char *token;
    size_t token_len;
    bool starts_with_tls, broken;
    struct errctx fault;
    int64_t retry_ms; /* while broken */
    struct file_mark marks[WATCHED_MAX];
    unsigned char secret[KEY_LEN];
    struct verdict_cache good, bad;
    struct waiter *first, **last;
    bool working; /* a job is in the pool; it works for the first waiter */
};

/* In the pool: owns its strings, so that the listener may go away meanwhile. */
struct job {
    uv_work_t work;
    struct http_auth *auth; /* NULL when it is gone; touched by the loop's thread only */
    struct verdict_key key;
    char *password, *hash;
    bool user_exists, match;
};

/* --- files */

static void mark_of(const char *path, struct file_mark *ret)
{
    struct stat st;
    memset(ret, 0, sizeof(*ret));
    if (path != NULL && stat(path, &st) == 0) {
        ret->exists = true;
        ret->dev = st.st_dev;
        ret->ino = st.st_ino;
        ret->size = st.st_size;
        ret->mtime = st.st_mtim;
    }
}

static void marks_take(const struct http_auth *a, struct file_mark marks[WATCHED_MAX])
{
    const struct web_config *c = a->config;
    mark_of(a->web_config_file, &marks[0]);
    mark_of(a->token_file, &marks[1]);
    mark_of(c != NULL ? c->cert_file : NULL, &marks[2]);
    mark_of(c != NULL ? c->key_file : NULL, &marks[3]);
    mark_of(c != NULL ? c->client_ca_file : NULL, &marks[4]);
}

static bool mark_equal(const struct file_mark *a, const struct file_mark *b)
{
    return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static int read_token(const char *path, char **ret, size_t *ret_len, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, TOKEN_BYTES_MAX);
    int rc = files_read(path, &text, err);
    size_t begin = 0, end = text.len;
    while (begin < end && strchr(" \t\r\n", text.base[begin]) != NULL) {
        begin++;
    }
    while (end > begin && strchr(" \t\r\n", text.base[end - 1]) != NULL) {
        end--;
    }
    if (rc == 0 && begin == end) {
        rc = errctx_set(err, ERR_INVALID, "%s: the token file is empty", path);
    }
    if (rc == 0) {
        *ret = mem_dup(text.base + begin, end - begin);
        *ret_len = end - begin;
    }
    bytes_done(&text);
    return rc;
}

static int load(struct http_auth *a, bool at_start, struct errctx *err)
{
    struct web_config *config = NULL;
    SSL_CTX *tls = NULL;
    char *token = NULL;
    size_t token_len = 0;
    int rc = a->web_config_file != NULL ? web_config_load(a->web_config_file, &config, &tls, err) : 0;
    if (rc == 0 && !at_start && tls == NULL && a->starts_with_tls) {
        rc = errctx_set(err, ERR_INVALID, "%s: TLS cannot be switched off without a restart", a->web_config_file);
    }
    if (rc == 0 && a->token_file != NULL) {
        rc = read_token(a->token_file, &token, &token_len, err);
    }
    if (rc != 0) {
        web_config_free(&config);
        SSL_CTX_free(tls);
        return rc;
    }
    if (!at_start && tls != NULL && !a->starts_with_tls) {
        log_warn(NULL, "read web configuration", "file", a->web_config_file, "err", "TLS was added", "action",
                 "serve plain HTTP until the restart");
        SSL_CTX_free(tls);
        tls = NULL;
    }
    web_config_free(&a->config);
    SSL_CTX_free(a->tls);
    free(a->token);
    a->config = config;
    a->tls = tls;
    a->token = token;
    a->token_len = token_len;
    return 0;
}

/* While broken the files are tried again once in a while whatever the marks say: the one that is missing may be named
 * in the new configuration only. */
static bool needs_load(const struct http_auth *a, const struct file_mark now[WATCHED_MAX])
{
    if (a->broken && timebase_monotonic_ms() >= a->retry_ms) {
        return true;
    }
    for (size_t i = 0; i < WATCHED_MAX; i++) {
        if (!mark_equal(&now[i], &a->marks[i])) {
            return true;
        }
    }
    return false;
}

static void refresh(struct http_auth *a)
{
    struct file_mark now[WATCHED_MAX];
    marks_take(a, now);
    if (!needs_load(a, now)) {
        return;
    }
    struct errctx fault = ERRCTX_INIT;
    bool was_broken = a->broken;
    a->broken = load(a, false, &fault) != 0;
    a->retry_ms = timebase_monotonic_ms() + RETRY_MS;
    marks_take(a, a->marks);
    a->marks[0] = now[0]; /* a change between the two looks is seen next time */
    a->marks[1] = now[1];
    const char *file = a->web_config_file != NULL ? a->web_config_file : a->token_file;
    if (!a->broken) {
        log_info(NULL, "read web configuration", "file", file);
    } else if (!was_broken || strcmp(fault.msg, a->fault.msg) != 0) {
        log_error(NULL, "read web configuration", "file", file, "err", fault.msg, "action", "refuse all requests");
    }
    a->fault = fault;
}

int http_auth_new(struct loop *loop, const char *web_config_file, const char *token_file, struct http_auth **ret,
                  struct errctx *err)
{
    struct http_auth *a = mem_calloc(1, sizeof(*a));
    a->loop = loop;
    a->last = &a->first;
    a->web_config_file = web_config_file != NULL ? mem_strdup(web_config_file) : NULL;
    a->token_file = token_file != NULL ? mem_strdup(token_file) : NULL;
    int rc =
        RAND_bytes(a->secret, KEY_LEN) == 1 ? 0 : errctx_set(err, ERR_IO, "no random bytes for the password cache");
    if (rc == 0) {
        rc = load(a, true, err);
    }
    if (rc != 0) {
        http_auth_free(&a);
        return rc;
    }
    a->starts_with_tls = a->tls != NULL;
    marks_take(a, a->marks);
    *ret = a;
    return 0;
}

/* --- verdicts */

static bool cache_has(const struct verdict_cache *cache, const struct verdict_key *key)
{
    for (size_t i = 0; i < cache->len; i++) {
        if (CRYPTO_memcmp(cache->keys[i].bytes, key->bytes, KEY_LEN) == 0) {
            return true;
        }
    }
    return false;
}

static void cache_put(struct verdict_cache *cache, const struct verdict_key *key)
{
    cache->keys[cache->next] = *key;
    cache->next = (cache->next + 1) % CACHE_LEN;
    cache->len = cache->len < CACHE_LEN ? cache->len + 1 : CACHE_LEN;
}

static void key_make(const struct http_auth *a, struct view user, struct view hash, struct view password,
                     struct verdict_key *ret)
{
    struct bytes text;
    bytes_init(&text, CREDENTIAL_BYTES_MAX * 4);
    bytes_printf(&text, "%zu:%zu:", user.len, hash.len);
    bytes_append_view(&text, user);
    bytes_append_view(&text, hash);
    bytes_append_view(&text, password);
    unsigned len = KEY_LEN;
    HMAC(EVP_sha256(), a->secret, KEY_LEN, (const unsigned char *)text.base, text.len, ret->bytes, &len);
    OPENSSL_cleanse(text.base, text.len);
    bytes_done(&text);
}

static void secret_free(char *s)
{
    if (s != NULL) {
        OPENSSL_cleanse(s, strlen(s));
        free(s);
    }
}

static void waiter_end(struct waiter *w, enum http_verdict verdict)
{
    http_verdict_fn *fn = w->on_verdict;
    void *data = w->data;
    secret_free(w->password);
    free(w->hash);
    free(w);
    fn(data, verdict);
}

/* Of a stored hash: skips version and letter, which only say who wrote it. */
static bool hash_matches(const char *password, const char *hash, struct crypt_data *room)
{
    const char *rest = strchr(hash + 1, '$');
    if (rest == NULL || strlen(rest) != 57) {
        return false;
    }
    char setting[64] = "$2b";
    memcpy(setting + 3, rest, 58);
    memset(room, 0, sizeof(*room));
    const char *made = crypt_r(password, setting, room);
    return made != NULL && strlen(made) == 60 && CRYPTO_memcmp(made + 3, rest, 57) == 0;
}

static void run_job(uv_work_t *work)
{
    struct job *job = work->data;
    struct crypt_data *room = mem_calloc(1, sizeof(*room));
    bool match = hash_matches(job->password, job->hash, room);
    job->match = match && job->user_exists;
    OPENSSL_cleanse(room, sizeof(*room));
    free(room);
}

static void start_job(struct http_auth *a);

static struct waiter *take_waiters(struct http_auth *a, const struct verdict_key *key)
{
    struct waiter *taken = NULL, **tail = &taken;
    struct waiter **at = &a->first;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (CRYPTO_memcmp(w->key.bytes, key->bytes, KEY_LEN) != 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = NULL;
        *tail = w;
        tail = &w->next;
    }
    a->last = at;
    return taken;
}

static void end_job(uv_work_t *work, int status)
{
    struct job *job = work->data;
    struct http_auth *a = job->auth;
    struct verdict_key key = job->key;
    bool match = status == 0 && job->match;
    secret_free(job->password);
    free(job->hash);
    if (a->loop == NULL) { /* freed meanwhile */
        free(job);
        free(a);
        return;
    }
    free(job);
    cache_put(match ? &a->good : &a->bad, &key);
    struct waiter *done = take_waiters(a, &key);
    a->working = false;
    start_job(a);
    while (done != NULL) {
        struct waiter *next = done->next;
        waiter_end(done, match ? HTTP_VERDICT_ALLOW : HTTP_VERDICT_DENY);
        done = next;
    }
}

static void start_job(struct http_auth *a)
{
    struct waiter *w = a->first;
    if (w == NULL || a->working) {
        return;
    }
    struct job *job = mem_calloc(1, sizeof(*job));
    job->auth = a;
    job->key = w->key;
    job->password = mem_strdup(w->password);
    job->hash = mem_strdup(w->hash);
    job->user_exists = w->user_exists;
    job->work.data = job;
    a->working = true;
    invariant(uv_queue_work(loop_uv(a->loop), &job->work, run_job, end_job) == 0);
}

void http_auth_free(struct http_auth **handle)
{
    struct http_auth *a = *handle;
    *handle = NULL;
    if (a == NULL) {
        return;
    }
    struct waiter *w = a->first;
    a->first = NULL;
    while (w != NULL) {
        struct waiter *next = w->next;
        waiter_end(w, HTTP_VERDICT_BROKEN);
        w = next;
    }
    web_config_free(&a->config);
    SSL_CTX_free(a->tls);
    secret_free(a->token);
    free(a->web_config_file);
    free(a->token_file);
    a->loop = NULL;
    if (!a->working) {
        free(a);
    }
}

/* --- checking */

static bool scheme_is(struct view authorization, struct view scheme, struct view *ret_rest)
{
    if (authorization.len <= scheme.len || strncasecmp(authorization.base, scheme.base, scheme.len) != 0 ||
        authorization.base[scheme.len] != ' ') {
        return false;
    }
    *ret_rest = view_make(authorization.base + scheme.len + 1, authorization.len - scheme.len - 1);
    return true;
}

static bool token_matches(const struct http_auth *a, struct view given)
{
    struct verdict_key ours, theirs; /* hashed first, so that the length does not show either */
    key_make(a, VIEW(""), VIEW(""), view_make(a->token, a->token_len), &ours);
    key_make(a, VIEW(""), VIEW(""), given, &theirs);
    return CRYPTO_memcmp(ours.bytes, theirs.bytes, KEY_LEN) == 0;
}

static const struct web_user *find_user(const struct http_auth *a, struct view name)
{
    for (size_t i = 0; i < a->config->user_count; i++) {
        if (view_equal(a->config->users[i].name, name)) {
            return &a->config->users[i];
        }
    }
    return NULL;
}

static enum http_verdict judge_password(struct http_auth *a, struct view name, struct view password,
                                        http_verdict_fn *on_verdict, void *data)
{
    const struct web_user *user = find_user(a, name);
    struct view hash = user != NULL ? user->hash : VIEW(NOBODY_HASH);
    struct verdict_key key;
    key_make(a, name, hash, password, &key);
    if (cache_has(&a->good, &key) && user != NULL) {
        return HTTP_VERDICT_ALLOW;
    }
    if (cache_has(&a->bad, &key)) {
        return HTTP_VERDICT_DENY;
    }
    struct waiter *w = mem_calloc(1, sizeof(*w));
    *w = (struct waiter){.key = key, .user_exists = user != NULL, .on_verdict = on_verdict, .data = data};
    w->password = mem_dup(password.base, password.len);
    w->hash = mem_dup(hash.base, hash.len);
    *a->last = w;
    a->last = &w->next;
    start_job(a);
    return HTTP_VERDICT_PENDING;
}

static enum http_verdict check_basic(struct http_auth *a, struct view encoded, http_verdict_fn *on_verdict, void *data)
{
    if (encoded.len > CREDENTIAL_BYTES_MAX) {
        return HTTP_VERDICT_DENY;
    }
    char *plain = mem_calloc(1, encoded.len + 1);
    size_t len = http_base64_decode(encoded, plain);
    char *colon = len != SIZE_MAX ? memchr(plain, ':', len) : NULL;
    enum http_verdict verdict = HTTP_VERDICT_DENY;
    if (colon != NULL && memchr(plain, '\0', len) == NULL) {
        struct view name = view_make(plain, (size_t)(colon - plain));
        struct view password = view_make(colon + 1, len - name.len - 1);
        verdict = judge_password(a, name, password, on_verdict, data);
    }
    OPENSSL_cleanse(plain, encoded.len);
    free(plain);
    return verdict;
}

enum http_verdict http_auth_check(struct http_auth *a, struct view authorization, http_verdict_fn *on_verdict,
                                  void *data)
{
    refresh(a);
    if (a->broken) {
        return HTTP_VERDICT_BROKEN;
    }
    bool basic = http_auth_wants_basic(a), bearer = http_auth_wants_bearer(a);
    if (!basic && !bearer) {
        return HTTP_VERDICT_ALLOW;
    }
    struct view rest;
    if (bearer && scheme_is(authorization, VIEW("Bearer"), &rest) && rest.len <= TOKEN_BYTES_MAX) {
        return token_matches(a, rest) ? HTTP_VERDICT_ALLOW : HTTP_VERDICT_DENY;
    }
    if (basic && scheme_is(authorization, VIEW("Basic"), &rest)) {
        return check_basic(a, rest, on_verdict, data);
    }
    return HTTP_VERDICT_DENY;
}

const char *http_auth_fault(const struct http_auth *a)
{
    return a->fault.msg;
}

bool http_auth_wants_basic(const struct http_auth *a)
{
    return a->config != NULL && a->config->user_count != 0;
}

bool http_auth_wants_bearer(const struct http_auth *a)
{
    return a->token_file != NULL;
}

SSL_CTX *http_auth_tls(struct http_auth *a)
{
    if (a->starts_with_tls) {
        refresh(a);
    }
    return a->tls;
}

size_t http_auth_headers(const struct http_auth *a, const struct web_header **ret)
{
    *ret = a->config != NULL ? a->config->headers : NULL;
    return a->config != NULL ? a->config->header_count : 0;
}
