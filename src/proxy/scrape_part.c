/* Scraping one part of a target: the whole body is fetched and counted, and what belongs to the part is forwarded and
 * counted again, since that is what Prometheus will report.
 *
 * A body that Prometheus would refuse whole must be refused in every part: another part's shard may be the one that
 * sees the broken line. So its scrape is broken off with the reason, instead of leaving the verdict to Prometheus as
 * with whole targets, and each block is judged before anything of it is forwarded. What is forwarded is never
 * compressed. */
#include "base/mem.h"
#include "expfmt/part_filter.h"
#include "proxy/scrape.h"

struct scrape_part {
    struct counter *whole;
    struct part_filter *filter;
    struct counter_result counted;
    struct errctx unreadable; /* what the answer's head is refused for */
};

/* Of what is forwarded. A limit of this part alone (sample_limit) is Prometheus' to complain about. */
static int on_piece(void *data, const char *base, size_t len, struct errctx *err)
{
    struct scrape *s = data;
    if (s->count_err.code == 0 && counter_feed(s->counter, base, len, &s->count_err) == ERR_LIMIT) {
        return errctx_set(err, ERR_LIMIT, "%s", s->count_err.msg);
    }
    downstream_append(s, base, len);
    return 0;
}

void scrape_part_begin(struct scrape *s, enum exposition_format format)
{
    struct scrape_part *p = mem_calloc(1, sizeof(*p));
    p->whole = job_client_counter_for(s->job, COUNTER_OF_WHOLE, false);
    p->filter = part_filter_new(job_client_major(s->job), s->worker->conf->line_bytes_max);
    p->unreadable = s->count_err;
    counter_start(p->whole, format, s->target->labels);
    part_filter_start(p->filter, format, s->target->part, s->target->parts, on_piece, s);
    s->part = p;
}

static int refusal(const struct scrape_part *p, struct errctx *err)
{
    return p->unreadable.code == 0 ? 0 : errctx_set(err, p->unreadable.code, "%s", p->unreadable.msg);
}

int scrape_part_block(struct scrape *s, const char *base, size_t len, struct errctx *err)
{
    struct scrape_part *p = s->part;
    int rc = refusal(p, err);
    rc = rc == 0 ? counter_feed(p->whole, base, len, err) : rc;
    return rc == 0 ? part_filter_feed(p->filter, base, len, err) : rc;
}

int scrape_part_finish(struct scrape *s, struct errctx *err)
{
    struct scrape_part *p = s->part;
    int rc = refusal(p, err);
    rc = rc == 0 ? counter_finish(p->whole, &p->counted, err) : rc;
    return rc == 0 ? part_filter_finish(p->filter, err) : rc;
}

const struct counter_result *scrape_part_whole(const struct scrape *s)
{
    static const struct counter_result NONE;
    return s->part != NULL ? &s->part->counted : &NONE;
}

void scrape_part_free(struct scrape *s)
{
    if (s->part != NULL) {
        counter_free(&s->part->whole);
        part_filter_free(&s->part->filter);
        MEM_FREE(s->part);
    }
}
