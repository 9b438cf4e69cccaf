/* Bytes per second of cutting a part out of a body, alone and with what goes with it in a scrape: the strict count of
 * the whole before, the count of what is forwarded behind. Bodies and clock as in bench_counter.
 *
 *     bench_part [FILE ...]     without files: a body of 240-byte lines and one of short ones */
#include "base/files.h"
#include "expfmt/part_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS       9
#define ROUND_CLOCKS (CLOCKS_PER_SEC / 30)
#define PIECE_BYTES  16384
#define BODY_BYTES   ((size_t)1 << 22)

struct run {
    struct counter *whole, *part;
    struct part_filter *filter;
    uint64_t forwarded;
};

static void check(int rc, const struct errctx *err)
{
    if (rc != 0) {
        fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

static int on_piece(void *data, const char *base, size_t len, struct errctx *err)
{
    struct run *r = data;
    r->forwarded += len;
    return r->part != NULL ? counter_feed(r->part, base, len, err) : 0;
}

static void run_once(struct run *r, struct view body, unsigned parts)
{
    struct errctx err = ERRCTX_INIT;
    part_filter_start(r->filter, EXPOSITION_TEXT, 0, parts, on_piece, r);
    if (r->whole != NULL) {
        counter_start(r->whole, EXPOSITION_TEXT, NULL);
        counter_start(r->part, EXPOSITION_TEXT, NULL);
    }
    for (size_t at = 0; at < body.len; at += PIECE_BYTES) {
        size_t len = body.len - at < PIECE_BYTES ? body.len - at : PIECE_BYTES;
        if (r->whole != NULL) {
            check(counter_feed(r->whole, body.base + at, len, &err), &err);
        }
        check(part_filter_feed(r->filter, body.base + at, len, &err), &err);
    }
    check(part_filter_finish(r->filter, &err), &err);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rate(struct run *r, struct view body, unsigned parts)
{
    double rates[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        clock_t begin = clock(), now;
        uint64_t bytes = 0;
        do {
            run_once(r, body, parts);
            bytes += body.len;
            now = clock();
        } while (now - begin < ROUND_CLOCKS);
        rates[i] = (double)bytes / ((double)(now - begin) / CLOCKS_PER_SEC) / 1e9;
    }
    qsort(rates, ROUNDS, sizeof(rates[0]), compare_doubles);
    return rates[ROUNDS / 2];
}

static void bench(const char *title, struct view body)
{
    static const unsigned parts_of[] = {2, 8, 64};
    const struct counter_conf conf = {.mode = COUNT_STRICT, .major = PROMETHEUS_2};
    printf("%s: %zu bytes\n", title, body.len);
    for (size_t i = 0; i < sizeof(parts_of) / sizeof(parts_of[0]); i++) {
        struct run alone = {.filter = part_filter_new(PROMETHEUS_2, 0)};
        struct run all = {counter_new(&conf), counter_new(&conf), part_filter_new(PROMETHEUS_2, 0), 0};
        run_once(&alone, body, parts_of[i]);
        double share = (double)alone.forwarded / (double)body.len;
        printf("  %2u parts: filter alone %5.2f GB/s, with both counts %5.2f GB/s, forwards %4.1f %%\n", parts_of[i],
               rate(&alone, body, parts_of[i]), rate(&all, body, parts_of[i]), share * 100);
        part_filter_free(&alone.filter);
        part_filter_free(&all.filter);
        counter_free(&all.whole);
        counter_free(&all.part);
    }
}

static void make_long(struct bytes *b)
{
    for (unsigned i = 0; b->len < BODY_BYTES; i++) {
        if (i % 2000 == 0) {
            bytes_printf(b, "# HELP http_requests_total_%u Requests served, by method, code and path.\n", i / 2000);
            bytes_printf(b, "# TYPE http_requests_total_%u counter\n", i / 2000);
        }
        bytes_printf(b,
                     "http_requests_total_%u{namespace=\"monitoring-%u\",pod=\"frontend-7d9c6b5f4-x%05u\","
                     "container=\"server\",method=\"%s\",code=\"%u\",path=\"/api/v1/resources/items/%u\","
                     "zone=\"eu-central-1b\",version=\"v1.25.%u\"} %u.5\n",
                     i / 2000, i % 7, i, i % 2 != 0 ? "GET" : "POST", 200 + i % 5, i, i % 30, i * 17);
    }
}

static void make_short(struct bytes *b)
{
    for (unsigned i = 0; b->len < BODY_BYTES; i++) {
        bytes_printf(b, "container_cpu_seconds_total{cpu=\"%u\",pod=\"p%05u\"} %u.%02u\n", i % 8, i / 8, i * 31,
                     i % 100);
    }
}

int main(int argc, char **argv)
{
    struct bytes body;
    struct errctx err = ERRCTX_INIT;
    bytes_init(&body, (size_t)256 << 20);
    for (int i = 1; i < argc; i++) {
        bytes_clear(&body);
        check(files_read(argv[i], &body, &err), &err);
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
