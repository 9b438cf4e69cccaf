/* Each part has a filter and a counter behind it, as in the proxy; a body is read once and shown to all of them. What
 * is refused of a part alone (its own sample_limit) is told with its figures. */
#include "cli/count_parts.h"
#include "base/mem.h"
#include "expfmt/part_filter.h"
#include "model/part.h"

#include <stdlib.h>

struct count_part {
    struct counter *counter;
    struct part_filter *filter;
    struct errctx error; /* of the filter: of a body that fast counting lets pass */
};

struct count_parts {
    unsigned count;
    struct count_part items[PARTS_MAX];
};

bool count_parts_parse(const char *text, unsigned *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < 2 || n > PARTS_MAX) {
        return false;
    }
    *ret = (unsigned)n;
    return true;
}

/* The counter keeps its error. */
static int on_piece(void *data, const char *base, size_t len, struct errctx *err)
{
    struct errctx kept = ERRCTX_INIT;
    (void)err;
    (void)!counter_feed(data, base, len, &kept);
    return 0;
}

struct count_parts *count_parts_new(const struct counter_conf *conf, unsigned parts, enum exposition_format format,
                                    const struct labels *target)
{
    struct counter_conf part_conf = *conf;
    part_conf.by_family = false;
    part_conf.body_size_limit = 0;
    struct count_parts *p = mem_calloc(1, sizeof(*p));
    p->count = parts;
    for (unsigned i = 0; i < parts; i++) {
        struct count_part *part = &p->items[i];
        part->counter = counter_new(&part_conf);
        part->filter = part_filter_new(conf->major, conf->line_bytes_max);
        counter_start(part->counter, format, target);
        part_filter_start(part->filter, format, i, parts, on_piece, part->counter);
    }
    return p;
}

void count_parts_free(struct count_parts **p)
{
    if (*p == NULL) {
        return;
    }
    for (unsigned i = 0; i < (*p)->count; i++) {
        counter_free(&(*p)->items[i].counter);
        part_filter_free(&(*p)->items[i].filter);
    }
    MEM_FREE(*p);
}

void count_parts_feed(struct count_parts *p, const char *base, size_t len)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct count_part *part = &p->items[i];
        if (part->error.code == 0) {
            part->error.code = part_filter_feed(part->filter, base, len, &part->error);
        }
    }
}

void count_parts_write(struct count_parts *p, struct json_writer *w)
{
    json_array_begin(w);
    for (unsigned i = 0; i < p->count; i++) {
        struct counter_result result;
        struct count_part *part = &p->items[i];
        struct errctx err = part->error;
        int rc = err.code == 0 ? part_filter_finish(part->filter, &err) : err.code;
        rc = counter_finish(part->counter, &result, rc == 0 ? &err : NULL) != 0 ? ERR_INVALID : rc;
        json_object_begin(w);
        json_kv_u64(w, "samples_scraped", result.scraped);
        json_kv_u64(w, "samples_post_metric_relabeling", result.series);
        json_key(w, "error");
        if (rc != 0) {
            json_str(w, err.msg);
        } else {
            json_null_value(w);
        }
        json_object_end(w);
    }
    json_array_end(w);
}
