/* What Prometheus refuses outside of the jobs: globals, remote endpoints, alerting, storage,
 * tracing; and the checks that jobs and the global section share. Rule files are not opened: they
 * are not ours. */
#include "configgen/promconf_parts.h"

#include <strings.h>

static int fail_key(struct conf_reader *r, const struct yaml_node *n, const char *key,
                    const char *what)
{
    const struct yaml_node *value = yaml_get(n, key);
    conf_push(r, view_of(key));
    return conf_fail(r, value != NULL ? value : n, "%s", what);
}

int conf_check_protocols(struct conf_reader *r, const struct yaml_node *mapping)
{
    static const char *const known[] = {"PrometheusProto", "OpenMetricsText1.0.0",
                                        "OpenMetricsText0.0.1", "PrometheusText0.0.4",
                                        "PrometheusText1.0.0"};
    const struct yaml_node *list = yaml_get(mapping, "scrape_protocols");
    if (yaml_is_null(list)) {
        return 0;
    }
    if (list->count == 0) {
        return fail_key(r, mapping, "scrape_protocols",
                        "an empty list; expected at least one protocol");
    }
    size_t old = conf_push(r, VIEW("scrape_protocols"));
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->items[i]->value.base;
        bool ok = false;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
            ok = ok || strcmp(name, known[k]) == 0;
        }
        if (!ok) {
            return conf_fail(r, list->items[i],
                             "unknown protocol %s; expected one such as PrometheusText0.0.4", name);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcasecmp(name, list->items[k]->value.base) == 0) {
                return conf_fail(r, list->items[i], "duplicated protocol %s; expected each once",
                                 name);
            }
        }
    }
    conf_pop(r, old);
    return 0;
}

int conf_check_name_schemes(struct conf_reader *r, const struct yaml_node *n,
                            const char *validation, const char *escaping)
{
    static const char *const known[] = {"", "allow-utf-8", "underscores", "dots", "values"};
    bool ok = false;
    if (validation[0] != '\0' && strcmp(validation, "utf8") != 0 &&
        strcmp(validation, "legacy") != 0) {
        return fail_key(r, n, "metric_name_validation_scheme",
                        "unknown scheme; expected utf8 or legacy");
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        ok = ok || strcmp(escaping, known[i]) == 0;
    }
    if (!ok) {
        return fail_key(r, n, "metric_name_escaping_scheme",
                        "unknown scheme; expected allow-utf-8, underscores, dots or values");
    }
    if (strcmp(escaping, "allow-utf-8") == 0 && strcmp(validation, "legacy") == 0) {
        return fail_key(
            r, n, "metric_name_escaping_scheme",
            "allow-utf-8 with the validation scheme legacy; expected another of the two");
    }
    return 0;
}

/* ^[^*]*(\*[^/]*)?$ */
int conf_check_globs(struct conf_reader *r, const struct yaml_node *root, const char *key)
{
    const struct yaml_node *list = yaml_get(root, key);
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        struct view v = list->items[i]->value;
        const char *star = memchr(v.base, '*', v.len);
        size_t rest = star != NULL ? v.len - (size_t)(star - v.base) : 0;
        if (rest > 1 &&
            (memchr(star + 1, '*', rest - 1) != NULL || memchr(star, '/', rest) != NULL)) {
            conf_push(r, view_of(key));
            return conf_fail(r, list->items[i],
                             "invalid path %.*s; expected at most one *, in its last part",
                             VIEW_FMT(v));
        }
    }
    return 0;
}

static int check_external_labels(struct conf_reader *r, const struct yaml_node *root)
{
    const struct yaml_node *labels = yaml_get(yaml_get(root, "global"), "external_labels");
    for (size_t i = 0; !yaml_is_null(labels) && i < labels->count; i++) {
        size_t old = conf_push(r, VIEW("global.external_labels"));
        if (conf_check_label_name(r, labels->pairs[i].key) != 0) {
            return ERR_INVALID;
        }
        conf_pop(r, old);
    }
    return 0;
}

/* Headers a remote endpoint sets itself. */
static int check_headers(struct conf_reader *r, const struct yaml_node *n)
{
    static const char *const reserved[] = {
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "accept-encoding",
        "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    };
    const struct yaml_node *headers = yaml_get(n, "headers");
    for (size_t i = 0; !yaml_is_null(headers) && i < headers->count; i++) {
        const char *name = headers->pairs[i].key->value.base;
        for (size_t k = 0; k < sizeof(reserved) / sizeof(reserved[0]); k++) {
            if (strcasecmp(name, reserved[k]) == 0) {
                conf_push(r, VIEW("headers"));
                return conf_fail(
                    r, headers->pairs[i].key, "%s is a reserved header; expected %s", name,
                    k == 0 ? "basic_auth, authorization or oauth2 instead" : "another name");
            }
        }
    }
    return 0;
}

static int check_queue(struct conf_reader *r, const struct yaml_node *n)
{
    static const char *const positive[] = {"capacity", "max_shards", "min_shards",
                                           "max_samples_per_send"};
    const struct yaml_node *q = yaml_get(n, "queue_config");
    for (size_t i = 0;
         r->major >= PROMETHEUS_3 && !yaml_is_null(q) && i < sizeof(positive) / sizeof(positive[0]);
         i++) {
        double value;
        const struct yaml_node *v = yaml_get(q, positive[i]);
        if (!yaml_is_null(v) && conf_parse_number(v, &value) && value <= 0) {
            conf_push(r, VIEW("queue_config"));
            return fail_key(r, q, positive[i], "not above 0; expected a positive number");
        }
    }
    return 0;
}

static int check_own_authentication(struct conf_reader *r, const struct yaml_node *n,
                                    const struct http_client_conf *c)
{
    bool own = c->has_basic_auth || c->has_authorization || c->oauth2 != NULL;
    for (const char *const *key = (const char *const[]){"sigv4", "azuread", "google_iam", NULL};
         *key != NULL; key++) {
        if (own && !yaml_is_null(yaml_get(n, *key))) {
            return fail_key(
                r, n, *key,
                "together with basic_auth, authorization or oauth2; expected at most one of them");
        }
    }
    return 0;
}

static int check_remote(struct conf_reader *r, const struct yaml_node *list, size_t i, bool write)
{
    const struct yaml_node *n = list->items[i];
    const char *name = conf_string(n, "name", "");
    struct http_client_conf http;
    if (yaml_is_null(yaml_get(n, "url"))) {
        return fail_key(r, n, "url", "no URL; expected one");
    }
    for (size_t k = 0; k < i && name[0] != '\0'; k++) {
        if (strcmp(name, conf_string(list->items[k], "name", "")) == 0) {
            return fail_key(r, n, "name", "a name used before; expected each once");
        }
    }
    int rc = check_headers(r, n);
    if (rc == 0) {
        rc = conf_http_read(r, n, &http);
    }
    if (rc == 0) {
        rc = check_own_authentication(r, n, &http);
    }
    if (rc == 0 && write) {
        rc = conf_relabel_read(r, n, "write_relabel_configs", NULL, NULL);
    }
    if (rc == 0 && write) {
        rc = check_queue(r, n);
    }
    return rc;
}

static int check_remotes(struct conf_reader *r, const struct yaml_node *root, const char *key)
{
    const struct yaml_node *list = yaml_get(root, key);
    size_t outer = conf_push(r, view_of(key));
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        size_t old = conf_push_index(r, i);
        if (check_remote(r, list, i, strcmp(key, "remote_write") == 0) != 0) {
            return ERR_INVALID;
        }
        conf_pop(r, old);
    }
    conf_pop(r, outer);
    return 0;
}

static int check_alertmanager(struct conf_reader *r, const struct yaml_node *n)
{
    size_t count;
    const struct relabel_spec *unused;
    struct http_client_conf http;
    const char *version = conf_string(n, "api_version", "v2");
    if (strcmp(version, "v2") != 0 && (r->major >= PROMETHEUS_3 || strcmp(version, "v1") != 0)) {
        return fail_key(r, n, "api_version",
                        r->major >= PROMETHEUS_3 ? "expected v2" : "expected v1 or v2");
    }
    int rc = conf_http_read(r, n, &http);
    if (rc == 0) {
        rc = check_own_authentication(r, n, &http);
    }
    if (rc == 0) {
        rc = conf_relabel_read(r, n, "relabel_configs", &unused, &count);
    }
    if (rc == 0) {
        rc = conf_relabel_read(r, n, "alert_relabel_configs", NULL, NULL);
    }
    return rc != 0 ? rc
                   : conf_discovery_check(
                         r, n, !yaml_is_null(yaml_get(n, "relabel_configs")) && count > 0);
}

static int check_alerting(struct conf_reader *r, const struct yaml_node *root)
{
    const struct yaml_node *alerting = yaml_get(root, "alerting");
    const struct yaml_node *list = yaml_get(alerting, "alertmanagers");
    size_t outer = conf_push(r, VIEW("alerting"));
    if (conf_relabel_read(r, alerting, "alert_relabel_configs", NULL, NULL) != 0) {
        return ERR_INVALID;
    }
    conf_push(r, VIEW("alertmanagers"));
    for (size_t i = 0; !yaml_is_null(list) && i < list->count; i++) {
        size_t old = conf_push_index(r, i);
        if (check_alertmanager(r, list->items[i]) != 0) {
            return ERR_INVALID;
        }
        conf_pop(r, old);
    }
    conf_pop(r, outer);
    return 0;
}

static int check_tracing(struct conf_reader *r, const struct yaml_node *root)
{
    const struct yaml_node *n = yaml_get(root, "tracing");
    if (n == NULL || yaml_is_null(n)) {
        return 0;
    }
    size_t outer = conf_push(r, VIEW("tracing"));
    const char *client = conf_string(n, "client_type", "grpc"),
               *compression = conf_string(n, "compression", "");
    if (strcmp(client, "grpc") != 0 && strcmp(client, "http") != 0) {
        return fail_key(r, n, "client_type", "unknown client type; expected grpc or http");
    }
    if (conf_string(n, "endpoint", "")[0] == '\0') {
        return fail_key(r, n, "endpoint", "no endpoint; expected host:port");
    }
    if (compression[0] != '\0' && strcmp(compression, "gzip") != 0) {
        return fail_key(r, n, "compression", "unknown compression; expected gzip");
    }
    int rc = check_headers(r, n);
    conf_pop(r, outer);
    return rc;
}

static int check_storage(struct conf_reader *r, const struct yaml_node *root)
{
    const struct yaml_node *tsdb = yaml_get(yaml_get(root, "storage"), "tsdb");
    const struct yaml_node *percentage = yaml_get(yaml_get(tsdb, "retention"), "percentage");
    const char *floats = conf_string(yaml_get(tsdb, "chunk_encoding"), "floats", "xor");
    double value;
    size_t outer = conf_push(r, VIEW("storage.tsdb"));
    if (!yaml_is_null(percentage) && conf_parse_number(percentage, &value) &&
        (value < 0 || value > 100)) {
        return fail_key(r, yaml_get(tsdb, "retention"), "percentage",
                        "out of range; expected 0 to 100");
    }
    if (strcmp(floats, "xor") != 0 && strcmp(floats, "xor2") != 0) {
        return fail_key(r, yaml_get(tsdb, "chunk_encoding"), "floats",
                        "unknown encoding; expected xor or xor2");
    }
    conf_pop(r, outer);
    return 0;
}

int conf_check_top(struct conf_reader *r, const struct yaml_node *root)
{
    int rc = check_external_labels(r, root);
    if (rc == 0) {
        rc = conf_check_globs(r, root, "rule_files");
    }
    if (rc == 0) {
        rc = conf_check_globs(r, root, "scrape_config_files");
    }
    if (rc == 0) {
        rc = check_remotes(r, root, "remote_write");
    }
    if (rc == 0) {
        rc = check_remotes(r, root, "remote_read");
    }
    if (rc == 0) {
        rc = check_alerting(r, root);
    }
    if (rc == 0) {
        rc = check_tracing(r, root);
    }
    return rc != 0 ? rc : check_storage(r, root);
}
