/* The lock of a balancer that nobody competes with: held from its start on. Only a larger epoch at a shard shows that
 * there is somebody else after all; then it is lost for good, because two that fence each other in turn would be worse
 * than one that waits for its operator. */
#include "balancer/lock.h"
#include "base/mem.h"

#include <stdlib.h>

struct lock_always {
    struct lock base; /* first: the handle is cast */
    bool held;
};

static void always_start(struct lock *l)
{
    struct lock_always *a = (struct lock_always *)l;
    a->held = true;
    if (l->on_acquire != NULL) {
        l->on_acquire(l->data, 0);
    }
}

static bool always_is_held(const struct lock *l)
{
    return ((const struct lock_always *)l)->held;
}

static uint64_t always_epoch(const struct lock *l)
{
    (void)l;
    return 0;
}

static const char *always_holder(const struct lock *l)
{
    return always_is_held(l) ? "this process" : "";
}

static void always_step_down(struct lock *l, const char *reason)
{
    struct lock_always *a = (struct lock_always *)l;
    bool was_held = a->held;
    a->held = false;
    if (was_held && l->on_lose != NULL) {
        l->on_lose(l->data, reason);
    }
}

static void always_release(struct lock *l, void (*on_released)(void *data), void *data)
{
    ((struct lock_always *)l)->held = false;
    on_released(data);
}

static void always_free(struct lock *l)
{
    free(l);
}

struct lock *lock_always_new(void)
{
    static const struct lock_ops OPS = {
        .start = always_start,
        .is_held = always_is_held,
        .epoch = always_epoch,
        .holder = always_holder,
        .step_down = always_step_down,
        .release = always_release,
        .free = always_free,
    };
    struct lock_always *a = mem_calloc(1, sizeof(*a));
    a->base.ops = &OPS;
    return &a->base;
}
