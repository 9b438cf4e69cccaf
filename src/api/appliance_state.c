/* State on disk: the registry's wish and sizes, saved before a wish is pushed, restored before the first round. */
#include "api/appliance_impl.h"
#include "base/log.h"
#include "base/metrics.h"
#include "shard/state.h"

static const struct logctx LOG = {NULL, "component", "appliance"};

void appliance_save(void *data)
{
    struct appliance *a = data;
    struct errctx err = ERRCTX_INIT;
    struct state st;
    const struct registry *reg = reconcile_registry(a->reconcile);
    state_init(&st);
    st.generation = a->table_generation;
    vec_foreach(e, &reg->entries)
    {
        state_add_target(&st, (*e)->target, (*e)->size_known, (*e)->series, (*e)->scraped, (*e)->last_move_ms);
        vec_foreach(o, &(*e)->owners)
        {
            state_add_owner(&st, o->group, o->state == OWNER_IN_TRANSFER, o->since_ms);
        }
    }
    if (state_save(a->state_path, &st, a->gid, &err) != 0) {
        metric_add(METRIC_SHARD_STATE_SAVE_FAILURES, 1);
        log_error(&LOG, "save state", "err", err.msg, "action", "go on, try again in a minute");
    }
    state_done(&st);
}

void appliance_restore(struct appliance *a)
{
    struct errctx err = ERRCTX_INIT;
    struct state st;
    state_init(&st);
    int rc = state_load(a->state_path, &st, &err);
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        log_error(&LOG, "load state", "err", err.msg, "action", "begin with an empty assignment");
    }
    vec_foreach(t, &st.targets)
    {
        struct registry_entry *e = reconcile_restore(a->reconcile, t->target);
        e->size_known = t->size_known;
        e->series = t->series;
        e->scraped = t->scraped;
        e->last_move_ms = t->last_move_ms;
        for (size_t i = 0; i < t->owner_count; i++) {
            const struct state_owner *o = &st.owners.items[t->first_owner + i];
            entry_set_owner(e, o->group, o->in_transfer ? OWNER_IN_TRANSFER : OWNER_ASSIGNED, o->since_ms);
        }
    }
    a->table_generation = st.generation;
    if (rc == 0) {
        log_info(&LOG, "load state", "targets", log_num((int64_t)st.targets.len));
    }
    state_done(&st);
}
