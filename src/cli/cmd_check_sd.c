/* kvass check service-discovery: what promtool's command of that name does, with kvass' own discovery.
 *
 * Every entry of the job is started and given until it has answered once or the timeout is over; then the targets are
 * built as in service and printed as promtool prints them: a list of discoveredLabels and labels (with __*, without
 * __meta_*; none when dropped) and error. Where promtool prints an empty object for an error, this prints its words,
 * and the labels the target was discovered with. */
#include "base/duration.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "discovery/helper.h"
#include "discovery/provider.h"
#include "discovery/target_build.h"
#include "model/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define OUTPUT_BYTES_MAX ((size_t)1 << 30)

struct look {
    struct loop *loop;
    struct http_client *http;
    struct helper *helper;
    struct loop_timer *timer;
    VEC(struct provider *) providers;
};

static bool all_answered(const struct look *k)
{
    for (size_t i = 0; i < k->providers.len; i++) {
        if (!k->providers.items[i]->has_answered) {
            return false;
        }
    }
    return true;
}

static void on_change(void *data)
{
    struct look *k = data;
    if (all_answered(k)) {
        loop_stop(k->loop);
    }
}

static void on_timeout(void *data)
{
    struct look *k = data;
    loop_stop(k->loop);
}

static int look_start(struct look *k, struct promconf *conf, const struct job_conf *job, struct errctx *err)
{
    const struct discovery_env env = {.loop = k->loop,
                                      .http = k->http,
                                      .base_dir = job->base_dir,
                                      .job = job->name,
                                      .major = conf->major,
                                      .helper = k->helper,
                                      .calls = {.proxy_fallback = getenv("SCRAPE_PROXY")}};
    for (size_t i = 0; i < job->sd_count; i++) {
        struct provider *p;
        int rc = provider_new(&env, conf, job, &job->sd[i], &p, err);
        if (rc != 0) {
            return rc;
        }
        p->on_change = on_change;
        p->data = k;
        *vec_push(&k->providers) = p;
    }
    return 0;
}

static void build(const struct look *k, const struct promconf *conf, const struct job_conf *job,
                  const struct relabel_rules *rules, struct built_job *ret)
{
    VEC(struct target_group *) groups = {0};
    for (size_t i = 0; i < k->providers.len; i++) {
        size_t it = 0;
        for (void *g; (g = hashmap_next(&k->providers.items[i]->groups, &it)) != NULL;) {
            *vec_push(&groups) = g;
        }
    }
    target_build(job, conf->major, rules, groups.items, groups.len, ret);
    vec_done(&groups);
}

static void write_item(struct json_writer *w, const struct built_target *t)
{
    json_object_begin(w);
    json_key(w, "discoveredLabels");
    wire_write_labels(w, t->discovered);
    json_key(w, "labels");
    if (t->target != NULL) {
        wire_write_labels(w, t->target->labels);
    } else {
        json_object_begin(w);
        json_object_end(w);
    }
    if (t->error != NULL) {
        json_kv_str(w, "error", t->error);
    }
    json_object_end(w);
}

static int print(const struct built_job *b)
{
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, OUTPUT_BYTES_MAX);
    json_writer_init(&w, &out);
    json_array_begin(&w);
    for (size_t i = 0; i < b->count; i++) {
        write_item(&w, &b->items[i]);
    }
    json_array_end(&w);
    json_t *tree = bytes_check(&out, NULL) == 0 ? json_loadb(out.base, out.len, JSON_ALLOW_NUL, NULL) : NULL;
    int rc = tree != NULL && json_dumpf(tree, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF
                 ? 0
                 : 1;
    json_decref(tree);
    bytes_done(&out);
    return rc;
}

static int look_at(struct look *k, struct promconf *conf, const struct job_conf *job, int64_t timeout_ms)
{
    struct errctx err = ERRCTX_INIT;
    struct relabel_rules *rules = NULL;
    struct built_job built;
    int rc = relabel_rules_compile(job->relabel, job->relabel_count, conf->major, "relabel_configs", &rules, &err);
    if (rc == 0) {
        rc = look_start(k, conf, job, &err);
    }
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.msg);
        relabel_rules_free(&rules);
        return 1;
    }
    if (!all_answered(k)) {
        loop_timer_start(k->timer, timeout_ms, 0);
        loop_run(k->loop);
    }
    build(k, conf, job, rules, &built);
    rc = print(&built);
    built_job_done(&built);
    relabel_rules_free(&rules);
    if (!all_answered(k)) {
        fprintf(stderr, "kvass: check service-discovery: not every mechanism of job '%s' has answered\n", job->name);
        return 1;
    }
    return rc;
}

static int run(struct promconf *conf, const char *job_name, const char *binary, int64_t timeout_ms)
{
    const struct job_conf *job = promconf_job(conf, job_name);
    if (job == NULL) {
        fprintf(stderr, "Job %s not found. Select one of:\n", job_name);
        for (size_t i = 0; i < conf->job_count; i++) {
            fprintf(stderr, "\t%s\n", conf->jobs[i].name);
        }
        return 1;
    }
    struct look k = {.loop = loop_new()};
    k.http = http_client_new(k.loop);
    k.helper = helper_new(k.loop, k.http, binary, NULL);
    k.timer = loop_timer_new(k.loop, on_timeout, &k);
    int rc = look_at(&k, conf, job, timeout_ms);
    for (size_t i = 0; i < k.providers.len; i++) {
        provider_free(k.providers.items[i]);
    }
    vec_done(&k.providers);
    helper_free(&k.helper);
    loop_timer_free(&k.timer);
    http_client_free(&k.http);
    loop_free(&k.loop);
    return rc;
}

int cmd_check_service_discovery(int argc, char **argv)
{
    static const struct command_help help = {
        "kvass check service-discovery [options] FILE JOB",
        "Prints what the job discovers: a JSON list of discoveredLabels, labels (none when dropped by relabelling) and "
        "error.\n"
        "Exit status 1 when FILE or JOB is no good, or a mechanism did not answer in time."};
    const char *version = "2.42", *timeout = "30s", *binary = "prometheus", *words[2];
    const struct arg_spec specs[] = {
        {"prometheus.version", "VERSION", &version, NULL, "whose rules count: 2.x or 3.x (default 2.42)"},
        {"prometheus.binary", "FILE", &binary, NULL,
         "runs mechanisms that kvass does not run itself (default prometheus)"},
        {"timeout", "DURATION", &timeout, NULL, "how long to wait for the mechanisms (default 30s)"},
    };
    int64_t timeout_ms;
    struct promconf_options opts = {.major = PROMETHEUS_2};
    int positionals = args_parse(argc, argv, &help, specs, sizeof(specs) / sizeof(specs[0]), words, 2);
    if (positionals < 0) {
        return positionals == -2 ? 0 : EXIT_USAGE;
    }
    const char *fault = positionals != 2                         ? "expected FILE and JOB"
                        : prometheus_version_parse(version, &opts.major, NULL) != 0
                            ? "--prometheus.version: expected 2.x or 3.x"
                        : duration_parse_go(view_of(timeout), &timeout_ms, NULL) != 0
                            ? "--timeout: expected a duration such as 30s"
                            : NULL;
    if (fault != NULL) {
        fprintf(stderr, "kvass: check service-discovery: %s\n", fault);
        return EXIT_USAGE;
    }
    struct promconf *conf = NULL;
    struct errctx err = ERRCTX_INIT;
    if (promconf_load(words[0], &opts, &conf, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int rc = run(conf, words[1], binary, timeout_ms);
    promconf_unref(conf);
    return rc;
}
