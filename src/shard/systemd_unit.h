/* One shard as a unit: what it is called, what it was last seen to be, its files, its health. Used by systemd.c alone.
 */
#ifndef KVASS_SHARD_SYSTEMD_UNIT_H
#define KVASS_SHARD_SYSTEMD_UNIT_H

#include "shard/systemd.h"
#include "shard/systemd_bus.h"

/* What all units of a provider share; outlives them. */
struct unit_env {
    struct http_client *http;
    struct systemd_conf conf;      /* strings interned */
    void (*on_change)(void *data); /* health or error of some shard changed */
    void *data;
};

struct unit_shard {
    struct unit_env *env;
    unsigned group, port;
    const char *id, *dir, *url, *name; /* interned */
    enum systemd_unit_state state;
    bool failed, not_found;
    bool adopted;          /* what it has read has been compared, or it was started by us */
    bool outdated;         /* runs with an older environment */
    bool asked;            /* a start was asked for and has not shown in a listing */
    bool ending;           /* we asked it to end, or to end and start again */
    int restarts;          /* by the unit's own Restart=, in the manager's count; -1 = not known */
    bool ready, was_ready; /* answers /-/ready; did so since it was started */
    int failures;          /* of that, in a row */
    int pid;               /* 0 = not known */
    int64_t next_call_ms, next_poll_ms;
    struct http_call *call;
    char error[256];
};

struct unit_shard *unit_shard_new(struct unit_env *env, unsigned group);
void unit_shard_free(struct unit_shard **s);

void unit_shard_set_error(struct unit_shard *s, const char *text);
void unit_shard_take_state(struct unit_shard *s,
                           const struct systemd_unit *seen); /* NULL: the manager does not know it */

/* Its main process and how often the manager has restarted it: ends that nobody asked for are counted. */
void unit_shard_take_service(struct unit_shard *s, int pid, unsigned restarts);

/* Folder, configuration and environment. ERR_AGAIN: not yet possible. Marks a running unit outdated when what it has
 * read has changed. */
int unit_shard_prepare(struct unit_shard *s, struct errctx *err) MUST_CHECK;

/* Asks a Prometheus that runs for this shard outside the unit, left by --shard.type=process, to end. True while there
 * is one. Only for an inactive unit. */
bool unit_shard_end_stray(struct unit_shard *s, struct loop *loop);

void unit_shard_poll(struct unit_shard *s, int64_t now_ms); /* asks for readiness when it is time */
uint64_t unit_shard_memory_bytes(struct unit_shard *s);     /* anonymous memory; 0 = not known */
void unit_shard_describe(const struct unit_shard *s, struct provider_shard *ret);

/* MemAvailable of this machine; 0 = not known. */
uint64_t unit_memory_available_bytes(void);

#endif
