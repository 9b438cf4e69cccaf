/* The jobs of the four kinds: see operator_job.h. What the tables of operator_fields.c say is one call; what is here is
 * the rest: names, discovery, and the rules in the order of the Prometheus Operator, on which their result depends. */
#include "base/duration.h"
#include "k8s/operator_parts.h"

#include <stdio.h>
#include <string.h>

/* Of what prefix the meta labels of services, endpoints and slices are. */
struct place {
    const char *role, *port_name, *target_kind, *target_name;
};

static const struct place ENDPOINTS = {
    "endpoints",
    "__meta_kubernetes_endpoint_port_name",
    "__meta_kubernetes_endpoint_address_target_kind",
    "__meta_kubernetes_endpoint_address_target_name",
};
static const struct place SLICES = {
    "endpointslice",
    "__meta_kubernetes_endpointslice_port_name",
    "__meta_kubernetes_endpointslice_address_target_kind",
    "__meta_kubernetes_endpointslice_address_target_name",
};

static void copy_label(struct job *j, const char *source, const char *target)
{
    rule_write(j, &(struct rule){.sources = {source}, .target = target});
}

static void keep(struct job *j, const char *source, const char *regex)
{
    rule_write(j, &(struct rule){.sources = {source}, .regex = regex, .action = "keep"});
}

static void set_label(struct job *j, const char *target, const char *value)
{
    rule_write(j, &(struct rule){.target = target, .replacement = value});
}

static void drop_finished(struct job *j, const json_t *endpoint)
{
    if (job_bool(j, endpoint, "filterRunning", true)) {
        rule_write(j, &(struct rule){
                          .sources = {"__meta_kubernetes_pod_phase"}, .regex = "(Failed|Succeeded)", .action = "drop"});
    }
}

static void label_of(struct job *j, const char *kind, const char *label)
{
    const char *source = arena_printf(j->arena, "__meta_kubernetes_%s_label_%s", kind, rules_label_name(j, label));
    rule_write(j, &(struct rule){.sources = {source}, .regex = "(.+)", .target = "job", .replacement = "${1}"});
}

/* ---------------------------------------------------------------- checks */

static bool read_duration(struct job *j, const json_t *object, const char *name, int64_t *ret_ms)
{
    struct errctx err = ERRCTX_INIT;
    const char *text = job_string(j, object, name);
    if (text != NULL && duration_parse_prometheus(view_of(text), ret_ms, &err) != 0) {
        size_t old = job_push(j, name);
        job_fail(j, ERR_INVALID, "%s", err.msg);
        job_pop(j, old);
    }
    return text != NULL && j->rc == 0;
}

static void check_times(struct job *j, const json_t *object, const char *interval_name)
{
    int64_t interval_ms, timeout_ms;
    bool has_interval = read_duration(j, object, interval_name, &interval_ms);
    if (read_duration(j, object, "scrapeTimeout", &timeout_ms) && has_interval && timeout_ms > interval_ms) {
        job_fail(j, ERR_INVALID, "scrapeTimeout %s is greater than %s %s", job_string(j, object, "scrapeTimeout"),
                 interval_name, job_string(j, object, interval_name));
    }
}

/* One kind of authentication at most. */
static void check_authentication(struct job *j, const json_t *object)
{
    static const char *const KINDS[] = {"authorization", "basicAuth", "oauth2", "bearerTokenSecret", "bearerTokenFile"};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        const json_t *v = json_object_get(object, KINDS[i]);
        bool is_used = i == 3   ? json_string_length(json_object_get(v, "name")) != 0
                       : i == 4 ? json_string_length(v) != 0
                                : json_object_size(v) != 0;
        if (is_used && first != NULL) {
            job_fail(j, ERR_INVALID, "%s together with %s; expected at most one of them", first, KINDS[i]);
        }
        first = is_used ? KINDS[i] : first;
    }
}

static void check_endpoint(struct job *j, const json_t *endpoint, const char *interval_name)
{
    if (!json_is_object(endpoint)) {
        job_fail(j, ERR_INVALID, "expected an object");
        return;
    }
    check_times(j, endpoint, interval_name);
    check_authentication(j, endpoint);
}

static void warn_of_class(struct job *j)
{
    const char *name = job_string(j, j->object->spec, "scrapeClass");
    if (name != NULL) {
        job_warn(j, "scrapeClass %s has no meaning here: it belongs to a Prometheus object", name);
    }
}

/* ---------------------------------------------------------------- discovery */

static void write_namespaces(struct job *j, const json_t *selector)
{
    size_t i;
    const json_t *v;
    size_t old = job_push(j, "namespaceSelector");
    bool any = job_bool(j, selector, "any", false);
    const json_t *names = job_array(j, selector, "matchNames");
    if (!any) {
        json_key(&j->w, "namespaces");
        json_object_begin(&j->w);
        json_key(&j->w, "names");
        json_array_begin(&j->w);
        json_array_foreach(names, i, v)
        {
            if (!json_is_string(v)) {
                job_fail(j, ERR_INVALID, "matchNames[%zu]: expected a text", i);
                break;
            }
            json_str(&j->w, json_string_value(v));
        }
        if (names == NULL) {
            json_str(&j->w, j->object->namespace);
        }
        json_array_end(&j->w);
        json_object_end(&j->w);
    }
    job_pop(j, old);
}

static void write_selection(struct job *j, const char *role, const char *selection)
{
    json_object_begin(&j->w);
    json_kv_str(&j->w, "role", role);
    json_kv_str(&j->w, "label", selection);
    json_object_end(&j->w);
}

void monitor_write_discovery(struct job *j, const char *role, const json_t *namespaces, const char *selection,
                             const json_t *attach)
{
    json_key(&j->w, "kubernetes_sd_configs");
    json_array_begin(&j->w);
    json_object_begin(&j->w);
    json_kv_str(&j->w, "role", role);
    if (j->conf->kubeconfig[0] != '\0') {
        json_kv_str(&j->w, "kubeconfig_file", j->conf->kubeconfig);
    }
    write_namespaces(j, namespaces);
    if (attach != NULL) {
        json_key(&j->w, "attach_metadata");
        json_object_begin(&j->w);
        json_kv_bool(&j->w, "node", job_bool(j, attach, "node", false));
        json_object_end(&j->w);
    }
    if (selection != NULL) {
        json_key(&j->w, "selectors");
        json_array_begin(&j->w);
        write_selection(j, role, selection);
        if (strncmp(role, "endpoint", 8) == 0) {
            write_selection(j, "service", selection);
        }
        json_array_end(&j->w);
    }
    json_object_end(&j->w);
    json_array_end(&j->w);
}

/* ---------------------------------------------------------------- what ServiceMonitor and PodMonitor share */

struct monitor {
    const json_t *spec, *selector, *namespaces, *attach;
    bool by_role; /* selectorMechanism */
    const char *selection;
    const struct place *place;
};

static bool monitor_read(struct job *j, struct monitor *ret)
{
    const json_t *spec = j->object->spec;
    struct monitor m = {
        .spec = spec,
        .selector = job_object(j, spec, "selector"),
        .namespaces = job_object(j, spec, "namespaceSelector"),
        .attach = job_object(j, spec, "attachMetadata"),
        .place = &ENDPOINTS,
    };
    const char *mechanism = job_string(j, spec, "selectorMechanism");
    const char *role = job_string(j, spec, "serviceDiscoveryRole");
    m.by_role = mechanism != NULL && strcmp(mechanism, "RoleSelector") == 0;
    if (mechanism != NULL && !m.by_role && strcmp(mechanism, "RelabelConfig") != 0) {
        job_fail(j, ERR_INVALID, "selectorMechanism: expected RelabelConfig or RoleSelector");
    }
    if (role != NULL && strcmp(role, "EndpointSlice") == 0) {
        m.place = &SLICES;
    } else if (role != NULL && strcmp(role, "Endpoints") != 0) {
        job_fail(j, ERR_INVALID, "serviceDiscoveryRole: expected Endpoints or EndpointSlice");
    }
    m.selection = m.by_role ? rules_selector_text(j, m.selector) : NULL;
    warn_of_class(j);
    *ret = m;
    return j->rc == 0;
}

static void begin_job(struct job *j, const char *kind, size_t i)
{
    json_object_begin(&j->w);
    json_kv_str(&j->w, "job_name",
                arena_printf(j->arena, "%s/%s/%s/%zu", kind, j->object->namespace, j->object->name, i));
}

/* targetPort: a name or a number; NULL for none. */
static const char *target_port(struct job *j, const json_t *endpoint, bool *ret_is_number)
{
    const json_t *v = json_object_get(endpoint, "targetPort");
    *ret_is_number = json_is_integer(v);
    if (json_is_integer(v)) {
        return json_integer_value(v) != 0 ? arena_printf(j->arena, "%lld", (long long)json_integer_value(v)) : NULL;
    }
    return job_string(j, endpoint, "targetPort");
}

static void keep_container_port(struct job *j, const char *port, bool is_number)
{
    keep(j, is_number ? "__meta_kubernetes_pod_container_port_number" : "__meta_kubernetes_pod_container_port_name",
         port);
}

/* Writes one job for each endpoint of the list. */
static void write_each(struct job *j, const char *list_name,
                       void (*write)(struct job *, const struct monitor *, const json_t *, size_t))
{
    size_t i;
    struct monitor m;
    const json_t *endpoint, *list = job_array(j, j->object->spec, list_name);
    if (!monitor_read(j, &m)) {
        return;
    }
    if (json_array_size(list) > OPERATOR_ENDPOINTS_MAX) {
        job_fail(j, ERR_LIMIT, "%s: more than %d", list_name, OPERATOR_ENDPOINTS_MAX);
        return;
    }
    size_t outer = job_push(j, list_name);
    json_array_foreach(list, i, endpoint)
    {
        size_t old = job_push_index(j, i);
        check_endpoint(j, endpoint, "interval");
        if (j->rc == 0) {
            write(j, &m, endpoint, i);
        }
        job_pop(j, old);
        if (j->rc != 0) {
            break;
        }
    }
    job_pop(j, outer);
}

/* Messages about the spec rather than about one of its endpoints, until spec_leave. */
struct elsewhere {
    char path[JOB_PATH_MAX];
    size_t len;
};

static struct elsewhere spec_enter(struct job *j)
{
    struct elsewhere e = {.len = j->path_len};
    memcpy(e.path, j->path, sizeof(e.path));
    job_pop(j, strlen("spec"));
    return e;
}

static void spec_leave(struct job *j, const struct elsewhere *e)
{
    memcpy(j->path, e->path, sizeof(e->path));
    j->path_len = e->len;
}

/* What is the same in every job of the monitor. */
static void write_spec(struct job *j, const struct monitor *m, const char *role, const struct fields *set)
{
    struct elsewhere e = spec_enter(j);
    monitor_write_discovery(j, role, m->namespaces, m->selection, m->attach);
    fields_write(j, m->spec, set);
    spec_leave(j, &e);
}

static void select_by_labels(struct job *j, const struct monitor *m, const char *kind)
{
    struct elsewhere e = spec_enter(j);
    if (!m->by_role) {
        rules_select(j, m->selector, kind);
    }
    spec_leave(j, &e);
}

static void take_labels(struct job *j, const struct monitor *m, const char *list_name, const char *kind)
{
    struct elsewhere e = spec_enter(j);
    rules_take_labels(j, job_array(j, m->spec, list_name), list_name, kind);
    spec_leave(j, &e);
}

/* ---------------------------------------------------------------- ServiceMonitor */

static void service_rules(struct job *j, const struct monitor *m, const json_t *endpoint)
{
    bool is_number;
    const char *port = job_string(j, endpoint, "port"), *target = target_port(j, endpoint, &is_number);
    const char *job_label = job_string(j, m->spec, "jobLabel");
    const struct place *at = m->place;
    select_by_labels(j, m, "service");
    if (port != NULL) {
        keep(j, at->port_name, port);
    } else if (target != NULL) {
        keep_container_port(j, target, is_number);
    }
    static const char *const KINDS[][2] = {{"Node;(.*)", "node"}, {"Pod;(.*)", "pod"}};
    for (size_t i = 0; i < 2; i++) {
        rule_write(j, &(struct rule){.sources = {at->target_kind, at->target_name},
                                     .separator = ";",
                                     .regex = KINDS[i][0],
                                     .target = KINDS[i][1],
                                     .replacement = "${1}"});
    }
    copy_label(j, "__meta_kubernetes_namespace", "namespace");
    copy_label(j, "__meta_kubernetes_service_name", "service");
    copy_label(j, "__meta_kubernetes_pod_name", "pod");
    copy_label(j, "__meta_kubernetes_pod_container_name", "container");
    drop_finished(j, endpoint);
    take_labels(j, m, "targetLabels", "service");
    take_labels(j, m, "podTargetLabels", "pod");
    rule_write(j,
               &(struct rule){.sources = {"__meta_kubernetes_service_name"}, .target = "job", .replacement = "${1}"});
    if (job_label != NULL) {
        label_of(j, "service", job_label);
    }
    if (port != NULL || target != NULL) {
        set_label(j, "endpoint", port != NULL ? port : target);
    }
}

static void write_service_job(struct job *j, const struct monitor *m, const json_t *endpoint, size_t i)
{
    begin_job(j, "serviceMonitor", i);
    json_kv_bool(&j->w, "honor_labels", job_bool(j, endpoint, "honorLabels", false));
    write_spec(j, m, m->place->role, &FIELDS_SERVICE_MONITOR);
    fields_write(j, endpoint, &FIELDS_SERVICE_ENDPOINT);
    rules_begin(j);
    service_rules(j, m, endpoint);
    rules_end(j, job_array(j, endpoint, "relabelings"), "relabelings");
    json_object_end(&j->w);
}

void monitor_write_services(struct job *j)
{
    write_each(j, "endpoints", write_service_job);
}

/* ---------------------------------------------------------------- PodMonitor */

static void pod_port(struct job *j, const json_t *endpoint, const char *port)
{
    bool is_number;
    const json_t *number = json_object_get(endpoint, "portNumber");
    const char *target = target_port(j, endpoint, &is_number);
    if (port != NULL) {
        keep_container_port(j, port, false);
    } else if (json_is_integer(number) && json_integer_value(number) != 0) {
        keep_container_port(j, arena_printf(j->arena, "%lld", (long long)json_integer_value(number)), true);
    } else if (number != NULL && !json_is_null(number) && !json_is_integer(number)) {
        job_fail(j, ERR_INVALID, "portNumber: expected a number");
    } else if (target != NULL) {
        keep_container_port(j, target, is_number);
    }
}

static void pod_rules(struct job *j, const struct monitor *m, const json_t *endpoint)
{
    bool is_number;
    const char *port = job_string(j, endpoint, "port"), *target = target_port(j, endpoint, &is_number);
    const char *job_label = job_string(j, m->spec, "jobLabel");
    drop_finished(j, endpoint);
    select_by_labels(j, m, "pod");
    pod_port(j, endpoint, port);
    copy_label(j, "__meta_kubernetes_namespace", "namespace");
    copy_label(j, "__meta_kubernetes_pod_container_name", "container");
    copy_label(j, "__meta_kubernetes_pod_name", "pod");
    take_labels(j, m, "podTargetLabels", "pod");
    set_label(j, "job", arena_printf(j->arena, "%s/%s", j->object->namespace, j->object->name));
    if (job_label != NULL) {
        label_of(j, "pod", job_label);
    }
    if (port != NULL || target != NULL) {
        set_label(j, "endpoint", port != NULL ? port : target);
    }
}

static void write_pod_job(struct job *j, const struct monitor *m, const json_t *endpoint, size_t i)
{
    begin_job(j, "podMonitor", i);
    json_kv_bool(&j->w, "honor_labels", job_bool(j, endpoint, "honorLabels", false));
    write_spec(j, m, "pod", &FIELDS_POD_MONITOR);
    fields_write(j, endpoint, &FIELDS_POD_ENDPOINT);
    rules_begin(j);
    pod_rules(j, m, endpoint);
    rules_end(j, job_array(j, endpoint, "relabelings"), "relabelings");
    json_object_end(&j->w);
}

void monitor_write_pods(struct job *j)
{
    write_each(j, "podMetricsEndpoints", write_pod_job);
}

/* ---------------------------------------------------------------- Probe */

static void write_probe_params(struct job *j, const json_t *spec)
{
    size_t i;
    const json_t *p;
    const char *module = job_string(j, spec, "module");
    const json_t *params = job_array(j, spec, "params");
    if (module == NULL && params == NULL) {
        return;
    }
    json_key(&j->w, "params");
    json_object_begin(&j->w);
    json_array_foreach(params, i, p)
    {
        const char *name = json_is_object(p) ? job_string(j, p, "name") : NULL;
        const struct field values = {.key = name, .kind = FIELD_STRINGS};
        size_t old = job_push(j, "params"), inner = job_push_index(j, i);
        if (name == NULL) {
            job_fail(j, ERR_INVALID, "no name; expected one");
        } else if (module == NULL || strcmp(name, "module") != 0) {
            value_write(j, &values, json_object_get(p, "values"));
        }
        job_pop(j, inner);
        job_pop(j, old);
    }
    if (module != NULL) {
        json_key(&j->w, "module");
        json_array_begin(&j->w);
        json_str(&j->w, module);
        json_array_end(&j->w);
    }
    json_object_end(&j->w);
}

static void write_static_targets(struct job *j, const json_t *targets)
{
    const json_t *list = job_array(j, targets, "static"), *labels = job_object(j, targets, "labels");
    const struct field hosts = {.key = "targets", .kind = FIELD_STRINGS};
    json_key(&j->w, "static_configs");
    json_array_begin(&j->w);
    json_object_begin(&j->w);
    value_write(j, &hosts, list);
    json_key(&j->w, "labels");
    json_object_begin(&j->w);
    for (void *it = json_object_iter((json_t *)(uintptr_t)labels); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)labels, it)) {
        const json_t *v = json_object_iter_value(it);
        if (!json_is_string(v)) {
            job_fail(j, ERR_INVALID, "labels.%s: expected a text", json_object_iter_key(it));
        }
        json_kv_str(&j->w, json_object_iter_key(it), json_is_string(v) ? json_string_value(v) : "");
    }
    if (json_object_get(labels, "namespace") == NULL) {
        json_kv_str(&j->w, "namespace", j->object->namespace);
    }
    json_object_end(&j->w);
    json_object_end(&j->w);
    json_array_end(&j->w);
}

static void ingress_rules(struct job *j, const json_t *ingress, const char *prober)
{
    rules_select(j, job_object(j, ingress, "selector"), "ingress");
    rule_write(j, &(struct rule){
                      .sources = {"__meta_kubernetes_ingress_scheme", "__address__", "__meta_kubernetes_ingress_path"},
                      .separator = ";",
                      .regex = "(.+);(.+);(.+)",
                      .target = "__param_target",
                      .replacement = "${1}://${2}${3}",
                      .action = "replace"});
    copy_label(j, "__meta_kubernetes_namespace", "namespace");
    copy_label(j, "__meta_kubernetes_ingress_name", "ingress");
    rule_write(j, &(struct rule){.sources = {"__address__"},
                                 .separator = ";",
                                 .regex = "(.*)",
                                 .target = "__tmp_ingress_address",
                                 .replacement = "$1",
                                 .action = "replace"});
    copy_label(j, "__param_target", "instance");
    set_label(j, "__address__", prober);
}

static void probe_targets(struct job *j, const json_t *spec, const char *prober)
{
    const json_t *targets = job_object(j, spec, "targets");
    const json_t *fixed = job_object(j, targets, "staticConfig"), *ingress = job_object(j, targets, "ingress");
    const char *name = job_string(j, spec, "jobName");
    size_t old = job_push(j, fixed != NULL ? "targets.staticConfig" : "targets.ingress");
    if (fixed == NULL && ingress == NULL) {
        job_fail(j, ERR_INVALID, "no targets; expected targets.staticConfig or targets.ingress");
    } else if (fixed != NULL) {
        write_static_targets(j, fixed);
        fields_write(j, fixed, &FIELDS_PROBE_STATIC);
    } else {
        monitor_write_discovery(j, "ingress", job_object(j, ingress, "namespaceSelector"), NULL, NULL);
        fields_write(j, ingress, &FIELDS_PROBE_INGRESS);
    }
    if (j->rc == 0) {
        rules_begin(j);
        if (name != NULL) {
            set_label(j, "job", name);
        }
        if (fixed != NULL) {
            copy_label(j, "__address__", "__param_target");
            copy_label(j, "__param_target", "instance");
            set_label(j, "__address__", prober);
        } else {
            ingress_rules(j, ingress, prober);
        }
        rules_end(j, job_array(j, fixed != NULL ? fixed : ingress, "relabelingConfigs"), "relabelingConfigs");
    }
    job_pop(j, old);
}

void probe_write(struct job *j)
{
    const json_t *spec = j->object->spec, *prober = job_object(j, spec, "prober");
    const char *url = job_string(j, prober, "url"), *path = job_string(j, prober, "path");
    check_endpoint(j, spec, "interval");
    if (url == NULL) {
        job_fail(j, ERR_INVALID, "prober.url: expected the address of the prober");
        return;
    }
    json_object_begin(&j->w);
    json_kv_str(&j->w, "job_name", arena_printf(j->arena, "probe/%s/%s", j->object->namespace, j->object->name));
    json_kv_bool(&j->w, "honor_timestamps", true);
    json_kv_str(&j->w, "metrics_path", path != NULL ? path : "/probe");
    fields_write(j, spec, &FIELDS_PROBE);
    size_t old = job_push(j, "prober");
    fields_write(j, prober, &FIELDS_PROBER);
    job_pop(j, old);
    write_probe_params(j, spec);
    probe_targets(j, spec, url);
    warn_of_class(j);
    json_object_end(&j->w);
}

/* ---------------------------------------------------------------- ScrapeConfig */

void scrape_config_write(struct job *j)
{
    const json_t *spec = j->object->spec;
    const char *name = job_string(j, spec, "jobName");
    check_endpoint(j, spec, "scrapeInterval");
    json_object_begin(&j->w);
    json_kv_str(&j->w, "job_name", arena_printf(j->arena, "scrapeConfig/%s/%s", j->object->namespace, j->object->name));
    fields_write(j, spec, &FIELDS_SCRAPE_CONFIG);
    rules_begin(j);
    if (name != NULL && j->rc == 0) {
        set_label(j, "job", name);
    }
    rules_end(j, job_array(j, spec, "relabelings"), "relabelings");
    warn_of_class(j);
    json_object_end(&j->w);
}
