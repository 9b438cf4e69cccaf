/* The global section and one job as typed views. Inheritance is Prometheus': a job's zero or absent
 * value takes the global one, so a job cannot switch a global limit off. text_hash covers the job's
 * own text and every inherited value that changes what discovery, relabelling, scraping or counting
 * do. */
#include "base/duration.h"
#include "base/hash.h"
#include "base/intern.h"
#include "configgen/promconf_parts.h"

#define DEFAULT_INTERVAL_MS ((int64_t)60000)
#define DEFAULT_TIMEOUT_MS  ((int64_t)10000)

static void read_limits(const struct yaml_node *n, const struct conf_limits *inherited,
                        struct conf_limits *ret)
{
    struct conf_limits l = {
        .sample = conf_uint(n, "sample_limit"),
        .target = conf_uint(n, "target_limit"),
        .label = conf_uint(n, "label_limit"),
        .label_name_length = conf_uint(n, "label_name_length_limit"),
        .label_value_length = conf_uint(n, "label_value_length_limit"),
        .body_size_bytes = conf_size(n, "body_size_limit"),
        .keep_dropped_targets = conf_uint(n, "keep_dropped_targets"),
    };
    if (inherited != NULL) {
        l.sample = l.sample != 0 ? l.sample : inherited->sample;
        l.target = l.target != 0 ? l.target : inherited->target;
        l.label = l.label != 0 ? l.label : inherited->label;
        l.label_name_length =
            l.label_name_length != 0 ? l.label_name_length : inherited->label_name_length;
        l.label_value_length =
            l.label_value_length != 0 ? l.label_value_length : inherited->label_value_length;
        l.body_size_bytes = l.body_size_bytes != 0 ? l.body_size_bytes : inherited->body_size_bytes;
        l.keep_dropped_targets =
            l.keep_dropped_targets != 0 ? l.keep_dropped_targets : inherited->keep_dropped_targets;
    }
    *ret = l;
}

/* Hash of a node's text; 0 for none. */
static uint64_t node_hash(const struct yaml_node *n)
{
    struct bytes text;
    uint64_t hash = 0;
    bytes_init(&text, YAML_OUTPUT_MAX_BYTES);
    if (n != NULL && yaml_write(n, &text, NULL) == 0) {
        hash = hash_view(bytes_view(&text));
    }
    bytes_done(&text);
    return hash;
}

static int check_timeout(struct conf_reader *r, const struct yaml_node *n, int64_t interval_ms,
                         int64_t timeout_ms)
{
    const struct yaml_node *at = yaml_get(n, "scrape_timeout");
    if (timeout_ms > interval_ms) {
        char a[DURATION_TEXT_MAX], b[DURATION_TEXT_MAX];
        conf_push(r, VIEW("scrape_timeout"));
        return conf_fail(
            r, at != NULL ? at : n, "%s is greater than the scrape interval; expected at most %s",
            duration_format_prometheus(timeout_ms, a), duration_format_prometheus(interval_ms, b));
    }
    return 0;
}

static int check_schemes_of(struct conf_reader *r, const struct yaml_node *n, struct conf_global *g)
{
    g->validation_scheme = conf_string(n, "metric_name_validation_scheme", "");
    g->escaping_scheme = conf_string(n, "metric_name_escaping_scheme", "");
    if (r->major != PROMETHEUS_3) {
        return conf_check_name_schemes(r, n, g->validation_scheme, g->escaping_scheme);
    }
    /* up to 3.7 whether the two go together is asked of jobs only */
    int rc = conf_check_name_schemes(r, n, g->validation_scheme, "");
    return rc != 0 ? rc : conf_check_name_schemes(r, n, "", g->escaping_scheme);
}

int conf_global_read(struct conf_reader *r, const struct yaml_node *node, struct conf_global *ret)
{
    struct conf_global g = {
        .interval_ms = conf_duration(node, "scrape_interval"),
        .timeout_ms = conf_duration(node, "scrape_timeout"),
        .evaluation_ms = conf_duration(node, "evaluation_interval"),
        .native_histograms = conf_bool(node, "scrape_native_histograms", false),
        .always_classic = conf_bool(node, "always_scrape_classic_histograms", false),
        .protocols_hash = node_hash(yaml_get(node, "scrape_protocols")),
    };
    size_t old = conf_push(r, VIEW("global"));
    g.interval_ms = g.interval_ms != 0 ? g.interval_ms : DEFAULT_INTERVAL_MS;
    g.evaluation_ms = g.evaluation_ms != 0 ? g.evaluation_ms : DEFAULT_INTERVAL_MS;
    int rc = check_timeout(r, node, g.interval_ms, g.timeout_ms);
    if (g.timeout_ms == 0) {
        g.timeout_ms = g.interval_ms < DEFAULT_TIMEOUT_MS ? g.interval_ms : DEFAULT_TIMEOUT_MS;
    }
    read_limits(node, NULL, &g.limits);
    if (rc == 0) {
        rc = conf_check_protocols(r, node);
    }
    if (rc == 0) {
        rc = check_schemes_of(r, node, &g);
    }
    if (rc == 0) {
        conf_pop(r, old);
        *ret = g;
    }
    return rc;
}

/* One entry per list item; static_configs is one entry as a whole. */
static void read_discovery(struct conf_reader *r, const struct yaml_node *node,
                           struct job_conf *job)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < node->count; i++) {
        const struct conf_key *key = conf_mechanism_find(node->pairs[i].key->value);
        count +=
            key != NULL && !yaml_is_null(node->pairs[i].value) ? node->pairs[i].value->count : 0;
    }
    struct sd_conf *list = arena_alloc(r->arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < node->count; i++) {
        const struct conf_key *key = conf_mechanism_find(node->pairs[i].key->value);
        const struct yaml_node *value = node->pairs[i].value;
        if (key == NULL || yaml_is_null(value) || value->count == 0) {
            continue;
        }
        if (strcmp(key->name, "static_configs") == 0) {
            list[at++] = (struct sd_conf){key->name, value};
            continue;
        }
        for (size_t k = 0; value->kind == YAML_SEQUENCE && k < value->count; k++) {
            list[at++] = (struct sd_conf){key->name, value->items[k]};
        }
    }
    job->sd = list;
    job->sd_count = at;
}

static int read_timing(struct conf_reader *r, const struct conf_global *g, struct job_conf *job)
{
    job->interval_ms = conf_duration(job->node, "scrape_interval");
    job->timeout_ms = conf_duration(job->node, "scrape_timeout");
    job->interval_ms = job->interval_ms != 0 ? job->interval_ms : g->interval_ms;
    if (job->timeout_ms == 0) {
        job->timeout_ms = g->timeout_ms < job->interval_ms ? g->timeout_ms : job->interval_ms;
    }
    return check_timeout(r, job->node, job->interval_ms, job->timeout_ms);
}

static const char *inherited_escaping(const struct conf_reader *r, const struct conf_global *g)
{
    if (g->escaping_scheme[0] != '\0' || r->major != PROMETHEUS_3) {
        return g->escaping_scheme;
    }
    return strcmp(g->validation_scheme, "legacy") == 0 ? "underscores" : "allow-utf-8";
}

static int read_formats(struct conf_reader *r, const struct conf_global *g, struct job_conf *job)
{
    static const char *const known[] = {"PrometheusProto", "OpenMetricsText1.0.0",
                                        "OpenMetricsText0.0.1", "PrometheusText0.0.4",
                                        "PrometheusText1.0.0"};
    const struct yaml_node *n = job->node;
    const char *own = conf_string(n, "metric_name_validation_scheme", "");
    const char *escaping = conf_string(n, "metric_name_escaping_scheme", "");
    const char *scheme = own[0] != '\0' ? own : g->validation_scheme;
    bool ok = false;
    job->fallback_scrape_protocol = conf_string(n, "fallback_scrape_protocol", "");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        ok = ok || strcmp(job->fallback_scrape_protocol, known[i]) == 0;
    }
    if (!ok && job->fallback_scrape_protocol[0] != '\0') {
        conf_push(r, VIEW("fallback_scrape_protocol"));
        return conf_fail(r, yaml_get(n, "fallback_scrape_protocol"),
                         "unknown protocol %s; expected one such as PrometheusText0.0.4",
                         job->fallback_scrape_protocol);
    }
    job->utf8_names = scheme[0] != '\0' ? strcmp(scheme, "utf8") == 0 : r->major >= PROMETHEUS_3;
    job->native_histograms = r->native_histograms || conf_bool(n, "scrape_native_histograms", g->native_histograms);
    job->always_classic = conf_bool(n, "always_scrape_classic_histograms",
                                    conf_bool(n, "scrape_classic_histograms", g->always_classic));
    int rc = conf_check_protocols(r, n);
    if (rc != 0) {
        return rc;
    }
    if (escaping[0] == '\0' && (own[0] == '\0' || r->major == PROMETHEUS_3)) {
        escaping = inherited_escaping(r, g); /* up to 3.7 whatever the job's own validation scheme says */
    }
    return conf_check_name_schemes(r, n, scheme, escaping);
}

static void take_limits(const struct conf_global *g, struct job_conf *job)
{
    struct conf_limits l;
    read_limits(job->node, &g->limits, &l);
    job->sample_limit = l.sample;
    job->target_limit = l.target;
    job->label_limit = l.label;
    job->label_name_length_limit = l.label_name_length;
    job->label_value_length_limit = l.label_value_length;
    job->body_size_limit = l.body_size_bytes;
    job->keep_dropped_targets = l.keep_dropped_targets;
}

static uint64_t text_hash(const struct conf_reader *r, const struct conf_global *g,
                          const struct job_conf *job)
{
    const uint64_t inherited[] = {
        (uint64_t)job->interval_ms,
        (uint64_t)job->timeout_ms,
        job->sample_limit,
        job->target_limit,
        job->label_limit,
        job->label_name_length_limit,
        job->label_value_length_limit,
        job->body_size_limit,
        job->keep_dropped_targets,
        job->utf8_names,
        job->native_histograms,
        job->always_classic,
        g->protocols_hash,
        (uint64_t)r->major,
    };
    uint64_t hash = hash_pair(node_hash(job->node), xxh64(inherited, sizeof(inherited), 0));
    hash = hash_pair(hash, hash_view(view_of(g->escaping_scheme)));
    return hash_pair(hash, hash_view(view_of(job->base_dir)));
}

int conf_job_read(struct conf_reader *r, const struct conf_global *g, const struct yaml_node *node,
                  struct job_conf *ret)
{
    const char *name = conf_string(node, "job_name", "");
    if (name[0] == '\0') {
        return conf_fail(r, node, "job_name is empty; expected a name");
    }
    struct job_conf job = {
        .name = intern(name),
        .file = r->file,
        .base_dir = r->base_dir,
        .line = node->line,
        .column = node->column,
        .honor_labels = conf_bool(node, "honor_labels", false),
        .honor_timestamps = conf_bool(node, "honor_timestamps", true),
        .metrics_path = conf_string(node, "metrics_path", "/metrics"),
        .scheme = conf_string(node, "scheme", "http"),
        .node = node,
        .major = r->major,
    };
    job.params = conf_list_pairs(r->arena, node, "params", &job.param_count);
    r->job = job.name;
    int rc = read_timing(r, g, &job);
    if (rc == 0) {
        rc = read_formats(r, g, &job);
    }
    if (rc == 0) {
        rc = conf_http_read(r, node, &job.http);
    }
    if (rc == 0) {
        rc = conf_relabel_read(r, node, "relabel_configs", &job.relabel, &job.relabel_count);
    }
    if (rc == 0) {
        rc = conf_relabel_read(r, node, "metric_relabel_configs", &job.metric_relabel,
                               &job.metric_relabel_count);
    }
    if (rc == 0) {
        rc = conf_discovery_check(r, node, job.relabel_count > 0);
    }
    if (rc == 0) {
        take_limits(g, &job);
        read_discovery(r, node, &job);
        job.text_hash = text_hash(r, g, &job);
        r->job = NULL;
        *ret = job;
    }
    return rc;
}
