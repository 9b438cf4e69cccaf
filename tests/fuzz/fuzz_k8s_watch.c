/* Any bytes as an answer of an API server, cut into portions: W<n> is a watch, L<n> a list, S<n> an error body. What is taken can be
 * walked, the cut does not matter, and nothing is left of what was refused. */
#include "base/hash.h"
#include "base/invariant.h"
#include "k8s/answer.h"
#include "k8s/event.h"
#include "k8s/json_split.h"
#include "k8s/schema.h"
#include "k8s/texts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    enum json_split_mode mode;
    struct k8s_texts *texts;
    struct k8s_schema *schema;
    size_t pieces, objects;
    uint64_t hash;
};

static size_t walk(struct k8s_value v, unsigned depth)
{
    size_t n = 1 + k8s_text(v).len;
    struct k8s_iter it = k8s_iter(v);
    invariant(depth < 64);
    while (k8s_next(&it)) {
        n += it.key.len + walk(it.value, depth + 1);
    }
    return n;
}

static void take(struct run *r, const json_t *tree)
{
    struct k8s_object *o = k8s_object_new(tree, r->schema, r->texts);
    if (o == NULL) {
        return;
    }
    struct k8s_object *again = k8s_object_new(tree, r->schema, r->texts);
    invariant(again != NULL && k8s_object_equal(o, again) && k8s_object_name(o).len != 0);
    r->hash = r->hash * 31 + hash_view(k8s_object_name(o)) + walk(k8s_object_root(o), 0);
    r->objects++;
    k8s_object_free(again, r->texts);
    k8s_object_free(o, r->texts);
}

/* What parses as a whole parses when pruned, and packs to the same. */
static void compare(struct run *r, const json_t *whole, const json_t *pruned)
{
    invariant(whole == NULL || pruned != NULL);
    struct k8s_object *a = k8s_object_new(whole, r->schema, r->texts), *b = k8s_object_new(pruned, r->schema, r->texts);
    invariant(whole == NULL || (a == NULL) == (b == NULL));
    invariant(a == NULL || k8s_object_equal(a, b));
    k8s_object_free(a, r->texts);
    k8s_object_free(b, r->texts);
}

static int on_piece(void *data, struct view text)
{
    struct run *r = data;
    struct k8s_event e;
    r->pieces++;
    r->hash = r->hash * 31 + hash_view(text);
    if (text.base == NULL) {
        return 0;
    }
    if (r->mode == JSON_SPLIT_EVENTS && k8s_event_read(text, r->schema, &e, NULL) == 0) {
        take(r, e.object);
        k8s_event_done(&e);
    } else if (r->mode == JSON_SPLIT_ITEMS) {
        json_t *whole = json_loadb(text.base, text.len, JSON_ALLOW_NUL, NULL), *pruned = k8s_schema_load(r->schema, false, text, NULL);
        compare(r, whole, pruned);
        take(r, pruned);
        json_decref(whole);
        json_decref(pruned);
    }
    return 0;
}

/* portion 0: all at once. */
static uint64_t run(enum json_split_mode mode, struct view text, size_t portion)
{
    struct run r = {.mode = mode, .texts = k8s_texts_new(), .schema = k8s_schema_new("metadata(uid! labels) spec(containers(name)) x")};
    struct json_split split;
    struct errctx err = ERRCTX_INIT;
    int rc = 0;
    json_split_init(&split, mode);
    while (text.len != 0 && rc == 0) {
        size_t n = portion == 0 || portion > text.len ? text.len : portion;
        rc = json_split_feed(&split, view_make(text.base, n), on_piece, &r, &err);
        text = view_make(text.base + n, text.len - n);
    }
    invariant(rc == 0 || rc == ERR_PARSE || rc == ERR_LIMIT);
    uint64_t result = r.hash * 31 + (uint64_t)(rc == 0 ? json_split_end(&split, NULL) : rc) + hash_view(bytes_view(&split.rest)) * (rc == 0);
    json_split_done(&split);
    invariant(k8s_texts_count(r.texts) == 0);
    k8s_schema_free(&r.schema);
    k8s_texts_free(&r.texts);
    return result;
}

static void judge(struct view body)
{
    static const int STATUSES[] = {0, 200, 301, 401, 404, 410, 429, 504};
    for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
        const struct http_answer http = {.status = STATUSES[i]};
        struct k8s_judged j;
        k8s_judge(&http, body, "get pods n/a", true, &j);
        invariant((j.answer.object != NULL) == (j.answer.err.code == 0));
        for (const char *c = j.answer.err.msg; *c != '\0'; c++) {
            invariant((unsigned char)*c >= ' ' && *c != 127);
        }
        (void)k8s_is_expired(&j.answer);
        k8s_judged_done(&j);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct view text = view_make((const char *)data + 2, size - 2);
    if (data[0] == 'S') {
        judge(text);
        return 0;
    }
    enum json_split_mode mode = data[0] == 'L' ? JSON_SPLIT_ITEMS : JSON_SPLIT_EVENTS;
    invariant(run(mode, text, 0) == run(mode, text, (size_t)data[1] + 1));
    return 0;
}
