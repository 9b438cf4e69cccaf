/* Inside of the client: what calls, lists and watches share. */
#ifndef KVASS_K8S_CLIENT_PRIV_H
#define KVASS_K8S_CLIENT_PRIV_H

#include "k8s/answer.h"
#include "k8s/object.h"

struct k8s_client {
    unsigned refs;
    struct loop *loop;
    struct http_client *http;
    struct http_profile *profile;
    char *url;                 /* without '/' at the end */
    char *namespace;           /* never NULL */
    struct k8s_texts *texts;   /* of all its watches' objects */
    struct k8s_watch *watches; /* list; watch.c */
    bool no_streamed_lists;    /* the server has refused one */
};

struct k8s_client *k8s_client_new(struct loop *loop, struct http_client *http, const char *url,
                                  const struct http_client_conf *conf, const char *namespace);

/* The URL of a collection or an object, without query; the caller frees it. */
char *k8s_url(const struct k8s_client *c, const struct k8s_resource *r, const char *namespace, const char *name,
              const char *subresource);

/* Adds "name=value", percent-encoded, behind '?' or '&'; nothing when value is NULL or "". */
void k8s_query_add(struct bytes *url, const char *name, const char *value);

/* "pods", "statefulsets.apps/scale mon/prom", ...; the caller frees it. */
char *k8s_what(const char *verb, const struct k8s_resource *r, const char *namespace, const char *name,
               const char *subresource);

void k8s_count_request(const char *verb, const struct k8s_answer *answer);

#endif
