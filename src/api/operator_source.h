/* Operator resources as a part of a daemon's configuration: options in, jobs beside those of the file. Control loop
 * only. Everything here takes a NULL operator and is then what it would be without. */
#ifndef KVASS_API_OPERATOR_SOURCE_H
#define KVASS_API_OPERATOR_SOURCE_H

#include "base/options.h"
#include "discovery/discovery.h"
#include "k8s/operator.h"

struct operator_hooks {
    void (*on_change)(void *data); /* as operator_conf */
    bool (*may_tell)(void *data);
    bool (*may_act)(void *data);
    void *data;
};

/* *ret is NULL when operator.resources is empty. ERR_INVALID for the options, and what k8s_client_default says. */
int operator_source_open(const struct options *o, struct loop *loop, struct http_client *http,
                         const struct operator_hooks *hooks, struct operator_watch **ret,
                         struct errctx *err) MUST_CHECK;

/* Runs the loop until the resources have come, or for timeout_ms. For a start: the loop is not running yet. */
void operator_source_wait(struct operator_watch *op, struct loop *loop, int64_t timeout_ms);

/* promconf_load with the resources' jobs; opts gets them. One that is refused costs its object. */
int operator_source_load(struct operator_watch *op, const char *path, struct promconf_options *opts,
                         struct promconf **ret, struct errctx *err) MUST_CHECK;

/* discovery_apply; when it fails for a resource's job, *conf is loaded again without that one. */
int operator_source_apply(struct operator_watch *op, struct discovery *d, const char *path,
                          struct promconf_options *opts, struct promconf **conf, struct errctx *err) MUST_CHECK;

#endif
