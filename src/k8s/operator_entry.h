/* One object of the operator as we hold it: its spec, what Secrets it uses, its jobs or why there are none. */
#ifndef KVASS_K8S_OPERATOR_ENTRY_H
#define KVASS_K8S_OPERATOR_ENTRY_H

#include "k8s/object.h"
#include "k8s/operator_job.h"
#include "k8s/operator_secret.h"

enum entry_state { ENTRY_USED, ENTRY_REFUSED, ENTRY_WAITING, ENTRY_STATE_COUNT };

struct entry {
    enum operator_resource resource;
    const void *slot; /* the watch that showed it */
    unsigned mark;
    char *namespace, *name, *uid, *spec;
    char *label;      /* "ServiceMonitor shop/web" */
    char *text;       /* of its jobs; NULL when there are none */
    char *error;      /* why it makes none; NULL */
    char *load_error; /* why the configuration does not take them; NULL */
    char *told;       /* what was logged last; "" = that it is fine, or nothing yet */
    char *posted;     /* the same for Events */
    int64_t posted_ms;
    char warning[OPERATOR_WARNING_MAX];
    bool is_dirty;
    bool is_waiting; /* for a Secret; the text is that of before */
    struct secret_users users;
};

struct entry_key {
    enum operator_resource resource;
    struct view namespace, name;
};

bool entry_equal(const void *entry, const void *key);
uint64_t entry_hash(const struct entry_key *key);

/* NULL: it is being deleted. */
struct entry *entry_new(enum operator_resource resource, const struct k8s_object *o);
void entry_free(struct entry *e);
/* True when something of it is other than before. */
bool entry_take(struct entry *e, const struct k8s_object *o);

/* Translates it; what was is kept while a Secret is waited for. */
void entry_translate(struct entry *e, const struct operator_job_conf *conf, struct secrets *secrets);

enum entry_state entry_state(const struct entry *e);
/* The sentence to be told, with its severity; "" when all is well. */
const char *entry_problem(const struct entry *e, bool *ret_is_error);

extern const char ENTRY_SCHEMA[];

#endif
