/* kvass count: what Prometheus would report for an exposition, as one JSON object. The body is read in blocks and
 * counted as the proxy counts it, so its size does not matter. Exit status 1 when Prometheus would fail the
 * scrape; the JSON then says why. */
#include "base/json_writer.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/count_parts.h"
#include "configgen/promconf.h"
#include "expfmt/counter.h"
#include "expfmt/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES        65536
#define TARGET_LABELS_MAX 512
#define OUTPUT_BYTES_MAX  ((size_t)64 << 20)

struct count_options {
    const char *content_type, *mode, *version, *encoding, *labels, *config_file, *job, *parts;
    bool by_metric;
};

struct count_setup {
    struct counter_conf conf;
    enum content_encoding encoding;
    struct labels *target;   /* NULL: none */
    struct promconf *config; /* NULL: none; owns the job */
    const struct job_conf *job;
    struct relabel_rules *rules; /* of the job */
    unsigned parts;              /* 0: the whole alone */
};

struct count_answer {
    struct counter_result result;
    struct errctx error;
    enum exposition_format format;
    bool has_format;
};

struct count_run {
    struct counter *counter;
    struct count_parts *parts; /* NULL: none wanted, or the body is refused */
};

static int setup_fail(const char *option, const char *value, const char *accepted)
{
    fprintf(stderr, "kvass: count: --%s=%s: want %s\n", option, value, accepted);
    return ERR_INVALID;
}

/* {"job":"node",...} */
static int labels_read(const char *text, struct labels **ret)
{
    struct label items[TARGET_LABELS_MAX];
    size_t count = 0;
    const char *name;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
    int rc = json_is_object(root) ? 0 : ERR_PARSE;
    json_object_foreach(root, name, value)
    {
        if (!json_is_string(value) || count == TARGET_LABELS_MAX) {
            rc = ERR_PARSE;
            break;
        }
        items[count++] = (struct label){view_of(name), view_make(json_string_value(value), json_string_length(value))};
    }
    if (rc == 0) {
        *ret = labels_make(items, count);
    }
    json_decref(root);
    return rc;
}

/* The settings of a job that decide what becomes of a sample. */
static int job_read(const struct count_options *o, struct count_setup *setup)
{
    struct errctx err = ERRCTX_INIT;
    const struct promconf_options options = {.major = setup->conf.major};
    int rc = promconf_load(o->config_file, &options, &setup->config, &err);
    const struct job_conf *job = rc == 0 ? promconf_job(setup->config, o->job) : NULL;
    if (rc == 0 && job == NULL) {
        rc = errctx_set(&err, ERR_NOT_FOUND, "%s has no job '%s'", o->config_file, o->job);
    }
    if (rc == 0) {
        rc = relabel_rules_compile(job->metric_relabel, job->metric_relabel_count, setup->conf.major,
                                   "metric_relabel_configs", &setup->rules, &err);
    }
    if (rc != 0) {
        fprintf(stderr, "kvass: count: %s\n", err.msg);
        return rc;
    }
    struct counter_conf *conf = &setup->conf;
    conf->honor_labels = job->honor_labels;
    conf->ignore_timestamps = !job->honor_timestamps;
    conf->utf8_names = job->utf8_names;
    conf->native_histograms = job->native_histograms;
    conf->always_classic = job->always_classic;
    conf->sample_limit = job->sample_limit;
    conf->label_limit = job->label_limit;
    conf->label_name_length_limit = job->label_name_length_limit;
    conf->label_value_length_limit = job->label_value_length_limit;
    conf->body_size_limit = job->body_size_limit;
    conf->metric_relabel = setup->rules;
    setup->job = job;
    return 0;
}

static void setup_done(struct count_setup *setup)
{
    labels_unref(setup->target);
    relabel_rules_free(&setup->rules);
    promconf_unref(setup->config);
}

static int setup_read(const struct count_options *o, struct count_setup *ret)
{
    ret->conf = (struct counter_conf){.by_family = o->by_metric, .native_histograms = true};
    if (strcmp(o->mode, "strict") != 0 && strcmp(o->mode, "fast") != 0) {
        return setup_fail("mode", o->mode, "strict or fast");
    }
    ret->conf.mode = strcmp(o->mode, "fast") == 0 ? COUNT_FAST : COUNT_STRICT;
    if (prometheus_version_parse(o->version, &ret->conf.major, NULL) != 0) {
        return setup_fail("prometheus.version", o->version, "2.x or 3.x");
    }
    ret->conf.utf8_names = ret->conf.major >= PROMETHEUS_3;
    ret->conf.native_histograms = ret->conf.major >= PROMETHEUS_3;
    if (!content_encoding_parse(view_of(o->encoding), &ret->encoding)) {
        return setup_fail("encoding", o->encoding, "identity, gzip or zstd");
    }
    if (o->parts != NULL && !count_parts_parse(o->parts, &ret->parts)) {
        return setup_fail("parts", o->parts, "2 to 64");
    }
    ret->target = NULL;
    if (o->labels != NULL && labels_read(o->labels, &ret->target) != 0) {
        return setup_fail("labels", o->labels, "a JSON object of strings");
    }
    if ((o->config_file == NULL) != (o->job == NULL)) {
        fprintf(stderr, "kvass: count: --config.file and --job go together\n");
        return ERR_INVALID;
    }
    return o->config_file != NULL ? job_read(o, ret) : 0;
}

/* The counter keeps its error for counter_finish; decoding goes on, since a body that cannot be decoded is not
 * parsed at all. */
static int feed_counter(void *data, const char *base, size_t len, struct errctx *err)
{
    struct count_run *run = data;
    struct errctx kept = ERRCTX_INIT;
    (void)err;
    if (counter_feed(run->counter, base, len, &kept) != 0) {
        errctx_clear(&kept);
        count_parts_free(&run->parts);
    } else if (run->parts != NULL) {
        count_parts_feed(run->parts, base, len);
    }
    return 0;
}

static int read_body(int fd, struct decoder *d, struct count_run *run, struct errctx *err)
{
    char block[READ_BYTES];
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) != 0) {
        if (n < 0 && errno != EINTR) {
            return errctx_set_errno(err, errno, "read");
        }
        int rc = n < 0       ? 0
                 : d == NULL ? feed_counter(run, block, (size_t)n, err)
                             : decoder_feed(d, block, (size_t)n, feed_counter, run, err);
        if (rc != 0) {
            return rc;
        }
    }
    return d != NULL ? decoder_finish(d, err) : 0;
}

static void count_body(int fd, const struct count_setup *setup, struct count_run *run, struct count_answer *a)
{
    struct decoder *d = setup->encoding != ENCODING_IDENTITY ? decoder_new(setup->encoding) : NULL;
    counter_start(run->counter, a->format, setup->target);
    if (setup->parts > 0) {
        run->parts = count_parts_new(&setup->conf, setup->parts, a->format, setup->target);
    }
    if (read_body(fd, d, run, &a->error) == 0) {
        a->error.code = counter_finish(run->counter, &a->result, &a->error);
    }
    if (a->error.code != 0) {
        count_parts_free(&run->parts);
    }
    decoder_free(&d);
}

static void answer_print(const struct count_answer *a, const struct count_run *run, bool by_metric)
{
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, OUTPUT_BYTES_MAX);
    json_writer_init(&w, &out);
    json_object_begin(&w);
    json_kv_u64(&w, "samples_scraped", a->result.scraped);
    json_kv_u64(&w, "samples_post_metric_relabeling", a->result.series);
    json_key(&w, "format");
    if (a->has_format) {
        json_str(&w, exposition_format_name(a->format));
    } else {
        json_null_value(&w);
    }
    json_key(&w, "error");
    if (a->error.code != 0) {
        json_str(&w, a->error.msg);
    } else {
        json_null_value(&w);
    }
    if (by_metric) {
        json_key(&w, "metrics");
        json_object_begin(&w);
        counter_write_families(run->counter, &w);
        json_object_end(&w);
    }
    if (run->parts != NULL) {
        json_key(&w, "parts");
        count_parts_write(run->parts, &w);
    }
    json_object_end(&w);
    printf("%.*s\n", (int)out.len, out.base);
    bytes_done(&out);
}

static int count_file(const char *path, const struct count_options *o, const struct count_setup *setup)
{
    struct count_answer a = {0};
    int fd = path == NULL || strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "kvass: count: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    struct count_run run = {counter_new(&setup->conf), NULL};
    struct view fallback = setup->job != NULL ? view_of(setup->job->fallback_scrape_protocol) : VIEW("");
    a.has_format =
        exposition_format_parse(view_of(o->content_type), fallback, setup->conf.major, &a.format, &a.error) == 0;
    if (a.has_format) {
        count_body(fd, setup, &run, &a);
    }
    answer_print(&a, &run, o->by_metric);
    counter_free(&run.counter);
    count_parts_free(&run.parts);
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    return a.error.code == 0 ? 0 : 1;
}

int cmd_count(int argc, char **argv)
{
    struct count_options o = {"text/plain", "strict", "2.x", "identity", NULL, NULL, NULL, NULL, false};
    const char *file = NULL;
    struct count_setup setup = {0};
    const struct arg_spec specs[] = {
        {"content-type", "TYPE", &o.content_type, NULL, "Content-Type of the body (default text/plain)"},
        {"mode", "MODE", &o.mode, NULL, "strict (default): refuse what Prometheus refuses; fast: count only"},
        {"prometheus.version", "V", &o.version, NULL, "2.x (default) or 3.x: whose rules"},
        {"encoding", "NAME", &o.encoding, NULL, "identity (default), gzip or zstd"},
        {"config.file", "FILE", &o.config_file, NULL, "a prometheus.yml: with --job, its relabelling and limits apply"},
        {"job", "NAME", &o.job, NULL, "the job in it"},
        {"labels", "JSON", &o.labels, NULL, "labels of the target, which are merged into every series"},
        {"parts", "K", &o.parts, NULL, "also the figures of each of K parts, as --split.max-parts would split it"},
        {"by-metric", NULL, NULL, &o.by_metric, "figures per metric name"},
    };
    static const struct command_help help = {
        "kvass count [options] [FILE]",
        "Prints the two figures Prometheus would report for the exposition in FILE (default: standard input) as JSON:\n"
        "samples_scraped and samples_post_metric_relabeling, with the format, the error that would fail the scrape\n"
        "(exit status 1) or null, and figures per metric name, or per part of a split target, on request.",
    };
    int count = args_parse(argc, argv, &help, specs, sizeof(specs) / sizeof(specs[0]), &file, 1);
    if (count < 0) {
        return count == -2 ? 0 : EXIT_USAGE;
    }
    int rc = setup_read(&o, &setup) == 0 ? count_file(file, &o, &setup) : EXIT_USAGE;
    setup_done(&setup);
    return rc;
}
