/* The typed view of a prometheus.yml: what kvass itself needs of it. Everything else stays in the
 * tree. One struct promconf is one parsed configuration generation: immutable, refcounted, shared
 * by threads. */
#ifndef KVASS_CONFIGGEN_PROMCONF_H
#define KVASS_CONFIGGEN_PROMCONF_H

#include "configgen/yamltree.h"
#include "model/labels.h"
#include "net/http_conf.h"
#include "relabel/relabel.h"

struct sd_conf {
    const char *key;              /* "static_configs", "file_sd_configs", ... */
    const struct yaml_node *node; /* the list item (for static_configs: the whole list) */
};

struct job_conf {
    const char *name; /* interned */
    const char *file; /* the file it comes from (scrape_config_files), and the directory relative
                         paths start from */
    const char *base_dir;
    int line, column;
    bool honor_labels, honor_timestamps;
    int64_t interval_ms, timeout_ms;
    const char *metrics_path, *scheme;
    const struct label *params; /* name repeated for several values, in file order */
    size_t param_count;
    struct http_client_conf http;
    const struct relabel_spec *relabel, *metric_relabel;
    size_t relabel_count, metric_relabel_count;
    uint64_t sample_limit, target_limit, label_limit, label_name_length_limit,
        label_value_length_limit;
    uint64_t body_size_limit, keep_dropped_targets;
    const char *fallback_scrape_protocol; /* "" when absent */
    bool utf8_names, native_histograms, always_classic;
    enum prometheus_major major;  /* the generation's */
    const struct sd_conf *sd;
    size_t sd_count;
    const struct yaml_node *node; /* the job in the tree */
    uint64_t
        text_hash; /* changes whenever anything in the job (globals it inherits included) does */
};

struct promconf {
    const char *path;
    struct view text; /* of the main file, as it was read */
    const struct yaml_node *root;
    const struct job_conf *jobs;
    size_t job_count;
    size_t file_job_count; /* of them, those of files: they come first, then those of promconf_options.extras */
    int64_t scrape_interval_ms, evaluation_interval_ms;
    enum prometheus_major major;
    bool native_histograms; /* as of promconf_options */
    char hash[17]; /* hex, of the bytes of all files read */
    const char *needs_version,
        *needs_key; /* the newest Prometheus a key in use came with; NULL: 2.42 has them all */
};

/* Jobs from elsewhere than files. */
struct promconf_extra {
    const char *name; /* in messages, and job_conf.file */
    struct view text; /* as of a scrape_config_files file */
};

struct promconf_options {
    enum prometheus_major major;
    bool native_histograms; /* before 3.8: the servers run with the feature native-histograms */
    /* as Kvass 0.3: --inject.kubernetes-url, -proxy, -sa-path; NULL or "" = leave alone */
    const char *kubernetes_url, *kubernetes_proxy, *kubernetes_sa_path;
    /* Taken in behind the files' jobs, relative paths as of the main file. One that is refused, or has a job of a name
     * that is taken, is left out whole and told of; the rest goes on. */
    const struct promconf_extra *extras;
    size_t extra_count;
    void (*on_extra_refused)(void *data, size_t i, const struct errctx *err); /* NULL: nobody is told */
    void *extra_data;
};

/* Reads and validates the file and its scrape_config_files. Errors: "file:line:column: job 'x':
 * key: what is wrong; expected ..." */
int promconf_load(const char *path, const struct promconf_options *opts, struct promconf **ret,
                  struct errctx *err) MUST_CHECK;
/* As promconf_load, from memory; path names it in messages and gives the directory of relative
 * paths. */
int promconf_parse(const char *path, struct view text, const struct promconf_options *opts,
                   struct promconf **ret, struct errctx *err) MUST_CHECK;
struct promconf *promconf_ref(struct promconf *c);
void promconf_unref(struct promconf *c); /* NULL is fine */

const struct job_conf *promconf_job(const struct promconf *c,
                                    const char *name); /* NULL when absent */

/* The configuration for people: every secret reads <secret>, passwords in URLs xxxxx (as
 * Prometheus' /api/v1/status/config). */
int promconf_write_redacted(const struct promconf *c, struct bytes *out,
                            struct errctx *err) MUST_CHECK;

#define PROMCONF_FILES_MAX 10000 /* scrape_config_files */

/* The configuration as one text that stands alone, for a shard elsewhere: the main file as it is or,
 * when it includes others, the tree with their jobs taken in. */
int promconf_write_whole(const struct promconf *c, struct bytes *out,
                         struct errctx *err) MUST_CHECK;

/* The HTTP client block of a job or of a *_sd_configs item: other keys of the mapping are not
 * looked at, relative paths start from base_dir. Messages name file, line and column. */
int promconf_http_client(struct arena *arena, const struct yaml_node *mapping, const char *file,
                         const char *base_dir, struct http_client_conf *ret,
                         struct errctx *err) MUST_CHECK;

/* Checks one list item of a native mechanism ("http_sd_configs", ...) as promconf_load does, and that
 * refresh_interval is more than nothing. For mechanisms, which are handed their item alone. */
int promconf_sd_check(const char *key, const char *file, const char *base_dir, enum prometheus_major major,
                      const struct yaml_node *item, struct errctx *err) MUST_CHECK;

#endif
