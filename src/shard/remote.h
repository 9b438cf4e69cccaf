/* A shard behind the HTTP API of a sidecar: the wish goes down by POST, what the shard holds and knows comes up by GET,
 * every poll_ms and soon after a push. One call at a time per shard, each with a deadline and a bounded answer.
 *
 * Nothing is written before the shard has been read once and set_assignment was called: a coordinator learns what the
 * shards hold before it changes anything. What is pushed is repeated, with back-off, until the shard says that it has
 * it. A Go sidecar counts no generations: its answer to the push is its acknowledgement, and its ConfigHash is a word
 * that is learnt after our own push. */
#ifndef KVASS_SHARD_REMOTE_H
#define KVASS_SHARD_REMOTE_H

#include "base/loop.h"
#include "net/http_client.h"
#include "shard/remote_lanes.h"
#include "shard/shard.h"

#define REMOTE_SAME_HASH_MAX    8 /* jobs that may hold targets of one hash */
#define REMOTE_ANSWER_BYTES_MAX ((size_t)256 << 20)

struct remote_env {
    struct loop *loop;
    struct http_client *http;
    struct http_profile *profile; /* credentials and TLS of the calls; NULL = plain. Outlives the shards */
    struct remote_lanes *lanes;   /* shared by all; outlives the shards */
    int64_t poll_ms;              /* 0 = 10 s */
    bool ask_version;         /* its Prometheus' version is asked for, through the shard, at first and now and then */
    int64_t read_timeout_ms;  /* of one reading; 0 = 5 s */
    int64_t write_timeout_ms; /* of one push; 0 = 30 s */
    /* The targets that are known under a hash, borrowed: a Go sidecar tells hashes only. At most max. */
    size_t (*find)(void *data, uint64_t hash, const struct target **ret, size_t max);
    /* News of a target it holds: there was a scrape since the last reading. */
    void (*on_status)(void *data, struct shard *s, const struct target *t, const struct target_status *status);
    /* Something the next round should see soon: first reading, health, an acknowledgement. */
    void (*on_change)(void *data, struct shard *s);
    /* It refused us or has seen a larger epoch: another coordinator is newer. */
    void (*on_conflict)(void *data, struct shard *s, const char *message);
    /* The first reading found that scraping is stopped there. */
    void (*on_stopped)(void *data, struct shard *s, const char *reason);
    /* What a Go sidecar calls the configuration with that hash: worth keeping, see remote_shard_set_word. NULL: not
     * kept. */
    void (*on_word)(void *data, struct shard *s, const char *config_hash, const char *word);
    void *data;
    int64_t (*now_ms)(void *data); /* monotonic; NULL = the real clock */
};

/* env is copied. api_url, interned, is shard->api_url from then on and may be replaced there at any time. */
struct shard *remote_shard_new(const struct remote_env *env, const char *id, const char *replica, unsigned group,
                               const char *api_url);

/* What the shard shall do with scrapes: "" = make them. Pushed when it changes, and again when the shard forgot. */
void remote_shard_set_stop_reason(struct shard *s, const char *reason);

/* What an on_word of an earlier life said: a shard that still calls its configuration so need not get it again. Before
 * the first set_config. */
void remote_shard_set_word(struct shard *s, const char *config_hash, const char *word);

/* A reading as soon as a lane is free. */
void remote_shard_read_soon(struct shard *s);

/* What the timer does: for tests with a clock of their own. */
void remote_shard_tick(struct shard *s);

#endif
