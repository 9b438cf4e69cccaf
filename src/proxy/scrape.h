/* One scrape, from the request (or a probe) to its record. Private to the room; a worker's thread only.
 *
 * Upstream: fetched with the job's client settings, decoded where needed, counted in place. Downstream (absent for
 * probes): the bytes go on to Prometheus as they come, at most WAITING_MAX of them held. What may still fail with a
 * proper status is held back: nothing is sent before HOLD_BYTES have come or the body is complete. After that a failure
 * breaks the connection. */
#ifndef KVASS_PROXY_SCRAPE_H
#define KVASS_PROXY_SCRAPE_H

#include "expfmt/decode.h"
#include "model/scrape_record.h"
#include "proxy/answer_head.h"
#include "proxy/worker.h"

#include <h2o.h>

#define BLOCK_BYTES ((size_t)65536)
#define HOLD_BYTES  ((size_t)65536)
#define WAITING_MAX ((size_t)512 << 10)
#define WAITING_LOW ((size_t)128 << 10)
#define SEND_BLOCKS 16
#define TURN_BYTES  ((size_t)1 << 20) /* decoded and counted at a time; then others have their turn */

struct block {
    struct block *next;
    size_t len;
    char data[BLOCK_BYTES];
};

struct block_queue {
    struct block *first, *last;
    size_t bytes;
};

enum scrape_phase {
    SCRAPE_WAITING, /* not begun, or for a token of the profile */
    SCRAPE_FETCHING,
    SCRAPE_COMPLETE, /* the body is whole and good enough to be passed on */
    SCRAPE_FAILED,
};

struct scrape {
    h2o_generator_t generator; /* first: libh2o hands it back */
    struct worker *worker;
    struct scrape *next, **at; /* in worker->scrapes */
    struct scrape *next_dirty;
    bool is_dirty;
    h2o_req_t *req; /* NULL: a probe, or Prometheus has gone */
    bool is_probe;
    struct proxy_table *table;
    const char *shard;
    const struct target *target;
    struct job_client *job;
    enum scrape_phase phase;

    /* upstream */
    CURL *easy;
    bool token_wanted, transfer_running, paused;
    struct curl_slist *headers, *proxy_headers;
    char *redirect_url; /* NULL: the target's own */
    unsigned hops;
    struct answer_head head;
    enum content_encoding encoding;
    bool body_begun;
    struct decoder *decoder;
    struct bytes stash; /* came while paused, not decoded yet from stash_at on */
    size_t stash_at, turn_bytes;
    struct counter *counter;   /* of what is forwarded */
    struct scrape_part *part;  /* NULL: the whole body is */
    struct family_count *families; /* set: counter keeps figures per family for it. The table's */
    struct counter_result counted;
    struct errctx count_err; /* Prometheus would refuse the body: it may read it and say so itself */
    struct errctx err;       /* the scrape cannot be completed */
    int fail_status;         /* to answer with */
    uint64_t wire_bytes;

    /* downstream */
    struct block_queue waiting, sending;
    bool head_sent, in_flight, done_sending, pass_compressed;

    int64_t started_ms, started_us, deadline_ms; /* realtime, monotonic, monotonic */
};

/* Begins the scrape of target for a request of Prometheus (libh2o owns the answer) or, with req NULL, as a probe. */
void scrape_begin(struct worker *w, h2o_req_t *req, struct proxy_table *table, const char *shard,
                  const struct target *target);

/* Frees; cancels what runs. Called from the request's pool, or when a probe has ended. */
void scrape_free(struct scrape *s);

/* The body is whole: reports it, sends on the rest. Not from inside a curl callback; a probe is gone afterwards. */
void scrape_complete(struct scrape *s);

/* Once per sweep: deadlines of answers, clients that have gone. */
void scrape_sweep(struct scrape *s, int64_t now_ms);

/* The scrape cannot be completed: reports it; status is for Prometheus. Not from inside a curl callback; a probe is
 * gone afterwards. */
void scrape_fail(struct scrape *s, int status, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* --- scrape_upstream.c */
void upstream_begin(struct scrape *s);
void upstream_cancel(struct scrape *s);
bool upstream_resume(struct scrape *s); /* when paused and there is room; false: it failed, and s may be gone */

/* --- scrape_part.c: what a part of a target needs besides, from the body's beginning on */
void scrape_part_begin(struct scrape *s, enum exposition_format format);
int scrape_part_block(struct scrape *s, const char *base, size_t len, struct errctx *err) MUST_CHECK;
int scrape_part_finish(struct scrape *s, struct errctx *err) MUST_CHECK;
const struct counter_result *scrape_part_whole(const struct scrape *s); /* the whole body's figures */
void scrape_part_free(struct scrape *s);

/* --- scrape_downstream.c */
void downstream_append(struct scrape *s, const char *base, size_t len);
void downstream_send(struct scrape *s); /* as far as it may now */
void downstream_fail(struct scrape *s); /* answers s->err, or breaks the connection */
void downstream_free(struct scrape *s);

/* Answers a request that never became a scrape: status, and one line of text that is the reason phrase, too. */
void downstream_refuse(h2o_req_t *req, int status, const char *message);

#endif
