/* Whole collections: see client.h.
 *
 * Pages of 500 with a continue token, or one page from the server's memory. All pages show one moment; a token expires
 * after minutes, and the list then begins anew (the server offers to go on inconsistently, which helps nobody who wants
 * to watch from there). Each item is parsed, handed over and dropped before the next one is looked at. */
#include "k8s/schema.h"
#include "k8s/stream.h"

#include "base/mem.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_DEFAULT    500
#define PAGE_TIMEOUT_MS 60000
#define RESTARTS_MAX    3
#define PAGES_MAX       1000000

struct k8s_list {
    struct k8s_client *client;
    struct k8s_list_request req; /* strings below */
    struct k8s_resource resource;
    char *namespace, *label_selector, *field_selector, *what, *token;
    struct k8s_stream *stream;
    unsigned restarts, pages;
};

static void list_free(struct k8s_list *l)
{
    k8s_client_unref(l->client);
    free(l->namespace);
    free(l->label_selector);
    free(l->field_selector);
    free(l->what);
    free(l->token);
    free(l);
}

void k8s_list_cancel(struct k8s_list *l)
{
    k8s_stream_cancel(l->stream);
    list_free(l);
}

static void list_page(struct k8s_list *l);

static int on_piece(void *data, struct view text)
{
    struct k8s_list *l = data;
    json_t *item = text.base == NULL        ? NULL
                   : l->req.schema != NULL ? k8s_schema_load(l->req.schema, false, text, NULL)
                                           : json_loadb(text.base, text.len, JSON_ALLOW_NUL, NULL);
    if (item == NULL) {
        metric_add(METRIC_K8S_BROKEN_OBJECTS, 1, l->resource.plural);
        return 0;
    }
    int rc = l->req.on_item(l->req.data, item);
    json_decref(item);
    return rc;
}

static void list_end(struct k8s_list *l, const char *resource_version, const struct k8s_answer *answer)
{
    l->req.on_done(l->req.data, resource_version, answer);
    list_free(l);
}

static void list_restart(struct k8s_list *l)
{
    l->restarts++;
    MEM_FREE(l->token);
    if (l->req.on_begin != NULL) {
        l->req.on_begin(l->req.data);
    }
    list_page(l);
}

static void on_page_done(void *data, const struct k8s_answer *answer, struct view rest)
{
    struct k8s_list *l = data;
    struct k8s_answer a = *answer;
    l->stream = NULL;
    if (a.err.code != 0) {
        if (k8s_is_expired(&a) && l->token != NULL && l->restarts < RESTARTS_MAX) {
            list_restart(l);
        } else {
            list_end(l, NULL, &a);
        }
        return;
    }
    json_t *head = json_loadb(rest.base, rest.len, JSON_ALLOW_NUL, NULL);
    const char *version = k8s_json_str(head, "metadata.resourceVersion");
    const char *token = k8s_json_str(head, "metadata.continue");
    if (head == NULL || version[0] == '\0') {
        (void)errctx_set(&a.err, ERR_PARSE, "%s: the answer is no list with a resourceVersion", l->what);
        list_end(l, NULL, &a);
    } else if (token[0] != '\0' && ++l->pages < PAGES_MAX) {
        free(l->token);
        l->token = mem_strdup(token);
        list_page(l);
    } else {
        list_end(l, version, &a);
    }
    json_decref(head);
}

static void list_page(struct k8s_list *l)
{
    struct bytes url;
    char limit[16];
    char *path = k8s_url(l->client, &l->resource, l->namespace, NULL, NULL);
    snprintf(limit, sizeof(limit), "%u", l->req.page != 0 ? l->req.page : PAGE_DEFAULT);
    bytes_init(&url, (size_t)256 << 10);
    bytes_append_str(&url, path);
    free(path);
    if (l->req.from_cache) {
        k8s_query_add(&url, "resourceVersion", "0");
    } else {
        k8s_query_add(&url, "limit", limit);
    }
    k8s_query_add(&url, "continue", l->token);
    k8s_query_add(&url, "labelSelector", l->label_selector);
    k8s_query_add(&url, "fieldSelector", l->field_selector);
    const struct k8s_stream_request req = {
        .url = url.base,
        .what = l->what,
        .verb = "list",
        .mode = JSON_SPLIT_ITEMS,
        .timeout_ms = l->req.timeout_ms != 0 ? l->req.timeout_ms : PAGE_TIMEOUT_MS,
        .on_piece = on_piece,
        .on_done = on_page_done,
        .data = l,
    };
    l->stream = k8s_stream_send(l->client, &req);
    bytes_done(&url);
}

struct k8s_list *k8s_list_send(struct k8s_client *c, const struct k8s_list_request *req)
{
    struct k8s_list *l = mem_calloc(1, sizeof(*l));
    l->client = k8s_client_ref(c);
    l->req = *req;
    l->resource = *req->resource;
    l->namespace = mem_strdup(req->namespace != NULL ? req->namespace : "");
    l->label_selector = mem_strdup(req->label_selector != NULL ? req->label_selector : "");
    l->field_selector = mem_strdup(req->field_selector != NULL ? req->field_selector : "");
    l->what = k8s_what("list", req->resource, req->namespace, NULL, NULL);
    if (req->on_begin != NULL) {
        req->on_begin(req->data);
    }
    list_page(l);
    return l;
}
