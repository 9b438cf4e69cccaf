/* Supervision of one Prometheus.
 *
 * Facts arrive from three sides (the process ends, /-/ready answers, the clock moves) and meet in set_state, the only
 * writer of the state. A start that fails for any reason (no binary, no folder, port taken, configuration refused) ends
 * in BACKOFF with a sentence an operator can act on, doubled pauses up to a minute, and is tried again for as long as
 * the shard is wanted; a process that has run for a minute starts again at the first pause.
 *
 * The port is tried before the start: another program on it would answer our readiness question, and its answers would
 * be taken for the shard's. */
#include "shard/process_shard.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUPERVISED_MAGIC    0x73757076u
#define READY_POLL_MS       250  /* while starting */
#define HEALTH_POLL_MS      5000 /* while ready */
#define CALL_TIMEOUT_MS     5000
#define HEALTH_FAILURES_MAX 3 /* polls in a row without an answer, then it counts as unreachable */
#define CHECK_MS            1000
#define LOG_TRIM_MS         60000
#define PREPARE_RETRY_MS    250

struct supervised {
    uint32_t magic;
    struct supervised_env *env;
    unsigned group, port;
    const char *id; /* interned */
    char *dir, *url, *identity, *pid_file, *log_file;
    const char **argv; /* strings owned from [1] on */
    struct logctx log;
    enum supervised_state state;
    bool wanted, outdated, killed;
    struct process_child *child;
    struct http_call *call;
    int64_t started_ms, next_start_ms, next_poll_ms, next_check_ms, next_trim_ms, kill_ms, backoff_ms;
    unsigned health_failures;
    bool unreachable;
    char error[256];
};

static const char *const STATE_NAMES[] = {"idle", "starting", "ready", "backoff", "stopping"};

static void changed(struct supervised *s)
{
    s->env->on_change(s->env->data);
}

static void set_error(struct supervised *s, const char *text)
{
    if (strncmp(s->error, text, sizeof(s->error) - 1) != 0) {
        snprintf(s->error, sizeof(s->error), "%s", text);
        changed(s);
    }
}

static void cancel_call(struct supervised *s)
{
    if (s->call != NULL) {
        http_call_cancel(s->call);
        s->call = NULL;
    }
}

static void set_state(struct supervised *s, enum supervised_state next)
{
    static const unsigned ALLOWED[] = {
        [SUPERVISED_IDLE] = 1U << SUPERVISED_STARTING | 1U << SUPERVISED_BACKOFF,
        [SUPERVISED_STARTING] = 1U << SUPERVISED_READY | 1U << SUPERVISED_BACKOFF | 1U << SUPERVISED_STOPPING,
        [SUPERVISED_READY] = 1U << SUPERVISED_BACKOFF | 1U << SUPERVISED_STOPPING,
        [SUPERVISED_BACKOFF] = 1U << SUPERVISED_STARTING | 1U << SUPERVISED_BACKOFF | 1U << SUPERVISED_IDLE,
        [SUPERVISED_STOPPING] = 1U << SUPERVISED_IDLE,
    };
    invariant((ALLOWED[s->state] >> next & 1U) != 0);
    if (next != s->state) {
        log_debug(&s->log, "shard state", "from", STATE_NAMES[s->state], "to", STATE_NAMES[next]);
        s->state = next;
        changed(s);
    }
}

/* ------------------------------------------------------------------------------------------------------------ making
 * one */

static const char **make_argv(struct supervised *s)
{
    const char *const *extra = s->env->conf.extra_args;
    size_t count = 0, len = 0;
    while (extra != NULL && extra[count] != NULL) {
        count++;
    }
    const char **argv = mem_calloc(count + 7, sizeof(*argv));
    argv[len++] = s->env->conf.binary;
    argv[len++] = mem_printf("--config.file=%s/prometheus.yml", s->dir);
    argv[len++] = mem_strdup(s->identity);
    argv[len++] = mem_printf("--web.listen-address=127.0.0.1:%u", s->port);
    argv[len++] = mem_strdup("--web.enable-lifecycle");
    if (s->env->conf.agent_flag != NULL) {
        argv[len++] = mem_strdup(s->env->conf.agent_flag);
    }
    for (size_t i = 0; i < count; i++) {
        argv[len++] = mem_strdup(extra[i]);
    }
    return argv;
}

static struct process_child_conf child_conf(const struct supervised *s)
{
    return (struct process_child_conf){.binary = s->env->conf.binary,
                                       .argv = s->argv,
                                       .identity = s->identity,
                                       .pid_file = s->pid_file,
                                       .log_file = s->log_file,
                                       .log_bytes_max = s->env->conf.log_bytes_max};
}

struct supervised *supervised_new(struct supervised_env *env, unsigned group)
{
    char id[32];
    struct supervised *s = mem_calloc(1, sizeof(*s));
    snprintf(id, sizeof(id), "shard-%u", group);
    s->magic = SUPERVISED_MAGIC;
    s->env = env;
    s->group = group;
    s->port = env->conf.base_port + group;
    s->id = intern(id);
    s->dir = mem_printf("%s/shards/%s", env->conf.data_dir, id);
    s->url = mem_printf("http://127.0.0.1:%u", s->port);
    s->identity = env->conf.agent_flag != NULL ? mem_printf("--storage.agent.path=%s/agent", s->dir)
                                               : mem_printf("--storage.tsdb.path=%s/data", s->dir);
    s->pid_file = mem_printf("%s/pid", s->dir);
    s->log_file = mem_printf("%s/prometheus.log", s->dir);
    s->argv = make_argv(s);
    s->log = (struct logctx){NULL, "shard", s->id};
    metric_add(METRIC_SHARD_PROCESS_EXITS, 0, s->id); /* there from the start, so that the first end is an increase */
    return s;
}

void supervised_free(struct supervised **handle)
{
    struct supervised *s = *handle;
    if (s == NULL) {
        return;
    }
    MAGIC_CHECK(s, SUPERVISED_MAGIC);
    cancel_call(s);
    process_child_free(&s->child);
    for (size_t i = 1; s->argv[i] != NULL; i++) {
        union {
            const char *in;
            char *out;
        } arg = {s->argv[i]};
        free(arg.out);
    }
    free(s->argv);
    free(s->dir);
    free(s->url);
    free(s->identity);
    free(s->pid_file);
    free(s->log_file);
    s->magic = 0;
    free(s);
    *handle = NULL;
}

/* ------------------------------------------------------------------------------------------------------------- its end
 */

static void enter_backoff(struct supervised *s, const char *why, int64_t now_ms)
{
    const struct process_conf *conf = &s->env->conf;
    s->backoff_ms = s->backoff_ms == 0 ? conf->backoff_first_ms : s->backoff_ms * 2;
    s->backoff_ms = s->backoff_ms > conf->backoff_max_ms ? conf->backoff_max_ms : s->backoff_ms;
    s->next_start_ms = now_ms + s->backoff_ms;
    set_error(s, why);
    set_state(s, SUPERVISED_BACKOFF);
    log_warn(&s->log, "run prometheus", "err", why, "action", "start again after a pause", "pause_ms",
             log_num(s->backoff_ms));
}

static void on_folder_removed(uv_work_t *work, int status)
{
    (void)status;
    free(work->data);
    free(work);
}

static void remove_folder(uv_work_t *work)
{
    (void)!files_remove_tree(work->data, NULL);
}

/* Large TSDB folders take seconds to remove: renamed now, so that a new shard of this id starts clean, removed by a
 * thread. */
static void delete_folder(struct supervised *s)
{
    char *aside = mem_printf("%s.removed-%lld", s->dir, (long long)timebase_realtime_ms());
    uv_work_t *work = mem_calloc(1, sizeof(*work));
    work->data = aside;
    if (rename(s->dir, aside) != 0 ||
        uv_queue_work(loop_uv(s->env->loop), work, remove_folder, on_folder_removed) != 0) {
        log_warn(&s->log, "remove shard folder", "path", s->dir, "err", strerror(errno), "action", "leave it");
        free(aside);
        free(work);
    }
}

static void on_exit_of_child(void *data, int status)
{
    struct supervised *s = data;
    char how[64], last[160], text[256];
    int64_t now_ms = timebase_monotonic_ms();
    bool stable = now_ms - s->started_ms >= s->env->conf.stable_ms;
    cancel_call(s);
    process_child_free(&s->child);
    unlink(s->pid_file);
    process_status_text(status, how, sizeof(how));
    if (s->state == SUPERVISED_STOPPING) {
        log_info(&s->log, "prometheus stopped", "how", how);
        set_state(s, SUPERVISED_IDLE);
        set_error(s, "");
        if (!s->wanted && s->env->conf.delete_data) {
            delete_folder(s);
        }
        return;
    }
    metric_add(METRIC_SHARD_PROCESS_EXITS, 1, s->id);
    process_log_last_line(s->log_file, last, sizeof(last));
    snprintf(text, sizeof(text), "prometheus %s%s%s", how, last[0] != '\0' ? ": " : "", last);
    s->backoff_ms = stable ? 0 : s->backoff_ms;
    enter_backoff(s, text, now_ms);
}

static void begin_stop(struct supervised *s, int64_t now_ms)
{
    cancel_call(s);
    s->kill_ms = now_ms + s->env->conf.stop_grace_ms;
    s->killed = false;
    set_state(s, SUPERVISED_STOPPING);
    process_child_signal(s->child, SIGTERM);
}

/* ------------------------------------------------------------------------------------------------------------ its
 * start */

static bool port_is_free(unsigned port, struct errctx *err)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
    if (!ok && errno == EADDRINUSE) {
        (void)errctx_set(err, ERR_UNAVAILABLE,
                         "127.0.0.1:%u is in use by another program: end it, or choose another first port", port);
    } else if (!ok) {
        (void)errctx_set_errno(err, errno, "bind(127.0.0.1:%u)", port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static int prepare(struct supervised *s, struct errctx *err)
{
    struct process_shard shard = {.id = s->id, .group = s->group, .dir = s->dir, .prometheus_url = s->url};
    char *data_dir = mem_printf("%s/data", s->dir);
    int rc = files_make_dirs(data_dir, 0750, err);
    if (rc == 0 && access(s->dir, W_OK | X_OK) != 0) {
        rc = errctx_set_errno(err, errno, "write(%s)", s->dir);
    }
    free(data_dir);
    return rc == 0 ? s->env->conf.prepare(s->env->conf.data, &shard, err) : rc;
}

static void run(struct supervised *s, int64_t now_ms)
{
    s->started_ms = now_ms;
    s->next_poll_ms = now_ms;
    s->next_trim_ms = now_ms + LOG_TRIM_MS;
    s->health_failures = 0;
    s->unreachable = false;
    set_state(s, SUPERVISED_STARTING);
}

static void start(struct supervised *s, int64_t now_ms)
{
    struct errctx err = ERRCTX_INIT;
    struct process_child_conf conf = child_conf(s);
    int rc = prepare(s, &err);
    if (rc == ERR_AGAIN) {
        s->next_start_ms = now_ms + PREPARE_RETRY_MS;
        set_error(s, err.msg[0] != '\0' ? err.msg : "waits for its configuration");
        return;
    }
    /* A process of this shard may run that nobody knows of: started a moment before we were killed. */
    if (rc == 0 && supervised_adopt(s)) {
        return;
    }
    if (rc == 0) {
        rc = port_is_free(s->port, &err) ? 0 : ERR_UNAVAILABLE;
    }
    if (rc == 0) {
        rc = process_child_spawn(s->env->loop, &conf, on_exit_of_child, s, &s->child, &err);
    }
    if (rc != 0) {
        enter_backoff(s, err.msg, now_ms);
        return;
    }
    log_info(&s->log, "start prometheus", "pid", log_num(process_child_pid(s->child)), "url", s->url);
    run(s, now_ms);
}

/* The port it was started with, which may be another than we would choose today. */
static void take_url(struct supervised *s)
{
    char *address = process_child_argument(s->child, "--web.listen-address");
    if (address != NULL && strncmp(address, "127.0.0.1:", 10) == 0) {
        free(s->url);
        s->url = mem_printf("http://%s", address);
    }
    free(address);
}

bool supervised_adopt(struct supervised *s)
{
    MAGIC_CHECK(s, SUPERVISED_MAGIC);
    struct process_child_conf conf = child_conf(s);
    invariant(s->child == NULL);
    if (process_child_adopt(s->env->loop, &conf, on_exit_of_child, s, &s->child, NULL) != 0) {
        return false;
    }
    s->outdated = !process_child_has_arguments(s->child, &conf);
    take_url(s);
    log_info(&s->log, "adopt prometheus", "pid", log_num(process_child_pid(s->child)), "url", s->url, "action",
             s->outdated ? "replace it later: it runs with other arguments" : "keep it");
    run(s, timebase_monotonic_ms());
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ its
 * health */

static void on_ready_answer(void *data, const struct http_answer *answer)
{
    struct supervised *s = data;
    bool ok = answer->status == 200;
    s->call = NULL;
    if (ok && s->state == SUPERVISED_STARTING) {
        log_info(&s->log, "prometheus ready", "pid", log_num(process_child_pid(s->child)), "after_ms",
                 log_num(timebase_monotonic_ms() - s->started_ms));
        set_state(s, SUPERVISED_READY);
    }
    s->health_failures = ok ? 0 : s->health_failures + 1;
    bool unreachable = s->state == SUPERVISED_READY && s->health_failures >= HEALTH_FAILURES_MAX;
    if (unreachable != s->unreachable) {
        s->unreachable = unreachable;
        changed(s);
    }
    if (ok) {
        set_error(s, "");
    } else if (s->state == SUPERVISED_STARTING) {
        set_error(s, answer->status == 503 ? "reads its write-ahead log" : "starting");
    } else if (unreachable) {
        set_error(s, answer->status != 0 ? "not ready" : answer->err.msg);
    }
}

static void poll_ready(struct supervised *s, int64_t now_ms)
{
    char url[128];
    s->next_poll_ms = now_ms + (s->state == SUPERVISED_STARTING ? READY_POLL_MS : HEALTH_POLL_MS);
    if (s->call != NULL) {
        return;
    }
    snprintf(url, sizeof(url), "%s/-/ready", s->url);
    struct http_request req = {.url = url, .timeout_ms = CALL_TIMEOUT_MS, .answer_bytes_max = 65536};
    s->call = http_client_send(s->env->http, &req, on_ready_answer, s);
}

static void tick_running(struct supervised *s, int64_t now_ms)
{
    if (now_ms >= s->next_poll_ms) {
        poll_ready(s, now_ms);
    }
    if (now_ms >= s->next_trim_ms) {
        s->next_trim_ms = now_ms + LOG_TRIM_MS;
        process_log_trim(s->log_file, s->env->conf.log_bytes_max);
    }
}

void supervised_tick(struct supervised *s, int64_t now_ms)
{
    MAGIC_CHECK(s, SUPERVISED_MAGIC);
    if (s->child != NULL && now_ms >= s->next_check_ms) {
        s->next_check_ms = now_ms + CHECK_MS;
        process_child_check(s->child);
    }
    switch (s->state) {
    case SUPERVISED_IDLE:
    case SUPERVISED_BACKOFF:
        if (s->wanted && now_ms >= s->next_start_ms) {
            start(s, now_ms);
        }
        break;
    case SUPERVISED_STARTING:
    case SUPERVISED_READY:
        tick_running(s, now_ms);
        break;
    case SUPERVISED_STOPPING:
        if (now_ms >= s->kill_ms && !s->killed) {
            log_warn(&s->log, "stop prometheus", "err", "did not end within the grace", "action", "SIGKILL");
            s->killed = true;
            process_child_signal(s->child, SIGKILL);
        }
        break;
    default:
        invariant(false);
    }
}

void supervised_want(struct supervised *s, bool wanted, int64_t now_ms)
{
    MAGIC_CHECK(s, SUPERVISED_MAGIC);
    if (s->wanted != wanted) {
        s->wanted = wanted;
        s->next_start_ms = now_ms;
        changed(s);
    }
    if (wanted) {
        return;
    }
    if (s->state == SUPERVISED_STARTING || s->state == SUPERVISED_READY) {
        begin_stop(s, now_ms);
    } else if (s->state == SUPERVISED_BACKOFF) {
        s->backoff_ms = 0;
        set_state(s, SUPERVISED_IDLE);
        set_error(s, "");
    }
}

bool supervised_is_outdated(const struct supervised *s)
{
    return s->outdated && s->state == SUPERVISED_READY;
}

void supervised_restart(struct supervised *s, int64_t now_ms)
{
    MAGIC_CHECK(s, SUPERVISED_MAGIC);
    s->outdated = false;
    free(s->url);
    s->url = mem_printf("http://127.0.0.1:%u", s->port);
    s->next_start_ms = now_ms;
    begin_stop(s, now_ms);
}

enum supervised_state supervised_state(const struct supervised *s)
{
    return s->state;
}

bool supervised_is_wanted(const struct supervised *s)
{
    return s->wanted;
}

int supervised_pid(const struct supervised *s)
{
    return s->child != NULL ? (int)process_child_pid(s->child) : 0;
}

void supervised_describe(const struct supervised *s, struct provider_shard *ret)
{
    *ret = (struct provider_shard){.id = s->id,
                                   .replica = intern(""),
                                   .group = s->group,
                                   .prometheus_url = intern(s->url),
                                   .capacity_series = s->env->conf.capacity_series};
    ret->health = s->state != SUPERVISED_READY ? SHARD_HEALTH_STARTING
                  : s->unreachable             ? SHARD_HEALTH_UNREACHABLE
                                               : SHARD_HEALTH_READY;
    snprintf(ret->error, sizeof(ret->error), "%s", s->error);
}
