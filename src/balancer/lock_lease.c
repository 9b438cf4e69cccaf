/* A Lease as the lock that gates acting: see lock.h and k8s/lease.h. Letting go because a shard has seen a larger epoch
 * gives the Lease back and competes anew: whoever is newer has it, or we take it again with a number that the balancer
 * raises above what was seen. */
#include "balancer/lock_lease.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

struct lock_lease {
    struct lock base; /* first: the handle is cast */
    struct loop *loop;
    struct k8s_client *client;
    char *namespace, *name, *identity;
    struct lease_conf conf; /* its strings are those above */
    struct lease *lease;    /* NULL before start */
    struct loop_timer *restart_timer;
    void (*on_released)(void *data);
    void *released_data;
};

static struct lock_lease *of(struct lock *l)
{
    return (struct lock_lease *)l;
}

static void on_held(void *data, uint64_t epoch)
{
    struct lock_lease *l = data;
    if (l->base.on_acquire != NULL) {
        l->base.on_acquire(l->base.data, epoch);
    }
}

static void on_lost(void *data, const char *why)
{
    struct lock_lease *l = data;
    if (l->base.on_lose != NULL) {
        l->base.on_lose(l->base.data, why);
    }
}

static void lease_start(struct lock *lock)
{
    struct lock_lease *l = of(lock);
    const struct lease_listener listener = {on_held, on_lost, l};
    l->lease = lease_new(l->loop, l->client, &l->conf, &listener);
}

static bool lock_is_held(const struct lock *lock)
{
    const struct lock_lease *l = (const struct lock_lease *)lock;
    return l->lease != NULL && lease_is_held(l->lease);
}

static uint64_t lock_epoch(const struct lock *lock)
{
    const struct lock_lease *l = (const struct lock_lease *)lock;
    return l->lease != NULL ? lease_epoch(l->lease) : 0;
}

static const char *lock_holder(const struct lock *lock)
{
    const struct lock_lease *l = (const struct lock_lease *)lock;
    return l->lease != NULL ? lease_holder(l->lease) : "";
}

static void start_again(void *data)
{
    struct lock_lease *l = data;
    lease_free(&l->lease);
    lease_start(&l->base);
}

static void on_given_up(void *data)
{
    struct lock_lease *l = data;
    loop_timer_start(l->restart_timer, l->conf.duration_ms != 0 ? l->conf.duration_ms : 15000, 0);
}

static void lock_step_down(struct lock *lock, const char *reason)
{
    struct lock_lease *l = of(lock);
    if (!lock_is_held(lock)) {
        return;
    }
    if (lease_is_unelected(l->lease)) {
        /* Two without an election would fence each other in turn: the newer one stays, until there is an election. */
        lease_free(&l->lease);
        l->conf.elected_only = true;
        on_given_up(l);
    } else {
        lease_release(l->lease, on_given_up, l);
    }
    on_lost(l, reason);
}

static void on_lease_released(void *data)
{
    struct lock_lease *l = data;
    l->on_released(l->released_data);
}

static void lock_release(struct lock *lock, void (*on_released)(void *data), void *data)
{
    struct lock_lease *l = of(lock);
    loop_timer_stop(l->restart_timer);
    if (l->lease == NULL) {
        on_released(data);
        return;
    }
    l->on_released = on_released;
    l->released_data = data;
    lease_release(l->lease, on_lease_released, l);
}

static void lock_free(struct lock *lock)
{
    struct lock_lease *l = of(lock);
    lease_free(&l->lease);
    loop_timer_free(&l->restart_timer);
    k8s_client_unref(l->client);
    free(l->namespace);
    free(l->name);
    free(l->identity);
    free(l);
}

struct lock *lock_lease_new(struct loop *loop, struct k8s_client *client, const struct lease_conf *conf)
{
    static const struct lock_ops OPS = {lease_start,    lock_is_held, lock_epoch, lock_holder,
                                        lock_step_down, lock_release, lock_free};
    struct lock_lease *l = mem_calloc(1, sizeof(*l));
    l->base.ops = &OPS;
    l->loop = loop;
    l->client = k8s_client_ref(client);
    l->conf = *conf;
    l->conf.namespace = l->namespace = mem_strdup(conf->namespace);
    l->conf.name = l->name = mem_strdup(conf->name);
    l->conf.identity = l->identity = mem_strdup(conf->identity);
    l->restart_timer = loop_timer_new(loop, start_again, l);
    return &l->base;
}
