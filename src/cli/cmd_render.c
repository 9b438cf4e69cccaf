/* kvass render: a shard's Prometheus configuration, or a querier's, on stdout, from files alone: to
 * look at what a shard gets, to run one by hand, and for the tests that hold it against promtool.
 */
#include "base/files.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/render_querier.h"
#include "configgen/render.h"
#include "model/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TARGETS_BYTES_MAX ((size_t)1 << 30)
#define OUTPUT_BYTES_MAX  ((size_t)1 << 30)
#define FILE_MODE         0640
#define FOLDER_MODE       0750

struct render_arguments {
    const char *config, *targets, *proxy, *form, *target_dir, *shard, *replica, *rules, *server_kind, *version;
    const char *kubernetes_url, *kubernetes_proxy, *kubernetes_sa_path;
    const char *self_monitor;
    bool split, querier;
    struct querier_arguments from_server;
};

static int usage_fail(const char *what)
{
    fprintf(stderr, "kvass: render: %s; 'kvass render --help' explains\n", what);
    return EXIT_USAGE;
}

static int print(const struct bytes *out)
{
    if (fwrite(out->base != NULL ? out->base : "", 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        fprintf(stderr, "kvass: render: cannot write to stdout\n");
        return 1;
    }
    return 0;
}

/* --- the querier: --url may be repeated, which the common parser does not know */

static size_t take_urls(int *argc, char **argv, const char **ret)
{
    size_t count = 0;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], "--url=", 6) == 0) {
            ret[count++] = argv[i] + 6;
        } else if (strcmp(argv[i], "--url") == 0 && i + 1 < *argc) {
            ret[count++] = argv[++i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return count;
}

static int print_querier(const char *const *urls, size_t count)
{
    struct bytes out;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&out, OUTPUT_BYTES_MAX);
    int status = 1;
    if (count == 0) {
        status = usage_fail("--querier needs at least one --url=URL of a Prometheus");
    } else if (render_querier(urls, count, &out, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
    } else {
        status = print(&out);
    }
    bytes_done(&out);
    return status;
}

/* --- a shard */

static int read_targets(const char *path, struct assignment **ret, size_t *ret_count, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, TARGETS_BYTES_MAX);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        json_t *root = wire_parse(bytes_view(&text), TARGETS_BYTES_MAX, err);
        rc = root == NULL ? ERR_PARSE : wire_read_targets(root, ret, ret_count, err);
        json_decref(root);
        if (rc != 0) {
            errctx_prefix(err, rc, "%s", path);
        }
    }
    bytes_done(&text);
    return rc;
}

static int write_target_files(const struct promconf *conf, const struct render_options *opts,
                              const struct assignment *items, size_t count, struct errctx *err)
{
    int rc = files_make_dirs(opts->target_dir, FOLDER_MODE, err);
    for (size_t i = 0; rc == 0 && i < conf->job_count; i++) {
        struct bytes out;
        char *name = render_target_file_name(conf->jobs[i].name);
        char *path = mem_printf("%s/%s.json", opts->target_dir, name);
        bytes_init(&out, OUTPUT_BYTES_MAX);
        rc = render_target_file(&conf->jobs[i], opts, items, count, &out, err);
        if (rc == 0) {
            rc = files_write_atomic(path, bytes_view(&out), FILE_MODE, (gid_t)-1, err);
        }
        bytes_done(&out);
        free(path);
        free(name);
    }
    return rc;
}

static void note_unknown_jobs(const struct promconf *conf, const struct assignment *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *job = items[i].target->job;
        bool repeated = i > 0 && items[i - 1].target->job == job;
        if (!repeated && promconf_job(conf, job) == NULL) {
            fprintf(stderr, "kvass: render: targets of job '%s' left out: %s has no such job\n", job, conf->path);
        }
    }
}

static int print_shard(const struct promconf *conf, const struct render_options *opts, const struct assignment *items,
                       size_t count, struct errctx *err)
{
    struct bytes out;
    bytes_init(&out, OUTPUT_BYTES_MAX);
    note_unknown_jobs(conf, items, count);
    int rc = opts->form == TARGET_FORM_FILE ? write_target_files(conf, opts, items, count, err) : 0;
    if (rc == 0) {
        rc = render_config(conf, opts, items, count, &out, err);
    }
    int status = rc == 0 ? print(&out) : 1;
    bytes_done(&out);
    return status;
}

static int run_shard(const struct render_arguments *a, enum prometheus_major major, const struct render_options *opts)
{
    struct promconf_options conf_opts = {
        .major = major,
        .kubernetes_url = a->kubernetes_url,
        .kubernetes_proxy = a->kubernetes_proxy,
        .kubernetes_sa_path = a->kubernetes_sa_path,
    };
    struct promconf *conf = NULL;
    struct assignment *items = NULL;
    size_t count = 0;
    struct errctx err = ERRCTX_INIT;
    int status = 1;
    if (promconf_load(a->config, &conf_opts, &conf, &err) == 0 &&
        (a->targets == NULL || read_targets(a->targets, &items, &count, &err) == 0)) {
        status = print_shard(conf, opts, items, count, &err);
    }
    if (err.code != 0) {
        fprintf(stderr, "%s\n", err.msg);
    }
    wire_targets_free(items, count);
    promconf_unref(conf);
    return status;
}

static int find_server(const char *name)
{
    static const char *const names[] = {
        [RENDER_PROMETHEUS] = "prometheus", [RENDER_AGENT] = "agent", [RENDER_VMAGENT] = "vmagent"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static int check_and_run(const struct render_arguments *a)
{
    bool file = a->form != NULL ? strcmp(a->form, "file") == 0 : a->target_dir != NULL;
    enum prometheus_major major;
    if (a->config == NULL) {
        return usage_fail("no --config.file");
    }
    if (a->form != NULL && !file && strcmp(a->form, "static") != 0) {
        return usage_fail("--inject.targets: want static or file");
    }
    if (file && (a->target_dir == NULL || a->target_dir[0] != '/')) {
        return usage_fail("--inject.targets=file needs --inject.target-dir with an absolute path");
    }
    if (strcmp(a->rules, "keep") != 0 && strcmp(a->rules, "drop") != 0) {
        return usage_fail("--inject.rules: want keep or drop");
    }
    int server = find_server(a->server_kind);
    if (server < 0) {
        return usage_fail("--shard.server: want prometheus, agent or vmagent");
    }
    if (prometheus_version_parse(a->version, &major, NULL) != 0) {
        return usage_fail("--prometheus.version: want 2.x or 3.x");
    }
    struct render_options opts = {
        .proxy_url = a->proxy,
        .form = file ? TARGET_FORM_FILE : TARGET_FORM_STATIC,
        .target_dir = a->target_dir,
        .shard_id = a->shard,
        .replica = a->replica,
        .drop_rules = strcmp(a->rules, "drop") == 0,
        .split = a->split,
        .server = (enum render_server)server,
        .self_monitor = a->self_monitor != NULL,
        .prometheus_address = a->self_monitor,
    };
    return run_shard(a, major, &opts);
}

int cmd_render(int argc, char **argv)
{
    static const struct command_help help = {
        "kvass render --config.file=FILE [--targets=FILE] [options] | kvass render --querier "
        "--url=URL ...|--server=URL",
        "Prints the Prometheus configuration of a shard: FILE with each job's targets taken from "
        "--targets\n"
        "({\"Targets\":{\"job\":[target,...]}}, as in the API) and scraped through the proxy. With "
        "--querier, the\n"
        "configuration of a Prometheus that reads from all --url, or from all shards of the running kvass at "
        "--server."};
    struct render_arguments a = {
        .proxy = "http://127.0.0.1:8008", .rules = "keep", .server_kind = "prometheus", .version = "2.42"};
    const char **urls = mem_calloc((size_t)argc + 1, sizeof(*urls));
    size_t url_count = take_urls(&argc, argv, urls);
    const struct arg_spec specs[] = {
        {"config.file", "FILE", &a.config, NULL, "the origin prometheus.yml"},
        {"targets", "FILE", &a.targets, NULL, "the shard's targets, JSON"},
        {"inject.proxy", "URL", &a.proxy, NULL, "proxy_url of every job (default http://127.0.0.1:8008)"},
        {"inject.targets", "static|file", &a.form, NULL,
         "lists in the configuration, or files (default: file with a folder)"},
        {"inject.target-dir", "DIR", &a.target_dir, NULL, "folder of the target files; they are written"},
        {"inject.rules", "keep|drop", &a.rules, NULL, "rule_files and alerting (default keep)"},
        {"shard.server", "prometheus|agent|vmagent", &a.server_kind, NULL, "who reads it (default prometheus)"},
        {"inject.kubernetes-url", "URL", &a.kubernetes_url, NULL, "API server of every kubernetes_sd_configs"},
        {"inject.kubernetes-proxy", "URL", &a.kubernetes_proxy, NULL, "proxy of every kubernetes_sd_configs"},
        {"inject.kubernetes-sa-path", "DIR", &a.kubernetes_sa_path, NULL, "service account folder"},
        {"shard", "ID", &a.shard, NULL, "goes into _shard and ${SHARD}"},
        {"replica", "NAME", &a.replica, NULL, "goes into ${REPLICA}"},
        {"split", NULL, NULL, &a.split, "targets may be split into parts (--split.max-parts over 1)"},
        {"self-monitor", "HOST:PORT", &a.self_monitor, NULL, "adds a job for the shard's own Prometheus"},
        {"prometheus.version", "VERSION", &a.version, NULL, "2.x or 3.x (default 2.42)"},
        {"querier", NULL, NULL, &a.querier, "a querier's configuration instead"},
        {"url", "URL", NULL, NULL, "with --querier: a Prometheus to read from; may be repeated"},
        {"server", "URL", &a.from_server.server, NULL, "with --querier: API of a running kvass"},
        {"output", "FILE", &a.from_server.output, NULL,
         "with --server: the file to write when it changed (default stdout)"},
        {"reload-url", "URL", &a.from_server.reload_url, NULL, "with --server: POST here after a change"},
        {"watch", NULL, NULL, &a.from_server.watch, "with --server: keep FILE current, every five seconds"},
    };
    int positionals = args_parse(argc, argv, &help, specs, sizeof(specs) / sizeof(specs[0]), NULL, 0);
    int status = positionals == -2 ? 0 : EXIT_USAGE;
    if (positionals == 0) {
        status = !a.querier                     ? check_and_run(&a)
                 : a.from_server.server != NULL ? render_querier_from_server(&a.from_server)
                                                : print_querier(urls, url_count);
    }
    free(urls);
    return status;
}
