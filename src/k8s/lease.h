/* Leader election by a Lease of coordination.k8s.io/v1, the algorithm of client-go: one holder acts, the others wait
 * until its record has not changed for its duration, by their own monotonic clock (remote times are never compared with
 * ours). The count of transitions is the fencing epoch that shards check. Control loop only. */
#ifndef KVASS_K8S_LEASE_H
#define KVASS_K8S_LEASE_H

#include "base/loop.h"
#include "k8s/client.h"

struct lease;

struct lease_conf {
    const char *namespace, *name; /* of the Lease object */
    const char *identity;         /* unique per process life; at most LEASE_IDENTITY_MAX bytes */
    int64_t duration_ms;          /* 0 = 15 s: others wait that long; whole seconds */
    int64_t renew_deadline_ms;    /* 0 = 10 s: without a renewal for that long we stop acting; less than duration_ms */
    int64_t retry_ms;             /* 0 = 2 s: between tries */
    bool elected_only;            /* without a right to the Lease: wait for it, never act */
};
#define LEASE_IDENTITY_MAX 250

struct lease_listener {
    /* We are the holder; epoch grows with every change of holder, and is at least 1; 0 without an election. */
    void (*on_held)(void *data, uint64_t epoch);
    /* We are no more; nothing may be done from now on. why: for the log. */
    void (*on_lost)(void *data, const char *why);
    void *data;
};

/* conf and listener are copied. The first try is made from the loop at once. */
struct lease *lease_new(struct loop *loop, struct k8s_client *client, const struct lease_conf *conf,
                        const struct lease_listener *listener);

/* True while acting is safe: held, and renewed within the deadline. Ask before every action that leaves the process. */
bool lease_is_held(const struct lease *l);

/* Held without a Lease: the API server has refused us every right to it from the start and for ten seconds, as the
 * roles of Kvass 0.3 do. Whoever runs two such processes has no election; the epochs that shards have seen still fence
 * the older one. The epoch is then 0. Once the right is there after all, this ends (on_lost) and the election begins.
 */
bool lease_is_unelected(const struct lease *l);

uint64_t lease_epoch(const struct lease *l);     /* 0 while not held */
const char *lease_holder(const struct lease *l); /* who holds it as far as known, "" when nobody */

/* Gives the lease back, so that another can take it at once; on_done runs from the loop, also when the server does not
 * answer. The guarded work must have ended. Nothing is tried afterwards. */
void lease_release(struct lease *l, void (*on_done)(void *data), void *data);

void lease_free(struct lease **l); /* without giving it back */

#endif
