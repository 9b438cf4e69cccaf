/* From an HTTP answer of the API server to what a caller needs: a tree, or an error in words. */
#ifndef KVASS_K8S_ANSWER_H
#define KVASS_K8S_ANSWER_H

#include "k8s/client.h"

#define K8S_REASON_MAX 64

struct k8s_judged {
    struct k8s_answer answer; /* object: owned here; reason points below */
    char reason[K8S_REASON_MAX];
};

/* what: "get pods mon/x", put in front of errors. wants_object: a good answer must be a JSON object (else the body is
 * not looked at). */
void k8s_judge(const struct http_answer *http, struct view body, const char *what, bool wants_object,
               struct k8s_judged *ret);
/* A Status object that came some other way, as in the ERROR event of a watch. */
void k8s_judge_status(const json_t *status, const char *what, struct k8s_judged *ret);
void k8s_judged_done(struct k8s_judged *j);

/* The server's version of resourceVersion is gone: 410, or 504 with the cause ResourceVersionTooLarge. */
bool k8s_is_expired(const struct k8s_answer *a);

#endif
