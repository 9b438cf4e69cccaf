/* A StatefulSet and its pods as the provider sees them: what the API server's JSON says, and which shards follow from
 * it. Pure. */
#ifndef KVASS_K8S_REPLICA_H
#define KVASS_K8S_REPLICA_H

#include "base/vec.h"
#include "k8s/object.h"
#include "shard/provider.h"

#define REPLICA_NAME_MAX 254
#define REPLICA_WORD_MAX 64

/* One pod of a StatefulSet. */
struct replica_pod {
    char name[REPLICA_NAME_MAX], uid[REPLICA_WORD_MAX], owner_uid[REPLICA_WORD_MAX];
    char ip[REPLICA_WORD_MAX];      /* "" until it has one */
    char trouble[REPLICA_WORD_MAX]; /* why it does not run: "CrashLoopBackOff", "Unschedulable", ...; "" when nothing is
                                       said */
    unsigned ordinal;               /* from the name; meaningless when has_ordinal is false */
    bool has_ordinal, running, terminating;
};

/* One StatefulSet: a replica. */
struct replica {
    const char *name; /* interned */
    char uid[REPLICA_WORD_MAX], resource_version[REPLICA_WORD_MAX];
    char *selector;         /* of its pods, as a labelSelector */
    char *match_labels;     /* the same, of matchLabels alone: what its claims carry */
    unsigned replicas;      /* spec.replicas: how many shards the platform is set to have */
    unsigned first_ordinal; /* spec.ordinals.start */
    bool deletes_claims;    /* persistentVolumeClaimRetentionPolicy.whenScaled is Delete */
    bool terminating;
    VEC(char *) claims; /* names of its volumeClaimTemplates */
};

#define REPLICA_SHARDS_MAX 100000

/* What the two need of an object. */
extern const char REPLICA_SET_SCHEMA[], REPLICA_POD_SCHEMA[];

/* ERR_INVALID when object is no StatefulSet of use: without name, uid, selector, or with more shards than
 * REPLICA_SHARDS_MAX. */
int replica_read(const struct k8s_object *object, struct replica *ret, struct errctx *err) MUST_CHECK;
void replica_done(struct replica *r);

/* set: name of the StatefulSet the pod may belong to, for the ordinal; ownership is owner_uid's business (two sets may
 * share labels). ERR_INVALID without name or uid. */
int replica_pod_read(const struct k8s_object *object, const char *set, struct replica_pod *ret,
                     struct errctx *err) MUST_CHECK;

/* What replica_shards adds to each shard: ports and limits. */
struct replica_conf {
    unsigned api_port, prometheus_port;
    uint64_t capacity_series; /* 0 = the default limit */
};

struct replica_shards {
    VEC(struct provider_shard) items;
};

/* Appends the shards of one replica: exactly the ordinals its spec names, in order, found or not. A shard whose pod is
 * missing, pending or going is UNREACHABLE with the reason: it may still own targets. Without an address api_url is
 * NULL. Strings are interned; addresses too, their number is that of the pod network. */
void replica_shards(const struct replica *r, const struct replica_pod *const *pods, size_t pod_count,
                    const struct replica_conf *conf, struct replica_shards *out);

/* The ordinal in "<set>-<digits>"; false when name has another form or a leading zero. */
bool replica_ordinal(const char *set, const char *name, unsigned *ret);

#endif
