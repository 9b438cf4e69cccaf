/* Bytes per second of counting, beside a bare memchr scan for line feeds over the same bytes in the same run: every way is run in
 * turn, round by round, and the median of the rounds is printed, so that a noisy machine hits all alike.
 *
 *     bench_counter [FILE ...]     without files: a body of 240-byte lines and one as node-exporter writes them */
#include "base/files.h"
#include "expfmt/counter_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 15
#define ROUND_CLOCKS (CLOCKS_PER_SEC / 60)
#define PIECE_BYTES 16384
#define BODY_BYTES ((size_t)1 << 20)
#define WAYS_MAX 16

struct way {
    char name[48];
    struct counter *counter; /* NULL: the memchr scan */
    double rates[ROUNDS];
};

static uint64_t count_feeds(struct view body)
{
    uint64_t lines = 0;
    const char *p = body.base, *end = body.base + body.len;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lines++;
        p++;
    }
    return lines;
}

static uint64_t run_once(struct way *w, struct view body)
{
    struct counter_result result;
    struct errctx err = ERRCTX_INIT;
    if (w->counter == NULL) {
        return count_feeds(body);
    }
    counter_start(w->counter, EXPOSITION_TEXT, NULL);
    for (size_t at = 0; at < body.len; at += PIECE_BYTES) {
        size_t len = body.len - at < PIECE_BYTES ? body.len - at : PIECE_BYTES;
        if (counter_feed(w->counter, body.base + at, len, &err) != 0) {
            break;
        }
    }
    if (counter_finish(w->counter, &result, &err) != 0) {
        fprintf(stderr, "%s: %s\n", w->name, err.msg);
        exit(1);
    }
    return result.scraped;
}

static double rate(struct way *w, struct view body)
{
    clock_t begin = clock(), now; /* processor time: neighbours on the machine do not count */
    uint64_t bytes = 0, sum = 0;
    do {
        sum += run_once(w, body);
        bytes += body.len;
        now = clock();
    } while (now - begin < ROUND_CLOCKS);
    if (sum == 0) {
        fprintf(stderr, "%s: nothing counted\n", w->name);
        exit(1);
    }
    return (double)bytes / ((double)(now - begin) / CLOCKS_PER_SEC) / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(struct way *w)
{
    qsort(w->rates, ROUNDS, sizeof(w->rates[0]), compare_doubles);
    return w->rates[ROUNDS / 2];
}

static struct relabel_rules *rules_make(const char *label, const char *regex)
{
    struct relabel_spec spec;
    struct relabel_rules *rules;
    struct errctx err = ERRCTX_INIT;
    struct view source = view_of(label);
    relabel_spec_init(&spec);
    spec.action = RELABEL_DROP;
    spec.source_labels = &source;
    spec.source_label_count = 1;
    spec.has_source_labels = spec.has_regex = true;
    spec.regex = view_of(regex);
    if (relabel_rules_compile(&spec, 1, PROMETHEUS_2, "bench", &rules, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return rules;
}

static void way_add(struct way *ways, size_t *count, const char *name, const struct counter_conf *conf)
{
    struct way *w = &ways[(*count)++];
    snprintf(w->name, sizeof(w->name), "%s", name);
    w->counter = conf != NULL ? counter_new(conf) : NULL;
}

static size_t ways_make(struct way *ways, const struct relabel_rules *by_name, const struct relabel_rules *by_label)
{
    size_t count = 0;
    struct scan_variant variants[4];
    size_t variant_count = scan_variants(variants);
    struct counter_conf conf = {.mode = COUNT_FAST, .major = PROMETHEUS_2};
    way_add(ways, &count, "memchr", NULL);
    for (size_t i = 0; i < variant_count; i++) {
        char name[48];
        snprintf(name, sizeof(name), "fast %s", variants[i].name);
        way_add(ways, &count, name, &conf);
        counter_set_scan(ways[count - 1].counter, variants[i].count);
    }
    conf.by_family = true;
    way_add(ways, &count, "fast, by family", &conf);
    conf = (struct counter_conf){.mode = COUNT_STRICT, .major = PROMETHEUS_2};
    for (size_t i = 0; i < variant_count; i++) {
        char name[48];
        snprintf(name, sizeof(name), "strict %s", variants[i].strict != NULL ? variants[i].name : "careful");
        way_add(ways, &count, name, &conf);
        counter_set_scan(ways[count - 1].counter, variants[i].strict);
    }
    conf.by_family = true;
    way_add(ways, &count, "strict, by family", &conf);
    conf.by_family = false;
    conf.metric_relabel = by_name;
    way_add(ways, &count, "strict, drop rule on name", &conf);
    conf.metric_relabel = by_label;
    way_add(ways, &count, "strict, drop rule on label", &conf);
    return count;
}

static void bench(const char *title, struct view body)
{
    static struct way ways[WAYS_MAX];
    struct relabel_rules *by_name = rules_make("__name__", "go_gc_.*|nothing_.+"),
                         *by_label = rules_make("method", "PUT|PATCH");
    size_t count = ways_make(ways, by_name, by_label);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            ways[i].rates[round] = rate(&ways[i], body);
        }
    }
    double peer = median(&ways[0]);
    printf("%s: %zu bytes, %.0f a line\n", title, body.len, (double)body.len / (double)count_feeds(body));
    for (size_t i = 0; i < count; i++) {
        double m = median(&ways[i]);
        printf("  %-28s %7.2f GB/s   %5.2f x memchr\n", ways[i].name, m, m / peer);
        counter_free(&ways[i].counter);
    }
    relabel_rules_free(&by_name);
    relabel_rules_free(&by_label);
}

static void make_long(struct bytes *b)
{
    for (unsigned i = 0; b->len < BODY_BYTES; i++) {
        if (i % 200 == 0) {
            bytes_printf(b, "# HELP http_requests_total_%u Requests served, by method, code and path.\n", i / 200);
            bytes_printf(b, "# TYPE http_requests_total_%u counter\n", i / 200);
        }
        bytes_printf(
            b,
            "http_requests_total_%u{namespace=\"monitoring-%u\",pod=\"frontend-7d9c6b5f4-x%05u\",container=\"server\","
            "method=\"%s\",code=\"%u\",path=\"/api/v1/resources/items/"
            "%u\",zone=\"eu-central-1b\",version=\"v1.25.%u\"} %u.5\n",
            i / 200, i % 7, i, i % 2 != 0 ? "GET" : "POST", 200 + i % 5, i, i % 30, i * 17);
    }
}

static void make_short(struct bytes *b)
{
    static const char *const modes[] = {"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"};
    for (unsigned i = 0; b->len < BODY_BYTES; i++) {
        bytes_printf(b, "# HELP node_memory_Field%u_bytes Memory information field Field%u_bytes.\n", i, i);
        bytes_printf(b, "# TYPE node_memory_Field%u_bytes gauge\nnode_memory_Field%u_bytes %u.2345e+09\n", i, i,
                     i % 9 + 1);
        bytes_printf(b, "# HELP node_cpu%u_seconds_total Seconds the CPUs spent in each mode.\n", i);
        bytes_printf(b, "# TYPE node_cpu%u_seconds_total counter\n", i);
        for (unsigned k = 0; k < 16; k++) {
            bytes_printf(b, "node_cpu%u_seconds_total{cpu=\"%u\",mode=\"%s\"} %u.%02u\n", i, k / 8, modes[k % 8],
                         i * 31 + k, i % 100);
        }
    }
}

int main(int argc, char **argv)
{
    struct bytes body;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&body, (size_t)64 << 20);
    for (int i = 1; i < argc; i++) {
        bytes_clear(&body);
        if (files_read(argv[i], &body, &err) != 0) {
            fprintf(stderr, "%s\n", err.msg);
            return 1;
        }
        bench(argv[i], bytes_view(&body));
    }
    if (argc == 1) {
        make_long(&body);
        bench("long labels", bytes_view(&body));
        bytes_clear(&body);
        make_short(&body);
        bench("short lines", bytes_view(&body));
    }
    bytes_done(&body);
    return 0;
}
