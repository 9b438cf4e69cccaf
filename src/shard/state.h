/* Durable state: what must survive a restart: who scrapes what, how large targets are, generation and epoch
 * (ARCHITECTURE.md); for a sidecar also the configuration that was pushed, or the last good one of its file.
 *
 * File: "KVASS1", two zero bytes, length and XXH64 of the rest (64 bits each, little endian), then zstd of JSON lines:
 * one object a line, the first {"version":1,...}, then the configuration in pieces, shards, their targets, and loads.
 * Replaced atomically; the one before stays as <path>.old. */
#ifndef KVASS_SHARD_STATE_H
#define KVASS_SHARD_STATE_H

#include "base/bytes.h"
#include "base/errctx.h"
#include "base/prometheus_version.h"
#include "model/assignment.h"
#include "model/status.h"

struct state_target {
    struct assignment a; /* owns one reference */
    struct target_status status;
};

struct state_shard {
    const char *id; /* interned */
    uint64_t generation, epoch;
    int64_t idle_since_ms;
    char config_hash[65],
        config_word[65]; /* of a coordinator: what the shard calls this configuration; "" = not known */
    struct state_target *targets;
    size_t target_count;
};

/* Size of a target, whoever scrapes it, by (job, place_key); outlives label edits and assignments. */
struct state_load {
    const char *job; /* interned */
    uint64_t place_key, series, scraped;
    int64_t seen_ms; /* realtime of the scrape it comes from */
};

struct state {
    int64_t saved_ms; /* realtime */
    char *fallback;   /* read from <path>.old, and why; NULL: from <path>. Not stored */
    uint64_t generation, epoch;
    unsigned wanted_groups;
    char prometheus_version[PROMETHEUS_VERSION_MAX]; /* last one told, whose rules were in force; "" = none */
    bool native_histograms;                          /* that one has them on by a flag */
    char *stop_reason;                               /* malloc'd; NULL = none */
    char *config_text;                               /* malloc'd, NUL behind it; NULL = none. Valid UTF-8 */
    size_t config_len;
    uint64_t config_generation;
    struct state_shard *shards;
    size_t shard_count;
    struct state_load *loads;
    size_t load_count;
};

struct state *state_new(void); /* empty */
void state_free(struct state **state);

/* Appends one; the pointer is valid until the next append of the same kind. */
struct state_shard *state_add_shard(struct state *s, const char *id);
void state_add_target(struct state_shard *shard, const struct assignment *a,
                      const struct target_status *status); /* references */
struct state_load *state_add_load(struct state *s, const char *job, uint64_t place_key);

const struct state_shard *state_find_shard(const struct state *s, const char *id); /* NULL when absent */

/* The file's bytes and back. Decoding takes any input: ERR_PARSE for what is torn or foreign, ERR_UNSUPPORTED for a
 * newer version's, ERR_LIMIT for more than we hold. */
int state_encode(const struct state *s, struct bytes *out, struct errctx *err) MUST_CHECK;
int state_decode(struct view file, struct state **ret, struct errctx *err) MUST_CHECK;

#define STATE_FILE_BYTES_MAX ((size_t)1 << 30)

/* Mode 0600. */
int state_save(const char *path, const struct state *s, struct errctx *err) MUST_CHECK;

/* Reads <path>, or, when that cannot be used, <path>.old: what was saved the time before. ERR_NOT_FOUND: there is
 * neither; other errors are those of <path>. A file that cannot be used is renamed to <path>.bad-<realtime ms>, so that
 * the next save does not destroy it, and the message says so; ERR_IO leaves it where it is. */
int state_read(const char *path, struct state **ret, struct errctx *err) MUST_CHECK;

/* The state of an older Kvass in dir: kvass-shard.json, or else targets.json, as the one shard `shard_id`.
 * ERR_NOT_FOUND when there is neither; unusable files are set aside as by state_read. Call it when state_read found
 * nothing. */
int state_import(const char *dir, const char *shard_id, struct state **ret, struct errctx *err) MUST_CHECK;

#endif
