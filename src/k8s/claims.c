/* Claims of removed shards: see claims.h. One listing at a time; deletions are sent one after another from its items. A
 * claim is named <template>-<set>-<ordinal>; the listing's selector is that of the set, so a claim of a set with a
 * longer name is never taken for ours. */
#include "k8s/claims.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct logctx LOG = {NULL, "component", "k8s"};

struct doomed {
    unsigned ordinal;
    char name[REPLICA_NAME_MAX], uid[REPLICA_WORD_MAX];
};

struct claims_sweep {
    struct k8s_client *client;
    char *namespace, *set, *match_labels;
    VEC(char *) templates;
    unsigned first, end; /* removed ordinals */
    bool (*may_delete)(void *data, unsigned ordinal);
    void *data;
    VEC(struct doomed) doomed;
    size_t left; /* claims of removed ordinals that the last listing saw */
    struct k8s_list *list;
    struct k8s_call *call;
    bool is_partial; /* the range has grown since the listing under way began */
    bool done;
};

struct claims_sweep *claims_sweep_new(struct k8s_client *client, const char *namespace, const struct replica *r,
                                      bool (*may_delete)(void *data, unsigned ordinal), void *data)
{
    struct claims_sweep *s = mem_calloc(1, sizeof(*s));
    s->client = k8s_client_ref(client);
    s->namespace = mem_strdup(namespace);
    s->set = mem_strdup(r->name);
    s->match_labels = mem_strdup(r->match_labels);
    s->may_delete = may_delete;
    s->data = data;
    vec_foreach(c, &r->claims) {
        *vec_push(&s->templates) = mem_strdup(*c);
    }
    return s;
}

void claims_sweep_free(struct claims_sweep **handle)
{
    struct claims_sweep *s = *handle;
    if (s == NULL) {
        return;
    }
    if (s->list != NULL) {
        k8s_list_cancel(s->list);
    }
    if (s->call != NULL) {
        k8s_call_cancel(s->call);
    }
    vec_foreach(t, &s->templates) {
        free(*t);
    }
    vec_done(&s->templates);
    vec_done(&s->doomed);
    k8s_client_unref(s->client);
    free(s->namespace);
    free(s->set);
    free(s->match_labels);
    free(s);
    *handle = NULL;
}

void claims_sweep_extend(struct claims_sweep *s, unsigned first, unsigned end)
{
    bool none = s->first >= s->end;
    s->first = none || first < s->first ? first : s->first;
    s->end = none || end > s->end ? end : s->end;
    s->done = false;
    s->is_partial = true;
}

void claims_sweep_spare(struct claims_sweep *s, unsigned end)
{
    s->first = end > s->first ? end : s->first;
}

bool claims_sweep_is_done(const struct claims_sweep *s)
{
    return s->done || s->first >= s->end;
}

/* The ordinal of a claim of this set; false when it is none. */
static bool claim_ordinal(const struct claims_sweep *s, const char *name, unsigned *ret)
{
    vec_foreach(t, &s->templates) {
        size_t n = strlen(*t);
        if (strncmp(name, *t, n) == 0 && name[n] == '-' && replica_ordinal(s->set, name + n + 1, ret)) {
            return true;
        }
    }
    return false;
}

/* The range may have shrunk, and a pod come back, since the claim was listed. */
static bool may_go(const struct claims_sweep *s, unsigned ordinal)
{
    return ordinal >= s->first && ordinal < s->end && s->may_delete(s->data, ordinal);
}

static void delete_next(struct claims_sweep *s);

static void on_deleted(void *data, const struct k8s_answer *a)
{
    struct claims_sweep *s = data;
    const struct doomed *d = &s->doomed.items[s->doomed.len - 1];
    s->call = NULL;
    if (a->err.code == 0) {
        metric_add(METRIC_K8S_CLAIMS_DELETED, 1);
        log_info(&LOG, "claim deleted", "name", d->name);
    } else if (a->err.code != ERR_NOT_FOUND) {
        log_warn(&LOG, "claim not deleted", "name", d->name, "error", a->err.msg);
    }
    s->doomed.len--;
    delete_next(s);
}

static void delete_next(struct claims_sweep *s)
{
    while (s->doomed.len > 0 && !may_go(s, s->doomed.items[s->doomed.len - 1].ordinal)) {
        s->doomed.len--;
    }
    if (s->doomed.len == 0) {
        return;
    }
    const struct doomed *d = &s->doomed.items[s->doomed.len - 1];
    char body[256];
    snprintf(body, sizeof(body),
             "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"%s\"}}", d->uid);
    const struct k8s_request req = {
        .verb = K8S_DELETE,
        .resource = &K8S_CLAIMS,
        .namespace = s->namespace,
        .name = d->name,
        .body = view_of(body),
        .timeout_ms = 10000,
    };
    s->call = k8s_call_send(s->client, &req, on_deleted, s);
}

static int on_item(void *data, json_t *item)
{
    struct claims_sweep *s = data;
    const char *name = k8s_json_str(item, "metadata.name");
    unsigned ordinal;
    if (!claim_ordinal(s, name, &ordinal) || ordinal < s->first || ordinal >= s->end) {
        return 0;
    }
    s->left++;
    if (may_go(s, ordinal) && k8s_json_at(item, "metadata.deletionTimestamp") == NULL) {
        struct doomed *d = vec_push(&s->doomed);
        d->ordinal = ordinal;
        snprintf(d->name, sizeof(d->name), "%s", name);
        snprintf(d->uid, sizeof(d->uid), "%s", k8s_json_str(item, "metadata.uid"));
    }
    return 0;
}

static void on_begin(void *data)
{
    struct claims_sweep *s = data;
    s->left = 0;
    s->is_partial = false;
    vec_clear(&s->doomed);
}

static void on_listed(void *data, const char *resource_version, const struct k8s_answer *a)
{
    struct claims_sweep *s = data;
    s->list = NULL;
    if (resource_version == NULL) {
        log_warn(&LOG, "claims", "error", a->err.msg);
        return;
    }
    s->done = s->left == 0 && !s->is_partial;
    delete_next(s);
}

void claims_sweep_run(struct claims_sweep *s)
{
    if (s->list != NULL || s->call != NULL || claims_sweep_is_done(s)) {
        return;
    }
    on_begin(s);
    const struct k8s_list_request req = {
        .resource = &K8S_CLAIMS,
        .namespace = s->namespace,
        .label_selector = s->match_labels,
        .on_item = on_item,
        .on_begin = on_begin,
        .on_done = on_listed,
        .data = s,
    };
    s->list = k8s_list_send(s->client, &req);
}
