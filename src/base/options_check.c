/* What one row's bounds cannot say: options that must suit each other, or the role. Run at the end of every load, so
 * the daemons and `kvass config check` refuse the same. Pure: whether files are there is the roles' business
 * (api/preflight.h). */
#include "base/options.h"
#include "base/options_table.h"
#include "base/prometheus_version.h"

#include <string.h>

/* Where an option's value came from, for a message about two of them. */
static const char *place(const struct options *o, enum option_id id)
{
    const struct option_origin *origin = &o->origins[id];
    switch (origin->source) {
    case OPTION_FROM_FILE:
        return arena_printf(o->arena, "%s (%s:%d)", option_row(id)->name, o->file, origin->line);
    case OPTION_FROM_FLAG:
        return arena_printf(o->arena, "%s (flag)", option_row(id)->name);
    case OPTION_FROM_DEFAULT:
        break;
    }
    return arena_printf(o->arena, "%s (default)", option_row(id)->name);
}

static bool is_version(const char *text)
{
    enum prometheus_major any;
    return strcmp(text, "auto") == 0 || prometheus_version_parse(text, &any, NULL) == 0;
}

static const struct {
    enum role role;
    unsigned types;            /* a bit for each that it runs */
    const char *names, *other; /* what the other role does */
} SHARD_TYPES[] = {
    {ROLE_APPLIANCE, 1u << SHARD_TYPE_PROCESS | 1u << SHARD_TYPE_SYSTEMD | 1u << SHARD_TYPE_K8S,
     "process, systemd, k8s", "drives shards elsewhere, with kvass sidecar beside each Prometheus"},
    {ROLE_COORDINATOR, 1u << SHARD_TYPE_K8S | 1u << SHARD_TYPE_STATIC | 1u << SHARD_TYPE_HTTP, "k8s, static, http",
     "starts shards on its own host"},
};

static int check_shard_type(const struct options *o, struct errctx *err)
{
    for (size_t i = 0; i < sizeof(SHARD_TYPES) / sizeof(SHARD_TYPES[0]); i++) {
        if (SHARD_TYPES[i].role == o->role && (SHARD_TYPES[i].types & 1u << o->shard_type) == 0) {
            struct bytes value;
            bytes_init(&value, 64);
            options_format_value(o, OPTION_ID_shard_type, &value);
            int rc = errctx_set(
                err, ERR_INVALID, "%s is %.*s, but the role %s has: %s ('kvass %s --shard.type=%.*s' %s)",
                place(o, OPTION_ID_shard_type), VIEW_FMT(bytes_view(&value)), role_name(o->role), SHARD_TYPES[i].names,
                role_name(SHARD_TYPES[1 - i].role), VIEW_FMT(bytes_view(&value)), SHARD_TYPES[i].other);
            bytes_done(&value);
            return rc;
        }
    }
    bool needs_url = o->role != ROLE_SIDECAR && o->shard_type == SHARD_TYPE_HTTP && o->shard_http_url[0] == '\0';
    return needs_url ? errctx_set(err, ERR_INVALID, "%s is http, so shard.http-url must name the shard service",
                                  place(o, OPTION_ID_shard_type))
                     : 0;
}

int options_check_together(const struct options *o, struct errctx *err)
{
    if (o->balance_low_mark > o->balance_high_mark) {
        return errctx_set(err, ERR_INVALID, "%s is above %s", place(o, OPTION_ID_balance_low_mark),
                          place(o, OPTION_ID_balance_high_mark));
    }
    if (o->shard_min_shard > o->shard_max_shard) {
        return errctx_set(err, ERR_INVALID, "%s is above %s", place(o, OPTION_ID_shard_min_shard),
                          place(o, OPTION_ID_shard_max_shard));
    }
    if (o->balance_even_out > 0 && o->balance_even_out < 1.05) {
        return errctx_set(err, ERR_INVALID, "%s is neither 0 (off) nor at least 1.05",
                          place(o, OPTION_ID_balance_even_out));
    }
    if (!is_version(o->prometheus_version)) {
        return errctx_set(err, ERR_INVALID, "%s is none of auto, 2.x, 3.x, or a version such as 2.42.0",
                          place(o, OPTION_ID_prometheus_version));
    }
    return check_shard_type(o, err);
}
