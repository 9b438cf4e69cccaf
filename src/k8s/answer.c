/* Judging answers: see answer.h.
 *
 * Not every error of an API server is a Status object: overload is told in plain text, load balancers and proxies in
 * front answer with pages of HTML. All of them end as one sentence of bounded length without control characters; the
 * code to branch on comes from the HTTP status alone, for that is what they have in common. */
#include "k8s/answer.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define MESSAGE_MAX        320
#define BODY_TREE_FLAGS    JSON_ALLOW_NUL
#define RETRY_AFTER_MAX_MS (10 * 60 * 1000)
#define TOO_LARGE_REASON   "ResourceVersionTooLarge"

static int code_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_UNAUTHORIZED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
    case 410:
        return ERR_CONFLICT;
    case 413:
        return ERR_LIMIT;
    case 504:
        return ERR_TIMEOUT;
    default:
        return status >= 400 && status < 500 && status != 429 ? ERR_INVALID : ERR_UNAVAILABLE;
    }
}

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } PHRASES[] = {
        {301, "Moved Permanently"},
        {302, "Found"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Invalid"},
        {429, "Too Many Requests"},
        {500, "Internal Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Timeout"},
    };
    for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++) {
        if (PHRASES[i].status == status) {
            return PHRASES[i].phrase;
        }
    }
    return "unexpected status";
}

/* One line of readable characters. */
static void clean(struct view text, char out[MESSAGE_MAX])
{
    size_t n = 0;
    bool blank = true;
    for (size_t i = 0; i < text.len && n < MESSAGE_MAX - 1; i++) {
        unsigned char c = (unsigned char)text.base[i];
        bool is_blank = c <= ' ' || c == 127;
        if (!is_blank || !blank) {
            out[n++] = is_blank ? ' ' : (char)c;
        }
        blank = is_blank;
    }
    while (n > 0 && (out[n - 1] == ' ' || ((unsigned char)out[n - 1] >= 0x80 && n == MESSAGE_MAX - 1))) {
        n--;
    }
    out[n] = '\0';
}

static struct view html_title(struct view body)
{
    char *text = mem_dup(body.base, body.len);
    struct view title = VIEW("");
    const char *from = strcasestr(text, "<title>");
    const char *to = from != NULL ? strcasestr(from, "</title>") : NULL;
    if (to != NULL) {
        title = view_make(body.base + (from - text) + 7, (size_t)(to - from) - 7);
    }
    free(text);
    return title;
}

static void fail_text(struct k8s_judged *j, int status, struct view body, const char *what)
{
    char message[MESSAGE_MAX] = "";
    struct view first = body;
    while (first.len != 0 && strchr(" \r\n\t", first.base[0]) != NULL) {
        first = view_make(first.base + 1, first.len - 1);
    }
    bool is_html = first.len != 0 && first.base[0] == '<';
    clean(is_html ? html_title(body) : body, message);
    bool empty = message[0] == '\0';
    (void)errctx_set(&j->answer.err, code_of(status), "%s: %d %s%s%s%s", what, status, phrase_of(status),
                     is_html ? " (a web page, not an API server's answer)" : "", empty ? "" : ": ", message);
}

static int64_t status_retry_ms(const json_t *status)
{
    int64_t s = k8s_json_int(status, "details.retryAfterSeconds", 0);
    return s > 0 && s <= RETRY_AFTER_MAX_MS / 1000 ? s * 1000 : 0;
}

static bool has_cause(const json_t *status, const char *reason)
{
    const json_t *causes = k8s_json_at(status, "details.causes"), *cause;
    size_t i;
    json_array_foreach(causes, i, cause)
    {
        if (strcmp(k8s_json_str(cause, "reason"), reason) == 0) {
            return true;
        }
    }
    return false;
}

static void fail_status(struct k8s_judged *j, int status, const json_t *object, const char *what)
{
    char message[MESSAGE_MAX], reason[MESSAGE_MAX];
    clean(view_of(k8s_json_str(object, "message")), message);
    clean(view_of(has_cause(object, TOO_LARGE_REASON) ? TOO_LARGE_REASON : k8s_json_str(object, "reason")), reason);
    reason[K8S_REASON_MAX - 1] = '\0';
    snprintf(j->reason, sizeof(j->reason), "%.*s", K8S_REASON_MAX - 1, reason);
    j->answer.retry_after_ms = j->answer.retry_after_ms != 0 ? j->answer.retry_after_ms : status_retry_ms(object);
    (void)errctx_set(&j->answer.err, code_of(status), "%s: %d %s%s%s", what, status,
                     reason[0] != '\0' ? reason : phrase_of(status), message[0] != '\0' ? ": " : "", message);
}

void k8s_judge_status(const json_t *status, const char *what, struct k8s_judged *ret)
{
    int code = (int)k8s_json_int(status, "code", 0);
    *ret = (struct k8s_judged){0};
    ret->answer.status = code >= 100 && code <= 999 ? code : 500;
    fail_status(ret, ret->answer.status, status, what);
    ret->answer.reason = ret->reason;
}

void k8s_judge(const struct http_answer *http, struct view body, const char *what, bool wants_object,
               struct k8s_judged *ret)
{
    struct k8s_judged *j = ret;
    *j = (struct k8s_judged){.answer = {.status = http->status}};
    j->answer.reason = j->reason;
    if (http->err.code != 0) {
        (void)errctx_set(&j->answer.err, http->err.code, "%s: %s", what, http->err.msg);
        return;
    }
    bool good = http->status >= 200 && http->status < 300;
    j->answer.retry_after_ms = http->retry_after_ms <= RETRY_AFTER_MAX_MS ? http->retry_after_ms : RETRY_AFTER_MAX_MS;
    if (good && !wants_object) {
        return;
    }
    json_error_t where;
    json_t *tree = json_loadb(body.base != NULL ? body.base : "", body.len, BODY_TREE_FLAGS, &where);
    if (good && json_is_object(tree)) {
        j->answer.object = tree;
        return;
    }
    if (good) {
        char why[MESSAGE_MAX];
        clean(view_of(tree == NULL ? where.text : "it is a value of another kind"), why);
        (void)errctx_set(&j->answer.err, ERR_PARSE, "%s: the answer is no JSON object: %s", what, why);
    } else if (json_is_object(tree) && strcmp(k8s_json_str(tree, "kind"), "Status") == 0) {
        fail_status(j, http->status, tree, what);
    } else {
        fail_text(j, http->status, body, what);
    }
    json_decref(tree);
}

void k8s_judged_done(struct k8s_judged *j)
{
    json_decref(j->answer.object);
    j->answer.object = NULL;
}

bool k8s_is_expired(const struct k8s_answer *a)
{
    return a->status == 410 || (a->status == 504 && strcmp(a->reason, TOO_LARGE_REASON) == 0) ||
           strcmp(a->reason, "Expired") == 0 || strcmp(a->reason, "Gone") == 0;
}

/* --- trees */

const json_t *k8s_json_at(const json_t *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        char key[64];
        size_t len = strcspn(path, ".");
        if (len >= sizeof(key)) {
            return NULL;
        }
        memcpy(key, path, len);
        key[len] = '\0';
        object = json_object_get(object, key);
        path += len + (path[len] == '.');
    }
    return object;
}

const char *k8s_json_str(const json_t *object, const char *path)
{
    const char *s = json_string_value(k8s_json_at(object, path));
    return s != NULL ? s : "";
}

int64_t k8s_json_int(const json_t *object, const char *path, int64_t when_absent)
{
    const json_t *n = k8s_json_at(object, path);
    return json_is_integer(n) ? json_integer_value(n) : when_absent;
}
