/* Whether this balancer may act: it holds the lock, everything was discovered once and, where the shards remember who
 * scrapes what, every shard has told what it holds (or was silent for longer than the grace). Acting begins with taking
 * over what they hold and with a new epoch, larger than any that was seen; it ends when the lock is lost or a shard
 * knows of a larger one. While it does not act it looks, and says why it waits. */
#include "balancer/rebuild.h"
#include "balancer/reconcile_priv.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>

bool reconcile_is_discovered(const struct reconcile *r)
{
    return r->promconf != NULL && r->env.is_discovered(r->env.data);
}

static bool is_heard_of(const struct reconcile *r, const struct reconcile_group *g, const struct reconcile_shard *rep,
                        int64_t now_ms)
{
    bool given_up = g->listed_ms != 0 && now_ms - g->listed_ms > r->conf.limits.failover_grace_ms;
    return rebuild_is_read(rep) || given_up;
}

bool reconcile_is_complete(struct reconcile *r, int64_t now_ms)
{
    if (!r->env.provider->ops->is_known(r->env.provider) || !r->env.is_discovered(r->env.data)) {
        return false;
    }
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            if (!is_heard_of(r, g, rep, now_ms)) {
                return false;
            }
        }
    }
    return true;
}

/* ---------------------------------------------------------------- why not */

static void wait_for(struct reconcile *r, const char *why)
{
    if (strcmp(r->blocked, why) != 0) {
        log_info(&RECONCILE_LOG, "wait", "reason", why);
        snprintf(r->blocked, sizeof(r->blocked), "%s", why);
    }
}

static void wait_for_shards(struct reconcile *r, int64_t now_ms)
{
    const char *first = NULL;
    unsigned silent = 0, all = 0;
    char why[256];
    vec_foreach(g, &r->groups.items) {
        g->listed_ms = g->listed_ms != 0 ? g->listed_ms : now_ms;
        vec_foreach(rep, &g->replicas) {
            bool heard = is_heard_of(r, g, rep, now_ms);
            all++;
            silent += !heard;
            first = !heard && first == NULL ? rep->shard->id : first;
        }
    }
    snprintf(why, sizeof(why),
             "%u of %u shards have not told yet what they hold (%.100s); nothing is moved before, or before the "
             "fail-over grace is over",
             silent, all, first != NULL ? first : "the list itself is not known");
    wait_for(r, why);
}

static bool holds_lock(struct reconcile *r)
{
    char why[256];
    struct lock *l = r->env.lock;
    if (l == NULL || l->ops->is_held(l)) {
        return true;
    }
    const char *holder = l->ops->holder(l);
    snprintf(why, sizeof(why), "standing by: %.150s acts", holder[0] != '\0' ? holder : "nobody known");
    wait_for(r, why);
    return false;
}

/* ---------------------------------------------------------------- beginning and ending */

static uint64_t epoch_seen(struct reconcile *r)
{
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            uint64_t epoch = rep->shard->ops->info(rep->shard)->epoch;
            r->epoch_seen = epoch > r->epoch_seen ? epoch : r->epoch_seen;
        }
    }
    return r->epoch_seen;
}

static void take_epoch(struct reconcile *r)
{
    uint64_t seen = epoch_seen(r), of_lock = r->env.lock != NULL ? r->env.lock->ops->epoch(r->env.lock) : 0;
    seen = r->conf.epoch > seen ? r->conf.epoch : seen;
    seen = r->epoch > seen ? r->epoch : seen;
    seen += seen < UINT64_MAX; /* never round to 0, which fences nobody */
    r->epoch = of_lock > seen ? of_lock : seen;
    if (r->env.on_epoch != NULL && !r->conf.dry_run) {
        r->env.on_epoch(r->env.data, r->epoch);
    }
}

static void begin_acting(struct reconcile *r, int64_t now_ms)
{
    size_t owned = 0;
    rebuild_owners(&r->registry, &r->groups, false, now_ms);
    vec_foreach(e, &r->registry.entries) {
        if ((*e)->owners.len > 0) {
            owned++;
            explore_remove(r->explore, (*e)->target->job, (*e)->target->hash);
        }
    }
    take_epoch(r);
    r->acting = true;
    r->blocked[0] = '\0';
    log_info(&RECONCILE_LOG, "act", "epoch", log_num((int64_t)r->epoch), "targets_found", log_num((int64_t)owned),
             "shards", log_num((int64_t)r->groups.items.len));
}

static void end_acting(struct reconcile *r)
{
    if (!r->conf.shards_own) {
        return;
    }
    r->acting = false;
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            rep->is_unread = true;
            if (rep->shard->ops->drop_wish != NULL) {
                rep->shard->ops->drop_wish(rep->shard);
            }
        }
    }
}

/* Shards that were silent when acting began: what they hold is taken over when they come back. */
static void adopt_late(struct reconcile *r, int64_t now_ms)
{
    vec_foreach(g, &r->groups.items) {
        vec_foreach(rep, &g->replicas) {
            if (rep->is_unread && rebuild_is_read(rep)) {
                size_t count = rebuild_adopt(&r->registry, g, rep, now_ms);
                log_info(&RECONCILE_LOG, "shard read", "shard", rep->shard->id, "targets", log_num((int64_t)count));
            }
        }
    }
}

static void wait_for_discovery(struct reconcile *r)
{
    char what[180] = "", why[256];
    if (r->env.awaits != NULL) {
        r->env.awaits(r->env.data, what, sizeof(what));
    }
    snprintf(why, sizeof(why), "the first discovery of every job is not done yet%s%s", what[0] != '\0' ? ": " : "",
             what);
    wait_for(r, why);
}

static bool may_act(struct reconcile *r, int64_t now_ms)
{
    if (r->fenced) {
        return false;
    }
    if (!holds_lock(r)) {
        if (r->acting) {
            end_acting(r);
        }
        return false;
    }
    if (!reconcile_is_discovered(r)) {
        if (!r->acting || !r->conf.shards_own) {
            wait_for_discovery(r);
        }
        return false;
    }
    if (!r->conf.shards_own) {
        r->blocked[0] = '\0';
        return true;
    }
    if (!r->acting) {
        if (!reconcile_is_complete(r, now_ms)) {
            wait_for_shards(r, now_ms);
            return false;
        }
        begin_acting(r, now_ms);
    }
    adopt_late(r, now_ms);
    return true;
}

bool reconcile_may_act(struct reconcile *r, int64_t now_ms)
{
    bool may = may_act(r, now_ms);
    metric_set(METRIC_BALANCER_ACTING, may);
    return may;
}

void reconcile_fence(struct reconcile *r, const char *shard_id, const char *why)
{
    if (r->fenced || !r->conf.shards_own) {
        return;
    }
    r->fenced = true;
    snprintf(r->blocked, sizeof(r->blocked),
             "another coordinator is newer, this one (epoch %llu) has stopped acting: shard %.64s: %.100s",
             (unsigned long long)r->epoch, shard_id, why);
    log_error(&RECONCILE_LOG, "fenced", "shard", shard_id, "err", why, "epoch", log_num((int64_t)r->epoch), "action",
              "stop acting: another coordinator is newer; restart this one if it is to take over");
    end_acting(r);
    if (r->env.lock != NULL) {
        r->env.lock->ops->step_down(r->env.lock, r->blocked);
    }
}

/* ---------------------------------------------------------------- the lock's callbacks */

static void on_acquire(void *data, uint64_t epoch)
{
    struct reconcile *r = data;
    log_info(&RECONCILE_LOG, "lock gained", "epoch", log_num((int64_t)epoch));
    r->fenced = false;
    reconcile_kick(r);
}

static void on_lose(void *data, const char *reason)
{
    struct reconcile *r = data;
    log_warn(&RECONCILE_LOG, "lock lost", "err", reason, "action", "stop acting");
    if (r->acting) {
        end_acting(r);
    }
}

void reconcile_acting_init(struct reconcile *r)
{
    r->acting = !r->conf.shards_own;
    if (r->env.lock != NULL) {
        r->env.lock->on_acquire = on_acquire;
        r->env.lock->on_lose = on_lose;
        r->env.lock->data = r;
    }
}

const char *reconcile_blocked(const struct reconcile *r)
{
    return r->blocked;
}

bool reconcile_has_begun(const struct reconcile *r)
{
    return r->acting;
}

enum reconcile_role reconcile_role(const struct reconcile *r)
{
    if (r->fenced) {
        return RECONCILE_FENCED;
    }
    if (r->env.lock != NULL && !r->env.lock->ops->is_held(r->env.lock)) {
        return RECONCILE_STANDBY;
    }
    return r->blocked[0] != '\0' ? RECONCILE_WAITING : RECONCILE_ACTING;
}

uint64_t reconcile_epoch(const struct reconcile *r)
{
    return r->epoch;
}
