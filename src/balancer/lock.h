/* Who may act: the seam between the round and what makes this balancer the only one (a Kubernetes Lease; nothing on a
 * VM, where there is one coordinator). A lock competes, gains and loses; it decides nothing else. Control loop only. */
#ifndef KVASS_BALANCER_LOCK_H
#define KVASS_BALANCER_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct lock;

struct lock_ops {
    /* Begins to compete. on_acquire and on_lose run from the loop or, for a lock that is there at once, from here. */
    void (*start)(struct lock *l);
    /* Certainly held at this moment: a lock that could not be renewed in time is not. Asked before every round. */
    bool (*is_held)(const struct lock *l);
    /* The fencing number of this holding, larger than that of every holding before; 0 = the lock has none of its own.
     * The balancer takes a larger one when shards have seen more (a Lease that was deleted counts from 0 again). */
    uint64_t (*epoch)(const struct lock *l);
    /* Who holds it, for people; "" when nobody is known to. Valid until the next call. */
    const char *(*holder)(const struct lock *l);
    /* A shard has seen a larger epoch: lets go, competes again later if it can tell who is right. */
    void (*step_down)(struct lock *l, const char *reason);
    /* Orderly end: gives it back so that the next one need not wait; on_released runs on the loop, within seconds. */
    void (*release)(struct lock *l, void (*on_released)(void *data), void *data);
    void (*free)(struct lock *l);
};

struct lock {
    const struct lock_ops *ops;
    void (*on_acquire)(void *data, uint64_t epoch); /* set before start */
    void (*on_lose)(void *data, const char *reason);
    void *data;
};

/* Held from start on, without a number of its own; after step_down never again. */
struct lock *lock_always_new(void);

#endif
