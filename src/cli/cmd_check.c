/* kvass check: is this prometheus.yml one that kvass, and the Prometheus behind it, can use? As promtool does, it also
 * looks for the credential and certificate files that a job names, and whether its static targets can be scraped at
 * all; the daemons themselves find that out scrape by scrape and target by target. */
#include "base/vec.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "configgen/promconf.h"
#include "discovery/target_build.h"

#include <stdio.h>
#include <unistd.h>

static int file_missing(const struct job_conf *job, const char *key, const char *path)
{
    if (path == NULL || path[0] == '\0' || access(path, R_OK) == 0) {
        return 0;
    }
    fprintf(stderr, "%s:%d:%d: job '%s': %s: %s is not readable; expected a file\n", job->file, job->line, job->column,
            job->name, key, path);
    return 1;
}

static int files_missing(const struct job_conf *job)
{
    return file_missing(job, "credentials_file", job->http.credentials_file) +
           file_missing(job, "cert_file", job->http.tls.cert_file) +
           file_missing(job, "key_file", job->http.tls.key_file);
}

struct collected {
    VEC(struct target_group *) groups;
};

static void static_groups(void *data, struct target_group *const *groups, size_t count)
{
    struct collected *into = data;
    for (size_t i = 0; i < count; i++) {
        *vec_push(&into->groups) = target_group_ref(groups[i]);
    }
}

static void ignore_error(void *data, const struct errctx *err)
{
    (void)data;
    (void)err;
}

static void ignore_ok(void *data)
{
    (void)data;
}

static int report_targets(const struct job_conf *job, const struct sd_conf *sd, const struct built_job *built)
{
    int bad = 0;
    for (size_t i = 0; i < built->count; i++) {
        if (built->items[i].error != NULL) {
            fprintf(stderr, "%s:%d:%d: job '%s': %s: target %zu: %s; expected host:port and labels that fit\n",
                    job->file, sd->node->line, sd->node->column, job->name, sd->key, i + 1, built->items[i].error);
            bad++;
        }
    }
    return bad;
}

/* Static targets of a job that no Prometheus would scrape; their number. */
static int targets_bad(const struct promconf *conf, const struct job_conf *job, const struct sd_conf *sd)
{
    struct collected all = {0};
    const struct discovery_sink sink = {static_groups, ignore_error, ignore_ok, &all};
    const struct discovery_env env = {.base_dir = job->base_dir, .job = job->name, .major = conf->major};
    struct relabel_rules *rules = NULL;
    struct discoverer *d = NULL;
    struct built_job built;
    struct errctx err = ERRCTX_INIT;
    int bad = 1;
    if (relabel_rules_compile(job->relabel, job->relabel_count, conf->major, "relabel_configs", &rules, &err) == 0 &&
        mechanism_static.start(&env, job->file, sd->node, &sink, &d, &err) == 0) {
        target_build(job, conf->major, rules, all.groups.items, all.groups.len, &built);
        bad = report_targets(job, sd, &built);
        built_job_done(&built);
        mechanism_static.stop(d);
    } else {
        fprintf(stderr, "%s\n", err.msg);
    }
    for (size_t i = 0; i < all.groups.len; i++) {
        target_group_unref(all.groups.items[i]);
    }
    vec_done(&all.groups);
    relabel_rules_free(&rules);
    return bad;
}

static int static_targets_bad(const struct promconf *conf, const struct job_conf *job)
{
    int bad = 0;
    for (size_t i = 0; i < job->sd_count; i++) {
        bad += strcmp(job->sd[i].key, "static_configs") == 0 ? targets_bad(conf, job, &job->sd[i]) : 0;
    }
    return bad;
}

/* What the mechanisms refuse beyond what Prometheus does when it loads a file. */
static int check_discovery(const struct promconf *conf, struct errctx *err)
{
    int rc = 0;
    for (size_t i = 0; i < conf->job_count; i++) {
        const struct job_conf *job = &conf->jobs[i];
        for (size_t k = 0; rc == 0 && k < job->sd_count; k++) {
            const struct mechanism *m = mechanism_find(job->sd[k].key);
            rc = m != NULL ? m->check(job->file, job->base_dir, conf->major, job->sd[k].node, err) : 0;
        }
    }
    return rc;
}

static void print_summary(const struct promconf *conf)
{
    size_t sections = 0;
    for (size_t i = 0; i < conf->job_count; i++) {
        sections += conf->jobs[i].sd_count;
    }
    printf("%s: valid: %zu jobs, %zu discovery sections, hash %s", conf->path, conf->job_count, sections, conf->hash);
    if (conf->needs_version != NULL) {
        printf(", needs Prometheus %s for %s", conf->needs_version, conf->needs_key);
    }
    putchar('\n');
}

int cmd_check_config(int argc, char **argv)
{
    static const struct command_help help = {
        "kvass check config [options] FILE",
        "Reads and validates a prometheus.yml and its scrape_config_files. Exit status 0 with one "
        "line of summary, or 1 with\n"
        "file:line:column and what is wrong."};
    const char *version = "2.42", *file;
    const struct arg_spec specs[] = {
        {"prometheus.version", "VERSION", &version, NULL, "whose rules count: 2.x or 3.x (default 2.42)"}};
    int positionals = args_parse(argc, argv, &help, specs, sizeof(specs) / sizeof(specs[0]), &file, 1);
    if (positionals < 0) {
        return positionals == -2 ? 0 : EXIT_USAGE;
    }
    struct promconf_options opts = {.major = PROMETHEUS_2};
    if (positionals != 1 || prometheus_version_parse(version, &opts.major, NULL) != 0) {
        fprintf(stderr, "kvass: check config: %s\n",
                positionals != 1 ? "no FILE" : "--prometheus.version: want 2.x or 3.x");
        return EXIT_USAGE;
    }
    struct promconf *conf = NULL;
    struct errctx err = ERRCTX_INIT;
    if (promconf_load(file, &opts, &conf, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (check_discovery(conf, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        promconf_unref(conf);
        return 1;
    }
    int missing = 0;
    for (size_t i = 0; i < conf->job_count; i++) {
        missing += files_missing(&conf->jobs[i]) + static_targets_bad(conf, &conf->jobs[i]);
    }
    if (missing == 0) {
        print_summary(conf);
    }
    promconf_unref(conf);
    return missing == 0 ? 0 : 1;
}
