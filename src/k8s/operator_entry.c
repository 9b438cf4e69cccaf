/* Objects of the operator as they are held: see operator_entry.h. */
#include "k8s/operator_entry.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Status, labels and annotations change often and say nothing about jobs. */
const char ENTRY_SCHEMA[] = "metadata(uid! deletionTimestamp!) spec=";

bool entry_equal(const void *entry, const void *key)
{
    const struct entry *e = entry;
    const struct entry_key *k = key;
    return e->resource == k->resource && view_is(k->name, e->name) && view_is(k->namespace, e->namespace);
}

uint64_t entry_hash(const struct entry_key *key)
{
    return hash_pair(hash_pair(hash_view(key->namespace), hash_view(key->name)), key->resource);
}

static char *text_of(struct view v)
{
    return mem_printf("%.*s", VIEW_FMT(v));
}

struct entry *entry_new(enum operator_resource resource, const struct k8s_object *o)
{
    struct entry *e = mem_calloc(1, sizeof(*e));
    e->resource = resource;
    e->namespace = text_of(k8s_object_namespace(o));
    e->name = text_of(k8s_object_name(o));
    e->label = mem_printf("%s %s/%s", operator_resource_kind(resource), e->namespace, e->name);
    e->uid = mem_strdup("");
    e->spec = mem_strdup("");
    e->told = mem_strdup("");
    e->posted = mem_strdup("");
    return e;
}

void entry_free(struct entry *e)
{
    secrets_drop_users(&e->users);
    free(e->namespace);
    free(e->name);
    free(e->uid);
    free(e->spec);
    free(e->label);
    free(e->text);
    free(e->error);
    free(e->load_error);
    free(e->told);
    free(e->posted);
    free(e);
}

static void replace(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}

bool entry_take(struct entry *e, const struct k8s_object *o)
{
    struct view uid = k8s_text_at(k8s_object_root(o), "metadata.uid"), spec = k8s_text_at(k8s_object_root(o), "spec");
    if (view_is(uid, e->uid) && view_is(spec, e->spec)) {
        return false;
    }
    if (!view_is(uid, e->uid)) { /* another object of that name: nobody told it anything */
        replace(&e->posted, mem_strdup(""));
        e->posted_ms = 0;
    }
    replace(&e->uid, text_of(uid));
    replace(&e->spec, text_of(spec));
    e->is_dirty = true;
    return true;
}

/* ---------------------------------------------------------------- translation */

struct reading {
    struct entry *entry;
    struct secrets *secrets;
    struct secret_users users;
};

static int read_ref(void *data, const struct operator_ref *ref, struct view *ret, struct errctx *err)
{
    struct reading *r = data;
    return secrets_read(r->secrets, ref, &r->users, ret, err);
}

void entry_translate(struct entry *e, const struct operator_job_conf *conf, struct secrets *secrets)
{
    struct reading reading = {.entry = e, .secrets = secrets};
    struct operator_job_conf own = *conf;
    struct errctx err = ERRCTX_INIT;
    struct bytes text;
    json_t *spec = json_loads(e->spec, JSON_DECODE_ANY, NULL);
    const struct operator_object object = {e->resource, e->namespace, e->name, spec};
    own.read = secrets != NULL ? read_ref : NULL;
    own.data = &reading;
    bytes_init(&text, OPERATOR_JOB_BYTES_MAX);
    int rc = operator_job_write(&object, &own, &text, e->warning, &err);
    e->is_dirty = false;
    e->is_waiting = rc == ERR_AGAIN;
    if (rc == 0) {
        replace(&e->text, bytes_take(&text, NULL));
        replace(&e->error, NULL);
    } else if (rc != ERR_AGAIN) {
        replace(&e->text, NULL);
        replace(&e->error, mem_strdup(err.msg));
    }
    bytes_done(&text);
    json_decref(spec);
    secrets_drop_users(&e->users); /* after the new ones are noted: what both use is not forgotten */
    e->users = reading.users;
}

enum entry_state entry_state(const struct entry *e)
{
    if (e->error != NULL || e->load_error != NULL) {
        return ENTRY_REFUSED;
    }
    return e->text != NULL ? ENTRY_USED : ENTRY_WAITING;
}

const char *entry_problem(const struct entry *e, bool *ret_is_error)
{
    const char *error = e->error != NULL ? e->error : e->load_error;
    *ret_is_error = error != NULL;
    return error != NULL ? error : e->warning;
}
