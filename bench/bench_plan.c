/* How long a round takes: TARGETS targets on GROUPS groups, cold (nothing is placed) and when nothing changed, and the same with half as many,
 * for the growth of the cost. Prints one line of JSON.
 *
 *     bench/bench_plan [TARGETS [GROUPS]]        default 800000 1000
 *
 * Goals: cold under 1.5 s, unchanged under 0.3 s, twice the targets at most 2.2 times as long. */
#include "balancer/plan.h"
#include "base/intern.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define ROUNDS 5
#define NOW    INT64_C(1700000000000)

struct system {
    struct plan_input in;
    struct plan_owner *owners;

};

static uint64_t scatter(uint64_t n)
{
    n *= UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 32;
    n *= UINT64_C(0xd6e8feb86659fd93);
    return n ^ (n >> 32);
}

/* Sizes from 300 series on with a long tail (Pareto, exponent 1.2), at most 200,000: mean about 1,500. */
static uint64_t size_of(uint64_t n)
{
    double u = (double)(scatter(n) >> 11) / 9007199254740992.0;
    double size = 300 * pow(1 - u, -1 / 1.2);
    return size > 200000 ? 200000 : (uint64_t)size;
}

static struct system *system_make(size_t targets, size_t groups, bool first_fit)
{
    struct system *s = mem_calloc(1, sizeof(*s));
    static const char *const jobs[] = {"node", "cadvisor", "kubelet", "pods"};
    uint64_t total = 0;
    s->in = (struct plan_input){.now_ms = NOW, .desired_groups = (uint32_t)groups, .complete = true};
    s->in.targets = mem_calloc(targets, sizeof(*s->in.targets));
    s->in.groups = mem_calloc(groups, sizeof(*s->in.groups));
    s->owners = mem_calloc(targets, sizeof(*s->owners));
    s->in.target_count = targets;
    s->in.group_count = groups;
    for (size_t i = 0; i < targets; i++) {
        uint64_t size = size_of(i);
        total += size;
        s->in.targets[i] = (struct plan_target){
            .job = intern(jobs[i % 4]), .hash = scatter(i + 1), .place_key = scatter(i + 1), .series = size, .scraped = size,
            .size_known = true, .explored = true, .health = TARGET_HEALTH_UP, .interval_ms = 15000, .want_replicas = 1,
            .zone = "", .owners = &s->owners[i],
        };
    }
    for (size_t i = 0; i < groups; i++) {
        s->in.groups[i] = (struct plan_group){.id = (uint32_t)i, .health = SHARD_HEALTH_READY, .last_seen_ms = NOW, .zone = ""};
    }
    plan_limits_default(&s->in.limits);
    s->in.limits.scraped = 0;
    s->in.limits.series = (uint64_t)((double)total / (double)groups / 0.75); /* full to 94 % of the low mark */
    s->in.limits.max_idle_ms = first_fit ? 3600000 : 0;
    return s;
}

static void system_free(struct system *s)
{
    free(s->in.targets);
    free(s->in.groups);
    free(s->owners);

    free(s);
}

struct by_hash {
    uint64_t hash;
    size_t target;
};

static int by_hash_compare(const void *a, const void *b)
{
    const struct by_hash *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static void system_apply(struct system *s, const struct plan *p)
{
    struct by_hash *keys = mem_calloc(s->in.target_count + 1, sizeof(*keys));
    for (size_t i = 0; i < s->in.target_count; i++) {
        keys[i] = (struct by_hash){s->in.targets[i].hash, i};
    }
    qsort(keys, s->in.target_count, sizeof(*keys), by_hash_compare);
    for (size_t i = 0; i < p->action_count; i++) {
        const struct by_hash key = {p->actions[i].hash, 0};
        const struct by_hash *found = bsearch(&key, keys, s->in.target_count, sizeof(*keys), by_hash_compare);
        struct plan_target *t = &s->in.targets[found->target];
        t->owners[0] = (struct plan_owner){
            .group = (uint32_t)p->actions[i].to, .health = TARGET_HEALTH_UP, .scrapes = 9, .good_scrapes = 9, .since_ms = NOW};
        t->owner_count = 1;
    }
    for (size_t i = 0; i < s->in.group_count; i++) {
        s->in.groups[i].head_series = p->loads[i].series;
    }
    free(keys);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* CPU time, the best of some rounds: the machine may be shared, and a plan is made by one thread. */
static double seconds_of_round(const struct system *s, int rounds, size_t *ret_actions)
{
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        double begin = cpu_seconds();
        struct plan *p = plan_build(&s->in);
        double seconds = cpu_seconds() - begin;
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

static struct times measure(size_t targets, size_t groups, bool first_fit)
{
    struct system *s = system_make(targets, groups, first_fit);
    struct times t;
    t.cold = seconds_of_round(s, ROUNDS, &t.cold_actions);
    struct plan *p = plan_build(&s->in);
    system_apply(s, p);
    plan_free(&p);
    t.settled = seconds_of_round(s, ROUNDS, &t.settled_actions);
    system_free(s);
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
    size_t targets = argc > 1 ? strtoul(argv[1], NULL, 10) : 800000, groups = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
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
