/* What a coordinator with a store keeps: its epoch. Assignments are the shards' to remember. */
#include "api/coordinator_impl.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "shard/state.h"

int coordinator_load_epoch(struct coordinator *c, struct errctx *err)
{
    struct state *st = NULL;
    if (c->o->store_path[0] == '\0') {
        return 0;
    }
    c->epoch_path = mem_printf("%s/coordinator", c->o->store_path);
    int rc = state_read(c->epoch_path, &st, err);
    if (rc == 0) {
        c->stored_epoch = st->epoch;
        if (st->fallback != NULL) {
            log_error(c->d.log, "load epoch", "err", st->fallback, "action", "take the one before, or from the shards");
        }
        state_free(&st);
    } else if (rc == ERR_IO) {
        return rc;
    } else if (rc != ERR_NOT_FOUND) {
        log_error(c->d.log, "load epoch", "err", err->msg, "action", "take it from the shards");
    }
    errctx_clear(err);
    return 0;
}

void coordinator_save_epoch(void *data, uint64_t epoch)
{
    struct coordinator *c = data;
    struct errctx err = ERRCTX_INIT;
    if (c->epoch_path == NULL) {
        return;
    }
    struct state *st = state_new();
    st->saved_ms = timebase_realtime_ms();
    st->epoch = epoch;
    if (state_save(c->epoch_path, st, &err) != 0) {
        metric_add(METRIC_SHARD_STATE_SAVE_FAILURES, 1);
        log_error(c->d.log, "save epoch", "err", err.msg, "action", "go on: the shards remember it, too");
    }
    state_free(&st);
}
