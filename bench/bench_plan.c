/* How long a round takes: TARGETS targets on GROUPS groups, cold (nothing is placed) and when nothing changed, and
 * the same with half as many, for the growth of the cost. Prints one line of JSON.
 *
 *     bench/bench_plan [TARGETS [GROUPS]]        default 800000 1000
 *
 * Goals: cold under 1.5 s, unchanged under 0.3 s, twice the targets at most 2.2 times as long. */
#include "base/mem.h"
#include "bench/bench_system.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 5

/* CPU time, the best of some rounds: the machine may be shared, and a plan is made by one thread. */
static double seconds_of_round(const struct bench_system *s, size_t *ret_actions)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double begin = bench_cpu_seconds();
        struct plan *p = plan_build(&s->in);
        double seconds = bench_cpu_seconds() - begin;
        best = seconds < best ? seconds : best;
        *ret_actions = p->action_count;
        plan_free(&p);
    }
    return best;
}

struct times {
    double cold, settled;
    size_t cold_actions, settled_actions;
};

/* Sizes from 300 series on with a long tail (Pareto, exponent 1.2), at most 200,000; groups are full to 94 % of the
 * low mark. */
static struct times measure(size_t targets, size_t groups, bool first_fit)
{
    uint64_t *sizes = mem_calloc(targets, sizeof(*sizes)), total = 0;
    for (size_t i = 0; i < targets; i++) {
        double size = 300 * pow(1 - bench_share(i), -1 / 1.2);
        sizes[i] = size > 200000 ? 200000 : (uint64_t)size;
        total += sizes[i];
    }
    struct bench_system s;
    struct times t;
    size_t moves;
    bench_system_init(&s, sizes, targets, groups);
    s.in.limits.series = (uint64_t)((double)total / (double)groups / 0.75);
    s.in.limits.max_idle_ms = first_fit ? 3600000 : 0;
    t.cold = seconds_of_round(&s, &t.cold_actions);
    struct plan *p = plan_build(&s.in);
    bench_system_apply(&s, p, &moves);
    plan_free(&p);
    t.settled = seconds_of_round(&s, &t.settled_actions);
    bench_system_done(&s);
    free(sizes);
    return t;
}

static void print_mode(const char *name, size_t targets, size_t groups, bool first_fit)
{
    struct times full = measure(targets, groups, first_fit), half = measure(targets / 2, groups, first_fit);
    printf("\"%s\":{\"cold_seconds\":%.3f,\"cold_actions\":%zu,\"settled_seconds\":%.3f,\"settled_actions\":%zu,"
           "\"cold_doubling\":%.2f,\"settled_doubling\":%.2f}",
           name, full.cold, full.cold_actions, full.settled, full.settled_actions, full.cold / half.cold,
           full.settled / half.settled);
}

int main(int argc, char **argv)
{
    size_t targets = argc > 1 ? strtoul(argv[1], NULL, 10) : 800000,
           groups = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    if (targets < 2 || groups == 0) {
        fputs("usage: bench_plan [TARGETS [GROUPS]]\n", stderr);
        return 2;
    }
    printf("{\"targets\":%zu,\"groups\":%zu,", targets, groups);
    print_mode("emptiest", targets, groups, false);
    printf(",");
    print_mode("first_fit", targets, groups, true);
    printf("}\n");
    return 0;
}
