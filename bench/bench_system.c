/* See bench_system.h. Nothing here is part of a measurement but the inputs it prepares. */
#include "bench/bench_system.h"
#include "base/intern.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct bench_key {
    uint64_t hash;
    size_t target;
};

uint64_t bench_scatter(uint64_t n)
{
    n *= UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 32;
    n *= UINT64_C(0xd6e8feb86659fd93);
    return n ^ (n >> 32);
}

double bench_share(uint64_t n)
{
    return (double)(bench_scatter(n) >> 11) / 9007199254740992.0;
}

double bench_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int key_compare(const void *a, const void *b)
{
    const struct bench_key *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

void bench_system_init(struct bench_system *s, const uint64_t *sizes, size_t targets, size_t groups)
{
    static const char *const jobs[] = {"node", "cadvisor", "kubelet", "pods"};
    memset(s, 0, sizeof(*s));
    s->in = (struct plan_input){.now_ms = BENCH_NOW_MS, .complete = true, .target_count = targets};
    s->in.targets = mem_calloc(targets + 1, sizeof(*s->in.targets));
    s->owners = mem_calloc(targets * 2 + 1, sizeof(*s->owners));
    s->keys = mem_calloc(targets + 1, sizeof(*s->keys));
    for (size_t i = 0; i < targets; i++) {
        uint64_t hash = bench_scatter(i + 1);
        s->keys[i] = (struct bench_key){hash, i};
        s->in.targets[i] = (struct plan_target){
            .job = intern(jobs[i % 4]),
            .hash = hash,
            .place_key = hash,
            .series = sizes[i],
            .scraped = sizes[i],
            .size_known = true,
            .explored = true,
            .health = TARGET_HEALTH_UP,
            .interval_ms = 15000,
            .want_replicas = 1,
            .zone = "",
            .owners = &s->owners[2 * i],
        };
    }
    qsort(s->keys, targets, sizeof(*s->keys), key_compare);
    plan_limits_default(&s->in.limits);
    s->in.limits.scraped = 0;
    bench_system_resize(s, groups);
}

void bench_system_done(struct bench_system *s)
{
    free(s->in.targets);
    free(s->in.groups);
    free(s->owners);
    free(s->keys);
}

void bench_system_resize(struct bench_system *s, size_t groups)
{
    s->in.groups = mem_realloc(s->in.groups, (groups + 1) * sizeof(*s->in.groups));
    for (size_t i = s->in.group_count; i < groups; i++) {
        s->in.groups[i] = (struct plan_group){
            .id = (uint32_t)i, .health = SHARD_HEALTH_READY, .last_seen_ms = BENCH_NOW_MS, .zone = ""};
    }
    s->in.group_count = groups;
    s->in.desired_groups = (uint32_t)groups;
}

static struct plan_owner *owner_on(struct plan_target *t, int32_t group)
{
    for (uint32_t i = 0; i < t->owner_count; i++) {
        if ((int32_t)t->owners[i].group == group) {
            return &t->owners[i];
        }
    }
    return NULL;
}

static void apply_action(struct plan_target *t, const struct plan_action *a)
{
    if (a->type == PLAN_MOVE_FINISH) {
        *owner_on(t, a->from) = t->owners[t->owner_count - 1];
        t->owner_count--;
        return;
    }
    if (a->type == PLAN_MOVE_START) {
        owner_on(t, a->from)->state = OWNER_IN_TRANSFER;
    }
    invariant((a->type == PLAN_ASSIGN || a->type == PLAN_MOVE_START) && t->owner_count < 2);
    t->owners[t->owner_count++] = (struct plan_owner){.group = (uint32_t)a->to,
                                                      .health = TARGET_HEALTH_UP,
                                                      .scrapes = 9,
                                                      .good_scrapes = 9,
                                                      .since_ms = BENCH_NOW_MS};
}

void bench_system_apply(struct bench_system *s, const struct plan *p, size_t *ret_moves)
{
    size_t moves = 0;
    for (size_t i = 0; i < p->action_count; i++) {
        const struct bench_key key = {p->actions[i].hash, 0};
        const struct bench_key *found = bsearch(&key, s->keys, s->in.target_count, sizeof(*s->keys), key_compare);
        invariant(found != NULL);
        apply_action(&s->in.targets[found->target], &p->actions[i]);
        moves += p->actions[i].type == PLAN_MOVE_START;
    }
    *ret_moves = moves;
}
