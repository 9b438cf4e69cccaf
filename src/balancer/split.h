/* Splitting a giant: into how many parts a target goes that is too large for any group, and when one generation of
 * entries gives way to the next. A generation is the target itself (1) or k parts of it. Pure: facts in, the next state
 * out; who keeps the entries (the registry, a simulated world) makes and drops them as the state says. */
#ifndef KVASS_BALANCER_SPLIT_H
#define KVASS_BALANCER_SPLIT_H

#include "balancer/plan.h"
#include "balancer/plan_fit.h"
#include "model/part.h"

#define SPLIT_REASON_MAX 224

/* Of one target. Entries exist for exactly the generations `running` and `coming`. */
struct split {
    uint32_t running;              /* the generation that scrapes: 1 = the target itself, else its number of parts */
    uint32_t coming;               /* the one that is to take over; 0 = none */
    bool is_placed;                /* all of the coming one was given to groups */
    int64_t coming_since_ms;       /* begun, or placed */
    int64_t small_since_ms;        /* fewer parts would do; 0 = they would not */
    int64_t retry_ms;              /* after a take-over was given up */
    char reason[SPLIT_REASON_MAX]; /* what it waits for, or why it is not split (further); "" = nothing to say */
};

struct split_facts {
    int64_t now_ms, interval_ms;
    struct need size;    /* of the whole target; without Prometheus' own series */
    struct need largest; /* of the running entries as measured; 0 = not measured */
    bool running_held;   /* some group was given an entry of it */
    bool coming_held;
    bool coming_placed; /* every entry has all the groups it wants */
    bool coming_proven; /* on all of them, by good scrapes */
};

struct split_room {
    const struct need *limits; /* of the groups there are; LIMIT_OFF where there is none */
    size_t count;
    struct need fresh;   /* of a group yet to come */
    uint32_t can_add;    /* how many may come */
    struct need base;    /* of targets that are on every group */
    uint32_t overhead;   /* Prometheus' own series per entry */
    double low, high;    /* marks */
    uint32_t max_parts;  /* 1 = splitting is off */
    int64_t calm_ms;     /* how long fewer parts must do before there are fewer */
    const char *why_not; /* no target may be split (further) now; NULL = it may */
};

/* Begins with the target itself. */
void split_init(struct split *s);

/* One target of that size fits a group below the high mark. */
bool split_fits_whole(const struct split_room *room, const struct need *size);

void split_step(struct split *s, const struct split_facts *f, const struct split_room *room);

/* A generation found on shards. */
struct split_found {
    uint32_t parts; /* 1 = the target itself */
    bool complete;  /* every entry of it */
    int64_t since_ms;
};

/* The state that explains what was found: the complete ones count more, then the oldest runs. */
void split_adopt(struct split *s, const struct split_found *found, size_t count, int64_t now_ms);

/* Orders the states of parts: the worst of them is the state of the target. -1 for states no part is in. */
int split_badness(enum ledger_state s);

static inline bool split_has(const struct split *s, uint32_t generation)
{
    return s->running == generation || s->coming == generation;
}

#endif
