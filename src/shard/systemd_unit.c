/* One shard as a unit: see systemd_unit.h. The state is only ever what the manager's last listing said. Health is asked
 * of Prometheus itself, for a unit is active long before its write-ahead log is read. */
#include "shard/systemd_unit.h"
#include "base/bytes.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "shard/process_child.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READY_POLL_MS       200
#define HEALTH_POLL_MS      2000
#define CALL_TIMEOUT_MS     2000
#define HEALTH_FAILURES_MAX 3

struct unit_shard *unit_shard_new(struct unit_env *env, unsigned group)
{
    char text[512];
    struct unit_shard *s = mem_calloc(1, sizeof(*s));
    const char *at = strchr(env->conf.unit, '@');
    s->env = env;
    s->group = group;
    s->port = env->conf.base_port + group;
    s->restarts = -1;
    snprintf(text, sizeof(text), "shard-%u", group);
    s->id = intern(text);
    snprintf(text, sizeof(text), "%.*s@shard-%u.service", (int)(at - env->conf.unit), env->conf.unit, group);
    s->name = intern(text);
    snprintf(text, sizeof(text), "http://127.0.0.1:%u", s->port);
    s->url = intern(text);
    char *dir = mem_printf("%s/shards/%s", env->conf.data_dir, s->id);
    s->dir = intern(dir);
    free(dir);
    metric_add(METRIC_SHARD_PROCESS_EXITS, 0, s->id); /* there from the start, so that the first end is an increase */
    return s;
}

void unit_shard_free(struct unit_shard **handle)
{
    struct unit_shard *s = *handle;
    if (s != NULL && s->call != NULL) {
        http_call_cancel(s->call);
    }
    free(s);
    *handle = NULL;
}

void unit_shard_set_error(struct unit_shard *s, const char *text)
{
    if (strncmp(s->error, text, sizeof(s->error) - 1) != 0) {
        snprintf(s->error, sizeof(s->error), "%s", text);
        s->env->on_change(s->env->data);
    }
}

static void forget_health(struct unit_shard *s)
{
    s->ready = s->was_ready = false;
    s->failures = 0;
    s->next_poll_ms = 0;
    s->env->on_change(s->env->data);
}

/* An end that the unit's Restart= mends is in the manager's count, whatever listings see of it; one that it leaves, a
 * clean exit, only shows as a unit that has become inactive. */
static void count_end(struct unit_shard *s, enum systemd_unit_state state)
{
    if (state == SYSTEMD_UNIT_INACTIVE && s->state == SYSTEMD_UNIT_ACTIVE && !s->ending) {
        metric_add(METRIC_SHARD_PROCESS_EXITS, 1, s->id);
    }
    s->ending = s->ending && state != SYSTEMD_UNIT_INACTIVE;
}

void unit_shard_take_service(struct unit_shard *s, int pid, unsigned restarts)
{
    bool replaced = s->pid != 0 && pid != 0 && pid != s->pid;
    if (s->restarts >= 0 && restarts > (unsigned)s->restarts) {
        metric_add(METRIC_SHARD_PROCESS_EXITS, restarts - (unsigned)s->restarts, s->id);
    }
    s->restarts = (int)(restarts & INT_MAX);
    s->pid = pid;
    if (replaced) {
        s->ending = false;
        forget_health(s);
    }
}

void unit_shard_take_state(struct unit_shard *s, const struct systemd_unit *seen)
{
    enum systemd_unit_state state = seen != NULL ? seen->state : SYSTEMD_UNIT_INACTIVE;
    s->failed = seen != NULL && seen->failed;
    s->not_found = seen != NULL && seen->not_found;
    s->asked = s->asked && state == SYSTEMD_UNIT_INACTIVE;
    if (state != s->state) {
        count_end(s, state);
        s->state = state;
        s->pid = 0;
        forget_health(s);
    }
    if (s->not_found) {
        char text[160];
        snprintf(text, sizeof(text), "systemd does not know %s: install it, or name another by --shard.systemd-unit",
                 s->env->conf.unit);
        unit_shard_set_error(s, text);
    } else if (s->failed || s->state == SYSTEMD_UNIT_STARTING) {
        char text[160];
        snprintf(text, sizeof(text), "%s: see journalctl -u %s",
                 s->failed ? "failed" : "starting, or ended and is started again", s->name);
        unit_shard_set_error(s, text);
    }
}

/* ---------------------------------------------------------------- files */

/* As EnvironmentFile= takes it: double quotes, in which backslash and quote are escaped, and a dollar is a dollar. The
 * unit splits KVASS_ARGS at blanks that stand outside quotes, so each argument gets its own inside. */
static void put_argument(struct bytes *out, const char *arg)
{
    bytes_append_str(out, " \\\"");
    for (; *arg != '\0'; arg++) {
        if (*arg == '"' || *arg == '\\') {
            bytes_append_str(out, "\\\\\\");
        }
        bytes_append_char(out, *arg);
    }
    bytes_append_str(out, "\\\"");
}

static int write_environment(struct unit_shard *s, struct errctx *err)
{
    struct bytes text;
    bool changed = false;
    char *path = mem_printf("%s/environment", s->dir);
    bytes_init(&text, (size_t)1 << 20);
    bytes_printf(&text, "KVASS_LISTEN=127.0.0.1:%u\nKVASS_ARGS=\"", s->port);
    for (size_t i = 0; s->env->conf.extra_args != NULL && s->env->conf.extra_args[i] != NULL; i++) {
        put_argument(&text, s->env->conf.extra_args[i]);
    }
    bytes_append_str(&text, "\"\n");
    int rc = bytes_check(&text, err);
    rc = rc == 0 ? files_write_if_changed(path, bytes_view(&text), 0640, (gid_t)-1, &changed, err) : rc;
    s->outdated = s->outdated || (changed && s->state == SYSTEMD_UNIT_ACTIVE);
    bytes_done(&text);
    free(path);
    return rc;
}

int unit_shard_prepare(struct unit_shard *s, struct errctx *err)
{
    struct process_shard shard = {.id = s->id, .group = s->group, .dir = s->dir, .prometheus_url = s->url};
    int rc = files_make_dirs(s->dir, 0750, err);
    rc = rc == 0 ? s->env->conf.prepare(s->env->conf.data, &shard, err) : rc;
    return rc == 0 ? write_environment(s, err) : rc;
}

static void on_stray_exit(void *data, int status)
{
    (void)data;
    (void)status;
}

bool unit_shard_end_stray(struct unit_shard *s, struct loop *loop)
{
    char text[128];
    struct process_child *child = NULL;
    char *identity = mem_printf("--storage.tsdb.path=%s/data", s->dir), *pid_file = mem_printf("%s/pid", s->dir);
    const struct process_child_conf conf = {.identity = identity, .pid_file = pid_file};
    bool found = process_child_adopt(loop, &conf, on_stray_exit, NULL, &child, NULL) == 0;
    if (found) {
        snprintf(text, sizeof(text), "waits for process %d, left by --shard.type=process, to end",
                 (int)process_child_pid(child));
        unit_shard_set_error(s, text);
        process_child_signal(child, SIGTERM);
        process_child_free(&child);
    }
    free(identity);
    free(pid_file);
    return found;
}

/* ---------------------------------------------------------------- health */

static void on_ready_answer(void *data, const struct http_answer *answer)
{
    struct unit_shard *s = data;
    bool was = s->ready;
    s->call = NULL;
    if (s->state != SYSTEMD_UNIT_ACTIVE) {
        return;
    }
    s->failures = answer->status == 200 ? 0 : s->failures + 1;
    s->ready = answer->status == 200 || (s->ready && s->failures < HEALTH_FAILURES_MAX);
    s->was_ready = s->was_ready || s->ready;
    if (s->ready) {
        unit_shard_set_error(s, "");
    } else if (!s->was_ready) {
        unit_shard_set_error(s, answer->status == 503 ? "reads its write-ahead log" : "starting");
    } else {
        unit_shard_set_error(s, answer->status != 0 ? "not ready" : answer->err.msg);
    }
    if (was != s->ready) {
        s->env->on_change(s->env->data);
    }
}

void unit_shard_poll(struct unit_shard *s, int64_t now_ms)
{
    char url[128];
    if (s->state != SYSTEMD_UNIT_ACTIVE || s->call != NULL || now_ms < s->next_poll_ms) {
        return;
    }
    s->next_poll_ms = now_ms + (s->ready ? HEALTH_POLL_MS : READY_POLL_MS);
    snprintf(url, sizeof(url), "%s/-/ready", s->url);
    struct http_request req = {.url = url, .timeout_ms = CALL_TIMEOUT_MS, .answer_bytes_max = 65536};
    s->call = http_client_send(s->env->http, &req, on_ready_answer, s);
}

void unit_shard_describe(const struct unit_shard *s, struct provider_shard *ret)
{
    *ret = (struct provider_shard){.id = s->id,
                                   .replica = intern(""),
                                   .group = s->group,
                                   .prometheus_url = s->url,
                                   .capacity_series = s->env->conf.capacity_series};
    ret->health = s->ready ? SHARD_HEALTH_READY : s->was_ready ? SHARD_HEALTH_UNREACHABLE : SHARD_HEALTH_STARTING;
    snprintf(ret->error, sizeof(ret->error), "%s", s->error);
}

/* ---------------------------------------------------------------- memory */

/* "Name:   123 kB" of a file of /proc, in bytes; 0 when it is not there. */
static uint64_t read_kb_line(const char *path, const char *name)
{
    struct bytes text;
    uint64_t found = 0;
    bytes_init(&text, 65536);
    if (files_read(path, &text, NULL) == 0) {
        const char *at = strstr(bytes_view(&text).base, name);
        found = at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
    }
    bytes_done(&text);
    return found;
}

uint64_t unit_shard_memory_bytes(struct unit_shard *s)
{
    char path[64];
    if (s->pid <= 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%d/status", s->pid);
    uint64_t found = read_kb_line(path, "RssAnon:");
    s->pid = found != 0 ? s->pid : 0;
    return found;
}

uint64_t unit_memory_available_bytes(void)
{
    return read_kb_line("/proc/meminfo", "MemAvailable:");
}
