/* Reading pushes. Strict where a misunderstanding would matter: a number of the wrong type is refused, because taking
 * it for "none" would switch the fencing off. */
#include "model/wire_push.h"
#include "base/intern.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_number(const json_t *root, const char *key, uint64_t *ret, bool *ret_there, struct errctx *err)
{
    const json_t *value = json_object_get(root, key);
    *ret = 0;
    *ret_there = value != NULL && !json_is_null(value);
    if (*ret_there && !wire_u64(value, ret)) {
        return errctx_set(err, ERR_INVALID, "%s: expected an unsigned integer", key);
    }
    return 0;
}

static int read_header(struct view text, uint64_t *ret, struct errctx *err)
{
    uint64_t n = 0;
    bool ok = text.len > 0 && text.len <= 20;
    for (size_t i = 0; ok && i < text.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text.base[i] - '0';
        ok = digit <= 9 && n <= (UINT64_MAX - digit) / 10;
        n = n * 10 + digit;
    }
    if (!ok) {
        return errctx_set(err, ERR_INVALID, "header X-Kvass-Epoch: expected an unsigned integer");
    }
    *ret = n;
    return 0;
}

int wire_read_push(const json_t *root, struct view epoch_header, struct wire_push *ret, struct errctx *err)
{
    struct wire_push push = {0};
    bool has_generation;
    if (!json_is_object(root)) {
        return errctx_set(err, ERR_INVALID, "body: expected an object");
    }
    int rc = read_number(root, "generation", &push.generation, &has_generation, err);
    rc = rc != 0 ? rc : read_number(root, "epoch", &push.epoch, &push.has_epoch, err);
    if (rc == 0 && epoch_header.base != NULL) {
        rc = read_header(epoch_header, &push.epoch, err);
        push.has_epoch = true;
    }
    if (rc == 0) {
        *ret = push;
    }
    return rc;
}

int wire_read_raw_config(const json_t *root, struct view *ret_text, struct errctx *err)
{
    const json_t *text = json_object_get(root, "rawContent");
    if (!json_is_string(text)) {
        return errctx_set(err, ERR_INVALID, "rawContent: expected a string with the configuration");
    }
    *ret_text = view_make(json_string_value(text), json_string_length(text));
    return 0;
}

int wire_read_stop_reason(const json_t *root, char **ret, struct errctx *err)
{
    const json_t *reason = json_object_get(root, "stopScrapeReason");
    if (!json_is_object(root)) {
        return errctx_set(err, ERR_INVALID, "body: expected an object");
    }
    if (reason != NULL && !json_is_null(reason) && !json_is_string(reason)) {
        return errctx_set(err, ERR_INVALID, "stopScrapeReason: expected a string");
    }
    *ret = mem_strdup(json_is_string(reason) ? json_string_value(reason) : "");
    return 0;
}

size_t wire_count_new_jobs(const json_t *root)
{
    const char *name;
    json_t *list;
    size_t count = 0;
    json_object_foreach(json_object_get(root, "Targets"), name, list)
    {
        count += intern_find(name) == NULL;
    }
    return count;
}

void wire_write_extra(struct json_writer *w, const char *stop_reason)
{
    struct bytes inner;
    struct json_writer iw;
    bytes_init(&inner, (size_t)1 << 20);
    json_writer_init(&iw, &inner);
    json_object_begin(&iw);
    json_kv_str(&iw, "stopScrapeReason", stop_reason);
    json_object_end(&iw);
    json_object_begin(w);
    json_kv_view(w, "json", bytes_view(&inner));
    json_object_end(w);
    bytes_done(&inner);
}
