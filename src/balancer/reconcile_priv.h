/* Inside of the round, shared by reconcile.c (the round), reconcile_apply.c (what a plan changes) and
 * reconcile_acting.c (whether it may). */
#ifndef KVASS_BALANCER_RECONCILE_PRIV_H
#define KVASS_BALANCER_RECONCILE_PRIV_H

#include "balancer/groups.h"
#include "balancer/reconcile.h"
#include "base/log.h"

extern const struct logctx RECONCILE_LOG;

struct reconcile {
    struct reconcile_conf conf;
    struct reconcile_env env;
    struct registry registry;
    struct groups groups;
    struct explore *explore;
    struct promconf *promconf;
    uint64_t config_generation;
    struct loop_timer *round_timer, *probe_timer;
    VEC(struct reconcile_move) moves; /* oldest first */
    uint64_t ledger[LEDGER_STATE_COUNT];
    unsigned wanted;
    char *wanted_reason;
    uint64_t rounds;
    int64_t last_round_ms;      /* what the last one took */
    bool started, kicked;       /* kicked: a round is due within KICK_MS */
    bool acting, fenced;        /* fenced: somebody with a larger epoch acts, for good unless the lock is gained anew */
    uint64_t epoch, epoch_seen; /* ours; the largest any shard has told */
    char blocked[320];          /* why it does not act; "" = it does */
};

/* reconcile_apply.c */
/* base: of the replica's group ids. is_first: of the replicas of this round; what a later one says counts when it is
 * worse. */
void reconcile_apply_actions(struct reconcile *r, const struct plan *p, uint32_t base, int64_t now_ms);
void reconcile_take_verdicts(size_t count, const struct plan *p, struct registry_entry **entries, bool is_first);
void reconcile_take_loads(struct reconcile *r, const struct plan *p, size_t count, uint32_t base, int64_t now_ms);
void reconcile_take_wanted(struct reconcile *r, const struct plan *p, bool is_first);
void reconcile_apply_scale(struct reconcile *r); /* tells the provider what was taken */
void reconcile_count_ledger(struct reconcile *r);
void reconcile_leave_all(struct reconcile *r, struct registry_entry *e, int64_t now_ms);
void reconcile_moves_done(struct reconcile *r);

/* reconcile_split.c */
bool reconcile_split(struct reconcile *r, int64_t now_ms); /* before a plan; true when entries came or went */
void reconcile_split_states(struct reconcile *r);          /* after it, before the ledger is counted */
void reconcile_attach_parts(struct reconcile *r, int64_t now_ms);
void reconcile_drop_parts(struct reconcile *r, struct registry_entry *e, int64_t now_ms); /* its whole is forgotten */

/* reconcile_acting.c */
bool reconcile_is_discovered(const struct reconcile *r);
/* The facts a decision needs are there: everything discovered once, every listed shard read, or silent for longer than
 * the grace. */
bool reconcile_is_complete(struct reconcile *r, int64_t now_ms);
bool reconcile_may_act(struct reconcile *r, int64_t now_ms); /* begins or ends acting as the facts say */
void reconcile_acting_init(struct reconcile *r);

#endif
