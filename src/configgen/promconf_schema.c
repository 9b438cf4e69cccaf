/* The table behind promconf_schema.h. Rows are grouped by structure; a structure that inlines the
 * HTTP client block or discovery mechanisms says so in STRUCTS. Nothing here decides anything:
 * promconf_check.c walks a tree along it. */
#include "configgen/promconf_schema.h"

#define ROW(name, type)                                                                            \
    {                                                                                              \
        name, CONF_##type, CONF_TOP, NULL                                                          \
    }
#define NEW(name, type, since)                                                                     \
    {                                                                                              \
        name, CONF_##type, CONF_TOP, since                                                         \
    }
#define SUB(name, type, inner)                                                                     \
    {                                                                                              \
        name, CONF_##type, CONF_##inner, NULL                                                      \
    }
#define NEWSUB(name, type, inner, since)                                                           \
    {                                                                                              \
        name, CONF_##type, CONF_##inner, since                                                     \
    }
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct conf_key TOP[] = {
    SUB("global", STRUCT, GLOBAL),
    NEWSUB("runtime", STRUCT, RUNTIME, "2.53"),
    SUB("alerting", STRUCT, ALERTING),
    ROW("rule_files", PATHS),
    NEW("scrape_config_files", PATHS, "2.43"),
    SUB("scrape_configs", STRUCTS, SCRAPE),
    SUB("storage", STRUCT, STORAGE),
    SUB("tracing", STRUCT, TRACING),
    SUB("remote_write", STRUCTS, REMOTE_WRITE),
    SUB("remote_read", STRUCTS, REMOTE_READ),
    NEWSUB("otlp", STRUCT, OTLP, "2.55"),
};

static const struct conf_key GLOBAL[] = {
    ROW("scrape_interval", DURATION),
    ROW("scrape_timeout", DURATION),
    ROW("evaluation_interval", DURATION),
    ROW("external_labels", STRING_MAP),
    ROW("query_log_file", PATH),
    NEW("body_size_limit", SIZE, "2.45"),
    NEW("sample_limit", UINT, "2.45"),
    NEW("target_limit", UINT, "2.45"),
    NEW("label_limit", UINT, "2.45"),
    NEW("label_name_length_limit", UINT, "2.45"),
    NEW("label_value_length_limit", UINT, "2.45"),
    NEW("keep_dropped_targets", UINT, "2.47"),
    NEW("scrape_protocols", STRINGS, "2.49"),
    NEW("rule_query_offset", DURATION, "2.53"),
    NEW("scrape_failure_log_file", PATH, "2.55"),
    NEW("metric_name_validation_scheme", STRING, "2.55"),
    NEW("metric_name_escaping_scheme", STRING, "3.4"),
    NEW("convert_classic_histograms_to_nhcb", BOOL, "3.4"),
    NEW("always_scrape_classic_histograms", BOOL, "3.5"),
    NEW("scrape_native_histograms", BOOL, "3.8"),
    NEW("extra_scrape_metrics", BOOL, "3.10"),
};

static const struct conf_key RUNTIME[] = {NEW("gogc", INT, "2.53")};

static const struct conf_key INCLUDED[] = {SUB("scrape_configs", STRUCTS, SCRAPE)};

static const struct conf_key SCRAPE[] = {
    ROW("job_name", STRING),
    ROW("honor_labels", BOOL),
    ROW("honor_timestamps", BOOL),
    NEW("track_timestamps_staleness", BOOL, "2.48"),
    ROW("params", STRINGS_MAP),
    ROW("scrape_interval", DURATION),
    ROW("scrape_timeout", DURATION),
    NEW("scrape_protocols", STRINGS, "2.49"),
    NEW("fallback_scrape_protocol", STRING, "3.0"),
    NEW("scrape_classic_histograms", BOOL, "2.45"),
    NEW("scrape_native_histograms", BOOL, "3.8"),
    NEW("always_scrape_classic_histograms", BOOL, "3.0"),
    NEW("convert_classic_histograms_to_nhcb", BOOL, "3.0"),
    NEW("native_histogram_bucket_limit", UINT, "2.45"),
    NEW("native_histogram_min_bucket_factor", FLOAT, "2.50"),
    ROW("metrics_path", STRING),
    ROW("scheme", STRING),
    NEW("enable_compression", BOOL, "2.49"),
    ROW("body_size_limit", SIZE),
    ROW("sample_limit", UINT),
    ROW("target_limit", UINT),
    ROW("label_limit", UINT),
    ROW("label_name_length_limit", UINT),
    ROW("label_value_length_limit", UINT),
    NEW("keep_dropped_targets", UINT, "2.47"),
    NEW("metric_name_validation_scheme", STRING, "2.55"),
    NEW("metric_name_escaping_scheme", STRING, "3.4"),
    NEW("scrape_failure_log_file", PATH, "2.55"),
    NEW("extra_scrape_metrics", BOOL, "3.10"),
    SUB("relabel_configs", STRUCTS, RELABEL),
    SUB("metric_relabel_configs", STRUCTS, RELABEL),
};

static const struct conf_key HTTP[] = {
    SUB("basic_auth", STRUCT, BASIC_AUTH),
    SUB("authorization", STRUCT, AUTHORIZATION),
    SUB("oauth2", STRUCT, OAUTH2),
    ROW("bearer_token", STRING),
    ROW("bearer_token_file", PATH),
    SUB("tls_config", STRUCT, TLS),
    ROW("follow_redirects", BOOL),
    ROW("enable_http2", BOOL),
    ROW("proxy_url", URL),
    NEW("no_proxy", STRING, "2.43"),
    NEW("proxy_from_environment", BOOL, "2.43"),
    ROW("proxy_connect_header", STRINGS_MAP),
    NEWSUB("http_headers", STRUCT_MAP, HTTP_HEADER, "2.53"),
};

static const struct conf_key BASIC_AUTH[] = {
    ROW("username", STRING),
    NEW("username_file", PATH, "2.49"),
    NEW("username_ref", STRING, "2.53"),
    ROW("password", STRING),
    ROW("password_file", PATH),
    NEW("password_ref", STRING, "2.53"),
};

static const struct conf_key AUTHORIZATION[] = {
    ROW("type", STRING),
    ROW("credentials", STRING),
    ROW("credentials_file", PATH),
    NEW("credentials_ref", STRING, "2.53"),
};

static const struct conf_key OAUTH2[] = {
    ROW("client_id", STRING),
    ROW("client_secret", STRING),
    ROW("client_secret_file", PATH),
    NEW("client_secret_ref", STRING, "2.53"),
    ROW("scopes", STRINGS),
    ROW("token_url", STRING),
    ROW("endpoint_params", STRING_MAP),
    SUB("tls_config", STRUCT, TLS),
    ROW("proxy_url", URL),
    NEW("no_proxy", STRING, "2.43"),
    NEW("proxy_from_environment", BOOL, "2.43"),
    NEW("proxy_connect_header", STRINGS_MAP, "2.43"),
    NEW("grant_type", STRING, "3.8"),
    NEW("signature_algorithm", STRING, "3.8"),
    NEW("iss", STRING, "3.8"),
    NEW("audience", STRING, "3.8"),
    NEW("claims", ANY, "3.8"),
    NEW("client_certificate_key", STRING, "3.8"),
    NEW("client_certificate_key_id", STRING, "3.8"),
    NEW("client_certificate_key_file", STRING,
        "3.8"), /* Prometheus does not join this one to the folder */
    NEW("client_certificate_key_ref", STRING, "3.8"),
};

static const struct conf_key TLS[] = {
    NEW("ca", STRING, "2.45"),
    NEW("cert", STRING, "2.45"),
    NEW("key", STRING, "2.45"),
    ROW("ca_file", PATH),
    ROW("cert_file", PATH),
    ROW("key_file", PATH),
    NEW("ca_ref", STRING, "2.53"),
    NEW("cert_ref", STRING, "2.53"),
    NEW("key_ref", STRING, "2.53"),
    ROW("server_name", STRING),
    ROW("insecure_skip_verify", BOOL),
    ROW("min_version", STRING),
    ROW("max_version", STRING),
};

static const struct conf_key HTTP_HEADER[] = {
    NEW("values", STRINGS, "2.53"),
    NEW("secrets", STRINGS, "2.53"),
    NEW("files", PATHS, "2.53"),
};

static const struct conf_key RELABEL[] = {
    ROW("source_labels", STRINGS), ROW("separator", STRING),    ROW("regex", STRING),
    ROW("modulus", UINT),          ROW("target_label", STRING), ROW("replacement", STRING),
    ROW("action", STRING),
};

static const struct conf_key STATIC[] = {ROW("targets", STRINGS), ROW("labels", STRING_MAP)};

static const struct conf_key FILE_SD[] = {ROW("files", PATHS), ROW("refresh_interval", DURATION)};

static const struct conf_key HTTP_SD[] = {ROW("url", URL), ROW("refresh_interval", DURATION)};

static const struct conf_key DNS_SD[] = {
    ROW("names", STRINGS),
    ROW("type", STRING),
    ROW("port", INT),
    ROW("refresh_interval", DURATION),
};

static const struct conf_key CONSUL_SD[] = {
    ROW("server", STRING),
    NEW("path_prefix", STRING, "2.45"),
    ROW("token", STRING),
    ROW("datacenter", STRING),
    ROW("namespace", STRING),
    ROW("partition", STRING),
    ROW("tag_separator", STRING),
    ROW("scheme", STRING),
    ROW("username", STRING),
    ROW("password", STRING),
    ROW("allow_stale", BOOL),
    ROW("refresh_interval", DURATION),
    ROW("services", STRINGS),
    ROW("tags", STRINGS),
    ROW("node_meta", STRING_MAP),
    NEW("filter", STRING, "3.0"),
    NEW("health_filter", STRING, "3.12"),
};

static const struct conf_key KUBERNETES_SD[] = {
    ROW("api_server", URL),
    ROW("role", STRING),
    ROW("kubeconfig_file", PATH),
    SUB("namespaces", STRUCT, KUBERNETES_NAMESPACES),
    SUB("selectors", STRUCTS, KUBERNETES_SELECTOR),
    SUB("attach_metadata", STRUCT, KUBERNETES_ATTACH),
};

static const struct conf_key KUBERNETES_NAMESPACES[] = {ROW("own_namespace", BOOL),
                                                        ROW("names", STRINGS)};

static const struct conf_key KUBERNETES_SELECTOR[] = {ROW("role", STRING), ROW("label", STRING),
                                                      ROW("field", STRING)};

static const struct conf_key KUBERNETES_ATTACH[] = {
    ROW("node", BOOL),        NEW("namespace", BOOL, "3.6"), NEW("deployment", BOOL, "3.11"),
    NEW("job", BOOL, "3.11"), NEW("cronjob", BOOL, "3.11"),
};

static const struct conf_key DOCKER_SD[] = {
    ROW("host", STRING),
    ROW("port", INT),
    ROW("host_networking_host", STRING),
    SUB("filters", STRUCTS, FILTER),
    ROW("refresh_interval", DURATION),
    NEW("match_first_network", BOOL, "2.54"),
};

static const struct conf_key DOCKERSWARM_SD[] = {
    ROW("host", STRING),
    ROW("role", STRING),
    ROW("port", INT),
    SUB("filters", STRUCTS, FILTER),
    ROW("refresh_interval", DURATION),
};

static const struct conf_key FILTER[] = {ROW("name", STRING), ROW("values", STRINGS)};

static const struct conf_key ALERTING[] = {
    SUB("alert_relabel_configs", STRUCTS, RELABEL),
    SUB("alertmanagers", STRUCTS, ALERTMANAGER),
};

static const struct conf_key ALERTMANAGER[] = {
    ROW("scheme", STRING),
    ROW("path_prefix", STRING),
    ROW("timeout", DURATION),
    ROW("api_version", STRING),
    SUB("relabel_configs", STRUCTS, RELABEL),
    NEWSUB("alert_relabel_configs", STRUCTS, RELABEL, "2.51"),
    NEW("sigv4", ANY, "2.48"),
};

static const struct conf_key REMOTE_WRITE[] = {
    ROW("url", URL),
    ROW("remote_timeout", DURATION),
    ROW("headers", STRING_MAP),
    SUB("write_relabel_configs", STRUCTS, RELABEL),
    ROW("name", STRING),
    ROW("send_exemplars", BOOL),
    ROW("send_native_histograms", BOOL),
    NEW("protobuf_message", STRING, "2.54"),
    NEW("round_robin_dns", BOOL, "3.1"),
    SUB("queue_config", STRUCT, QUEUE),
    SUB("metadata_config", STRUCT, METADATA),
    ROW("sigv4", ANY),
    NEW("azuread", ANY, "2.45"),
    NEW("google_iam", ANY, "2.55"),
};

static const struct conf_key QUEUE[] = {
    ROW("capacity", INT),
    ROW("max_shards", INT),
    ROW("min_shards", INT),
    ROW("max_samples_per_send", INT),
    ROW("batch_send_deadline", DURATION),
    ROW("min_backoff", DURATION),
    ROW("max_backoff", DURATION),
    ROW("retry_on_http_429", BOOL),
    NEW("sample_age_limit", DURATION, "2.50"),
};

static const struct conf_key METADATA[] = {
    ROW("send", BOOL),
    ROW("send_interval", DURATION),
    ROW("max_samples_per_send", INT),
};

static const struct conf_key REMOTE_READ[] = {
    ROW("url", URL),
    ROW("remote_timeout", DURATION),
    NEW("chunked_read_limit", UINT, "2.55"),
    ROW("headers", STRING_MAP),
    ROW("read_recent", BOOL),
    ROW("name", STRING),
    ROW("required_matchers", STRING_MAP),
    ROW("filter_external_labels", BOOL),
};

static const struct conf_key STORAGE[] = {SUB("tsdb", STRUCT, TSDB),
                                          SUB("exemplars", STRUCT, EXEMPLARS)};

static const struct conf_key TSDB[] = {
    ROW("out_of_order_time_window", DURATION),
    NEWSUB("retention", STRUCT, RETENTION, "3.8"),
    NEW("stale_series_compaction_threshold", FLOAT, "3.10"),
    NEWSUB("chunk_encoding", STRUCT, CHUNK_ENCODING, "3.13"),
};

static const struct conf_key RETENTION[] = {
    NEW("time", DURATION, "3.8"),
    NEW("size", SIZE, "3.8"),
    NEW("percentage", FLOAT, "3.11"),
};

static const struct conf_key CHUNK_ENCODING[] = {NEW("floats", STRING, "3.13")};

static const struct conf_key EXEMPLARS[] = {ROW("max_exemplars", INT)};

static const struct conf_key OTLP[] = {
    NEW("promote_resource_attributes", STRINGS, "2.55"),
    NEW("promote_all_resource_attributes", BOOL, "3.5"),
    NEW("ignore_resource_attributes", STRINGS, "3.5"),
    NEW("translation_strategy", STRING, "3.0"),
    NEW("keep_identifying_resource_attributes", BOOL, "3.1"),
    NEW("convert_histograms_to_nhcb", BOOL, "3.4"),
    NEW("promote_scope_metadata", BOOL, "3.6"),
    NEW("label_name_underscore_sanitization", BOOL, "3.8"),
    NEW("label_name_preserve_multiple_underscores", BOOL, "3.8"),
};

static const struct conf_key TRACING[] = {
    ROW("client_type", STRING), ROW("endpoint", STRING),        ROW("sampling_fraction", FLOAT),
    ROW("insecure", BOOL),      SUB("tls_config", STRUCT, TLS), ROW("headers", STRING_MAP),
    ROW("compression", STRING), ROW("timeout", DURATION),
};

/* Mechanisms whose own keys are not listed are carried to a Prometheus that knows them. */
static const struct conf_key MECHANISMS[] = {
    SUB("static_configs", STRUCTS, STATIC),
    SUB("file_sd_configs", STRUCTS, FILE_SD),
    SUB("http_sd_configs", STRUCTS, HTTP_SD),
    SUB("dns_sd_configs", STRUCTS, DNS_SD),
    SUB("consul_sd_configs", STRUCTS, CONSUL_SD),
    SUB("kubernetes_sd_configs", STRUCTS, KUBERNETES_SD),
    SUB("docker_sd_configs", STRUCTS, DOCKER_SD),
    SUB("dockerswarm_sd_configs", STRUCTS, DOCKERSWARM_SD),
    ROW("ec2_sd_configs", ANY),
    ROW("lightsail_sd_configs", ANY),
    NEW("aws_sd_configs", ANY, "3.8"),
    NEW("ecs_sd_configs", ANY, "3.8"),
    NEW("msk_sd_configs", ANY, "3.10"),
    NEW("rds_sd_configs", ANY, "3.11"),
    NEW("elasticache_sd_configs", ANY, "3.11"),
    ROW("azure_sd_configs", ANY),
    ROW("digitalocean_sd_configs", ANY),
    ROW("eureka_sd_configs", ANY),
    ROW("gce_sd_configs", ANY),
    ROW("hetzner_sd_configs", ANY),
    ROW("ionos_sd_configs", ANY),
    ROW("kuma_sd_configs", ANY),
    ROW("linode_sd_configs", ANY),
    ROW("marathon_sd_configs", ANY),
    ROW("nerve_sd_configs", ANY),
    ROW("serverset_sd_configs", ANY),
    ROW("nomad_sd_configs", ANY),
    NEW("oci_sd_configs", ANY, "3.14"),
    ROW("openstack_sd_configs", ANY),
    NEW("outscale_sd_configs", ANY, "3.12"),
    ROW("ovhcloud_sd_configs", ANY),
    ROW("puppetdb_sd_configs", ANY),
    ROW("scaleway_sd_configs", ANY),
    NEW("stackit_sd_configs", ANY, "3.5"),
    ROW("triton_sd_configs", ANY),
    ROW("uyuni_sd_configs", ANY),
    ROW("vultr_sd_configs", ANY),
};

struct structure {
    const struct conf_key *keys;
    size_t count;
    bool has_http, has_mechanisms; /* inlined */
};

#define KEYS(list, ...)                                                                            \
    {                                                                                              \
        (list), COUNT(list), __VA_ARGS__                                                           \
    }
static const struct structure STRUCTS[CONF_STRUCT_COUNT] = {
    [CONF_TOP] = KEYS(TOP, false, false),
    [CONF_GLOBAL] = KEYS(GLOBAL, false, false),
    [CONF_RUNTIME] = KEYS(RUNTIME, false, false),
    [CONF_INCLUDED] = KEYS(INCLUDED, false, false),
    [CONF_SCRAPE] = KEYS(SCRAPE, true, true),
    [CONF_HTTP] = KEYS(HTTP, false, false),
    [CONF_BASIC_AUTH] = KEYS(BASIC_AUTH, false, false),
    [CONF_AUTHORIZATION] = KEYS(AUTHORIZATION, false, false),
    [CONF_OAUTH2] = KEYS(OAUTH2, false, false),
    [CONF_TLS] = KEYS(TLS, false, false),
    [CONF_HTTP_HEADER] = KEYS(HTTP_HEADER, false, false),
    [CONF_RELABEL] = KEYS(RELABEL, false, false),
    [CONF_STATIC] = KEYS(STATIC, false, false),
    [CONF_FILE_SD] = KEYS(FILE_SD, false, false),
    [CONF_HTTP_SD] = KEYS(HTTP_SD, true, false),
    [CONF_DNS_SD] = KEYS(DNS_SD, false, false),
    [CONF_CONSUL_SD] = KEYS(CONSUL_SD, true, false),
    [CONF_KUBERNETES_SD] = KEYS(KUBERNETES_SD, true, false),
    [CONF_KUBERNETES_NAMESPACES] = KEYS(KUBERNETES_NAMESPACES, false, false),
    [CONF_KUBERNETES_SELECTOR] = KEYS(KUBERNETES_SELECTOR, false, false),
    [CONF_KUBERNETES_ATTACH] = KEYS(KUBERNETES_ATTACH, false, false),
    [CONF_DOCKER_SD] = KEYS(DOCKER_SD, true, false),
    [CONF_DOCKERSWARM_SD] = KEYS(DOCKERSWARM_SD, true, false),
    [CONF_FILTER] = KEYS(FILTER, false, false),
    [CONF_ALERTING] = KEYS(ALERTING, false, false),
    [CONF_ALERTMANAGER] = KEYS(ALERTMANAGER, true, true),
    [CONF_REMOTE_WRITE] = KEYS(REMOTE_WRITE, true, false),
    [CONF_QUEUE] = KEYS(QUEUE, false, false),
    [CONF_METADATA] = KEYS(METADATA, false, false),
    [CONF_REMOTE_READ] = KEYS(REMOTE_READ, true, false),
    [CONF_STORAGE] = KEYS(STORAGE, false, false),
    [CONF_TSDB] = KEYS(TSDB, false, false),
    [CONF_RETENTION] = KEYS(RETENTION, false, false),
    [CONF_CHUNK_ENCODING] = KEYS(CHUNK_ENCODING, false, false),
    [CONF_EXEMPLARS] = KEYS(EXEMPLARS, false, false),
    [CONF_OTLP] = KEYS(OTLP, false, false),
    [CONF_TRACING] = KEYS(TRACING, false, false),
};

static const struct conf_key *find(const struct conf_key *keys, size_t count, struct view name)
{
    for (size_t i = 0; i < count; i++) {
        if (view_is(name, keys[i].name)) {
            return &keys[i];
        }
    }
    return NULL;
}

const struct conf_key *conf_key_find(enum conf_struct s, struct view name)
{
    const struct structure *of = &STRUCTS[s];
    const struct conf_key *key = find(of->keys, of->count, name);
    if (key == NULL && of->has_http) {
        key = find(HTTP, COUNT(HTTP), name);
    }
    if (key == NULL && of->has_mechanisms) {
        key = find(MECHANISMS, COUNT(MECHANISMS), name);
    }
    return key;
}

const struct conf_key *conf_mechanism_find(struct view key)
{
    return find(MECHANISMS, COUNT(MECHANISMS), key);
}

bool conf_is_mechanism_name(struct view key)
{
    return view_is(key, "static_configs") || view_has_suffix(key, VIEW("_sd_configs"));
}

/* Levenshtein distance of two short names. */
static unsigned distance(struct view a, const char *b)
{
    unsigned row[64];
    size_t n = strlen(b);
    if (a.len >= 64 || n >= 64) {
        return 64;
    }
    for (size_t k = 0; k <= n; k++) {
        row[k] = (unsigned)k;
    }
    for (size_t i = 0; i < a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t k = 0; k < n; k++) {
            unsigned change = diagonal + (a.base[i] != b[k]);
            unsigned step = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
            diagonal = row[k + 1];
            row[k + 1] = change < step ? change : step;
        }
    }
    return row[n];
}

static const char *nearest(const struct conf_key *keys, size_t count, struct view name,
                           unsigned *best)
{
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(name, keys[i].name);
        if (d < *best) {
            *best = d;
            found = keys[i].name;
        }
    }
    return found;
}

const char *conf_key_nearest(enum conf_struct s, struct view name)
{
    const struct structure *of = &STRUCTS[s];
    unsigned best =
        name.len < 9 ? (unsigned)name.len / 3 + 2 : 5; /* further away is another word */
    const char *found = nearest(of->keys, of->count, name, &best);
    const char *better = of->has_http ? nearest(HTTP, COUNT(HTTP), name, &best) : NULL;
    found = better != NULL ? better : found;
    better = of->has_mechanisms ? nearest(MECHANISMS, COUNT(MECHANISMS), name, &best) : NULL;
    return better != NULL ? better : found;
}

bool conf_is_path_key(struct view name)
{
    static const char *const names[] = {
        "password_file",      "username_file",   "credentials_file", "bearer_token_file",
        "client_secret_file", "ca_file",         "cert_file",        "key_file",
        "kubeconfig_file",    "auth_token_file", "secret_key_file",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        if (view_is(name, names[i])) {
            return true;
        }
    }
    return false;
}
