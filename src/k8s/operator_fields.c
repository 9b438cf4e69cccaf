/* What becomes of each field of an object: tables from the names of the custom resources to the keys of a scrape job.
 * A row is looked up in the object, so the order of the keys is that of the table. Fields that need more than a name
 * and a type (selectors, ports, relabelings) are FIELD_SKIP here. */
#include "configgen/promconf_schema.h"
#include "k8s/operator_parts.h"

#include <stdio.h>
#include <string.h>

#define SET(rows)                                                                                                      \
    {                                                                                                                  \
        (rows), sizeof(rows) / sizeof((rows)[0])                                                                       \
    }
#define ROW(name, key, kind)                                                                                           \
    {                                                                                                                  \
        name, key, FIELD_##kind, NULL, false                                                                           \
    }
#define NEW(name, key, kind)                                                                                           \
    {                                                                                                                  \
        name, key, FIELD_##kind, NULL, true                                                                            \
    }
#define SUB(name, key, kind, inner)                                                                                    \
    {                                                                                                                  \
        name, key, FIELD_##kind, &(inner), false                                                                       \
    }
#define SKIP(name)                                                                                                     \
    {                                                                                                                  \
        name, NULL, FIELD_SKIP, NULL, false                                                                            \
    }

/* --- the HTTP client */

static const struct field BASIC_AUTH_ROWS[] = {
    ROW("username", "username", SECRET),
    ROW("password", "password", SECRET),
};
static const struct fields BASIC_AUTH = SET(BASIC_AUTH_ROWS);

static const struct field AUTHORIZATION_ROWS[] = {
    ROW("type", "type", STRING),
    ROW("credentials", "credentials", SECRET),
    ROW("credentialsFile", "credentials_file", FILE),
};
static const struct fields AUTHORIZATION = SET(AUTHORIZATION_ROWS);

static const struct field TLS_ROWS[] = {
    ROW("ca", "ca", CHOICE),
    ROW("cert", "cert", CHOICE),
    ROW("keySecret", "key", SECRET),
    ROW("caFile", "ca_file", FILE),
    ROW("certFile", "cert_file", FILE),
    ROW("keyFile", "key_file", FILE),
    ROW("serverName", "server_name", STRING),
    ROW("insecureSkipVerify", "insecure_skip_verify", BOOL),
    ROW("minVersion", "min_version", STRING),
    ROW("maxVersion", "max_version", STRING),
};
static const struct fields TLS = SET(TLS_ROWS);

#define PROXY_ROWS                                                                                                     \
    ROW("proxyUrl", "proxy_url", STRING), ROW("noProxy", "no_proxy", STRING),                                          \
        ROW("proxyFromEnvironment", "proxy_from_environment", BOOL),                                                   \
        ROW("proxyConnectHeader", "proxy_connect_header", SECRETS_MAP)

static const struct field OAUTH2_ROWS[] = {
    ROW("clientId", "client_id", CHOICE),
    ROW("clientSecret", "client_secret", SECRET),
    ROW("tokenUrl", "token_url", STRING),
    ROW("scopes", "scopes", STRINGS),
    ROW("endpointParams", "endpoint_params", STRING_MAP),
    SUB("tlsConfig", "tls_config", OBJECT, TLS),
    PROXY_ROWS,
};
static const struct fields OAUTH2 = SET(OAUTH2_ROWS);

#define AUTH_ROWS                                                                                                      \
    SUB("basicAuth", "basic_auth", OBJECT, BASIC_AUTH), SUB("authorization", "authorization", OBJECT, AUTHORIZATION),  \
        SUB("oauth2", "oauth2", OBJECT, OAUTH2), SUB("tlsConfig", "tls_config", OBJECT, TLS)

/* The name of the last one differs between the kinds. */
#define HTTP_ROWS                                                                                                      \
    AUTH_ROWS, PROXY_ROWS, ROW("followRedirects", "follow_redirects", BOOL), ROW("enableHttp2", "enable_http2", BOOL), \
        ROW("enableHTTP2", "enable_http2", BOOL)

/* --- relabelling */

static const struct field RELABEL_ROWS[] = {
    ROW("sourceLabels", "source_labels", STRINGS),
    ROW("separator", "separator", TEXT),
    ROW("targetLabel", "target_label", STRING),
    ROW("regex", "regex", STRING),
    ROW("modulus", "modulus", UINT),
    ROW("replacement", "replacement", TEXT),
    ROW("action", "action", LOWER),
};
const struct fields FIELDS_RELABEL = SET(RELABEL_ROWS);

/* --- monitors */

#define SCRAPE_ROWS                                                                                                    \
    ROW("honorTimestamps", "honor_timestamps", BOOL),                                                                  \
        NEW("trackTimestampsStaleness", "track_timestamps_staleness", BOOL), ROW("params", "params", STRINGS_MAP),     \
        ROW("scheme", "scheme", LOWER)

#define ENDPOINT_ROWS                                                                                                  \
    SKIP("port"), SKIP("targetPort"), SKIP("honorLabels"), SKIP("relabelings"), SKIP("filterRunning"),                 \
        ROW("interval", "scrape_interval", STRING), ROW("scrapeTimeout", "scrape_timeout", STRING),                    \
        ROW("path", "metrics_path", STRING), SCRAPE_ROWS, HTTP_ROWS, ROW("bearerTokenSecret", "bearer_token", SECRET), \
        SUB("metricRelabelings", "metric_relabel_configs", OBJECTS, FIELDS_RELABEL)

static const struct field SERVICE_ENDPOINT_ROWS[] = {
    ENDPOINT_ROWS,
    ROW("bearerTokenFile", "bearer_token_file", FILE),
};
const struct fields FIELDS_SERVICE_ENDPOINT = SET(SERVICE_ENDPOINT_ROWS);

static const struct field POD_ENDPOINT_ROWS[] = {ENDPOINT_ROWS, SKIP("portNumber")};
const struct fields FIELDS_POD_ENDPOINT = SET(POD_ENDPOINT_ROWS);

#define LIMIT_ROWS                                                                                                     \
    ROW("sampleLimit", "sample_limit", UINT), ROW("targetLimit", "target_limit", UINT),                                \
        ROW("labelLimit", "label_limit", UINT), ROW("labelNameLengthLimit", "label_name_length_limit", UINT),          \
        ROW("labelValueLengthLimit", "label_value_length_limit", UINT),                                                \
        NEW("keepDroppedTargets", "keep_dropped_targets", UINT),                                                       \
        NEW("scrapeNativeHistograms", "scrape_native_histograms", BOOL),                                               \
        NEW("nativeHistogramBucketLimit", "native_histogram_bucket_limit", UINT),                                      \
        NEW("nativeHistogramMinBucketFactor", "native_histogram_min_bucket_factor", FLOAT),                            \
        NEW("scrapeClassicHistograms", "scrape_classic_histograms", BOOL),                                             \
        NEW("convertClassicHistogramsToNHCB", "convert_classic_histograms_to_nhcb", BOOL),                             \
        NEW("scrapeProtocols", "scrape_protocols", STRINGS),                                                           \
        NEW("fallbackScrapeProtocol", "fallback_scrape_protocol", STRING), SKIP("scrapeClass")

#define MONITOR_ROWS                                                                                                   \
    SKIP("jobLabel"), SKIP("podTargetLabels"), SKIP("selector"), SKIP("selectorMechanism"), SKIP("namespaceSelector"), \
        SKIP("attachMetadata"), LIMIT_ROWS, ROW("bodySizeLimit", "body_size_limit", STRING)

static const struct field SERVICE_MONITOR_ROWS[] = {
    SKIP("targetLabels"),
    SKIP("endpoints"),
    SKIP("serviceDiscoveryRole"),
    MONITOR_ROWS,
};
const struct fields FIELDS_SERVICE_MONITOR = SET(SERVICE_MONITOR_ROWS);

static const struct field POD_MONITOR_ROWS[] = {SKIP("podMetricsEndpoints"), MONITOR_ROWS};
const struct fields FIELDS_POD_MONITOR = SET(POD_MONITOR_ROWS);

static const struct field PROBE_ROWS[] = {
    SKIP("jobName"),
    SKIP("prober"),
    SKIP("module"),
    SKIP("params"),
    SKIP("targets"),
    ROW("interval", "scrape_interval", STRING),
    ROW("scrapeTimeout", "scrape_timeout", STRING),
    AUTH_ROWS,
    ROW("bearerTokenSecret", "bearer_token", SECRET),
    SUB("metricRelabelings", "metric_relabel_configs", OBJECTS, FIELDS_RELABEL),
    LIMIT_ROWS,
};
const struct fields FIELDS_PROBE = SET(PROBE_ROWS);

static const struct field PROBER_ROWS[] = {SKIP("url"), SKIP("path"), ROW("scheme", "scheme", LOWER), PROXY_ROWS};
const struct fields FIELDS_PROBER = SET(PROBER_ROWS);

static const struct field PROBE_STATIC_ROWS[] = {SKIP("static"), SKIP("labels"), SKIP("relabelingConfigs")};
const struct fields FIELDS_PROBE_STATIC = SET(PROBE_STATIC_ROWS);

static const struct field PROBE_INGRESS_ROWS[] = {SKIP("selector"), SKIP("namespaceSelector"),
                                                  SKIP("relabelingConfigs")};
const struct fields FIELDS_PROBE_INGRESS = SET(PROBE_INGRESS_ROWS);

/* --- ScrapeConfig */

static const struct field STATIC_ROWS[] = {ROW("targets", "targets", STRINGS), ROW("labels", "labels", STRING_MAP)};
static const struct fields STATIC = SET(STATIC_ROWS);

static const struct field FILE_SD_ROWS[] = {
    ROW("files", "files", FILES),
    ROW("refreshInterval", "refresh_interval", STRING),
};
static const struct fields FILE_SD = SET(FILE_SD_ROWS);

static const struct field HTTP_SD_ROWS[] = {
    ROW("url", "url", STRING),
    ROW("refreshInterval", "refresh_interval", STRING),
    HTTP_ROWS,
};
static const struct fields HTTP_SD = SET(HTTP_SD_ROWS);

static const struct field NAMESPACES_ROWS[] = {
    ROW("ownNamespace", "own_namespace", BOOL),
    ROW("names", "names", STRINGS),
};
static const struct fields NAMESPACES = SET(NAMESPACES_ROWS);

static const struct field ATTACH_ROWS[] = {ROW("node", "node", BOOL)};
static const struct fields ATTACH = SET(ATTACH_ROWS);

static const struct field SELECTOR_ROWS[] = {
    ROW("role", "role", LOWER),
    ROW("label", "label", STRING),
    ROW("field", "field", STRING),
};
static const struct fields SELECTOR = SET(SELECTOR_ROWS);

static const struct field KUBERNETES_SD_ROWS[] = {
    ROW("apiServer", "api_server", STRING),
    ROW("role", "role", LOWER),
    SUB("namespaces", "namespaces", OBJECT, NAMESPACES),
    SUB("attachMetadata", "attach_metadata", OBJECT, ATTACH),
    SUB("selectors", "selectors", OBJECTS, SELECTOR),
    HTTP_ROWS,
};
static const struct fields KUBERNETES_SD = SET(KUBERNETES_SD_ROWS);

static const struct field DNS_SD_ROWS[] = {
    ROW("names", "names", STRINGS),
    ROW("refreshInterval", "refresh_interval", STRING),
    ROW("type", "type", STRING),
    ROW("port", "port", UINT),
};
static const struct fields DNS_SD = SET(DNS_SD_ROWS);

static const struct field CONSUL_SD_ROWS[] = {
    ROW("server", "server", STRING),
    ROW("pathPrefix", "path_prefix", STRING),
    ROW("tokenRef", "token", SECRET),
    ROW("datacenter", "datacenter", STRING),
    ROW("namespace", "namespace", STRING),
    ROW("partition", "partition", STRING),
    ROW("scheme", "scheme", LOWER),
    ROW("services", "services", STRINGS),
    ROW("tags", "tags", STRINGS),
    ROW("tagSeparator", "tag_separator", TEXT),
    ROW("nodeMeta", "node_meta", STRING_MAP),
    ROW("filter", "filter", STRING),
    ROW("allowStale", "allow_stale", BOOL),
    ROW("refreshInterval", "refresh_interval", STRING),
    HTTP_ROWS,
};
static const struct fields CONSUL_SD = SET(CONSUL_SD_ROWS);

/* What value_write_foreign does not turn around by itself. */
static const struct field FOREIGN_ROWS[] = {HTTP_ROWS};
static const struct fields FOREIGN = SET(FOREIGN_ROWS);

static const struct field SCRAPE_CONFIG_ROWS[] = {
    SKIP("jobName"),
    SKIP("relabelings"),
    ROW("honorLabels", "honor_labels", BOOL),
    ROW("scrapeInterval", "scrape_interval", STRING),
    ROW("scrapeTimeout", "scrape_timeout", STRING),
    ROW("metricsPath", "metrics_path", STRING),
    SCRAPE_ROWS,
    NEW("enableCompression", "enable_compression", BOOL),
    HTTP_ROWS,
    LIMIT_ROWS,
    NEW("nameValidationScheme", "metric_name_validation_scheme", SCHEME_NAME),
    NEW("nameEscapingScheme", "metric_name_escaping_scheme", SCHEME_NAME),
    SUB("metricRelabelings", "metric_relabel_configs", OBJECTS, FIELDS_RELABEL),
    SUB("staticConfigs", "static_configs", OBJECTS, STATIC),
    SUB("fileSDConfigs", "file_sd_configs", OBJECTS, FILE_SD),
    SUB("httpSDConfigs", "http_sd_configs", OBJECTS, HTTP_SD),
    SUB("kubernetesSDConfigs", "kubernetes_sd_configs", KUBERNETES, KUBERNETES_SD),
    SUB("dnsSDConfigs", "dns_sd_configs", OBJECTS, DNS_SD),
    SUB("consulSDConfigs", "consul_sd_configs", OBJECTS, CONSUL_SD),
    SUB("azureSDConfigs", "azure_sd_configs", FOREIGN, FOREIGN),
    SUB("digitalOceanSDConfigs", "digitalocean_sd_configs", FOREIGN, FOREIGN),
    SUB("dockerSDConfigs", "docker_sd_configs", FOREIGN, FOREIGN),
    SUB("dockerSwarmSDConfigs", "dockerswarm_sd_configs", FOREIGN, FOREIGN),
    SUB("ec2SDConfigs", "ec2_sd_configs", FOREIGN, FOREIGN),
    SUB("eurekaSDConfigs", "eureka_sd_configs", FOREIGN, FOREIGN),
    SUB("gceSDConfigs", "gce_sd_configs", FOREIGN, FOREIGN),
    SUB("hetznerSDConfigs", "hetzner_sd_configs", FOREIGN, FOREIGN),
    SUB("ionosSDConfigs", "ionos_sd_configs", FOREIGN, FOREIGN),
    SUB("kumaSDConfigs", "kuma_sd_configs", FOREIGN, FOREIGN),
    SUB("lightSailSDConfigs", "lightsail_sd_configs", FOREIGN, FOREIGN),
    SUB("linodeSDConfigs", "linode_sd_configs", FOREIGN, FOREIGN),
    SUB("nomadSDConfigs", "nomad_sd_configs", FOREIGN, FOREIGN),
    SUB("openstackSDConfigs", "openstack_sd_configs", FOREIGN, FOREIGN),
    SUB("ovhcloudSDConfigs", "ovhcloud_sd_configs", FOREIGN, FOREIGN),
    SUB("puppetDBSDConfigs", "puppetdb_sd_configs", FOREIGN, FOREIGN),
    SUB("scalewaySDConfigs", "scaleway_sd_configs", FOREIGN, FOREIGN),
};
const struct fields FIELDS_SCRAPE_CONFIG = SET(SCRAPE_CONFIG_ROWS);

/* ---------------------------------------------------------------- */

/* 2.53 -> 2053: the oldest server of a generation. */
static unsigned version_of(enum prometheus_major major)
{
    switch (major) {
    case PROMETHEUS_2:
        return 2042;
    case PROMETHEUS_2_53:
        return 2050;
    case PROMETHEUS_3:
        return 3000;
    case PROMETHEUS_3_8:
        return 3008;
    }
    return 2042;
}

/* Prometheus 3 calls it otherwise. */
static const char *key_of(const struct job *j, const struct field *f)
{
    bool is_classic = strcmp(f->key, "scrape_classic_histograms") == 0;
    return is_classic && j->conf->major >= PROMETHEUS_3 ? "always_scrape_classic_histograms" : f->key;
}

static bool is_known_to_server(struct job *j, const char *key)
{
    unsigned major = 0, minor = 0;
    const struct conf_key *row = conf_key_find(CONF_SCRAPE, view_of(key));
    if (row == NULL || row->since == NULL || sscanf(row->since, "%u.%u", &major, &minor) != 2 ||
        major * 1000 + minor <= version_of(j->conf->major)) {
        return true;
    }
    job_warn(j, "left out: it needs Prometheus %s, see prometheus.version", row->since);
    return false;
}

static bool is_row(const struct fields *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void look_for_strangers(struct job *j, const json_t *object, const struct fields *set)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *name = json_object_iter_key(it);
        if (is_row(set, name)) {
            continue;
        }
        size_t old = job_push(j, name);
        if (view_has_suffix(view_of(name), VIEW("SDConfigs"))) {
            job_fail(j, ERR_UNSUPPORTED, "no known mechanism of discovery");
        }
        job_warn(j, "left out: not known");
        job_pop(j, old);
    }
}

void fields_write(struct job *j, const json_t *object, const struct fields *set)
{
    if (!json_is_object(object)) {
        job_fail(j, ERR_INVALID, "expected an object");
        return;
    }
    for (size_t i = 0; i < set->count && j->rc == 0; i++) {
        const struct field *f = &set->rows[i];
        const json_t *v = json_object_get(object, f->name);
        if (v == NULL || json_is_null(v) || f->kind == FIELD_SKIP) {
            continue;
        }
        struct field renamed = *f;
        size_t old = job_push(j, f->name);
        renamed.key = key_of(j, f);
        if (!f->is_versioned || is_known_to_server(j, renamed.key)) {
            value_write(j, &renamed, v);
        }
        job_pop(j, old);
    }
    look_for_strangers(j, object, set);
}

void fields_write_list(struct job *j, const json_t *list, const struct fields *set)
{
    size_t i;
    const json_t *item;
    json_array_begin(&j->w);
    json_array_foreach(list, i, item)
    {
        size_t old = job_push_index(j, i);
        json_object_begin(&j->w);
        fields_write(j, item, set);
        json_object_end(&j->w);
        job_pop(j, old);
        if (j->rc != 0) {
            break;
        }
    }
    json_array_end(&j->w);
}
