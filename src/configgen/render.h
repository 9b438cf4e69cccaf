/* Renders a shard's Prometheus configuration: the user's tree with each job's discovery replaced by
 * a target list, its client settings by our proxy. Pure and deterministic: same input, same bytes.
 */
#ifndef KVASS_CONFIGGEN_RENDER_H
#define KVASS_CONFIGGEN_RENDER_H

#include "configgen/promconf.h"
#include "model/assignment.h"

/* Who reads the file: agents refuse some of it. */
enum render_server { RENDER_PROMETHEUS, RENDER_AGENT, RENDER_VMAGENT };

enum target_form { TARGET_FORM_FILE, TARGET_FORM_STATIC };

struct render_options {
    const char *proxy_url; /* "http://127.0.0.1:8008" */
    enum target_form form;
    const char *target_dir;         /* FILE: <dir>/<job file name>.json, absolute */
    const char *shard_id;           /* goes into _shard and ${SHARD}; NULL = none */
    const char *replica;            /* ${REPLICA}; NULL = none */
    bool drop_rules;                /* leave rule_files and alerting out */
    bool split;                     /* targets may be parts (model/part.h) */
    enum render_server server;      /* and what else it refuses */
    bool self_monitor;              /* job prometheus_shards (as Kvass 0.3) */
    const char *prometheus_address; /* host:port of the shard's Prometheus, for self_monitor */
};

/* The shard's prometheus.yml. items: the shard's assignments (those LEAVING are not written); the
 * FILE form only looks whether a job holds parts of targets, which with opts->split any may. */
int render_config(const struct promconf *conf, const struct render_options *opts,
                  const struct assignment *items, size_t count, struct bytes *out,
                  struct errctx *err) MUST_CHECK;

/* FILE form: the JSON list for one job ("[]" when it has none here), sorted by hash. */
int render_target_file(const struct job_conf *job, const struct render_options *opts,
                       const struct assignment *items, size_t count, struct bytes *out,
                       struct errctx *err) MUST_CHECK;

/* File name of a job's target list: the job name where it is plain, else escaped; unique per job.
 * Malloc'd. */
char *render_target_file_name(const char *job);

/* A querier's prometheus.yml: remote_read (read_recent) to every URL, no jobs, no external labels.
 */
int render_querier(const char *const *prometheus_urls, size_t count, struct bytes *out,
                   struct errctx *err) MUST_CHECK;

#endif
