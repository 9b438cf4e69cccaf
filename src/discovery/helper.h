/* Discovery mechanisms that kvass does not run itself (ec2, gce, azure, openstack, nomad, eureka, ...): a Prometheus of
 * our own, the user's binary, runs them. Each entry is a job of its own that drops everything first thing; what it
 * found is read from its API. The binary decides which mechanisms exist. Control loop only. */
#ifndef KVASS_DISCOVERY_HELPER_H
#define KVASS_DISCOVERY_HELPER_H

#include "discovery/mechanism.h"

struct helper;

#define HELPER_ENTRIES_MAX 10000

/* Starts nothing yet: a process runs only while there are entries. binary: a path or a name looked up in PATH. dir is
 * made, emptied, and removed in the end; NULL takes a folder for temporary files. */
struct helper *helper_new(struct loop *loop, struct http_client *http, const char *binary, const char *dir);

/* Ends the process; the entries must be gone. */
void helper_free(struct helper **h);

/* As mechanism.start, for an entry of any key. The binary is asked whether it takes the entry (a tenth of a second, at
 * most five): ERR_INVALID with its own words when not. */
int helper_start(struct helper *h, const char *key, const struct yaml_node *conf, const struct discovery_sink *sink,
                 struct discoverer **ret, struct errctx *err) MUST_CHECK;

/* .stop is the counterpart of helper_start; there is nothing to start by the table. */
extern const struct mechanism mechanism_helper;

#endif
