/* One supervised Prometheus: the state machine between "wanted" and "running". Used by process.c alone.
 *
 *      IDLE --wanted--> STARTING --/-/ready--> READY
 *       ^                  |  \_____exit_______/ |
 *       |                  v                     |
 *       +--unwanted--- BACKOFF <------exit-------+         STOPPING: SIGTERM sent, SIGKILL after the grace, then IDLE
 */
#ifndef KVASS_SHARD_PROCESS_SHARD_H
#define KVASS_SHARD_PROCESS_SHARD_H

#include "shard/process.h"
#include "shard/process_child.h"

enum supervised_state {
    SUPERVISED_IDLE,
    SUPERVISED_STARTING,
    SUPERVISED_READY,
    SUPERVISED_BACKOFF,
    SUPERVISED_STOPPING
};

struct supervised;

/* What all shards of a provider share; outlives them. */
struct supervised_env {
    struct loop *loop;
    struct http_client *http;
    struct process_conf conf;      /* defaults filled in, strings owned */
    void (*on_change)(void *data); /* state, URL or error of some shard changed */
    void *data;
};

struct supervised *supervised_new(struct supervised_env *env, unsigned group);
void supervised_free(struct supervised **s); /* a running process goes on running */

/* Takes over a process that runs for this shard, if there is one. */
bool supervised_adopt(struct supervised *s);

void supervised_want(struct supervised *s, bool wanted, int64_t now_ms);

/* Time passes: starts, asks for readiness, kills what does not end. */
void supervised_tick(struct supervised *s, int64_t now_ms);

/* An adopted process that was started with other arguments is to be replaced; the caller does one at a time. */
bool supervised_is_outdated(const struct supervised *s);
void supervised_restart(struct supervised *s, int64_t now_ms);

enum supervised_state supervised_state(const struct supervised *s);
bool supervised_is_wanted(const struct supervised *s);
int supervised_pid(const struct supervised *s); /* 0 = none runs */
void supervised_describe(const struct supervised *s, struct provider_shard *ret);

#endif
