/* Lanes for calls to remote shards: see remote_lanes.h. Two queues in order of asking; a suspect takes a lane only
 * while fewer than its share are taken by suspects. It must never run a callback while a queue is being changed. */
#include "shard/remote_lanes.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>

#define CALLS_DEFAULT 64u

struct queue {
    struct remote_ticket *first, **last;
};

struct remote_lanes {
    unsigned calls_max, suspects_max;
    unsigned running, suspects_running;
    struct queue healthy, suspects;
};

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_add(struct queue *q, struct remote_ticket *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
}

static void queue_remove(struct queue *q, struct remote_ticket *t)
{
    struct remote_ticket **at = &q->first;
    while (*at != t) {
        invariant(*at != NULL);
        at = &(*at)->next;
    }
    *at = t->next;
    if (q->last == &t->next) {
        q->last = at;
    }
}

struct remote_lanes *remote_lanes_new(unsigned calls_max)
{
    struct remote_lanes *l = mem_calloc(1, sizeof(*l));
    l->calls_max = calls_max != 0 ? calls_max : CALLS_DEFAULT;
    l->suspects_max = l->calls_max >= 4 ? l->calls_max / 4 : 1;
    queue_init(&l->healthy);
    queue_init(&l->suspects);
    return l;
}

void remote_lanes_free(struct remote_lanes **handle)
{
    struct remote_lanes *l = *handle;
    if (l != NULL) {
        invariant(l->running == 0 && l->healthy.first == NULL && l->suspects.first == NULL);
        free(l);
    }
    *handle = NULL;
}

static struct remote_ticket *next_ticket(struct remote_lanes *l)
{
    if (l->running >= l->calls_max) {
        return NULL;
    }
    if (l->healthy.first != NULL) {
        return l->healthy.first;
    }
    return l->suspects_running < l->suspects_max ? l->suspects.first : NULL;
}

static void grant_next(struct remote_lanes *l)
{
    struct remote_ticket *t;
    while ((t = next_ticket(l)) != NULL) {
        queue_remove(t->is_suspect ? &l->suspects : &l->healthy, t);
        t->is_waiting = false;
        t->is_holding = true;
        l->running++;
        l->suspects_running += t->is_suspect;
        t->granted(t->data);
    }
}

void remote_lanes_ask(struct remote_lanes *l, struct remote_ticket *t, bool is_suspect)
{
    if (t->is_waiting || t->is_holding) {
        return;
    }
    t->is_suspect = is_suspect;
    t->is_waiting = true;
    queue_add(is_suspect ? &l->suspects : &l->healthy, t);
    grant_next(l);
}

void remote_lanes_leave(struct remote_lanes *l, struct remote_ticket *t)
{
    if (t->is_waiting) {
        queue_remove(t->is_suspect ? &l->suspects : &l->healthy, t);
    } else if (t->is_holding) {
        l->running--;
        l->suspects_running -= t->is_suspect;
    }
    t->is_waiting = t->is_holding = false;
    grant_next(l);
}

unsigned remote_lanes_running(const struct remote_lanes *l)
{
    return l->running;
}
