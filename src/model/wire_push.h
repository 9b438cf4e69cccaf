/* What a coordinator sends to a sidecar besides targets: numbers that order pushes, a configuration, a reason to stop.
 * The targets themselves are wire.h's. */
#ifndef KVASS_MODEL_WIRE_PUSH_H
#define KVASS_MODEL_WIRE_PUSH_H

#include "model/wire.h"

/* generation 0 and no epoch when a caller knows of neither (Kvass 0.3). */
struct wire_push {
    uint64_t generation, epoch;
    bool has_epoch;
};

/* "generation" and "epoch" of a body; the header's text, when there is one, wins over the body's epoch. */
int wire_read_push(const json_t *root, struct view epoch_header, struct wire_push *ret, struct errctx *err) MUST_CHECK;

/* {"rawContent":"..."}; the view lives as long as root. */
int wire_read_raw_config(const json_t *root, struct view *ret_text, struct errctx *err) MUST_CHECK;

/* {"stopScrapeReason":"..."}: malloc'd, "" when it is absent. */
int wire_read_stop_reason(const json_t *root, char **ret, struct errctx *err) MUST_CHECK;

/* How many of its jobs nobody in this process has named before. */
size_t wire_count_new_jobs(const json_t *root);

/* data of extra_config: {"json":"{\"stopScrapeReason\":...}"}. */
void wire_write_extra(struct json_writer *w, const char *stop_reason);

#endif
