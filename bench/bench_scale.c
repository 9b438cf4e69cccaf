/* Placing by measured load against placing by hash, on the same skewed load: shards needed, fullest against mean, and
 * how many targets move when everything grows by a tenth. Prints the table of docs/scale.md.
 *
 *     bench/bench_scale [NODES [LARGEST]]        default 50000 (16 targets and 100,000 series a node) and 1250000
 * (series of the largest target)
 *
 * Every scheme must keep every shard at or below the high mark (0.85 of the limit). The hash schemes are given the
 * smallest number of shards that does, found by search, which is more than an operator could do: they cannot see it
 * coming. */
#include "base/mem.h"
#include "bench/bench_system.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT         UINT64_C(5000000)
#define PER_NODE      16
#define NODE_SERIES   100000.0
#define RING_POINTS   128 /* of each shard on the ring */
#define ROUNDS_MAX    2000
#define MOVES_A_ROUND 5000

/* ---- the load ---- */

/* Three targets of every node are of the platform (node exporter, kubelet, cAdvisor: alike on every node, the last
 * one large), the others are applications with a long tail (Pareto, exponent 1.16: a fifth of them has four fifths of
 * the series). */
static uint64_t *make_sizes(size_t nodes, double largest)
{
    size_t targets = nodes * PER_NODE;
    uint64_t *sizes = mem_calloc(targets, sizeof(*sizes));
    double total = 0;
    for (size_t i = 0; i < targets; i++) {
        static const double platform[] = {1200, 3500, 18000};
        double size = i % PER_NODE < 3 ? platform[i % PER_NODE] * (0.7 + 0.6 * bench_share(i + 7))
                                       : 900 * pow(1 - bench_share(i), -1 / 1.16);
        sizes[i] = (uint64_t)(size > largest ? largest : size);
        total += (double)sizes[i];
    }
    for (int pass = 0; pass < 20; pass++) { /* to the wanted sum, the largest staying where it is */
        double factor = NODE_SERIES * (double)nodes / total;
        total = 0;
        for (size_t i = 0; i < targets; i++) {
            double size = (double)sizes[i] * factor;
            sizes[i] = (uint64_t)(size > largest ? largest : size);
            total += (double)sizes[i];
        }
    }
    return sizes;
}

/* A tenth more series: of every target between none and a fifth. */
static void grow(uint64_t *sizes, size_t targets)
{
    for (size_t i = 0; i < targets; i++) {
        sizes[i] += (uint64_t)((double)sizes[i] * 0.2 * bench_share(i + 1000003));
    }
}

/* ---- schemes by hash ---- */

struct point {
    uint64_t at;
    uint32_t shard;
};

struct scheme {
    const char *name;
    void (*place)(const uint64_t *hashes, size_t targets, uint32_t shards, uint32_t *ret_shard);
};

static void place_by_mod(const uint64_t *hashes, size_t targets, uint32_t shards, uint32_t *ret_shard)
{
    for (size_t i = 0; i < targets; i++) {
        ret_shard[i] = (uint32_t)(hashes[i] % shards);
    }
}

static int point_compare(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void place_on_ring(const uint64_t *hashes, size_t targets, uint32_t shards, uint32_t *ret_shard)
{
    size_t count = (size_t)shards * RING_POINTS;
    struct point *ring = mem_calloc(count, sizeof(*ring));
    for (size_t i = 0; i < count; i++) {
        ring[i] =
            (struct point){bench_scatter(bench_scatter(i + 1) ^ UINT64_C(0xabcdef)), (uint32_t)(i / RING_POINTS)};
    }
    qsort(ring, count, sizeof(*ring), point_compare);
    for (size_t i = 0; i < targets; i++) {
        size_t lo = 0, hi = count;
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;
            if (ring[mid].at < hashes[i]) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        ret_shard[i] = ring[lo == count ? 0 : lo].shard;
    }
    free(ring);
}

struct balance {
    double most, mean;
};

static struct balance balance_of(const uint64_t *sizes, const uint32_t *shard, size_t targets, uint32_t shards)
{
    uint64_t *loads = mem_calloc(shards, sizeof(*loads));
    struct balance b = {0, 0};
    for (size_t i = 0; i < targets; i++) {
        loads[shard[i]] += sizes[i];
    }
    for (uint32_t i = 0; i < shards; i++) {
        b.most = (double)loads[i] > b.most ? (double)loads[i] : b.most;
        b.mean += (double)loads[i] / shards;
    }
    free(loads);
    return b;
}

/* The smallest number of shards, in steps of one hundredth, that keeps every shard below the high mark. */
static uint32_t shards_needed(const struct scheme *s, const uint64_t *sizes, const uint64_t *hashes, size_t targets,
                              uint32_t from, uint32_t *shard)
{
    uint32_t shards = from;
    for (;;) {
        s->place(hashes, targets, shards, shard);
        if (balance_of(sizes, shard, targets, shards).most <= 0.85 * (double)LIMIT) {
            return shards;
        }
        shards += shards / 100 + 1;
    }
}

/* ---- kvass ---- */

struct settled {
    uint32_t shards, rounds;
    size_t moves;
    struct balance balance;
};

/* Rounds until nothing is left to do; groups are ready as soon as they are wanted. */
static struct settled settle(struct bench_system *s)
{
    struct settled out = {0};
    for (bool busy = true; busy && out.rounds < ROUNDS_MAX; out.rounds++) {
        struct plan *p = plan_build(&s->in);
        size_t moves;
        busy = p->action_count > 0 || p->wanted_groups != s->in.desired_groups;
        bench_system_apply(s, p, &moves);
        out.moves += moves;
        bench_system_resize(s, p->wanted_groups);
        plan_free(&p);
    }
    out.shards = s->in.desired_groups;
    uint32_t *shard = mem_calloc(s->in.target_count, sizeof(*shard));
    uint64_t *sizes = mem_calloc(s->in.target_count, sizeof(*sizes));
    for (size_t i = 0; i < s->in.target_count; i++) {
        shard[i] = s->in.targets[i].owners[0].group;
        sizes[i] = s->in.targets[i].series;
    }
    out.balance = balance_of(sizes, shard, s->in.target_count, out.shards);
    free(shard);
    free(sizes);
    return out;
}

/* ---- the table ---- */

static void print_row(const char *name, uint32_t before, struct balance b, uint32_t after, struct balance a,
                      size_t moves, size_t targets)
{
    printf("| %s | %u | %.2f | %.0f %% | %u | %.2f | %zu (%.1f %%) |\n", name, before, b.most / b.mean,
           100 * b.mean / (double)LIMIT, after, a.most / a.mean, moves, 100.0 * (double)moves / (double)targets);
}

static void run_hash(const struct scheme *s, const uint64_t *sizes, const uint64_t *grown, const uint64_t *hashes,
                     size_t targets, uint32_t least)
{
    uint32_t *first = mem_calloc(targets, sizeof(*first)), *second = mem_calloc(targets, sizeof(*second));
    uint32_t before = shards_needed(s, sizes, hashes, targets, least, first);
    struct balance b = balance_of(sizes, first, targets, before);
    uint32_t after = shards_needed(s, grown, hashes, targets, before, second);
    struct balance a = balance_of(grown, second, targets, after);
    size_t moves = 0;
    for (size_t i = 0; i < targets; i++) {
        moves += first[i] != second[i];
    }
    print_row(s->name, before, b, after, a, moves, targets);
    free(first);
    free(second);
}

static uint32_t run_kvass(const char *name, const uint64_t *sizes, const uint64_t *grown, size_t targets,
                          bool first_fit)
{
    struct bench_system s;
    bench_system_init(&s, sizes, targets, 0);
    s.in.limits.series = LIMIT;
    s.in.limits.max_idle_ms = first_fit ? 3600000 : 0;
    s.in.limits.moves_per_round = MOVES_A_ROUND;
    struct settled before = settle(&s);
    for (size_t i = 0; i < targets; i++) {
        s.in.targets[i].series = s.in.targets[i].scraped = grown[i];
    }
    struct settled after = settle(&s);
    print_row(name, before.shards, before.balance, after.shards, after.balance, after.moves, targets);
    bench_system_done(&s);
    return before.shards;
}

int main(int argc, char **argv)
{
    size_t nodes = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000, targets = nodes * PER_NODE;
    double largest = argc > 2 ? strtod(argv[2], NULL) : 1250000;
    if (nodes == 0 || largest < NODE_SERIES) {
        fputs("usage: bench_scale [NODES [LARGEST, from 100000 on]]\n", stderr);
        return 2;
    }
    uint64_t *sizes = make_sizes(nodes, largest), *grown = mem_dup(sizes, targets * sizeof(*sizes)),
             *hashes = mem_calloc(targets, sizeof(*hashes));
    grow(grown, targets);
    uint64_t total = 0;
    for (size_t i = 0; i < targets; i++) {
        hashes[i] = bench_scatter(bench_scatter(i + 1));
        total += sizes[i];
    }
    const struct scheme mod = {"hash modulo shards", place_by_mod},
                        ring = {"consistent hashing, 128 points a shard", place_on_ring};
    printf("%zu nodes, %zu targets, %.2f billion series, the largest target %.0f, ", nodes, targets,
           (double)total / 1e9, largest);
    printf("limit %.1f million series a shard\n\n", (double)LIMIT / 1e6);
    puts("| scheme | shards | fullest / mean | mean fill | shards at +10 % | fullest / mean | moved by the growth |");
    puts("|---|---|---|---|---|---|---|");
    run_kvass("kvass, emptiest shard", sizes, grown, targets, false);
    run_kvass("kvass, first fit (scale-down on)", sizes, grown, targets, true);
    uint32_t least = (uint32_t)((double)total / (0.85 * (double)LIMIT)) + 1;
    run_hash(&mod, sizes, grown, hashes, targets, least);
    run_hash(&ring, sizes, grown, hashes, targets, least);
    free(sizes);
    free(grown);
    free(hashes);
    return 0;
}
