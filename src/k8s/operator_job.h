/* Objects of the Prometheus Operator as scrape jobs: ServiceMonitor, PodMonitor and Probe (monitoring.coreos.com/v1),
 * ScrapeConfig (v1alpha1). Pure: the object's spec and the Secrets it names go in, the text of a file with
 * scrape_configs comes out (JSON, which is YAML). Names, rules and their order are those of the Prometheus Operator.
 *
 * Selection by a Prometheus object (its selectors, enforced limits, scrape classes) has no counterpart here. */
#ifndef KVASS_K8S_OPERATOR_JOB_H
#define KVASS_K8S_OPERATOR_JOB_H

#include "base/bytes.h"
#include "base/prometheus_version.h"

#include <jansson.h>

enum operator_resource {
    OPERATOR_SERVICE_MONITORS,
    OPERATOR_POD_MONITORS,
    OPERATOR_PROBES,
    OPERATOR_SCRAPE_CONFIGS,
    OPERATOR_RESOURCE_COUNT
};

#define OPERATOR_JOB_BYTES_MAX ((size_t)1 << 20) /* of what one object makes */
#define OPERATOR_ENDPOINTS_MAX 500               /* of one monitor */
#define OPERATOR_WARNING_MAX   256

/* A key of a Secret or ConfigMap in the object's own namespace. */
struct operator_ref {
    bool is_config_map;
    const char *namespace, *name, *key;
};

struct operator_job_conf {
    enum prometheus_major
        major;              /* of the servers that get the job: keys they do not know are left out, with a warning */
    const char *kubeconfig; /* kubernetes_sd_configs without a server of their own use this file; "" = in the cluster */
    bool no_files;          /* refuse what names files of kvass' machine: bearerTokenFile, caFile, fileSDConfigs */
    /* The value, valid until the job is written. ERR_NOT_FOUND: no such object or key. ERR_AGAIN: not known yet; the
     * job is gone through to the end, so that everything it needs is asked for, and ERR_AGAIN is what comes of it.
     * NULL: references are refused. */
    int (*read)(void *data, const struct operator_ref *ref, struct view *ret, struct errctx *err);
    void *data;
};

struct operator_object {
    enum operator_resource resource;
    const char *namespace, *name;
    const json_t *spec;
};

/* Appends the text. warning: what was left out or has no meaning here, "" when there is nothing to say. ERR_INVALID
 * with the field ("spec.endpoints[1].basicAuth.password: ..."), ERR_NOT_FOUND for a Secret, ERR_LIMIT, ERR_AGAIN. */
int operator_job_write(const struct operator_object *o, const struct operator_job_conf *conf, struct bytes *out,
                       char warning[OPERATOR_WARNING_MAX], struct errctx *err) MUST_CHECK;

/* "servicemonitors", "ServiceMonitor", "monitoring.coreos.com/v1" */
const char *operator_resource_plural(enum operator_resource r);
const char *operator_resource_kind(enum operator_resource r);
const char *operator_resource_version(enum operator_resource r); /* "v1" */

#endif
