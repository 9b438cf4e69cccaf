/* What the API thread of a sidecar may know: an immutable, refcounted copy made on the control thread; and the JSON
 * made from it. */
#ifndef KVASS_API_SIDECAR_VIEW_H
#define KVASS_API_SIDECAR_VIEW_H

#include "base/json_writer.h"
#include "configgen/promconf.h"
#include "shard/shard.h"

#include <stdatomic.h>

struct sidecar_view {
    _Atomic unsigned refs;
    int64_t built_ms;
    struct shard_info info;
    struct promconf *conf;          /* NULL when there is none */
    struct assignment *items;       /* sorted by job and hash, LEAVING included; they own their targets */
    struct target_status *statuses; /* of items, one by one */
    size_t count;
    char *stop_reason;
};

struct sidecar_view *sidecar_view_build(struct shard *s, struct promconf *conf, const char *stop_reason,
                                        int64_t now_ms);
struct sidecar_view *sidecar_view_ref(struct sidecar_view *v);
void sidecar_view_unref(struct sidecar_view *v); /* NULL is fine */

/* Each writes the whole envelope. */
void sidecar_answer_runtimeinfo(const struct sidecar_view *v, struct bytes *out);
void sidecar_answer_statuses(const struct sidecar_view *v, struct bytes *out); /* hash -> status, a hash once */
void sidecar_answer_targets(const struct sidecar_view *v, struct bytes *out);  /* {"Targets":{job:[target,...]}} */
struct family_count;
void sidecar_answer_samples(const struct sidecar_view *v, struct view job_substring, struct family_count *count,
                            struct bytes *out); /* count: NULL = no detail */
int sidecar_answer_config(const struct sidecar_view *v, struct bytes *out, struct errctx *err) MUST_CHECK;
void sidecar_answer_extra_config(const struct sidecar_view *v, struct bytes *out);

#endif
