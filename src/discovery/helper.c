/* The helper: a Prometheus that discovers and scrapes nothing.
 *
 * It is started anew whenever the entries change, instead of reloaded: its counters then speak of these entries alone,
 * and no list is ever half old. Meanwhile everybody keeps the groups delivered last. A process that ends, or that does
 * not answer for a minute, is started again with growing pauses. Its configuration holds credentials: the folder is
 * ours alone and the file is 0600. What must never happen: an empty list delivered because the process has not looked
 * yet. */
#include "discovery/helper.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "discovery/helper_child.h"
#include "discovery/helper_impl.h"
#include "discovery/helper_read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS          500
#define SETTLE_MS        200 /* entries come in bursts: one process for all of them */
#define POLL_FAST_MS     1000
#define POLL_MS          5000
#define SILENCE_MAX_MS   60000
#define BACKOFF_MIN_MS   1000
#define BACKOFF_MAX_MS   60000
#define CONFIG_BYTES_MAX ((size_t)64 << 20)
#define ACCEPTED_MAX     100000

static struct yaml_node *string_of(struct arena *arena, const char *s)
{
    return yaml_new_string(arena, view_of(s));
}

/* ---------------------------------------------------------------- its configuration */

static struct yaml_node *job_node(struct arena *arena, const char *pool, const char *key, const struct yaml_node *conf)
{
    struct yaml_node *job = yaml_new_mapping(arena), *list = yaml_new_sequence(arena);
    struct yaml_node *rules = yaml_new_sequence(arena), *rule = yaml_new_mapping(arena);
    yaml_set(arena, job, "job_name", string_of(arena, pool));
    yaml_set(arena, job, "scheme", string_of(arena, HELPER_SCHEME));
    yaml_set(arena, job, "metrics_path", string_of(arena, HELPER_METRICS_PATH));
    yaml_set(arena, job, "scrape_interval", string_of(arena, HELPER_INTERVAL));
    yaml_set(arena, job, "scrape_timeout", string_of(arena, HELPER_TIMEOUT));
    yaml_append(arena, list, yaml_copy(arena, conf));
    yaml_set(arena, job, key, list);
    yaml_set(arena, rule, "action", string_of(arena, "drop"));
    yaml_append(arena, rules, rule);
    yaml_set(arena, job, "relabel_configs", rules);
    return job;
}

static int write_config(const char *path, struct arena *arena, struct yaml_node *jobs, struct errctx *err)
{
    struct yaml_node *root = yaml_new_mapping(arena);
    struct bytes text;
    bytes_init(&text, CONFIG_BYTES_MAX);
    yaml_set(arena, root, "scrape_configs", jobs);
    int rc = yaml_write(root, &text, err);
    rc = rc != 0 ? rc : files_write_atomic(path, bytes_view(&text), 0600, (gid_t)-1, err);
    bytes_done(&text);
    return rc;
}

static int write_all(struct helper *h, const char *path, struct errctx *err)
{
    struct arena *arena = arena_new();
    struct yaml_node *jobs = yaml_new_sequence(arena);
    for (size_t i = 0; i < h->entries.len; i++) {
        const struct discoverer *d = h->entries.items[i];
        yaml_append(arena, jobs, job_node(arena, d->pool, d->key, d->conf));
    }
    int rc = write_config(path, arena, jobs, err);
    arena_free(&arena);
    return rc;
}

/* ---------------------------------------------------------------- the process */

/* A port nobody has at this moment; somebody may take it before the process does, which then ends and is started again
 * with another one. 0 when there is none. */
static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return found ? ntohs(address.sin_port) : 0;
}

static void end_process(struct helper *h)
{
    helper_poll_cancel(h);
    if (h->pid != 0) {
        helper_child_end(h->pid);
        h->pid = 0;
    }
}

static int spawn(struct helper *h, struct errctx *err)
{
    char *config = mem_printf("%s/prometheus.yml", h->dir), *data = mem_printf("%s/data", h->dir);
    char *log = mem_printf("%s/log", h->dir);
    int rc = files_remove_tree(data, err);
    rc = rc != 0 ? rc : write_all(h, config, err);
    if (rc == 0 && h->log_fd < 0) {
        h->log_fd = open(log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        rc = h->log_fd < 0 ? errctx_set_errno(err, errno, "open %s", log) : 0;
    }
    if (rc == 0) {
        unsigned port = free_port();
        free(h->url);
        h->url = mem_printf("http://127.0.0.1:%u", port);
        char *config_arg = mem_printf("--config.file=%s", config),
             *data_arg = mem_printf("--storage.tsdb.path=%s", data);
        char *listen_arg = mem_printf("--web.listen-address=127.0.0.1:%u", port);
        const char *const argv[] = {
            h->path, config_arg, data_arg, listen_arg, "--storage.tsdb.retention.time=2h", "--log.level=warn", NULL};
        rc = helper_child_spawn(argv, h->log_fd, &h->pid, err);
        free(config_arg);
        free(data_arg);
        free(listen_arg);
    }
    free(config);
    free(data);
    free(log);
    return rc;
}

static void tell_all(struct helper *h, const struct errctx *err)
{
    for (size_t i = 0; i < h->entries.len; i++) {
        struct discoverer *d = h->entries.items[i];
        d->sink.on_error(d->sink.data, err);
    }
}

static void start_process(struct helper *h, int64_t now_ms)
{
    struct errctx err = ERRCTX_INIT;
    end_process(h);
    h->is_changed = false;
    h->started_ms = h->heard_ms = now_ms;
    h->polled_ms = 0;
    helper_poll_reset(h);
    int rc = spawn(h, &err);
    if (rc != 0) {
        h->start_after_ms = now_ms + h->backoff_ms;
        (void)errctx_prefix(&err, rc, "start the helper Prometheus");
        tell_all(h, &err);
        return;
    }
    log_info(NULL, "helper Prometheus started", "binary", h->path, "entries", log_num((int64_t)h->entries.len));
}

/* Ended by itself, or given up: again later. */
static void on_process_end(struct helper *h, const char *why, int64_t now_ms)
{
    struct errctx err = ERRCTX_INIT;
    helper_poll_cancel(h);
    h->pid = 0;
    h->backoff_ms = now_ms - h->started_ms > BACKOFF_MAX_MS ? BACKOFF_MIN_MS : h->backoff_ms * 2;
    h->backoff_ms = h->backoff_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : h->backoff_ms;
    h->start_after_ms = now_ms + h->backoff_ms;
    errctx_set(&err, ERR_UNAVAILABLE, "the helper Prometheus %s; it is started again in %lld s", why,
               (long long)h->backoff_ms / 1000);
    tell_all(h, &err);
}

static void watch_process(struct helper *h, int64_t now_ms)
{
    int status;
    char why[64];
    if (helper_child_has_ended(h->pid, &status)) {
        snprintf(why, sizeof(why), WIFSIGNALED(status) ? "was killed by signal %d" : "ended with status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        on_process_end(h, why, now_ms);
    } else if (now_ms - h->heard_ms > SILENCE_MAX_MS) {
        helper_child_end(h->pid);
        on_process_end(h, "did not answer for a minute and was killed", now_ms);
    } else if (now_ms - h->polled_ms >= (helper_all_answered(h) ? POLL_MS : POLL_FAST_MS)) {
        h->polled_ms = now_ms;
        helper_poll(h);
    }
}

static void on_tick(void *data)
{
    struct helper *h = data;
    int64_t now_ms = timebase_monotonic_ms();
    if (h->entries.len == 0) {
        end_process(h);
        loop_timer_stop(h->timer);
    } else if (h->is_changed && now_ms - h->changed_ms >= SETTLE_MS) {
        start_process(h, now_ms);
    } else if (h->pid != 0) {
        watch_process(h, now_ms);
    } else if (!h->is_changed && now_ms >= h->start_after_ms) {
        start_process(h, now_ms);
    }
}

/* ---------------------------------------------------------------- entries */

static void remove_quietly(const char *path)
{
    struct errctx err = ERRCTX_INIT;
    if (files_remove_tree(path, &err) != 0) {
        log_warn(NULL, "helper Prometheus", "err", err.msg, "action", "left behind");
    }
}

struct helper *helper_new(struct loop *loop, struct http_client *http, const char *binary, const char *dir)
{
    struct helper *h = mem_calloc(1, sizeof(*h));
    h->loop = loop;
    h->http = http;
    h->binary = mem_strdup(binary);
    h->dir = dir != NULL ? mem_strdup(dir) : NULL;
    h->timer = loop_timer_new(loop, on_tick, h);
    h->log_fd = -1;
    h->backoff_ms = BACKOFF_MIN_MS;
    return h;
}

void helper_free(struct helper **handle)
{
    struct helper *h = *handle;
    if (h == NULL) {
        return;
    }
    end_process(h);
    if (h->path != NULL) {
        remove_quietly(h->dir);
    }
    if (h->log_fd >= 0) {
        close(h->log_fd);
    }
    loop_timer_free(&h->timer);
    vec_done(&h->entries);
    vec_done(&h->accepted);
    free(h->binary);
    free(h->path);
    free(h->dir);
    free(h->url);
    MEM_FREE(*handle);
}

/* The program and a folder for it, on first need. */
static int prepare(struct helper *h, struct errctx *err)
{
    if (h->path != NULL) {
        return 0;
    }
    char *path;
    int rc = helper_child_find(h->binary, &path, err);
    if (rc != 0) {
        return rc;
    }
    if (h->dir == NULL) {
        const char *tmp = getenv("TMPDIR");
        char *made = mem_printf("%s/kvass-discovery-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
        if (mkdtemp(made) == NULL) {
            rc = errctx_set_errno(err, errno, "make a folder %s", made);
            free(made);
            free(path);
            return rc;
        }
        h->dir = made;
    } else {
        rc = files_remove_tree(h->dir, err);
        rc = rc != 0 ? rc : files_make_dirs(h->dir, 0700, err);
    }
    if (rc != 0) {
        free(path);
        return rc;
    }
    h->path = path;
    return 0;
}

/* Does the binary take this entry? Asked once for each that is different. */
static int ask_binary(struct helper *h, const char *key, const struct yaml_node *conf, struct errctx *err)
{
    struct arena *arena = arena_new();
    char *config = mem_printf("%s/check.yml", h->dir), *data = mem_printf("%s/check-data", h->dir);
    struct yaml_node *jobs = yaml_new_sequence(arena);
    struct bytes text;
    bytes_init(&text, CONFIG_BYTES_MAX);
    yaml_append(arena, jobs, job_node(arena, "kvass", key, conf));
    int rc = yaml_write(jobs, &text, err);
    uint64_t hash = hash_view(bytes_view(&text));
    bool is_known = false;
    for (size_t i = 0; i < h->accepted.len; i++) {
        is_known = is_known || h->accepted.items[i] == hash;
    }
    if (rc == 0 && !is_known) {
        rc = write_config(config, arena, jobs, err);
        rc = rc != 0 ? rc : helper_child_check(h->path, config, data, err);
        remove_quietly(config);
        remove_quietly(data);
        if (rc == 0 && h->accepted.len < ACCEPTED_MAX) {
            *vec_push(&h->accepted) = hash;
        }
    }
    bytes_done(&text);
    free(config);
    free(data);
    arena_free(&arena);
    return rc;
}

static void changed(struct helper *h)
{
    h->is_changed = true;
    h->changed_ms = timebase_monotonic_ms();
    loop_timer_start(h->timer, TICK_MS / 2, TICK_MS);
}

int helper_start(struct helper *h, const char *key, const struct yaml_node *conf, const struct discovery_sink *sink,
                 struct discoverer **ret, struct errctx *err)
{
    size_t tail = strlen("_sd_configs"), len = strlen(key);
    int rc = len > tail && h->entries.len < HELPER_ENTRIES_MAX ? prepare(h, err)
                                                               : errctx_set(err, ERR_LIMIT, "too many entries");
    rc = rc != 0 ? rc : ask_binary(h, key, conf, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "the Prometheus that would run it (%s) %s", h->path != NULL ? h->path : h->binary,
                             rc == ERR_INVALID ? "refuses it" : "cannot be used");
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    d->owner = h;
    d->arena = arena_new();
    d->conf = yaml_copy(d->arena, conf);
    d->key = mem_strdup(key);
    d->mechanism = mem_printf("%.*s", (int)(len - tail), key);
    d->pool = mem_printf("kvass-%llu", (unsigned long long)h->next_pool++);
    d->sink = *sink;
    d->seen.discovered = -1;
    *vec_push(&h->entries) = d;
    changed(h);
    *ret = d;
    return 0;
}

static void stop(struct discoverer *d)
{
    struct helper *h = d->owner;
    for (size_t i = 0; i < h->entries.len; i++) {
        if (h->entries.items[i] == d) {
            vec_remove(&h->entries, i);
            break;
        }
    }
    if (d->call != NULL) {
        http_call_cancel(d->call);
    }
    arena_free(&d->arena);
    free(d->key);
    free(d->mechanism);
    free(d->pool);
    free(d);
    changed(h);
}

const struct mechanism mechanism_helper = {.key = "helper", .stop = stop};
