/* The watch cache and the role pod on a real API server with many pods: time and memory. Run by bench_kubernetes.py,
 * which puts the pods there; prints one line of JSON for each of:
 *
 *     bench/bench_kubernetes KUBECONFIG watch      the packed objects alone
 *     bench/bench_kubernetes KUBECONFIG discover   with the target groups made of them, as a job keeps them */
#include "base/log.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "discovery/provider.h"
#include "k8s/sd.h"
#include "net/curl_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct bench {
    struct loop *loop;
    struct http_client *http;
    struct k8s_watcher *watcher;
    size_t objects, targets;
    int64_t began_ms;
};

/* A row of /proc/self/status in MiB; ru_maxrss would be that of whoever started us. */
static double memory_mib(const char *row)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, row, strlen(row)) == 0) {
            kib = strtod(line + strlen(row), NULL);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib / 1024;
}

static void show(struct bench *b, const char *what)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"what\": \"%s\", \"objects\": %zu, \"targets\": %zu, \"seconds\": %.2f, \"cpu_seconds\": %.2f, "
           "\"resident_mib\": %.1f, \"peak_mib\": %.1f}\n",
           what, b->objects, b->targets, (double)(timebase_monotonic_ms() - b->began_ms) / 1000,
           (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6,
           memory_mib("VmRSS:"), memory_mib("VmHWM:"));
    fflush(stdout);
}

static void on_synced(void *data)
{
    struct bench *b = data;
    b->objects = k8s_watcher_count(b->watcher);
    show(b, "watch");
    loop_stop(b->loop);
}

static void on_change(void *data, enum k8s_change change, const struct k8s_object *before,
                      const struct k8s_object *now)
{
    (void)data;
    (void)change;
    (void)before;
    (void)now;
}

static int run_watch(struct bench *b, const char *kubeconfig, struct errctx *err)
{
    struct k8s_client *c;
    int rc = k8s_client_kubeconfig(b->loop, b->http, kubeconfig, NULL, &c, err);
    if (rc != 0) {
        return rc;
    }
    const struct k8s_watch_spec spec = {.resource = &K8S_PODS, .schema = SD_POD_SCHEMA};
    const struct k8s_watch_events events = {on_synced, on_change, NULL, b};
    b->watcher = k8s_watch_open(c, &spec, &events);
    loop_run(b->loop);
    k8s_watch_close(&b->watcher);
    k8s_client_unref(c);
    return 0;
}

static void on_answer(void *data)
{
    loop_stop(((struct bench *)data)->loop);
}

static int run_discover(struct bench *b, const char *kubeconfig, struct errctx *err)
{
    char *text = mem_printf("scrape_configs: [{job_name: p, kubernetes_sd_configs: [{role: pod, kubeconfig_file: '%s'}]}]",
                            kubeconfig);
    const struct promconf_options opts = {.major = PROMETHEUS_3};
    struct promconf *conf = NULL;
    struct provider *p = NULL;
    int rc = promconf_parse("bench.yml", view_of(text), &opts, &conf, err);
    if (rc == 0) {
        const struct discovery_env env = {b->loop, b->http, ".", "p", PROMETHEUS_3};
        rc = provider_new(&env, conf, &conf->jobs[0], &conf->jobs[0].sd[0], &p, err);
    }
    if (rc == 0) {
        p->on_change = on_answer;
        p->data = b;
        while (!p->has_answered) {
            loop_run(b->loop);
        }
        size_t it = 0;
        for (struct target_group *g; (g = hashmap_next(&p->groups, &it)) != NULL;) {
            b->targets += g->count;
        }
        b->objects = p->groups.len;
        show(b, "discover");
        provider_free(p);
    }
    promconf_unref(conf);
    free(text);
    return rc;
}

int main(int argc, char **argv)
{
    struct errctx err = ERRCTX_INIT;
    if (argc != 3) {
        fputs("usage: bench_kubernetes KUBECONFIG watch|discover\n", stderr);
        return 2;
    }
    curl_net_init();
    mechanism_register(&mechanism_kubernetes);
    struct bench b = {.loop = loop_new(), .began_ms = timebase_monotonic_ms()};
    b.http = http_client_new(b.loop);
    int rc = strcmp(argv[2], "watch") == 0 ? run_watch(&b, argv[1], &err) : run_discover(&b, argv[1], &err);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.msg);
    }
    http_client_free(&b.http);
    loop_free(&b.loop);
    return rc != 0;
}
