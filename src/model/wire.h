/* JSON of the HTTP API (as Kvass 0.3): the only place that knows its names. Reading goes through jansson; since its
 * integers are signed, wire_parse first puts integers of 19 and more digits between quotes, and wire_u64 takes both
 * forms. */
#ifndef KVASS_MODEL_WIRE_H
#define KVASS_MODEL_WIRE_H

#include "base/json_writer.h"
#include "model/assignment.h"
#include "model/shard_info.h"
#include "model/status.h"

#include <jansson.h>

/* Parses text of at most max_bytes, and of a sixteenth as many members and elements (4 million at least); NULL with
 * ERR_PARSE (message has line and column) or ERR_LIMIT. Caller
 * json_decref()s. */
json_t *wire_parse(struct view text, size_t max_bytes, struct errctx *err);

/* An unsigned 64-bit integer, from a JSON integer or decimal string; false when it is neither. */
bool wire_u64(const json_t *value, uint64_t *ret);

/* A hash as a key: decimal digits and nothing else. */
bool wire_key_u64(const char *key, uint64_t *ret);

/* {"status":"success","data":...}: begin leaves the writer at the place of data's value. */
void wire_success_begin(struct json_writer *w);
void wire_success_end(struct json_writer *w);
void wire_success_empty(struct json_writer *w); /* without data */
void wire_error(struct json_writer *w, const char *error_type, const char *message);

/* Data of a success answer, JSON null when it has none; NULL and *err set when it is an error answer (its errorType
 * gives the code) or no answer of ours (ERR_PARSE). Borrowed from root. */
const json_t *wire_data(const json_t *root, struct errctx *err);

void wire_write_target(struct json_writer *w, const struct assignment *a, const struct target_status *s);
void wire_write_status(struct json_writer *w, enum assignment_state state, const struct target_status *s);
void wire_write_runtimeinfo(struct json_writer *w, const struct shard_info *info);

/* {"Targets":{"job":[target,...]}} in both directions; the result is a malloc'd array of assignments owning their
 * targets (free with wire_targets_free). URL, interval and timeout are not on the wire: reading derives them from the
 * labels, 0 where a label is missing. Written in the order of items, which must be grouped by job. */
void wire_write_targets(struct json_writer *w, const struct assignment *items, size_t count);
/* The same as a push: with "generation" and, unless it is 0, "epoch". */
void wire_write_push(struct json_writer *w, const struct assignment *items, size_t count, uint64_t generation,
                     uint64_t epoch);
/* {"rawContent":...,"generation":N,"epoch":N}, the last unless it is 0. */
void wire_write_config(struct json_writer *w, struct view text, uint64_t generation, uint64_t epoch);
/* {"stopScrapeReason":...}, and back from {"json":"{...}"}; the view lives as long as *ret_inner (json_decref it). */
void wire_write_extra_config(struct json_writer *w, const char *stop_reason);
int wire_read_extra_config(const json_t *data, json_t **ret_inner, const char **ret_stop_reason,
                           struct errctx *err) MUST_CHECK;
bool wire_is_targets(const json_t *data); /* {"Targets":...}, not a map of statuses */
int wire_read_targets(const json_t *root, struct assignment **ret, size_t *ret_count, struct errctx *err) MUST_CHECK;
void wire_targets_free(struct assignment *items, size_t count);

/* The store of the Go sidecar: kvass-shard.json, or the older targets.json which is only the inner object.
 * *ret_idle_since_ms is 0 when it was not idle. */
int wire_read_old_store(const json_t *root, struct assignment **ret, size_t *ret_count, int64_t *ret_idle_since_ms,
                        struct errctx *err) MUST_CHECK;

/* goodScrapes, wholeSeries and wholeTotalSeries are ours; from a Go sidecar the first is taken as ScrapeTimes of a
 * target that is up. */
int wire_read_status(const json_t *object, enum assignment_state *ret_state, struct target_status *ret,
                     struct errctx *err) MUST_CHECK;
/* health, error, generation, epoch, configGeneration and maxParts are ours; without them a shard that answers is ready.
 * last_seen_ms stays 0. */
int wire_read_runtimeinfo(const json_t *data, struct shard_info *ret, struct errctx *err) MUST_CHECK;

/* Label object {"name":"value",...}; also used for discoveredLabels. */
void wire_write_labels(struct json_writer *w, const struct labels *labels);
int wire_read_labels(const json_t *object, struct labels **ret, struct errctx *err) MUST_CHECK;

#endif
