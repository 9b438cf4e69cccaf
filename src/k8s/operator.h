/* ServiceMonitors, PodMonitors, Probes and ScrapeConfigs of a cluster as a source of scrape jobs: watched, translated
 * (operator_job.h), handed to whoever loads the configuration. Control loop only.
 *
 * What is bad costs only itself: the object's jobs are left out, and a line in the log and a Warning Event on the
 * object say why. An outage of the API server keeps the last good set; a definition that is not installed is an empty
 * list, looked for again every five minutes. */
#ifndef KVASS_K8S_OPERATOR_H
#define KVASS_K8S_OPERATOR_H

#include "base/loop.h"
#include "configgen/promconf.h"
#include "k8s/client.h"
#include "k8s/operator_job.h"

#define OPERATOR_OBJECTS_MAX    10000              /* of one kind; more are left out, and the log says so */
#define OPERATOR_BYTES_MAX      ((size_t)32 << 20) /* of all jobs */
#define OPERATOR_NAMESPACES_MAX 100
#define OPERATOR_SETTLE_MS      500  /* a change waits for its neighbours */
#define OPERATOR_CHANGE_MS      5000 /* between two on_change, or more where they take long */

struct operator_conf {
    unsigned resources;   /* bits by enum operator_resource */
    const char *selector; /* of labels; "" = all */
    const char *const *namespaces;
    size_t namespace_count;  /* 0 = all */
    bool secrets, files;     /* whether objects may name Secrets and ConfigMaps, files of this machine */
    const char *kubeconfig;  /* as operator_job_conf */
    const char *instance;    /* who posts Events */
    int64_t init_timeout_ms; /* how long the first set is waited for, until what has come will do */
    /* The set of jobs is another one, or is complete for the first time: load the configuration. */
    void (*on_change)(void *data);
    /* Whether what is known will do to say something of objects: not while, for example, the servers' version is being
     * found out. NULL = always. */
    bool (*may_tell)(void *data);
    bool (*may_act)(void *data); /* whether Events are ours to post; NULL = always */
    void *data;
};

struct operator_watch;

struct operator_watch *operator_new(struct loop *loop, struct k8s_client *client, const struct operator_conf *conf);
void operator_free(struct operator_watch **op);

/* Everything there is has come once, or the server said why not (a definition that is not there, no right to list it).
 */
bool operator_is_ready(struct operator_watch *op);

/* True when a ready set was taken, or that is hopeless: it was not within init_timeout_ms of the start or, with
 * needs_server, of the server's first answer. */
bool operator_is_settled(struct operator_watch *op, int64_t now_ms, bool needs_server);

/* The jobs, an extra an object; borrowed until the loop goes on. again: without those that were refused since the call
 * before. */
size_t operator_jobs(struct operator_watch *op, enum prometheus_major major, bool again,
                     const struct promconf_extra **ret);

/* The configuration that was loaded with them does not take this one, and why. */
void operator_refuse(struct operator_watch *op, const char *extra_name, const struct errctx *err);

/* A configuration with them is running: news of objects are told. */
void operator_taken(struct operator_watch *op);

#endif
