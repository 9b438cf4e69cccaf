/* Secrets by name: see operator_secret.h. An answer that says there is no such object, or that we may not read it, is
 * an answer; anything else (no connection, 5xx) keeps what is held and is tried again soon. */
#include "k8s/operator_secret.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "base/timebase.h"
#include "net/http_query.h"

#include <stdio.h>

#define TICK_MS     500
#define REFRESH_MS  30000
#define RETRY_MS    5000 /* after a failure, and for what does not exist yet */
#define CALLS_MAX   8    /* at a time */
#define CALLS_TICK  8    /* of one tick: at most 16 a second, however many there are */
#define TIMEOUT_MS  10000
#define MESSAGE_MAX 256

static const struct logctx LOG = {NULL, "component", "operator"};

struct secret_key {
    char *name;
    char *value; /* NULL: there is none */
    size_t len;
    bool is_known;
};

struct secret {
    struct secrets *owner;
    bool is_config_map;
    char *namespace, *name;
    VEC(struct secret_key) keys;
    char
        refused[MESSAGE_MAX]; /* why it cannot be read: that is all there is to say; "" = it can, or nobody knows yet */
    int refused_code;
    int64_t due_ms;
    struct k8s_call *call;
    size_t users;
    bool is_changed;
};

struct secrets {
    struct k8s_client *client;
    struct loop_timer *timer;
    struct hashmap by_name;
    size_t calls, bytes;
    void (*on_change)(void *data);
    void *data;
};

static bool ref_equal(const void *entry, const void *key)
{
    const struct secret *s = entry;
    const struct operator_ref *ref = key;
    return s->is_config_map == ref->is_config_map && strcmp(s->name, ref->name) == 0 &&
           strcmp(s->namespace, ref->namespace) == 0;
}

static uint64_t ref_hash(const struct operator_ref *ref)
{
    return hash_pair(hash_pair(hash_view(view_of(ref->namespace)), hash_view(view_of(ref->name))), ref->is_config_map);
}

static const char *kind_of(const struct secret *s)
{
    return s->is_config_map ? "ConfigMap" : "Secret";
}

/* ---------------------------------------------------------------- values */

/* Overwritten first: memory that held a password goes back without it. */
static void key_forget(struct secrets *owner, struct secret_key *k)
{
    if (k->value != NULL) {
        explicit_bzero(k->value, k->len);
        owner->bytes -= k->len;
        MEM_FREE(k->value);
    }
    k->len = 0;
}

static void secret_free(struct secret *s)
{
    if (s->call != NULL) {
        k8s_call_cancel(s->call);
        s->owner->calls--;
    }
    vec_foreach(k, &s->keys) {
        key_forget(s->owner, k);
        free(k->name);
    }
    vec_done(&s->keys);
    free(s->namespace);
    free(s->name);
    free(s);
}

/* Takes over value. True when it is another one. */
static bool key_set(struct secret *s, struct secret_key *k, char *value, size_t len)
{
    bool same = k->is_known && (value == NULL) == (k->value == NULL) && len == k->len &&
                (len == 0 || memcmp(value, k->value, len) == 0);
    key_forget(s->owner, k);
    k->value = value;
    k->len = len;
    k->is_known = true;
    s->owner->bytes += value != NULL ? len : 0;
    return !same;
}

/* The bytes of one key in an answer; NULL when it has none. Malloc'd. */
static char *value_of(const struct secret *s, const json_t *object, const char *key, size_t *ret_len)
{
    const json_t *text = s->is_config_map ? json_object_get(k8s_json_at(object, "data"), key) : NULL;
    *ret_len = 0;
    if (text != NULL) {
        if (!json_is_string(text)) {
            return NULL;
        }
        *ret_len = json_string_length(text);
        return memcpy(mem_alloc(*ret_len + 1), json_string_value(text), *ret_len + 1);
    }
    const json_t *coded = json_object_get(k8s_json_at(object, s->is_config_map ? "binaryData" : "data"), key);
    if (!json_is_string(coded)) {
        return NULL;
    }
    char *value = mem_alloc(json_string_length(coded) + 1);
    size_t len = http_base64_decode(view_make(json_string_value(coded), json_string_length(coded)), value);
    if (len == SIZE_MAX) {
        free(value);
        return NULL;
    }
    *ret_len = len;
    return value;
}

static bool take_object(struct secret *s, const json_t *object)
{
    bool changed = s->refused[0] != '\0';
    s->refused[0] = '\0';
    vec_foreach(k, &s->keys) {
        size_t len;
        char *value = value_of(s, object, k->name, &len);
        if (value != NULL && s->owner->bytes + len > SECRETS_BYTES_MAX) {
            explicit_bzero(value, len);
            MEM_FREE(value);
            len = 0;
            log_error(&LOG, "read", "kind", kind_of(s), "namespace", s->namespace, "name", s->name, "err",
                      "all values together are too large");
        }
        changed = key_set(s, k, value, len) || changed;
    }
    return changed;
}

static bool take_refusal(struct secret *s, int code, const char *message)
{
    bool changed = strcmp(s->refused, message) != 0;
    snprintf(s->refused, sizeof(s->refused), "%s", message);
    s->refused_code = code;
    vec_foreach(k, &s->keys) {
        (void)key_set(s, k, NULL, 0);
    }
    return changed;
}

/* ---------------------------------------------------------------- calls */

static void on_answer(void *data, const struct k8s_answer *a)
{
    struct secret *s = data;
    char message[MESSAGE_MAX];
    bool changed = false;
    s->call = NULL;
    s->owner->calls--;
    s->due_ms = timebase_monotonic_ms() + REFRESH_MS;
    if (a->err.code == 0) {
        changed = take_object(s, a->object);
    } else if (a->status == 404) {
        snprintf(message, sizeof(message), "%s %s/%s does not exist", kind_of(s), s->namespace, s->name);
        changed = take_refusal(s, ERR_NOT_FOUND, message);
        s->due_ms = timebase_monotonic_ms() + RETRY_MS;
    } else if (a->status == 403) {
        snprintf(message, sizeof(message), "%s %s/%s may not be read: %.120s", kind_of(s), s->namespace, s->name,
                 a->err.msg);
        changed = take_refusal(s, ERR_UNAUTHORIZED, message);
    } else {
        log_debug(&LOG, "read", "kind", kind_of(s), "namespace", s->namespace, "name", s->name, "err", a->err.msg);
        s->due_ms = timebase_monotonic_ms() + k8s_backoff_ms(0, RETRY_MS, RETRY_MS);
    }
    if (changed) {
        s->is_changed = true;
        s->owner->on_change(s->owner->data);
    }
}

static void fetch(struct secret *s)
{
    const struct k8s_request req = {
        .verb = K8S_GET,
        .resource = s->is_config_map ? &K8S_CONFIGMAPS : &K8S_SECRETS,
        .namespace = s->namespace,
        .name = s->name,
        .timeout_ms = TIMEOUT_MS,
    };
    s->owner->calls++;
    s->call = k8s_call_send(s->owner->client, &req, on_answer, s);
}

static void on_tick(void *data)
{
    struct secrets *owner = data;
    int64_t now_ms = timebase_monotonic_ms();
    VEC(struct secret *) unused = {0};
    size_t it = 0, sent = 0;
    for (struct secret *s; (s = hashmap_next(&owner->by_name, &it)) != NULL;) {
        if (s->users == 0) {
            *vec_push(&unused) = s;
        } else if (s->call == NULL && s->due_ms <= now_ms && owner->calls < CALLS_MAX && sent < CALLS_TICK) {
            fetch(s);
            sent++;
        }
    }
    vec_foreach(u, &unused) {
        const struct operator_ref ref = {(*u)->is_config_map, (*u)->namespace, (*u)->name, NULL};
        (void)hashmap_remove(&owner->by_name, ref_hash(&ref), &ref);
        secret_free(*u);
    }
    vec_done(&unused);
}

/* ---------------------------------------------------------------- users */

static struct secret *secret_get(struct secrets *owner, const struct operator_ref *ref)
{
    struct secret *s = hashmap_get(&owner->by_name, ref_hash(ref), ref);
    if (s != NULL || owner->by_name.len >= SECRETS_MAX) {
        return s;
    }
    s = mem_calloc(1, sizeof(*s));
    s->owner = owner;
    s->is_config_map = ref->is_config_map;
    s->namespace = mem_strdup(ref->namespace);
    s->name = mem_strdup(ref->name);
    hashmap_add(&owner->by_name, ref_hash(ref), s);
    return s;
}

static void note_user(struct secret *s, struct secret_users *users)
{
    for (size_t i = 0; i < users->list.len; i++) {
        if (users->list.items[i] == s) {
            return;
        }
    }
    *vec_push(&users->list) = s;
    s->users++;
}

/* NULL when too many of its keys are in use. A new one makes the object due. */
static struct secret_key *key_get(struct secret *s, const char *name)
{
    vec_foreach(k, &s->keys) {
        if (strcmp(k->name, name) == 0) {
            return k;
        }
    }
    if (s->keys.len >= SECRET_KEYS_MAX) {
        return NULL;
    }
    struct secret_key *k = vec_push(&s->keys);
    k->name = mem_strdup(name);
    k->is_known = s->refused[0] != '\0';
    s->due_ms = k->is_known ? s->due_ms : 0;
    return k;
}

int secrets_read(struct secrets *owner, const struct operator_ref *ref, struct secret_users *users, struct view *ret,
                 struct errctx *err)
{
    struct secret *s = secret_get(owner, ref);
    struct secret_key *k = s != NULL ? key_get(s, ref->key) : NULL;
    if (k == NULL) {
        return errctx_set(err, ERR_LIMIT, "too many Secrets and ConfigMaps, or keys of one, are in use");
    }
    note_user(s, users);
    if (!k->is_known) {
        return ERR_AGAIN;
    }
    if (s->refused[0] != '\0') {
        return errctx_set(err, s->refused_code, "%s", s->refused);
    }
    if (k->value == NULL) {
        return errctx_set(err, ERR_NOT_FOUND, "%s %s/%s has no key %s", kind_of(s), s->namespace, s->name, k->name);
    }
    *ret = view_make(k->value, k->len);
    return 0;
}

bool secrets_are_changed(const struct secrets *owner, const struct secret_users *users)
{
    (void)owner;
    for (size_t i = 0; i < users->list.len; i++) {
        if (users->list.items[i]->is_changed) {
            return true;
        }
    }
    return false;
}

void secrets_settle(struct secrets *owner)
{
    size_t it = 0;
    for (struct secret *s; (s = hashmap_next(&owner->by_name, &it)) != NULL;) {
        s->is_changed = false;
    }
}

void secrets_drop_users(struct secret_users *users)
{
    for (size_t i = 0; i < users->list.len; i++) {
        users->list.items[i]->users--;
    }
    vec_done(&users->list);
}

struct secrets *secrets_new(struct k8s_client *client, struct loop *loop, void (*on_change)(void *data), void *data)
{
    struct secrets *s = mem_calloc(1, sizeof(*s));
    s->client = k8s_client_ref(client);
    s->on_change = on_change;
    s->data = data;
    hashmap_init(&s->by_name, ref_equal);
    s->timer = loop_timer_new(loop, on_tick, s);
    loop_timer_start(s->timer, TICK_MS / 10, TICK_MS);
    return s;
}

void secrets_free(struct secrets **handle)
{
    struct secrets *owner = *handle;
    *handle = NULL;
    if (owner == NULL) {
        return;
    }
    size_t it = 0;
    for (struct secret *s; (s = hashmap_next(&owner->by_name, &it)) != NULL;) {
        secret_free(s);
    }
    hashmap_done(&owner->by_name);
    loop_timer_free(&owner->timer);
    k8s_client_unref(owner->client);
    free(owner);
}
