/* From an object to its jobs: see operator_job.h. This file is the frame: the document, places in messages, reading of
 * single members. What is in a job is in operator_monitor.c, tables of fields in operator_fields.c.
 *
 * Whatever the object holds, nothing here aborts: objects come from whoever may write them, and the API server checks
 * only what the installed definition asks for. A message names the field, never the value of a Secret. */
#include "k8s/operator_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *plural, *kind, *version, *job_prefix;
} RESOURCES[OPERATOR_RESOURCE_COUNT] = {
    [OPERATOR_SERVICE_MONITORS] = {"servicemonitors", "ServiceMonitor", "v1", "serviceMonitor"},
    [OPERATOR_POD_MONITORS] = {"podmonitors", "PodMonitor", "v1", "podMonitor"},
    [OPERATOR_PROBES] = {"probes", "Probe", "v1", "probe"},
    [OPERATOR_SCRAPE_CONFIGS] = {"scrapeconfigs", "ScrapeConfig", "v1alpha1", "scrapeConfig"},
};

const char *operator_resource_plural(enum operator_resource r)
{
    return RESOURCES[r].plural;
}

const char *operator_resource_kind(enum operator_resource r)
{
    return RESOURCES[r].kind;
}

const char *operator_resource_version(enum operator_resource r)
{
    return RESOURCES[r].version;
}

/* ---------------------------------------------------------------- places and messages */

void job_fail(struct job *j, int code, const char *fmt, ...)
{
    char what[ERRCTX_MSG_MAX];
    va_list args;
    if (j->rc != 0) {
        return;
    }
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    j->rc = errctx_set(j->err, code, "%s: %s", j->path, what);
}

void job_warn(struct job *j, const char *fmt, ...)
{
    char what[OPERATOR_WARNING_MAX];
    va_list args;
    if (j->warning[0] != '\0') {
        return;
    }
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(j->warning, OPERATOR_WARNING_MAX, "%s: %.*s", j->path,
             OPERATOR_WARNING_MAX - 3 - (int)(j->path_len < JOB_PATH_MAX ? j->path_len : JOB_PATH_MAX), what);
}

static size_t push(struct job *j, struct view step)
{
    size_t old = j->path_len, room = sizeof(j->path) - 1 - old;
    size_t len = step.len < room ? step.len : room;
    memcpy(j->path + old, step.base, len);
    j->path[old + len] = '\0';
    j->path_len = old + len;
    return old;
}

size_t job_push(struct job *j, const char *name)
{
    size_t old = j->path_len;
    if (old != 0) {
        (void)push(j, VIEW("."));
    }
    (void)push(j, view_of(name));
    return old;
}

size_t job_push_index(struct job *j, size_t i)
{
    char step[32];
    snprintf(step, sizeof(step), "[%zu]", i);
    return push(j, view_of(step));
}

void job_pop(struct job *j, size_t len)
{
    j->path_len = len;
    j->path[len] = '\0';
}

/* ---------------------------------------------------------------- members */

static const json_t *member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_null(v) ? NULL : v;
}

static void wrong(struct job *j, const char *name, const char *expected)
{
    size_t old = job_push(j, name);
    job_fail(j, ERR_INVALID, "expected %s", expected);
    job_pop(j, old);
}

const char *job_string(struct job *j, const json_t *object, const char *name)
{
    const json_t *v = member(object, name);
    if (v != NULL && !json_is_string(v)) {
        wrong(j, name, "a text");
        return NULL;
    }
    return json_string_length(v) != 0 ? json_string_value(v) : NULL;
}

bool job_bool(struct job *j, const json_t *object, const char *name, bool when_absent)
{
    const json_t *v = member(object, name);
    if (v != NULL && !json_is_boolean(v)) {
        wrong(j, name, "true or false");
    }
    return json_is_boolean(v) ? json_is_true(v) : when_absent;
}

const json_t *job_array(struct job *j, const json_t *object, const char *name)
{
    const json_t *v = member(object, name);
    if (v != NULL && !json_is_array(v)) {
        wrong(j, name, "a list");
        return NULL;
    }
    return json_array_size(v) != 0 ? v : NULL;
}

const json_t *job_object(struct job *j, const json_t *object, const char *name)
{
    const json_t *v = member(object, name);
    if (v != NULL && !json_is_object(v)) {
        wrong(j, name, "an object");
        return NULL;
    }
    return v;
}

/* ---------------------------------------------------------------- the document */

static void write_jobs(struct job *j)
{
    size_t old = job_push(j, "spec");
    if (!json_is_object(j->object->spec)) {
        job_fail(j, ERR_INVALID, "expected an object");
    } else if (j->object->resource == OPERATOR_SERVICE_MONITORS) {
        monitor_write_services(j);
    } else if (j->object->resource == OPERATOR_POD_MONITORS) {
        monitor_write_pods(j);
    } else if (j->object->resource == OPERATOR_PROBES) {
        probe_write(j);
    } else {
        scrape_config_write(j);
    }
    job_pop(j, old);
}

/* Characters that JSON takes as they are inside of a text, and YAML does not, or takes for the end of a line. */
static void escape_for_yaml(struct view text, struct bytes *out)
{
    size_t clean = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char *c = (const unsigned char *)text.base + i;
        size_t left = text.len - i, len = 0;
        unsigned code = 0;
        if (*c == 0x7f) {
            len = 1;
            code = 0x7f;
        } else if (*c == 0xc2 && left > 1 && c[1] < 0xa0) {
            len = 2;
            code = c[1];
        } else if (*c >= 0xe2 && *c <= 0xef && left > 2) {
            code = (*c & 0xfu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
            len = code == 0x2028 || code == 0x2029 || code == 0xfeff || code >= 0xfffe ? 3 : 0;
        }
        if (len != 0) {
            bytes_append(out, text.base + clean, i - clean);
            bytes_printf(out, "\\u%04x", code);
            i += len - 1;
            clean = i + 1;
        }
    }
    bytes_append(out, text.base + clean, text.len - clean);
}

int operator_job_write(const struct operator_object *o, const struct operator_job_conf *conf, struct bytes *out,
                       char warning[OPERATOR_WARNING_MAX], struct errctx *err)
{
    struct errctx own = ERRCTX_INIT;
    struct bytes text;
    struct job j = {
        .object = o, .conf = conf, .arena = arena_new(), .warning = warning, .err = err != NULL ? err : &own};
    warning[0] = '\0';
    bytes_init(&text, OPERATOR_JOB_BYTES_MAX);
    json_writer_init(&j.w, &text);
    json_object_begin(&j.w);
    json_key(&j.w, "scrape_configs");
    json_array_begin(&j.w);
    write_jobs(&j);
    if (j.rc == 0 && j.is_waiting) {
        j.rc = errctx_set(j.err, ERR_AGAIN, "a Secret or ConfigMap has not been read yet");
    }
    if (j.rc == 0) {
        json_array_end(&j.w);
        json_object_end(&j.w);
        j.rc = bytes_check(&text, j.err);
    }
    if (j.rc == 0) {
        escape_for_yaml(bytes_view(&text), out);
        j.rc = bytes_check(out, j.err);
    }
    bytes_done(&text);
    arena_free(&j.arena);
    return j.rc;
}
