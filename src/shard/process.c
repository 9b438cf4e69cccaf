/* The process provider: a row of supervised shards and the wanted number.
 *
 * The wanted number is kept in a file of its own, for it is what a StatefulSet's spec.replicas is elsewhere: the
 * platform's memory of how many shards there are to be, not how many happen to run at the moment (guarantees 1, 2).
 * What runs beyond it when we start is the rest of an interrupted scale-down and is ended; without a file everything
 * that runs is wanted.
 *
 * One timer moves all shards. A restart of ours replaces children whose arguments changed, but one after the other and
 * only while all others are ready. */
#include "shard/process.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "shard/process_shard.h"
#include "shard/provider_args.h"
#include "shard/wanted.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_MAGIC      0x70726f63u
#define TICK_MS            100
#define DEFAULT_BASE_PORT  19090
#define DEFAULT_GROUPS_MAX 100

struct process_provider {
    struct provider base; /* first: the handle is cast */
    uint32_t magic;
    struct supervised_env env;
    VEC(struct supervised *) shards; /* index = group */
    VEC(struct provider_shard) listed;
    struct loop_timer *timer;
    unsigned wanted;
    bool wanted_dirty; /* the file does not hold it yet */
    bool stopping, changed;
    void (*on_stopped)(void *data);
    void *stopped_data;
};

static struct process_provider *of(struct provider *p)
{
    struct process_provider *self = (struct process_provider *)p;
    MAGIC_CHECK(self, PROCESS_MAGIC);
    return self;
}

/* ---------------------------------------------------------------------------------------------------------- the
 * settings */

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value != 0 ? value : fallback;
}

static int check_conf(const struct process_conf *c, struct errctx *err)
{
    static const char *const OURS[] = {"--config.file", "--storage.tsdb.path", "--storage.agent.path",
                                       "--web.listen-address"};
    unsigned base = c->base_port != 0 ? c->base_port : DEFAULT_BASE_PORT;
    unsigned groups = c->groups_max != 0 ? c->groups_max : DEFAULT_GROUPS_MAX;
    int rc = provider_ports_check(base, groups, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; c->extra_args != NULL && c->extra_args[i] != NULL; i++) {
        for (size_t k = 0; k < sizeof(OURS) / sizeof(OURS[0]); k++) {
            size_t len = strlen(OURS[k]);
            if (strncmp(c->extra_args[i], OURS[k], len) == 0 && strchr("= ", c->extra_args[i][len]) != NULL) {
                return errctx_set(err, ERR_INVALID, "extra argument %s: kvass sets %s itself", c->extra_args[i],
                                  OURS[k]);
            }
        }
    }
    char *path;
    rc = process_child_find_binary(c->binary != NULL && c->binary[0] != '\0' ? c->binary : "prometheus", &path, err);
    if (rc == 0) {
        free(path);
    }
    return rc;
}

static void conf_copy(struct process_conf *to, const struct process_conf *from)
{
    *to = *from;
    to->extra_args = provider_args_copy(from->extra_args);
    to->data_dir = intern(from->data_dir);
    to->binary = intern(from->binary != NULL && from->binary[0] != '\0' ? from->binary : "prometheus");
    to->base_port = from->base_port != 0 ? from->base_port : DEFAULT_BASE_PORT;
    to->groups_max = from->groups_max != 0 ? from->groups_max : DEFAULT_GROUPS_MAX;
    to->stop_grace_ms = or_default(from->stop_grace_ms, 75000);
    to->backoff_first_ms = or_default(from->backoff_first_ms, 1000);
    to->backoff_max_ms = or_default(from->backoff_max_ms, 60000);
    to->stable_ms = or_default(from->stable_ms, 60000);
    to->log_bytes_max = from->log_bytes_max != 0 ? from->log_bytes_max : (size_t)16 << 20;
}

/* ------------------------------------------------------------------------------------------------------ the wanted
 * number */

static void wanted_write(struct process_provider *self)
{
    self->wanted_dirty = wanted_file_write(self->env.conf.data_dir, self->wanted) != 0;
}

/* --------------------------------------------------------------------------------------------------------------- the
 * row */

static void on_shard_change(void *data)
{
    struct process_provider *self = data;
    self->changed = true;
}

static struct supervised *shard_at(struct process_provider *self, unsigned group)
{
    while (self->shards.len <= group) {
        struct supervised *s = supervised_new(&self->env, (unsigned)self->shards.len);
        *vec_push(&self->shards) = s;
    }
    return self->shards.items[group];
}

/* Adopts what runs for any folder that is there; the highest such group + 1. */
static unsigned adopt_all(struct process_provider *self, const char *folder)
{
    unsigned above = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
        unsigned group;
        char rest;
        if (sscanf(d->d_name, "shard-%u%c", &group, &rest) == 1 && group < self->env.conf.groups_max &&
            supervised_pid(shard_at(self, group)) == 0 && supervised_adopt(shard_at(self, group))) {
            above = group + 1 > above ? group + 1 : above;
        }
    }
    closedir(dir);
    return above;
}

static void apply_wanted(struct process_provider *self, int64_t now_ms)
{
    if (self->wanted > 0) {
        (void)shard_at(self, self->wanted - 1);
    }
    for (size_t i = 0; i < self->shards.len; i++) {
        supervised_want(self->shards.items[i], i < self->wanted && !self->stopping, now_ms);
    }
}

static void replace_outdated(struct process_provider *self, int64_t now_ms)
{
    struct supervised *candidate = NULL;
    for (size_t i = 0; i < self->wanted && i < self->shards.len; i++) {
        struct supervised *s = self->shards.items[i];
        if (supervised_state(s) != SUPERVISED_READY) {
            return;
        }
        candidate = candidate == NULL && supervised_is_outdated(s) ? s : candidate;
    }
    if (candidate != NULL) {
        supervised_restart(candidate, now_ms);
    }
}

static void count_states(const struct process_provider *self)
{
    static const char *const NAMES[] = {"idle", "starting", "ready", "backoff", "stopping"};
    unsigned counts[5] = {0};
    vec_foreach(s, &self->shards) {
        counts[supervised_state(*s)]++;
    }
    for (size_t i = 1; i < 5; i++) {
        metric_set(METRIC_SHARD_PROCESSES, counts[i], NAMES[i]);
    }
}

static bool all_ended(const struct process_provider *self)
{
    vec_foreach(s, &self->shards) {
        if (supervised_pid(*s) != 0) {
            return false;
        }
    }
    return true;
}

static void on_tick(void *data)
{
    struct process_provider *self = data;
    int64_t now_ms = timebase_monotonic_ms();
    bool idle = self->stopping && !self->env.conf.stop_children;
    for (size_t i = 0; !idle && i < self->shards.len; i++) {
        supervised_tick(self->shards.items[i], now_ms);
    }
    if (self->wanted_dirty) {
        wanted_write(self);
    }
    if (!self->stopping) {
        replace_outdated(self, now_ms);
    }
    if (self->changed) {
        self->changed = false;
        count_states(self);
        if (self->base.on_change != NULL) {
            self->base.on_change(self->base.data);
        }
    }
    if (self->on_stopped != NULL && (!self->env.conf.stop_children || all_ended(self))) {
        void (*on_stopped)(void *) = self->on_stopped;
        self->on_stopped = NULL;
        loop_timer_stop(self->timer);
        on_stopped(self->stopped_data);
    }
}

/* --------------------------------------------------------------------------------------------------------- provider
 * calls */

static void process_scale(struct provider *p, unsigned wanted_groups, const char *reason)
{
    struct process_provider *self = of(p);
    unsigned wanted = wanted_groups > self->env.conf.groups_max ? self->env.conf.groups_max : wanted_groups;
    if (wanted == self->wanted || self->stopping) {
        return;
    }
    log_info(NULL, "scale shards", "from", log_num(self->wanted), "to", log_num(wanted), "reason", reason);
    self->wanted = wanted;
    wanted_write(self);
    apply_wanted(self, timebase_monotonic_ms());
}

static const struct provider_shard *process_list(struct provider *p, size_t *ret_count)
{
    struct process_provider *self = of(p);
    vec_clear(&self->listed);
    for (size_t i = 0; i < self->wanted && i < self->shards.len; i++) {
        supervised_describe(self->shards.items[i], vec_push(&self->listed));
    }
    *ret_count = self->listed.len;
    return self->listed.items;
}

static unsigned process_desired(struct provider *p)
{
    return of(p)->wanted;
}

static bool process_is_known(const struct provider *p)
{
    (void)p; /* folders and processes were listed when the provider was made */
    return true;
}

static void process_stop(struct provider *p, void (*on_stopped)(void *data), void *data)
{
    struct process_provider *self = of(p);
    self->on_stopped = on_stopped;
    self->stopped_data = data;
    self->stopping = true;
    if (self->env.conf.stop_children) {
        /* Ending is not shrinking: folders stay, whatever the settings say. */
        self->env.conf.delete_data = false;
        apply_wanted(self, timebase_monotonic_ms());
    }
}

static void process_free(struct provider *p)
{
    struct process_provider *self = of(p);
    loop_timer_free(&self->timer);
    for (size_t i = 0; i < self->shards.len; i++) {
        supervised_free(&self->shards.items[i]);
    }
    vec_done(&self->shards);
    vec_done(&self->listed);
    provider_args_free(&self->env.conf.extra_args);
    self->magic = 0;
    free(self);
}

static const struct provider_ops PROCESS_OPS = {
    .scale = process_scale,
    .list = process_list,
    .desired = process_desired,
    .is_known = process_is_known,
    .stop = process_stop,
    .free = process_free,
};

void process_provider_stop_children(struct provider *p, bool stop_children)
{
    of(p)->env.conf.stop_children = stop_children;
}

int process_provider_pid(const struct provider *p, unsigned group)
{
    const struct process_provider *self = (const struct process_provider *)p;
    MAGIC_CHECK(self, PROCESS_MAGIC);
    return group < self->shards.len ? supervised_pid(self->shards.items[group]) : 0;
}

int process_provider_new(struct loop *loop, struct http_client *http, const struct process_conf *conf,
                         struct provider **ret, struct errctx *err)
{
    int rc = check_conf(conf, err);
    char *folder = mem_printf("%s/shards", conf->data_dir);
    rc = rc == 0 ? files_make_dirs(folder, 0750, err) : rc;
    if (rc != 0) {
        free(folder);
        return rc;
    }
    struct process_provider *self = mem_calloc(1, sizeof(*self));
    self->magic = PROCESS_MAGIC;
    self->base.ops = &PROCESS_OPS;
    self->env = (struct supervised_env){.loop = loop, .http = http, .on_change = on_shard_change, .data = self};
    conf_copy(&self->env.conf, conf);
    unsigned running = adopt_all(self, folder);
    if (!wanted_file_read(self->env.conf.data_dir, self->env.conf.groups_max, &self->wanted)) {
        self->wanted = running;
        self->wanted_dirty = true;
    }
    apply_wanted(self, timebase_monotonic_ms());
    self->timer = loop_timer_new(loop, on_tick, self);
    loop_timer_start(self->timer, 0, TICK_MS);
    free(folder);
    *ret = &self->base;
    return 0;
}
