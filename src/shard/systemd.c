/* The systemd provider: see systemd.h. The wanted number is ours (wanted.h), what runs is the manager's: each listing
 * is compared with what is wanted, and start or stop is asked for, again and again until a listing shows it. Restarting
 * what crashed is the unit's own business (Restart=).
 *
 * A machine has one memory for all its shards. One more is started only when there is room for it, and for those that
 * run or were just asked to, to become as large as the largest; otherwise it stays "starting" and says why, and the
 * balancer goes on with those there are. */
#include "shard/systemd.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "shard/provider_args.h"
#include "shard/systemd_unit.h"
#include "shard/wanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEMD_MAGIC    0x73797364u
#define TICK_MS          100
#define LIST_CHANGING_MS 500                   /* between listings while something starts or stops */
#define LIST_STEADY_MS   3000                  /* otherwise; a job that ends has one made at once */
#define CALL_AGAIN_MS    5000                  /* a start or stop that has not shown in a listing */
#define SMALLEST_BYTES   ((uint64_t)128 << 20) /* what an empty Prometheus is taken for */
#define PREPARE_RETRY_MS 200
#define STRAY_RETRY_MS   500

struct systemd_provider {
    struct provider base; /* first: the handle is cast */
    uint32_t magic;
    struct unit_env env;
    struct loop *loop;
    VEC(struct unit_shard *) shards; /* index = group */
    VEC(struct provider_shard) listed;
    struct systemd_bus *bus;
    struct loop_timer *timer;
    unsigned wanted;
    int64_t next_list_ms;
    bool wanted_read, wanted_dirty, known, stopping, changed;
    void (*on_stopped)(void *data);
    void *stopped_data;
    char last_error[200];
};

static struct systemd_provider *of(struct provider *p)
{
    struct systemd_provider *self = (struct systemd_provider *)p;
    MAGIC_CHECK(self, SYSTEMD_MAGIC);
    return self;
}

uint64_t systemd_room_bytes(const uint64_t *used_bytes, size_t count, uint64_t *ret_largest_bytes)
{
    uint64_t largest = SMALLEST_BYTES, sum = 0;
    for (size_t i = 0; i < count; i++) {
        largest = used_bytes[i] > largest ? used_bytes[i] : largest;
    }
    for (size_t i = 0; i < count; i++) {
        sum += largest - used_bytes[i];
    }
    *ret_largest_bytes = largest;
    return sum + largest;
}

static void on_unit_change(void *data)
{
    struct systemd_provider *self = data;
    self->changed = true;
}

static struct unit_shard *shard_at(struct systemd_provider *self, unsigned group)
{
    while (self->shards.len <= group) {
        struct unit_shard *s = unit_shard_new(&self->env, (unsigned)self->shards.len);
        *vec_push(&self->shards) = s;
    }
    return self->shards.items[group];
}

/* ---------------------------------------------------------------- what the manager says */

/* shard-<n> of our template; false for other units. */
static bool parse_group(const struct systemd_provider *self, const char *name, unsigned *ret)
{
    size_t len = (size_t)(strchr(self->env.conf.unit, '@') - self->env.conf.unit) + 1;
    char rest[16];
    return strncmp(name, self->env.conf.unit, len) == 0 && sscanf(name + len, "shard-%u.%15s", ret, rest) == 2 &&
           strcmp(rest, "service") == 0 && *ret < self->env.conf.groups_max;
}

static void on_units(void *data, const struct systemd_unit *units, size_t count)
{
    struct systemd_provider *self = data;
    unsigned group, above = 0;
    const struct systemd_unit **seen = mem_calloc(self->env.conf.groups_max, sizeof(*seen));
    for (size_t i = 0; i < count; i++) {
        if (parse_group(self, units[i].name, &group)) {
            (void)shard_at(self, group);
            seen[group] = &units[i];
            above = units[i].state != SYSTEMD_UNIT_INACTIVE && group + 1 > above ? group + 1 : above;
        }
    }
    for (size_t i = 0; i < self->shards.len; i++) {
        struct unit_shard *s = self->shards.items[i];
        unit_shard_take_state(s, seen[i]);
        if (s->state != SYSTEMD_UNIT_INACTIVE && s->pid == 0) {
            systemd_bus_ask_service(self->bus, s->name);
        }
    }
    free(seen);
    if (!self->known) {
        self->known = self->changed = true;
        self->wanted = self->wanted_read ? self->wanted : above;
        self->wanted_dirty = !self->wanted_read;
        log_info(NULL, "units found", "unit", self->env.conf.unit, "running_below", log_num(above), "wanted",
                 log_num(self->wanted));
    }
    self->last_error[0] = '\0';
}

static void on_service(void *data, const char *unit, int pid, unsigned restarts)
{
    struct systemd_provider *self = data;
    unsigned group;
    if (parse_group(self, unit, &group) && group < self->shards.len) {
        unit_shard_take_service(self->shards.items[group], pid, restarts);
    }
}

static void on_error(void *data, const char *unit, const char *text)
{
    struct systemd_provider *self = data;
    unsigned group;
    if (strcmp(self->last_error, text) != 0) {
        log_warn(NULL, "ask systemd", "unit", unit, "err", text, "action", "try again");
        snprintf(self->last_error, sizeof(self->last_error), "%s", text);
    }
    for (size_t i = 0; i < self->shards.len; i++) {
        struct unit_shard *s = self->shards.items[i];
        bool meant = parse_group(self, unit, &group) && group == s->group;
        s->asked = s->asked && !meant;
        if (meant || (unit[0] == '\0' && !s->ready)) {
            unit_shard_set_error(s, text);
        }
    }
}

/* ---------------------------------------------------------------- towards what is wanted */

/* What runs, or was asked to, counts with what it is still to take: a listing may be seconds old. */
static bool check_room(struct systemd_provider *self, struct unit_shard *s)
{
    char text[256];
    uint64_t *used = mem_calloc(self->shards.len, sizeof(*used));
    uint64_t largest, needed, available = unit_memory_available_bytes(), reserve = self->env.conf.reserve_bytes;
    size_t count = 0;
    vec_foreach(at, &self->shards) {
        if ((*at)->asked || (*at)->state == SYSTEMD_UNIT_ACTIVE || (*at)->state == SYSTEMD_UNIT_STARTING) {
            used[count++] = unit_shard_memory_bytes(*at);
        }
    }
    needed = systemd_room_bytes(used, count, &largest);
    free(used);
    if (reserve == 0 || available == 0 || available >= reserve + needed) {
        return true;
    }
    snprintf(
        text, sizeof(text),
        "waits for memory: %llu MB are free, of which %llu stay free (shard.memory-reserve) and %llu are needed for "
        "%zu running and this one to become as large as the largest (%llu)",
        (unsigned long long)(available >> 20), (unsigned long long)(reserve >> 20), (unsigned long long)(needed >> 20),
        count, (unsigned long long)(largest >> 20));
    if (strncmp(s->error, "waits for memory", 16) != 0) {
        log_warn(NULL, "start shard", "shard", s->id, "err", text, "action", "look again every few seconds");
        unit_shard_set_error(s, text);
    }
    return false;
}

static void start(struct systemd_provider *self, struct unit_shard *s, int64_t now_ms)
{
    struct errctx err = ERRCTX_INIT;
    s->asked = false;
    if (unit_shard_end_stray(s, self->loop)) {
        s->next_call_ms = now_ms + STRAY_RETRY_MS;
        return;
    }
    int rc = unit_shard_prepare(s, &err);
    if (rc != 0) {
        s->next_call_ms = now_ms + (rc == ERR_AGAIN ? PREPARE_RETRY_MS : CALL_AGAIN_MS);
        unit_shard_set_error(s, err.msg[0] != '\0' ? err.msg : "waits for its configuration");
        return;
    }
    s->next_call_ms = now_ms + CALL_AGAIN_MS;
    if (s->group > 0 && !check_room(self, s)) {
        return;
    }
    log_info(NULL, "start unit", "shard", s->id, "unit", s->name, "url", s->url);
    unit_shard_set_error(s, "starting");
    s->asked = true;
    systemd_bus_call(self->bus, "StartUnit", s->name);
    self->next_list_ms = 0;
}

static void end(struct systemd_provider *self, struct unit_shard *s, int64_t now_ms)
{
    s->next_call_ms = now_ms + CALL_AGAIN_MS;
    s->ending = true;
    log_info(NULL, "stop unit", "shard", s->id, "unit", s->name);
    systemd_bus_call(self->bus, "StopUnit", s->name);
    self->next_list_ms = 0;
}

/* An adopted unit is prepared once, which tells whether it reads something else by now; one is restarted at a time, and
 * only while the others are ready. */
static void replace_outdated(struct systemd_provider *self, int64_t now_ms)
{
    struct unit_shard *candidate = NULL;
    for (size_t i = 0; i < self->wanted && i < self->shards.len; i++) {
        struct unit_shard *s = self->shards.items[i];
        if (!s->ready) {
            return;
        }
        candidate = candidate == NULL && s->outdated ? s : candidate;
    }
    if (candidate != NULL) {
        candidate->outdated = false;
        candidate->ending = true;
        candidate->next_call_ms = now_ms + CALL_AGAIN_MS;
        log_info(NULL, "restart unit", "shard", candidate->id, "why", "it runs with other arguments");
        systemd_bus_call(self->bus, "RestartUnit", candidate->name);
        self->next_list_ms = 0;
    }
}

static void adopt(struct unit_shard *s)
{
    struct errctx err = ERRCTX_INIT;
    if (s->adopted || unit_shard_prepare(s, &err) == ERR_AGAIN) {
        return;
    }
    s->adopted = true;
    log_info(NULL, "adopt unit", "shard", s->id, "unit", s->name, "action",
             s->outdated ? "restart it later: it runs with other arguments" : "keep it");
}

static void tend(struct systemd_provider *self, struct unit_shard *s, int64_t now_ms)
{
    bool wanted = s->group < self->wanted && !(self->stopping && self->env.conf.stop_shards);
    unit_shard_poll(s, now_ms);
    if (now_ms < s->next_call_ms) {
        return;
    }
    if (wanted && s->state == SYSTEMD_UNIT_INACTIVE && !s->not_found && !self->stopping) {
        s->adopted = true;
        start(self, s, now_ms);
    } else if (wanted && s->state == SYSTEMD_UNIT_ACTIVE) {
        adopt(s);
    } else if (!wanted && (s->state == SYSTEMD_UNIT_ACTIVE || s->state == SYSTEMD_UNIT_STARTING)) {
        end(self, s, now_ms);
    }
}

static bool any_runs(const struct systemd_provider *self)
{
    vec_foreach(s, &self->shards) {
        if ((*s)->state != SYSTEMD_UNIT_INACTIVE) {
            return true;
        }
    }
    return false;
}

static bool is_changing(const struct systemd_provider *self)
{
    for (size_t i = 0; i < self->shards.len; i++) {
        const struct unit_shard *s = self->shards.items[i];
        if (s->state != (i < self->wanted && !self->stopping ? SYSTEMD_UNIT_ACTIVE : SYSTEMD_UNIT_INACTIVE)) {
            return true;
        }
    }
    return false;
}

static void count_states(const struct systemd_provider *self)
{
    unsigned starting = 0, ready = 0, stopping = 0;
    vec_foreach(s, &self->shards) {
        ready += (*s)->ready;
        stopping += (*s)->state == SYSTEMD_UNIT_STOPPING;
        starting += !(*s)->ready && (*s)->state != SYSTEMD_UNIT_STOPPING && (*s)->group < self->wanted;
    }
    metric_set(METRIC_SHARD_PROCESSES, starting, "starting");
    metric_set(METRIC_SHARD_PROCESSES, ready, "ready");
    metric_set(METRIC_SHARD_PROCESSES, stopping, "stopping");
}

static void finish_stop(struct systemd_provider *self)
{
    if (self->on_stopped != NULL && (!self->env.conf.stop_shards || !any_runs(self))) {
        void (*on_stopped)(void *) = self->on_stopped;
        self->on_stopped = NULL;
        loop_timer_stop(self->timer);
        on_stopped(self->stopped_data);
    }
}

static void on_tick(void *data)
{
    struct systemd_provider *self = data;
    int64_t now_ms = timebase_monotonic_ms();
    if (now_ms >= self->next_list_ms) {
        self->next_list_ms = now_ms + (is_changing(self) ? LIST_CHANGING_MS : LIST_STEADY_MS);
        systemd_bus_list(self->bus);
    }
    if (self->wanted > 0 && self->known) {
        (void)shard_at(self, self->wanted - 1);
    }
    for (size_t i = 0; self->known && i < self->shards.len; i++) {
        tend(self, self->shards.items[i], now_ms);
    }
    if (self->wanted_dirty) {
        self->wanted_dirty = wanted_file_write(self->env.conf.data_dir, self->wanted) != 0;
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
    finish_stop(self);
}

/* ---------------------------------------------------------------- provider calls */

static void systemd_scale(struct provider *p, unsigned wanted_groups, const char *reason)
{
    struct systemd_provider *self = of(p);
    unsigned wanted = wanted_groups > self->env.conf.groups_max ? self->env.conf.groups_max : wanted_groups;
    if (wanted == self->wanted || self->stopping || !self->known) {
        return;
    }
    log_info(NULL, "scale shards", "from", log_num(self->wanted), "to", log_num(wanted), "reason", reason);
    self->wanted = wanted;
    self->wanted_dirty = wanted_file_write(self->env.conf.data_dir, wanted) != 0;
    self->changed = true;
}

static const struct provider_shard *systemd_list(struct provider *p, size_t *ret_count)
{
    struct systemd_provider *self = of(p);
    vec_clear(&self->listed);
    for (size_t i = 0; i < self->wanted && i < self->shards.len; i++) {
        unit_shard_describe(self->shards.items[i], vec_push(&self->listed));
    }
    *ret_count = self->listed.len;
    return self->listed.items;
}

static unsigned systemd_desired(struct provider *p)
{
    return of(p)->wanted;
}

static bool systemd_is_known(const struct provider *p)
{
    const struct systemd_provider *self = (const struct systemd_provider *)p;
    return self->known;
}

static void systemd_stop(struct provider *p, void (*on_stopped)(void *data), void *data)
{
    struct systemd_provider *self = of(p);
    self->on_stopped = on_stopped;
    self->stopped_data = data;
    self->stopping = true;
    self->next_list_ms = 0;
    vec_foreach(s, &self->shards) {
        (*s)->next_call_ms = 0;
    }
}

static void systemd_free(struct provider *p)
{
    struct systemd_provider *self = of(p);
    loop_timer_free(&self->timer);
    systemd_bus_free(&self->bus);
    for (size_t i = 0; i < self->shards.len; i++) {
        unit_shard_free(&self->shards.items[i]);
    }
    vec_done(&self->shards);
    vec_done(&self->listed);
    provider_args_free(&self->env.conf.extra_args);
    self->magic = 0;
    free(self);
}

static const struct provider_ops SYSTEMD_OPS = {
    .scale = systemd_scale,
    .list = systemd_list,
    .desired = systemd_desired,
    .is_known = systemd_is_known,
    .stop = systemd_stop,
    .free = systemd_free,
};

void systemd_provider_stop_shards(struct provider *p, bool stop_shards)
{
    of(p)->env.conf.stop_shards = stop_shards;
}

int systemd_conf_check(const struct systemd_conf *c, struct errctx *err)
{
    const char *at = strchr(c->unit, '@');
    if (at == NULL || at == c->unit || strcmp(at, "@.service") != 0 || strlen(c->unit) > 64) {
        return errctx_set(err, ERR_INVALID, "shard.systemd-unit: %s: expected a template unit, name@.service", c->unit);
    }
    if (strcmp(c->unit, SYSTEMD_UNIT_DEFAULT) == 0 && strcmp(c->data_dir, SYSTEMD_DATA_DIR) != 0) {
        return errctx_set(err, ERR_INVALID,
                          "store.path is %s, but %s reads %s: leave store.path, or name a template of yours by "
                          "shard.systemd-unit",
                          c->data_dir, c->unit, SYSTEMD_DATA_DIR);
    }
    return provider_ports_check(c->base_port, c->groups_max, err);
}

static void conf_copy(struct systemd_conf *to, const struct systemd_conf *from)
{
    *to = *from;
    to->extra_args = provider_args_copy(from->extra_args);
    to->data_dir = intern(from->data_dir);
    to->unit = intern(from->unit);
}

int systemd_provider_new(struct loop *loop, struct http_client *http, const struct systemd_conf *conf,
                         struct provider **ret, struct errctx *err)
{
    char *folder = mem_printf("%s/shards", conf->data_dir);
    int rc = systemd_conf_check(conf, err);
    rc = rc == 0 ? files_make_dirs(folder, 0750, err) : rc;
    free(folder);
    if (rc != 0) {
        return rc;
    }
    struct systemd_provider *self = mem_calloc(1, sizeof(*self));
    const struct systemd_bus_events events = {on_units, on_service, on_error, self};
    self->magic = SYSTEMD_MAGIC;
    self->base.ops = &SYSTEMD_OPS;
    self->loop = loop;
    self->env = (struct unit_env){.http = http, .on_change = on_unit_change, .data = self};
    conf_copy(&self->env.conf, conf);
    self->wanted_read = wanted_file_read(conf->data_dir, conf->groups_max, &self->wanted);
    char *pattern = mem_printf("%.*s@shard-*.service", (int)(strchr(conf->unit, '@') - conf->unit), conf->unit);
    self->bus = systemd_bus_new(loop, pattern, &events);
    free(pattern);
    self->timer = loop_timer_new(loop, on_tick, self);
    loop_timer_start(self->timer, 0, TICK_MS);
    *ret = &self->base;
    return 0;
}
