/* Single values of an object's fields: see operator_parts.h. A value of the wrong type fails the object; an empty text
 * or list is as good as none, as it is for the Prometheus Operator. Secrets are copied as they are; one that is no text
 * is refused rather than mended. */
#include "base/utf8.h"
#include "k8s/operator_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOREIGN_DEPTH_MAX 6
#define SNAKE_MAX         128

static void write_lower(struct job *j, const char *text)
{
    char *copy = arena_strdup(j->arena, text);
    for (char *c = copy; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    json_str(&j->w, copy);
}

/* True for a text; one that is empty only with takes_empty. */
static bool is_text(struct job *j, const json_t *v, bool takes_empty)
{
    if (!json_is_string(v)) {
        job_fail(j, ERR_INVALID, "expected a text");
        return false;
    }
    return takes_empty || json_string_length(v) != 0;
}

static void write_text(struct job *j, const struct field *f, const json_t *v)
{
    static const char *const SCHEMES[][2] = {{"UTF8", "utf8"}, {"AllowUTF8", "allow-utf-8"}};
    if (!is_text(j, v, f->kind == FIELD_TEXT)) {
        return;
    }
    const char *text = json_string_value(v);
    json_key(&j->w, f->key);
    if (f->kind == FIELD_SCHEME_NAME) {
        for (size_t i = 0; i < 2; i++) {
            text = strcmp(text, SCHEMES[i][0]) == 0 ? SCHEMES[i][1] : text;
        }
    }
    if (f->kind == FIELD_LOWER || f->kind == FIELD_SCHEME_NAME) {
        write_lower(j, text);
    } else {
        json_str(&j->w, text);
    }
}

/* "1.1", 1.1 and "1100m" of the same quantity. */
static void write_quantity(struct job *j, const struct field *f, const json_t *v)
{
    double n = json_number_value(v);
    if (json_is_string(v)) {
        char *end;
        n = strtod(json_string_value(v), &end);
        bool is_milli = *end == 'm';
        end += is_milli;
        n = is_milli ? n / 1000 : n;
        if (end == json_string_value(v) || *end != '\0' || !isdigit((unsigned char)json_string_value(v)[0])) {
            job_fail(j, ERR_INVALID, "expected a number");
            return;
        }
    } else if (!json_is_number(v)) {
        job_fail(j, ERR_INVALID, "expected a number");
        return;
    }
    json_kv_double(&j->w, f->key, n);
}

static void write_strings(struct job *j, const json_t *list)
{
    size_t i;
    const json_t *v;
    json_array_begin(&j->w);
    json_array_foreach(list, i, v)
    {
        size_t old = job_push_index(j, i);
        if (is_text(j, v, true)) {
            json_str(&j->w, json_string_value(v));
        }
        job_pop(j, old);
    }
    json_array_end(&j->w);
}

/* ---------------------------------------------------------------- Secrets */

/* It becomes a part of a URL: what the API server would not take as a name is none. */
static bool is_object_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    return name[len] == '\0' && len <= 253 && isalnum((unsigned char)name[0]);
}

/* The value of a reference; false when there is nothing to write. */
static bool read_ref(struct job *j, const json_t *v, bool is_config_map, struct view *ret)
{
    struct errctx err = ERRCTX_INIT;
    struct view value;
    if (!json_is_object(v)) {
        job_fail(j, ERR_INVALID, "expected an object with name and key");
        return false;
    }
    const struct operator_ref ref = {is_config_map, j->object->namespace, job_string(j, v, "name"),
                                     job_string(j, v, "key")};
    bool is_optional = job_bool(j, v, "optional", false);
    if (ref.name == NULL || j->rc != 0) {
        return false; /* {key: ""}: how older versions wrote "none" */
    }
    if (!is_object_name(ref.name)) {
        job_fail(j, ERR_INVALID, "name: not the name of an object");
        return false;
    }
    if (ref.key == NULL) {
        job_fail(j, ERR_INVALID, "no key; expected one of %s", ref.name);
        return false;
    }
    if (j->conf->read == NULL) {
        job_fail(j, ERR_INVALID, "a reference to %s %s; they are switched off by operator.secrets",
                 is_config_map ? "ConfigMap" : "Secret", ref.name);
        return false;
    }
    int rc = j->conf->read(j->conf->data, &ref, &value, &err);
    j->is_waiting = j->is_waiting || rc == ERR_AGAIN;
    if (rc == ERR_AGAIN || (rc == ERR_NOT_FOUND && is_optional)) {
        return false;
    }
    if (rc != 0) {
        job_fail(j, rc, "%s", err.msg);
    } else if (!utf8_is_valid(value) || memchr(value.base, '\0', value.len) != NULL) {
        job_fail(j, ERR_INVALID, "key %s of %s is no text", ref.key, ref.name);
    }
    *ret = value;
    return j->rc == 0;
}

static void write_secret(struct job *j, const struct field *f, const json_t *v, bool is_config_map)
{
    struct view value;
    if (read_ref(j, v, is_config_map, &value)) {
        json_kv_view(&j->w, f->key, value);
    }
}

static void write_choice(struct job *j, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) {
        job_fail(j, ERR_INVALID, "expected an object with secret or configMap");
        return;
    }
    const json_t *secret = job_object(j, v, "secret"), *map = job_object(j, v, "configMap");
    if (secret != NULL && map != NULL) {
        job_fail(j, ERR_INVALID, "secret together with configMap; expected one of them");
    } else if (secret != NULL || map != NULL) {
        size_t old = job_push(j, secret != NULL ? "secret" : "configMap");
        write_secret(j, f, secret != NULL ? secret : map, map != NULL);
        job_pop(j, old);
    }
}

/* ---------------------------------------------------------------- maps */

static void write_map_value(struct job *j, const struct field *f, const json_t *v)
{
    size_t i;
    const json_t *item;
    struct view value;
    if (f->kind == FIELD_STRING_MAP) {
        json_str(&j->w, is_text(j, v, true) ? json_string_value(v) : "");
        return;
    }
    if (!json_is_array(v)) {
        job_fail(j, ERR_INVALID, "expected a list");
        json_null_value(&j->w);
        return;
    }
    if (f->kind == FIELD_STRINGS_MAP) {
        write_strings(j, v);
        return;
    }
    json_array_begin(&j->w);
    json_array_foreach(v, i, item)
    {
        size_t old = job_push_index(j, i);
        if (read_ref(j, item, false, &value)) {
            json_view(&j->w, value);
        }
        job_pop(j, old);
    }
    json_array_end(&j->w);
}

static void write_map(struct job *j, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) {
        job_fail(j, ERR_INVALID, "expected an object");
        return;
    }
    if (json_object_size(v) == 0) {
        return;
    }
    json_key(&j->w, f->key);
    json_object_begin(&j->w);
    for (void *it = json_object_iter((json_t *)(uintptr_t)v); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
        size_t old = job_push(j, json_object_iter_key(it));
        json_key(&j->w, json_object_iter_key(it));
        write_map_value(j, f, json_object_iter_value(it));
        job_pop(j, old);
    }
    json_object_end(&j->w);
}

static void fail_file(struct job *j)
{
    job_fail(j, ERR_INVALID, "a file of the machine; they are switched off by operator.files");
}

/* ---------------------------------------------------------------- mechanisms whose keys are not listed */

/* roleARN -> role_arn, enableHTTP2 -> enable_http2 */
static void snake(const char *name, char out[SNAKE_MAX])
{
    size_t len = 0;
    for (size_t i = 0; name[i] != '\0' && len + 2 < SNAKE_MAX; i++) {
        unsigned char c = (unsigned char)name[i], before = i != 0 ? (unsigned char)name[i - 1] : 'A';
        bool begins = isupper(c) && (!isupper(before) || (i != 0 && islower((unsigned char)name[i + 1])));
        if (begins) {
            out[len++] = '_';
        }
        out[len++] = (char)tolower(c);
    }
    out[len] = '\0';
}

static bool is_ref(const json_t *v)
{
    return json_is_string(json_object_get(v, "key")) && json_is_string(json_object_get(v, "name"));
}

/* In every mechanism of Prometheus what names a file ends so: ca_file, password_file, files. */
static bool names_a_file(const char *key)
{
    return view_has_suffix(view_of(key), VIEW("_file")) || view_has_suffix(view_of(key), VIEW("files"));
}

static void write_foreign_value(struct job *j, const json_t *v, unsigned depth);

static void write_foreign_member(struct job *j, const char *name, const json_t *v, unsigned depth)
{
    char key[SNAKE_MAX];
    snake(name, key);
    const struct field f = {.key = key, .kind = FIELD_LOWER};
    size_t old = job_push(j, name);
    if (names_a_file(key) && j->conf->no_files) {
        fail_file(j);
    } else if (is_ref(v)) {
        write_secret(j, &f, v, false);
    } else if (json_is_string(v) && (strcmp(key, "role") == 0 || strcmp(key, "availability") == 0)) {
        write_text(j, &f, v);
    } else if (!json_is_null(v)) {
        json_key(&j->w, key);
        write_foreign_value(j, v, depth);
    }
    job_pop(j, old);
}

static void write_foreign_value(struct job *j, const json_t *v, unsigned depth)
{
    size_t i;
    const json_t *item;
    if (depth == 0) {
        job_fail(j, ERR_LIMIT, "nested too deeply");
        json_null_value(&j->w);
    } else if (json_is_object(v)) {
        json_object_begin(&j->w);
        for (void *it = json_object_iter((json_t *)(uintptr_t)v); it != NULL;
             it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
            write_foreign_member(j, json_object_iter_key(it), json_object_iter_value(it), depth - 1);
        }
        json_object_end(&j->w);
    } else if (json_is_array(v)) {
        json_array_begin(&j->w);
        json_array_foreach(v, i, item)
        {
            write_foreign_value(j, item, depth - 1);
        }
        json_array_end(&j->w);
    } else if (json_is_string(v)) {
        json_str(&j->w, json_string_value(v));
    } else if (json_is_boolean(v)) {
        json_bool(&j->w, json_is_true(v));
    } else if (json_is_integer(v)) {
        json_i64(&j->w, json_integer_value(v));
    } else if (json_is_real(v)) {
        json_double_value(&j->w, json_real_value(v));
    } else {
        json_null_value(&j->w);
    }
}

static void write_foreign_item(struct job *j, const struct fields *known, const json_t *item)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)item); it != NULL && j->rc == 0;
         it = json_object_iter_next((json_t *)(uintptr_t)item, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *v = json_object_iter_value(it);
        size_t i = 0;
        while (i < known->count && strcmp(known->rows[i].name, name) != 0) {
            i++;
        }
        if (i == known->count) {
            write_foreign_member(j, name, v, FOREIGN_DEPTH_MAX);
        } else if (!json_is_null(v)) {
            size_t old = job_push(j, name);
            value_write(j, &known->rows[i], v);
            job_pop(j, old);
        }
    }
}

/* ---------------------------------------------------------------- */

static void write_kubernetes_item(struct job *j, const struct field *f, const json_t *item)
{
    fields_write(j, item, f->inner);
    if (j->rc == 0 && job_string(j, item, "apiServer") == NULL && j->conf->kubeconfig[0] != '\0') {
        json_kv_str(&j->w, "kubeconfig_file", j->conf->kubeconfig);
    }
}

static void write_list(struct job *j, const struct field *f, const json_t *list)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(list)) {
        job_fail(j, ERR_INVALID, "expected a list");
        return;
    }
    if (json_array_size(list) == 0) {
        return;
    }
    json_key(&j->w, f->key);
    if (f->kind == FIELD_OBJECTS) {
        fields_write_list(j, list, f->inner);
        return;
    }
    if (f->kind == FIELD_STRINGS || f->kind == FIELD_FILES) {
        write_strings(j, list);
        return;
    }
    json_array_begin(&j->w);
    json_array_foreach(list, i, item)
    {
        size_t old = job_push_index(j, i);
        json_object_begin(&j->w);
        if (!json_is_object(item)) {
            job_fail(j, ERR_INVALID, "expected an object");
        } else if (f->kind == FIELD_KUBERNETES) {
            write_kubernetes_item(j, f, item);
        } else {
            write_foreign_item(j, f->inner, item);
        }
        json_object_end(&j->w);
        job_pop(j, old);
        if (j->rc != 0) {
            break;
        }
    }
    json_array_end(&j->w);
}

static void write_object(struct job *j, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) {
        job_fail(j, ERR_INVALID, "expected an object");
    } else if (json_object_size(v) != 0) {
        json_key(&j->w, f->key);
        json_object_begin(&j->w);
        fields_write(j, v, f->inner);
        json_object_end(&j->w);
    }
}

static void write_number(struct job *j, const struct field *f, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        job_fail(j, ERR_INVALID, "expected a number of 0 or more");
    } else {
        json_kv_i64(&j->w, f->key, json_integer_value(v));
    }
}

/* A file of the machine that runs kvass. */
static void write_file(struct job *j, const struct field *f, const json_t *v)
{
    bool is_used = json_is_array(v) ? json_array_size(v) != 0 : json_string_length(v) != 0;
    if (is_used && j->conf->no_files) {
        fail_file(j);
    } else if (f->kind == FIELD_FILES) {
        write_list(j, f, v);
    } else {
        write_text(j, f, v);
    }
}

void value_write(struct job *j, const struct field *f, const json_t *v)
{
    if (j->rc != 0) {
        return;
    }
    switch (f->kind) {
    case FIELD_SKIP:
        break;
    case FIELD_STRING:
    case FIELD_TEXT:
    case FIELD_LOWER:
    case FIELD_SCHEME_NAME:
        write_text(j, f, v);
        break;
    case FIELD_BOOL:
        if (json_is_boolean(v)) {
            json_kv_bool(&j->w, f->key, json_is_true(v));
        } else {
            job_fail(j, ERR_INVALID, "expected true or false");
        }
        break;
    case FIELD_UINT:
        write_number(j, f, v);
        break;
    case FIELD_FLOAT:
        write_quantity(j, f, v);
        break;
    case FIELD_STRING_MAP:
    case FIELD_STRINGS_MAP:
    case FIELD_SECRETS_MAP:
        write_map(j, f, v);
        break;
    case FIELD_FILE:
    case FIELD_FILES:
        write_file(j, f, v);
        break;
    case FIELD_SECRET:
        write_secret(j, f, v, false);
        break;
    case FIELD_CHOICE:
        write_choice(j, f, v);
        break;
    case FIELD_OBJECT:
        write_object(j, f, v);
        break;
    case FIELD_STRINGS:
    case FIELD_OBJECTS:
    case FIELD_KUBERNETES:
    case FIELD_FOREIGN:
        write_list(j, f, v);
        break;
    }
}
