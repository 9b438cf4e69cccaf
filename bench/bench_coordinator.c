/* What a coordinator costs: `kvass coordinator` over simulated sidecars, which answer as ours do and scrape nothing.
 *
 *     bench_coordinator ./kvass [SIDECARS [TARGETS [SECONDS]]]
 *
 * All sidecars, and the exporter behind every target for the first probe, live in this process, on a thread of their
 * own. Told are: the time until every target is placed, then CPU, memory and length of a round of the coordinator at
 * rest, and how long a killed and restarted one takes to read everything and act. Run it by hand; its figures are in
 * docs/scale.md. */
#include "base/files.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "cli/fetch.h"
#include "model/wire.h"
#include "net/curl_loop.h"
#include "net/http_server.h"
#include "net/listener.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY_MAX   ((size_t)64 << 20)
#define SERIES     1 /* what the probe finds, so that nothing moves */
#define WAIT_MS    600000
#define EXPOSITION "# TYPE x gauge\nx 1\n"

struct sidecar {
    struct http_server *http;
    unsigned port;
    uint64_t generation, epoch, config_generation;
    char config_hash[65];
    char *push; /* the last one, as it came */
    VEC(uint64_t) hashes;
    uint32_t scrapes;
};

static struct sidecar *sidecars;
static size_t sidecar_count, target_count;
static unsigned api_port;
static char folder[] = "/tmp/bench_coordinator.XXXXXX";

/* ---- the simulated side ---- */

static void success_begin(struct bytes *body, struct json_writer *w)
{
    bytes_init(body, BODY_MAX);
    json_writer_init(w, body);
    wire_success_begin(w);
}

static void success_end(struct http_exchange *x, struct bytes *body, struct json_writer *w)
{
    wire_success_end(w);
    http_respond(x, 200, "application/json", bytes_view(body));
    bytes_done(body);
}

static void get_info(struct http_exchange *x, void *data)
{
    const struct sidecar *s = data;
    struct bytes body;
    struct json_writer w;
    struct shard_info info = {
        .health = SHARD_HEALTH_READY,
        .head_series = s->hashes.len * SERIES,
        .process_series = s->hashes.len * SERIES,
        .generation = s->generation,
        .epoch = s->epoch,
        .config_generation = s->config_generation,
    };
    memcpy(info.config_hash, s->config_hash, sizeof(info.config_hash));
    success_begin(&body, &w);
    wire_write_runtimeinfo(&w, &info);
    success_end(x, &body, &w);
}

static void get_statuses(struct http_exchange *x, void *data)
{
    struct sidecar *s = data;
    struct bytes body;
    struct json_writer w;
    struct target_status status = {
        .health = TARGET_HEALTH_UP,
        .last_scrape_ms = timebase_realtime_ms(),
        .last_duration_us = 12345,
        .series = SERIES,
        .scraped = SERIES,
        .scrapes = ++s->scrapes,
        .good_scrapes = s->scrapes,
    };
    success_begin(&body, &w);
    json_object_begin(&w);
    vec_foreach(hash, &s->hashes) {
        json_key_u64(&w, *hash);
        wire_write_status(&w, ASSIGNMENT_ASSIGNED, &status);
    }
    json_object_end(&w);
    success_end(x, &body, &w);
}

static void get_targets(struct http_exchange *x, void *data)
{
    struct sidecar *s = data;
    struct bytes body;
    struct json_writer w;
    success_begin(&body, &w);
    json_raw(&w, view_of(s->push != NULL ? s->push : "{\"Targets\":{}}"));
    success_end(x, &body, &w);
}

static void done(struct http_exchange *x)
{
    http_respond(x, 200, "application/json", VIEW("{\"status\":\"success\"}"));
}

static void post_targets(struct http_exchange *x, void *data)
{
    struct sidecar *s = data;
    struct view body = http_body(x);
    struct assignment *items = NULL;
    size_t count = 0;
    json_t *root = wire_parse(body, BODY_MAX, NULL);
    if (root == NULL || wire_read_targets(root, &items, &count, NULL) != 0) {
        http_respond(x, 400, "application/json", VIEW("{}"));
        return;
    }
    free(s->push);
    s->push = mem_dup(body.base, body.len);
    vec_clear(&s->hashes);
    for (size_t i = 0; i < count; i++) {
        *vec_push(&s->hashes) = items[i].target->hash;
    }
    (void)wire_u64(json_object_get(root, "generation"), &s->generation);
    (void)wire_u64(json_object_get(root, "epoch"), &s->epoch);
    wire_targets_free(items, count);
    json_decref(root);
    done(x);
}

static void post_config(struct http_exchange *x, void *data)
{
    struct sidecar *s = data;
    json_t *root = wire_parse(http_body(x), BODY_MAX, NULL);
    (void)wire_u64(json_object_get(root, "generation"), &s->config_generation);
    snprintf(s->config_hash, sizeof(s->config_hash), "told-%llu", (unsigned long long)s->config_generation);
    json_decref(root);
    done(x);
}

static void get_extra(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond(x, 200, "application/json", VIEW("{\"status\":\"success\",\"data\":{\"json\":\"{}\"}}"));
}

static void get_metrics(struct http_exchange *x, void *data)
{
    (void)data;
    http_respond(x, 200, "text/plain; version=0.0.4", VIEW(EXPOSITION));
}

static const struct http_row ROWS[] = {
    {"GET", "/api/v1/shard/runtimeinfo", get_info},
    {"GET", "/api/v1/shard/targets/status", get_statuses},
    {"GET", "/api/v1/shard/targets", get_targets},
    {"POST", "/api/v1/shard/targets", post_targets},
    {"POST", "/api/v1/status/config", post_config},
    {"GET", "/api/v1/status/extra_config", get_extra},
    {"GET", "/metrics/*", get_metrics},
    {NULL, NULL, NULL},
};

static void *serve(void *data)
{
    loop_run(data);
    return NULL;
}

static int listen_anywhere(void)
{
    struct errctx err = ERRCTX_INIT;
    bool inherited;
    int fd;
    if (listener_open("127.0.0.1:0", "bench", &fd, &inherited, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return fd;
}

static void start_sidecars(void)
{
    struct loop *loop = loop_new();
    pthread_t thread;
    const struct http_server_conf conf = {.connections_max = 2048};
    sidecars = mem_calloc(sidecar_count, sizeof(*sidecars));
    for (size_t i = 0; i < sidecar_count; i++) {
        struct errctx err = ERRCTX_INIT;
        int fd = listen_anywhere();
        sidecars[i].port = listener_port(fd);
        if (http_server_new(loop, fd, &conf, ROWS, &sidecars[i], &sidecars[i].http, &err) != 0) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    }
    invariant(pthread_create(&thread, NULL, serve, loop) == 0);
    int fd = listen_anywhere(); /* the coordinator's, which takes it later */
    api_port = listener_port(fd);
    close(fd);
}

/* ---- files ---- */

static void put(const char *name, struct bytes *text)
{
    char *path = mem_printf("%s/%s", folder, name);
    invariant(files_write_atomic(path, bytes_view(text), 0600, (gid_t)-1, NULL) == 0);
    bytes_done(text);
    free(path);
}

static void write_files(void)
{
    struct bytes text;
    bytes_init(&text, BODY_MAX);
    bytes_append_str(&text, "replicas:\n- shards:\n");
    for (size_t i = 0; i < sidecar_count; i++) {
        bytes_printf(&text, "  - {id: s-%zu, url: 'http://127.0.0.1:%u'}\n", i, sidecars[i].port);
    }
    put("shards.yaml", &text);
    bytes_init(&text, BODY_MAX);
    bytes_append_str(&text, "[");
    for (size_t i = 0; i < target_count; i++) {
        bytes_printf(
            &text,
            "%s{\"targets\":[\"127.0.0.1:%u\"],\"labels\":{\"__metrics_path__\":\"/metrics/%zu\",\"pod\":\"app-%zu\","
            "\"namespace\":\"team-%zu\",\"node\":\"node-%zu\"}}",
            i > 0 ? "," : "", sidecars[i % sidecar_count].port, i, i, i % 97, i % 1000);
    }
    bytes_append_str(&text, "]");
    put("targets.json", &text);
    bytes_init(&text, BODY_MAX);
    bytes_printf(
        &text,
        "scrape_configs:\n- job_name: app\n  scrape_interval: 15s\n  file_sd_configs: [{files: ['%s/targets.json']}]\n"
        "  relabel_configs: [{source_labels: [pod], target_label: instance}]\n",
        folder);
    put("prometheus.yml", &text);
}

/* ---- the coordinator ---- */

static pid_t start_coordinator(const char *kvass)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *shards = mem_printf("--shard.static-file=%s/shards.yaml", folder);
        char *config = mem_printf("--config.file=%s/prometheus.yml", folder);
        char *log = mem_printf("%s/log", folder), *address = mem_printf("--web.address=127.0.0.1:%u", api_port);
        if (freopen(log, "a", stderr) != NULL) {
            execl(kvass, kvass, "coordinator", "--shard.type=static", shards, config, address,
                  "--shard.max-series=750000", "--explore.concurrence=1000", "--log.level=warn", NULL);
        }
        _exit(127);
    }
    return pid;
}

static double number_at(const char *path, const char *before)
{
    struct bytes body;
    struct errctx err = ERRCTX_INIT;
    char *url = mem_printf("http://127.0.0.1:%u%s", api_port, path);
    double value = -1;
    if (fetch(NULL, url, NULL, &body, &err) == 0) {
        const char *found = strstr(bytes_view(&body).base, before);
        value = found != NULL ? strtod(found + strlen(before), NULL) : -1;
    }
    bytes_done(&body);
    free(url);
    return value;
}

static double wait_until(const char *what, const char *path, const char *before, double want)
{
    int64_t begin_ms = timebase_monotonic_ms();
    while (number_at(path, before) < want) {
        if (waitpid(-1, NULL, WNOHANG) > 0) {
            fprintf(stderr, "the coordinator ended; %s/log says why\n", folder);
            exit(1);
        }
        if (timebase_monotonic_ms() - begin_ms > WAIT_MS) {
            fprintf(stderr, "waited in vain for %s\n", what);
            exit(1);
        }
        usleep(50000);
    }
    return (double)(timebase_monotonic_ms() - begin_ms) / 1000;
}

static double cpu_seconds(pid_t pid)
{
    char path[64], text[1024], *p;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f != NULL && fgets(text, sizeof(text), f) != NULL && (p = strrchr(text, ')')) != NULL) {
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    }
    if (f != NULL) {
        fclose(f);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double memory_mb(pid_t pid)
{
    char path[64], line[256];
    double mb = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            mb = strtod(line + 6, NULL) / 1024;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return mb;
}

static void measure_rest(pid_t pid, unsigned seconds)
{
    static const char COUNT[] = "\nkvass_balancer_round_duration_seconds_count ";
    static const char SUM[] = "\nkvass_balancer_round_duration_seconds_sum ";
    double rounds = number_at("/metrics", COUNT), sum = number_at("/metrics", SUM), cpu = cpu_seconds(pid);
    int64_t begin_ms = timebase_monotonic_ms();
    usleep(seconds * 1000000u);
    double wall = (double)(timebase_monotonic_ms() - begin_ms) / 1000;
    rounds = number_at("/metrics", COUNT) - rounds;
    sum = number_at("/metrics", SUM) - sum;
    cpu = cpu_seconds(pid) - cpu;
    printf(
        "at rest: %.0f rounds in %.0f s, %.1f ms a round, CPU %.2f s a round (%.1f %% of one core), memory %.0f MB\n",
        rounds, wall, rounds > 0 ? sum / rounds * 1000 : 0, rounds > 0 ? cpu / rounds : 0, cpu / wall * 100,
        memory_mb(pid));
}

int main(int argc, char **argv)
{
    const char *kvass = argc > 1 ? argv[1] : "./kvass";
    sidecar_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 200;
    target_count = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 30;
    if (sidecar_count == 0 || sidecar_count > 2000 || mkdtemp(folder) == NULL) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    curl_net_init();
    start_sidecars();
    write_files();
    printf("%zu sidecars, %zu targets, interval 10 s\n", sidecar_count, target_count);
    pid_t pid = start_coordinator(kvass);
    double placed = wait_until("all targets to be placed", "/api/v1/ledger", "\"assigned\":", (double)target_count);
    printf("first start: every target probed and placed after %.1f s, CPU %.1f s\n", placed, cpu_seconds(pid));
    usleep(12000000);
    measure_rest(pid, seconds);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pid = start_coordinator(kvass);
    double acting = wait_until("it to act again", "/api/v1/ledger", "\"assigned\":", (double)target_count);
    printf("restart: everything read and taken over after %.1f s, CPU %.1f s, memory %.0f MB\n", acting,
           cpu_seconds(pid), memory_mb(pid));
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    (void)!files_remove_tree(folder, NULL);
    return 0;
}
