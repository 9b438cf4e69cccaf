/* The provider of Kubernetes: each StatefulSet that the selector finds is a replica, its pods by owner and ordinal are
 * the shards. What exists comes from watches; the number is set through the scale subresource, only against the version
 * that was seen, only while conf.may_act says so. */
#ifndef KVASS_K8S_STATEFULSET_H
#define KVASS_K8S_STATEFULSET_H

#include "base/loop.h"
#include "k8s/client.h"
#include "k8s/replica.h"

struct statefulset_conf {
    const char *namespace; /* of the StatefulSets */
    const char *selector;  /* labelSelector of the StatefulSets */
    struct replica_conf shard;
    bool delete_claims;   /* of removed ordinals, after their pods have gone (off unless asked for: guarantee 10) */
    const char *instance; /* who reports Events: the pod's name */
    /* Asked before every write. */
    bool (*may_act)(void *data);
    void *data;
};

/* Begins to watch at once. conf is copied, its strings too; the client is referenced. */
struct provider *statefulset_provider_new(struct loop *loop, struct k8s_client *client,
                                          const struct statefulset_conf *conf);

#endif
