/* The lock of a coordinator in Kubernetes: a Lease that one of several holds. */
#ifndef KVASS_BALANCER_LOCK_LEASE_H
#define KVASS_BALANCER_LOCK_LEASE_H

#include "balancer/lock.h"
#include "k8s/lease.h"

/* conf is copied; the client outlives the lock. */
struct lock *lock_lease_new(struct loop *loop, struct k8s_client *client, const struct lease_conf *conf);

#endif
