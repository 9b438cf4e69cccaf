/* The daemons' options: one table (options.def) makes `struct options`, the flags, the keys of kvass.yaml, --help, the
 * man pages and the sample file. A value comes from its default, from kvass.yaml (top level, then the role's section),
 * then from a flag; the last one wins, and each option remembers where its value was set. */
#ifndef KVASS_BASE_OPTIONS_H
#define KVASS_BASE_OPTIONS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errctx.h"

#include <stdint.h>

enum role {
    ROLE_APPLIANCE = 1,
    ROLE_COORDINATOR = 2,
    ROLE_SIDECAR = 4,
};
#define ROLE_FROM_FILE ((enum role)0) /* options_load: the file's `role:` decides */
#define ROLE_ALL       (ROLE_APPLIANCE | ROLE_COORDINATOR | ROLE_SIDECAR)

#define OPTIONS_FILE_DEFAULT "/etc/kvass/kvass.yaml"

/* Choices of the ENUM options, in the order of the row's list. */
enum option_shard_type { SHARD_TYPE_PROCESS, SHARD_TYPE_K8S, SHARD_TYPE_STATIC, SHARD_TYPE_SYSTEMD, SHARD_TYPE_HTTP };
enum option_scrape_count { SCRAPE_COUNT_STRICT, SCRAPE_COUNT_FAST };
enum option_inject_targets { INJECT_TARGETS_FILE, INJECT_TARGETS_STATIC };
enum option_inject_rules { INJECT_RULES_KEEP, INJECT_RULES_DROP };
enum option_shard_server { SHARD_SERVER_PROMETHEUS, SHARD_SERVER_AGENT, SHARD_SERVER_VMAGENT };
enum option_shard_on_exit { SHARD_ON_EXIT_AUTO, SHARD_ON_EXIT_STOP, SHARD_ON_EXIT_KEEP };
enum option_replica_mode { REPLICA_MODE_MIRRORED, REPLICA_MODE_INDEPENDENT };
enum option_log_level { OPTION_LOG_DEBUG, OPTION_LOG_INFO, OPTION_LOG_WARN, OPTION_LOG_ERROR };
enum option_log_format { OPTION_LOG_LOGFMT, OPTION_LOG_JSON };

struct option_list {
    const char **items;
    size_t len;
};

enum option_source { OPTION_FROM_DEFAULT, OPTION_FROM_FILE, OPTION_FROM_FLAG };

struct option_origin {
    enum option_source source;
    int line; /* of the file, when OPTION_FROM_FILE */
};

enum option_id {
#define OPTION(kind, field, name, roles, dflt, min, max, unit, help) OPTION_ID_##field,
#include "base/options.def"
    OPTION_COUNT
};

/* C type and suffix of a kind's field. */
#define OPTION_FIELD_STRING(f)   const char *f; /* never NULL; "" = not set */
#define OPTION_FIELD_ADDRESS(f)  const char *f; /* [HOST]:PORT */
#define OPTION_FIELD_URL(f)      const char *f; /* http:// or https://; "" = not set */
#define OPTION_FIELD_INT(f)      int64_t f;
#define OPTION_FIELD_DOUBLE(f)   double f;
#define OPTION_FIELD_BOOL(f)     bool f;
#define OPTION_FIELD_DURATION(f) int64_t f##_ms;
#define OPTION_FIELD_SIZE(f)     int64_t f##_bytes;
#define OPTION_FIELD_ENUM(f)     enum option_##f f;
#define OPTION_FIELD_LIST(f)     struct option_list f;

/* Immutable after options_load; strings live until options_done. */
struct options {
#define OPTION(kind, field, name, roles, dflt, min, max, unit, help) OPTION_FIELD_##kind(field)
#include "base/options.def"
    enum role role;
    const char *file; /* the kvass.yaml that was read; "" = none */
    struct option_origin origins[OPTION_COUNT];
    struct arena *arena;
};

void options_default(enum role role, struct options *ret_o);

/* argv[0] is the command's own name. Returns 0, a negative ERR_* (ret_o untouched), or OPTIONS_HELP when --help is
 * among the flags (ret_o untouched: call options_describe). The file is --kvass.config, else OPTIONS_FILE_DEFAULT,
 * which may be missing. */
#define OPTIONS_HELP 1
int options_load(enum role role, int argc, char **argv, struct options *ret_o, struct errctx *err) MUST_CHECK;

void options_done(struct options *o);

const char *role_name(enum role role);                 /* "appliance"; "" for none */
bool role_parse(struct view text, enum role *ret_role);

/* The value of an option as kvass.yaml takes it; "" for an unset string, [] for an empty list. */
void options_format_value(const struct options *o, enum option_id id, struct bytes *out);

/* True when the value was given by the user, not by the table. */
bool options_is_set(const struct options *o, enum option_id id);

/* Printed forms (options_text.c). */
void options_describe(enum role role, struct bytes *out);            /* --help */
void options_write_man(unsigned roles, bool as_flags, struct bytes *out); /* .TP list: flags, or keys of the file */
void options_write_sample(struct bytes *out);                        /* etc/kvass.yaml */
void options_show(const struct options *o, struct bytes *out);       /* effective values, each with its origin */

#endif
