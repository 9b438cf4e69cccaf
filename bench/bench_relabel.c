/* 100,000 discovered pods through the ten rules of the usual kubernetes-pods job: seconds for discovery's build
 * (populate, relabel, validate, hash, sort), and bytes kept per target. Then the simple patterns alone: their fast form
 * against libre2. Figure to hold: under 1 s and under 1 kB.
 *
 *     make bench/bench_relabel && bench/bench_relabel [targets] */
#include "base/intern.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "discovery/target_build.h"
#include "relabel/pattern.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS 5

struct rule_row {
    enum relabel_action action;
    const char *sources[2];
    const char *regex, *target, *replacement;
};

static const struct rule_row RULES[] = {
    {RELABEL_KEEP, {"__meta_kubernetes_pod_annotation_prometheus_io_scrape"}, "true", NULL, NULL},
    {RELABEL_DROP, {"__meta_kubernetes_pod_phase"}, "Pending|Succeeded|Failed|Completed", NULL, NULL},
    {RELABEL_REPLACE, {"__meta_kubernetes_pod_annotation_prometheus_io_scheme"}, "(https?)", "__scheme__", "$1"},
    {RELABEL_REPLACE, {"__meta_kubernetes_pod_annotation_prometheus_io_path"}, "(.+)", "__metrics_path__", "$1"},
    {RELABEL_REPLACE,
     {"__address__", "__meta_kubernetes_pod_annotation_prometheus_io_port"},
     "([^:]+)(?::\\d+)?;(\\d+)",
     "__address__",
     "$1:$2"},
    {RELABEL_LABELMAP, {NULL}, "__meta_kubernetes_pod_label_(.+)", NULL, "$1"},
    {RELABEL_REPLACE, {"__meta_kubernetes_namespace"}, "(.*)", "namespace", "$1"},
    {RELABEL_REPLACE, {"__meta_kubernetes_pod_name"}, "(.*)", "pod", "$1"},
    {RELABEL_DROP, {"__meta_kubernetes_pod_container_name"}, "istio-.*", NULL, NULL},
    {RELABEL_LABELDROP, {NULL}, "pod_template_hash", NULL, NULL},
};
#define RULE_COUNT (sizeof(RULES) / sizeof(RULES[0]))

static struct relabel_rules *compile(void)
{
    struct relabel_spec specs[RULE_COUNT];
    struct view sources[RULE_COUNT][2];
    struct relabel_rules *rules = NULL;
    struct errctx err = ERRCTX_INIT;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct rule_row *r = &RULES[i];
        relabel_spec_init(&specs[i]);
        specs[i].action = r->action;
        specs[i].source_labels = sources[i];
        for (size_t k = 0; k < 2 && r->sources[k] != NULL; k++) {
            sources[i][specs[i].source_label_count++] = view_of(r->sources[k]);
        }
        specs[i].regex = view_of(r->regex);
        if (r->target != NULL) {
            specs[i].target_label = view_of(r->target);
            specs[i].replacement = view_of(r->replacement);
        }
    }
    if (relabel_rules_compile(specs, RULE_COUNT, PROMETHEUS_2, "rules", &rules, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return rules;
}

/* One pod: a group with pod labels and one target, as the kubernetes mechanism makes it. */
static struct target_group *make_pod(struct arena *arena, unsigned n)
{
    struct label own[] = {
        {VIEW("__address__"), view_of(arena_printf(arena, "10.%u.%u.%u:8080", n >> 16, n >> 8 & 255, n & 255))},
        {VIEW("__meta_kubernetes_pod_container_name"), VIEW("app")},
        {VIEW("__meta_kubernetes_pod_container_image"), VIEW("registry.example/team/app:1.2.3")},
        {VIEW("__meta_kubernetes_pod_container_port_number"), VIEW("8080")},
        {VIEW("__meta_kubernetes_pod_container_port_protocol"), VIEW("TCP")},
    };
    struct label common[] = {
        {VIEW("__meta_kubernetes_namespace"), view_of(arena_printf(arena, "team-%u", n % 97))},
        {VIEW("__meta_kubernetes_pod_name"), view_of(arena_printf(arena, "app-%u-6f8d7c9b5-x%u", n % 1000, n))},
        {VIEW("__meta_kubernetes_pod_phase"), VIEW("Running")},
        {VIEW("__meta_kubernetes_pod_ready"), VIEW("true")},
        {VIEW("__meta_kubernetes_pod_node_name"), view_of(arena_printf(arena, "node-%u", n % 3000))},
        {VIEW("__meta_kubernetes_pod_uid"), view_of(arena_printf(arena, "6b1f0c9e-0000-4000-8000-%012u", n))},
        {VIEW("__meta_kubernetes_pod_controller_kind"), VIEW("ReplicaSet")},
        {VIEW("__meta_kubernetes_pod_annotation_prometheus_io_scrape"), VIEW("true")},
        {VIEW("__meta_kubernetes_pod_annotation_prometheus_io_port"), VIEW("9102")},
        {VIEW("__meta_kubernetes_pod_label_app"), view_of(arena_printf(arena, "app-%u", n % 1000))},
        {VIEW("__meta_kubernetes_pod_label_pod_template_hash"), VIEW("6f8d7c9b5")},
    };
    struct labels *target = labels_make(own, sizeof(own) / sizeof(own[0]));
    const char *source = arena_printf(arena, "pod/team-%u/app-%u", n % 97, n);
    return target_group_new(source, labels_make(common, sizeof(common) / sizeof(common[0])), &target, 1);
}

static double match_ns(const char *re, bool allow_fast, bool with_groups, const struct view *texts, size_t count)
{
    struct arena *arena = arena_new();
    struct pattern *p;
    struct errctx err = ERRCTX_INIT;
    struct view groups[2];
    size_t hits = 0;
    if (pattern_compile(arena, view_of(re), PROMETHEUS_2, allow_fast, &p, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    int64_t start_us = timebase_monotonic_us();
    for (size_t round = 0; round < 1000; round++) {
        for (size_t i = 0; i < count; i++) {
            hits += pattern_match(p, texts[i], groups, with_groups ? 2 : 0);
        }
    }
    double ns = (double)(timebase_monotonic_us() - start_us) * 1e3 / (1000.0 * (double)count);
    pattern_free(p);
    arena_free(&arena);
    return hits <= 1000 * count ? ns : 0;
}

static void bench_patterns(void)
{
    static const struct view TEXTS[] = {{"true", 4},           {"istio-proxy", 11},    {"foo", 3},
                                        {"10.1.2.3:8080", 13}, {"team-a/service", 14}, {"bar-7f9c6d5b4-x2x9z", 19}};
    static const struct {
        const char *re;
        bool with_groups;
    } ROWS[] = {{"(.*)", true}, {".+", false}, {"foo", false}, {"foo|bar", false}, {"foo.*", false}, {"(.*):.*", true}};
    printf("%-10s %8s %8s %8s\n", "pattern", "fast ns", "re2 ns", "ratio");
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        double fast = match_ns(ROWS[i].re, true, ROWS[i].with_groups, TEXTS, sizeof(TEXTS) / sizeof(TEXTS[0]));
        double engine = match_ns(ROWS[i].re, false, ROWS[i].with_groups, TEXTS, sizeof(TEXTS) / sizeof(TEXTS[0]));
        printf("%-10s %8.1f %8.1f %8.1f\n", ROWS[i].re, fast, engine, engine / fast);
    }
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    struct target_group **groups = mem_alloc(count * sizeof(struct target_group *));
    struct arena *arena = arena_new();
    for (unsigned i = 0; i < count; i++) {
        groups[i] = make_pod(arena, i);
    }
    arena_free(&arena);
    const struct job_conf job = {.name = intern("pods"),
                                 .interval_ms = 60000,
                                 .timeout_ms = 10000,
                                 .metrics_path = "/metrics",
                                 .scheme = "http"};
    struct relabel_rules *rules = compile();
    double best_s = 1e9;
    for (int run = 0; run < RUNS; run++) {
        struct built_job built;
        size_t before = mallinfo2().uordblks;
        int64_t start_us = timebase_monotonic_us();
        target_build(&job, PROMETHEUS_2, rules, groups, count, &built);
        double seconds = (double)(timebase_monotonic_us() - start_us) / 1e6;
        size_t after = mallinfo2().uordblks;
        best_s = seconds < best_s ? seconds : best_s;
        if (run == 0) {
            printf("%zu good of %zu targets, %zu rules; %.0f bytes kept a target\n", built.good, built.count,
                   RULE_COUNT, (double)(after - before) / (double)built.count);
        }
        built_job_done(&built);
    }
    printf("best of %d: %.3f s, %.2f us a target\n", RUNS, best_s, best_s * 1e6 / count);
    relabel_rules_free(&rules);
    for (unsigned i = 0; i < count; i++) {
        target_group_unref(groups[i]);
    }
    free(groups);
    bench_patterns();
    return 0;
}
