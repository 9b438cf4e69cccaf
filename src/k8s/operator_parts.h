/* What the files of operator_job.h share: a job under way, tables of fields, relabelling rules. Every step does nothing
 * once one has failed, so that only the end asks. */
#ifndef KVASS_K8S_OPERATOR_PARTS_H
#define KVASS_K8S_OPERATOR_PARTS_H

#include "base/arena.h"
#include "base/json_writer.h"
#include "k8s/operator_job.h"

#define JOB_PATH_MAX 192

struct job {
    struct json_writer w;
    const struct operator_object *object;
    const struct operator_job_conf *conf;
    struct arena *arena;
    char path[JOB_PATH_MAX]; /* of the field being looked at: "spec.endpoints[0].path" */
    size_t path_len;
    char *warning;
    struct errctx *err;
    int rc;
    bool is_waiting; /* for a Secret */
};

/* --- operator_job.c: places and messages */

void job_fail(struct job *j, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void job_warn(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* the first one is kept */
size_t job_push(struct job *j, const char *name); /* the result goes to job_pop */
size_t job_push_index(struct job *j, size_t i);
void job_pop(struct job *j, size_t len);

/* Members of the right type; absent, null and empty ones are NULL (0, false), others fail. */
const char *job_string(struct job *j, const json_t *object, const char *name);
bool job_bool(struct job *j, const json_t *object, const char *name, bool when_absent);
const json_t *job_array(struct job *j, const json_t *object, const char *name);
const json_t *job_object(struct job *j, const json_t *object, const char *name);

/* --- operator_fields.c: tables that say what becomes of a field */

enum field_kind {
    FIELD_SKIP,   /* looked at elsewhere */
    FIELD_STRING, /* left out when empty */
    FIELD_TEXT,   /* empty means something */
    FIELD_LOWER,
    FIELD_SCHEME_NAME, /* AllowUTF8 -> allow-utf-8, Dots -> dots */
    FIELD_BOOL,
    FIELD_UINT,
    FIELD_FLOAT, /* a Kubernetes quantity */
    FIELD_STRINGS,
    FIELD_STRING_MAP,
    FIELD_STRINGS_MAP,
    FIELD_FILE,
    FIELD_FILES,
    FIELD_SECRET, /* {name, key, optional} */
    FIELD_CHOICE, /* {secret: ..., configMap: ...} */
    FIELD_SECRETS_MAP,
    FIELD_OBJECT,
    FIELD_OBJECTS,
    FIELD_KUBERNETES, /* items of kubernetes_sd_configs */
    FIELD_FOREIGN,    /* items of mechanisms whose keys are not listed */
};

struct fields;

struct field {
    const char *name, *key;
    enum field_kind kind;
    const struct fields *inner;
    bool is_versioned; /* a key that reaches the shard's Prometheus: left out when that one is too old */
};

struct fields {
    const struct field *rows;
    size_t count;
};

extern const struct fields FIELDS_SERVICE_ENDPOINT, FIELDS_POD_ENDPOINT, FIELDS_SERVICE_MONITOR, FIELDS_POD_MONITOR,
    FIELDS_PROBE, FIELDS_PROBER, FIELDS_PROBE_STATIC, FIELDS_PROBE_INGRESS, FIELDS_SCRAPE_CONFIG, FIELDS_RELABEL;

/* Writes the members of object into the JSON object that is open; those the table does not know are warned of. */
void fields_write(struct job *j, const json_t *object, const struct fields *set);
void fields_write_list(struct job *j, const json_t *list, const struct fields *set); /* as array */

/* --- operator_values.c: single values */

void value_write(struct job *j, const struct field *f, const json_t *v);

/* --- operator_rules.c: relabel_configs */

struct rule {
    const char *sources[3];
    const char *separator, *regex, *target, *replacement, *action; /* NULL: left out */
};

void rule_write(struct job *j, const struct rule *r);
void rules_begin(struct job *j); /* the key, the array, and the first rule of every job */
void rules_end(struct job *j, const json_t *user, const char *where); /* the object's own rules (NULL: none) close it */
void rules_select(struct job *j, const json_t *selector, const char *kind); /* kind: service, pod, ingress */
void rules_take_labels(struct job *j, const json_t *names, const char *where, const char *kind);
const char *rules_label_name(struct job *j, const char *name); /* what is no letter, digit or _ becomes _ */

/* A selector as the API server reads it; NULL when it selects everything. */
const char *rules_selector_text(struct job *j, const json_t *selector);

/* --- operator_monitor.c: the four kinds; each writes the jobs of its object into the array that is open */

void monitor_write_services(struct job *j);
void monitor_write_pods(struct job *j);
void probe_write(struct job *j);
void scrape_config_write(struct job *j);

/* kubernetes_sd_configs with one item; selection: for selectors, NULL = none. */
void monitor_write_discovery(struct job *j, const char *role, const json_t *namespaces, const char *selection,
                             const json_t *attach);

#endif
