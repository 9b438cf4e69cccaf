/* What the files of promconf share: the reader, that knows where in which file we are, and the
 * passes over the tree. */
#ifndef KVASS_CONFIGGEN_PROMCONF_PARTS_H
#define KVASS_CONFIGGEN_PROMCONF_PARTS_H

#include "configgen/promconf.h"
#include "configgen/promconf_schema.h"
#include "configgen/promconf_values.h"

#define CONF_WHERE_MAX 192

struct conf_reader {
    struct arena *arena;
    const char *file, *base_dir;
    const char *job; /* in messages; NULL outside of jobs */
    enum prometheus_major major;
    bool native_histograms; /* of the options */
    bool make_absolute; /* rewrite relative paths in the tree */
    struct errctx *err;
    char where[CONF_WHERE_MAX]; /* "relabel_configs[2].regex" */
    size_t where_len;
    unsigned needs_version; /* of the newest key seen, major * 1000 + minor; 0: 2.42 has them all */
    const char *needs_key;
};

/* --- promconf_read.c: places, messages, scalars */

/* "file:line:column: job 'x': where: ..." ; node NULL leaves the position out. Returns ERR_INVALID.
 */
int conf_fail(struct conf_reader *r, const struct yaml_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds to the where path; the result goes to conf_pop. conf_push adds ".name", conf_push_index
 * "[i]". */
size_t conf_push(struct conf_reader *r, struct view name);
size_t conf_push_index(struct conf_reader *r, size_t i);
void conf_pop(struct conf_reader *r, size_t len);

/* An absolute path stays, "" stays, the rest is joined to dir and cleaned as Prometheus' own
 * language does it. */
const char *conf_path_join(struct arena *arena, const char *dir, const char *path);
/* Folder of a file, absolute; the current folder counts for relative names. */
const char *conf_path_folder(struct arena *arena, const char *file);

bool conf_parse_uint(const struct yaml_node *n, uint64_t *ret);
bool conf_parse_number(const struct yaml_node *n, double *ret);
bool conf_parse_size(struct view text, uint64_t *ret); /* "0", "10MB", "1.5MiB", "1MB2KB" */

/* --- promconf_walk.c: types and known keys of everything, absolute paths */
int conf_walk(struct conf_reader *r, const struct yaml_node *n, enum conf_struct s) MUST_CHECK;
int conf_walk_key(struct conf_reader *r, const struct yaml_pair *pair,
                  const struct conf_key *key) MUST_CHECK;

/* --- promconf_http.c: the HTTP client block of any mapping, read and its combinations checked */
int conf_http_read(struct conf_reader *r, const struct yaml_node *mapping,
                   struct http_client_conf *ret) MUST_CHECK;

/* --- promconf_job.c */
struct conf_limits {
    uint64_t sample, target, label, label_name_length, label_value_length, body_size_bytes,
        keep_dropped_targets;
};

struct conf_global {
    int64_t interval_ms, timeout_ms, evaluation_ms;
    struct conf_limits limits;
    const char *validation_scheme, *escaping_scheme; /* "" when unset */
    bool native_histograms, always_classic;
    uint64_t protocols_hash;
};

int conf_global_read(struct conf_reader *r, const struct yaml_node *node,
                     struct conf_global *ret) MUST_CHECK;
int conf_job_read(struct conf_reader *r, const struct conf_global *g, const struct yaml_node *node,
                  struct job_conf *ret) MUST_CHECK;

/* --- promconf_relabel.c: reads and compiles a list of rules once */
int conf_relabel_read(struct conf_reader *r, const struct yaml_node *mapping, const char *key,
                      const struct relabel_spec **ret, size_t *ret_count) MUST_CHECK;

/* --- promconf_sd.c: what Prometheus checks in discovery sections; has_rules: the section has
 * relabel_configs */
int conf_discovery_check(struct conf_reader *r, const struct yaml_node *mapping,
                         bool has_rules) MUST_CHECK;

/* --- promconf_check.c: everything outside of the jobs */
int conf_check_top(struct conf_reader *r, const struct yaml_node *root) MUST_CHECK;
int conf_check_protocols(struct conf_reader *r, const struct yaml_node *mapping) MUST_CHECK;
int conf_check_name_schemes(struct conf_reader *r, const struct yaml_node *n,
                            const char *validation, const char *escaping) MUST_CHECK;
int conf_check_label_name(struct conf_reader *r, const struct yaml_node *name) MUST_CHECK;
int conf_check_globs(struct conf_reader *r, const struct yaml_node *root,
                     const char *key) MUST_CHECK;

/* --- promconf_inject.c: the Kubernetes options, applied to one job in the tree */
void conf_inject_kubernetes(struct arena *arena, const struct yaml_node *job,
                            const struct promconf_options *opts);

#endif
