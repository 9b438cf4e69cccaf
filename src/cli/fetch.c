#include "cli/fetch.h"
#include "base/loop.h"
#include "base/mem.h"
#include "model/wire.h"
#include "net/http_client.h"

#include <jansson.h>
#include <stdlib.h>

#define TIMEOUT_MS      30000
#define WORDS_SHOWN_MAX 200

struct fetch {
    struct loop *loop;
    struct bytes body;
    struct errctx err;
    int status;
};

static void on_answer(void *data, const struct http_answer *answer)
{
    struct fetch *f = data;
    f->status = answer->status;
    f->err = answer->err;
    bytes_append_view(&f->body, answer->body);
    loop_stop(f->loop);
}

/* An API's {"status": "error", "error": "..."} in its words, anything else as it came, shortened. */
static int fail_status(const char *url, const struct fetch *f, struct errctx *err)
{
    struct errctx ignored = ERRCTX_INIT;
    int shown = (int)(f->body.len < WORDS_SHOWN_MAX ? f->body.len : WORDS_SHOWN_MAX);
    json_t *root = wire_parse(bytes_view(&f->body), FETCH_BYTES_MAX, &ignored);
    const char *words = json_string_value(json_object_get(root, "error"));
    int rc = words != NULL ? errctx_set(err, ERR_UNAVAILABLE, "%s: status %d: %s", url, f->status, words)
                           : errctx_set(err, ERR_UNAVAILABLE, "%s: status %d: %.*s", url, f->status, shown,
                                        bytes_view(&f->body).base);
    json_decref(root);
    return rc;
}

int fetch(const char *method, const char *url, const char *token, struct bytes *ret_body, struct errctx *err)
{
    struct fetch f = {.loop = loop_new()};
    struct http_client *client = http_client_new(f.loop);
    char *auth = token != NULL ? mem_printf("Authorization: Bearer %s", token) : NULL;
    const char *headers[] = {auth, NULL};
    const struct http_request req = {
        .method = method,
        .url = url,
        .headers = headers,
        .timeout_ms = TIMEOUT_MS,
        .answer_bytes_max = FETCH_BYTES_MAX,
    };
    bytes_init(&f.body, FETCH_BYTES_MAX);
    http_client_send(client, &req, on_answer, &f);
    loop_run(f.loop);
    int rc = f.err.code != 0 ? errctx_set(err, f.err.code, "%s", f.err.msg) : 0;
    if (rc == 0 && f.status != 200) {
        rc = fail_status(url, &f, err);
    }
    http_client_free(&client);
    loop_free(&f.loop);
    free(auth);
    *ret_body = f.body;
    return rc;
}
