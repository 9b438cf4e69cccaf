/* The simulated world: see world.h. Time moves in rounds. In each, shards come up, targets are scraped by whoever
 * holds them, sizes are learnt, and then the plan is made from what a coordinator could know: the wish, and what the
 * shards that answer report. A shard that does not answer keeps doing what it was told last. */
#include "balancer/world.h"

#include "base/hash.h"

#define EXPLORE_ATTEMPTS 3

void world_conf_default(struct world_conf *conf)
{
    *conf = (struct world_conf){
        .round_ms = 10000,
        .start_ms = 30000,
        .explore_ms = 5000,
        .vanish_grace_ms = 180000,
        .head_ms = INT64_C(2) * 3600 * 1000,
    };
    plan_limits_default(&conf->limits);
}

void world_init(struct world *w, const struct world_conf *conf)
{
    memset(w, 0, sizeof(*w));
    w->conf = *conf;
    w->now_ms = INT64_C(1700000000000);
    w->discovered = true;
}

static void target_free(struct world_target *t)
{
    vec_done(&t->owners);
    free(t);
}

static void shard_free(struct world_shard *s)
{
    vec_done(&s->left);
    free(s);
}

void world_done(struct world *w)
{
    vec_foreach(t, &w->targets) {
        target_free(*t);
    }
    vec_foreach(s, &w->shards) {
        shard_free(*s);
    }
    vec_done(&w->targets);
    vec_done(&w->shards);
    vec_done(&w->plan_targets);
    plan_free(&w->plan);
}

void world_reset_figures(struct world *w)
{
    w->figures = (struct world_figures){.shards_max = w->desired};
}

/* ---- targets and shards ---- */

struct world_target *world_add_target(struct world *w, const char *job, uint32_t index, uint32_t generation,
                                      uint64_t series)
{
    struct world_target *t = mem_calloc(1, sizeof(*t));
    t->job = job;
    t->index = index;
    t->place_key = hash_pair(hash_view(view_of(job)), index);
    t->hash = hash_pair(t->place_key, generation + 1);
    t->series = series;
    t->scraped = series;
    t->interval_ms = 15000;
    t->found_ms = w->now_ms;
    t->want_replicas = 1;
    t->zone = "";
    *vec_push(&w->targets) = t;
    return t;
}

struct world_target *world_find_target(const struct world *w, const char *job, uint32_t index)
{
    struct world_target *found = NULL;
    vec_foreach(t, &w->targets) {
        if ((*t)->parts == 0 && (*t)->index == index && strcmp((*t)->job, job) == 0 &&
            (found == NULL || (*t)->vanished_ms == 0)) {
            found = *t;
        }
    }
    return found;
}

struct world_shard *world_find_shard(const struct world *w, uint32_t id)
{
    if (id < w->shards.len && w->shards.items[id]->id == id) {
        return w->shards.items[id];
    }
    return NULL;
}

void world_set_shards(struct world *w, uint32_t count, bool at_once)
{
    while (w->shards.len < count) {
        struct world_shard *s = mem_calloc(1, sizeof(*s));
        s->id = (uint32_t)w->shards.len;
        s->ready_at_ms = w->now_ms + (at_once ? 0 : w->conf.start_ms);
        s->zone = "";
        *vec_push(&w->shards) = s;
    }
    while (w->shards.len > count) {
        shard_free(w->shards.items[--w->shards.len]);
    }
    w->desired = count;
    w->figures.shards_max = count > w->figures.shards_max ? count : w->figures.shards_max;
}

static bool is_running(const struct world *w, const struct world_shard *s)
{
    return s != NULL && (s->mode == WORLD_SHARD_ALIVE || s->mode == WORLD_SHARD_PARTITIONED) &&
           s->ready_at_ms <= w->now_ms;
}

bool world_is_answering(const struct world *w, const struct world_shard *s)
{
    return s != NULL && s->mode == WORLD_SHARD_ALIVE && s->ready_at_ms <= w->now_ms;
}

void world_set_mode(struct world *w, struct world_shard *s, enum world_shard_mode mode)
{
    if (s->mode != WORLD_SHARD_PARTITIONED && mode == WORLD_SHARD_ALIVE && s->mode != WORLD_SHARD_ALIVE) {
        s->ready_at_ms = w->now_ms + w->conf.start_ms;
        vec_foreach(t, &w->targets) {
            vec_foreach(o, &(*t)->owners) {
                if (o->shard == s->id) {
                    o->scrapes = o->good_scrapes = 0;
                }
            }
        }
    }
    s->mode = mode;
}

void world_restart_coordinator(struct world *w, int64_t read_after_ms)
{
    w->read_from_ms = w->now_ms + read_after_ms;
    vec_foreach(s, &w->shards) {
        (*s)->read = false;
        (*s)->last_seen_ms = 0;
    }
    vec_foreach(t, &w->targets) {
        vec_foreach(o, &(*t)->owners) {
            o->dropped = o->dropped || !world_is_answering(w, world_find_shard(w, o->shard));
        }
    }
    world_split_restart(w);
}

/* ---- time passes ---- */

static void leave_head(struct world *w, const struct world_owner *o)
{
    struct world_shard *s = world_find_shard(w, o->shard);
    if (s != NULL && o->in_head > 0) {
        *vec_push(&s->left) = (struct world_left){w->now_ms, o->in_head};
    }
}

static void drop_owner(struct world *w, struct world_target *t, uint32_t shard)
{
    for (size_t i = 0; i < t->owners.len; i++) {
        struct world_owner *o = &t->owners.items[i];
        if (o->shard != shard) {
            continue;
        }
        struct world_shard *s = world_find_shard(w, shard);
        if (s != NULL && !world_is_answering(w, s)) {
            o->dropped = true;
        } else {
            leave_head(w, o);
            vec_remove(&t->owners, i);
        }
        return;
    }
}

/* Shards that answer again learn what was taken from them; owners on shards that are no more are gone. */
static void tell_dropped(struct world *w, struct world_target *t)
{
    for (size_t i = t->owners.len; i-- > 0;) {
        struct world_owner *o = &t->owners.items[i];
        struct world_shard *s = world_find_shard(w, o->shard);
        if (s == NULL || (o->dropped && world_is_answering(w, s) && s->read)) {
            leave_head(w, o);
            vec_remove(&t->owners, i);
        }
    }
}

static void scrape(struct world *w, struct world_target *t, struct world_owner *o)
{
    struct world_shard *s = world_find_shard(w, o->shard);
    if (!is_running(w, s)) {
        return;
    }
    int64_t before_ms = w->now_ms - w->conf.round_ms - o->since_ms, after_ms = w->now_ms - o->since_ms;
    int64_t count = after_ms / t->interval_ms - (before_ms > 0 ? before_ms / t->interval_ms : 0);
    if (count <= 0) {
        return;
    }
    o->scrapes += (uint32_t)count;
    o->health = t->down ? TARGET_HEALTH_DOWN : TARGET_HEALTH_UP;
    if (!t->down) {
        o->good_scrapes += (uint32_t)count;
        if (t->series >= o->in_head || w->now_ms - o->peak_ms > w->conf.head_ms) {
            o->in_head = t->series;
            o->peak_ms = w->now_ms;
        }
        t->known_series = t->series;
        t->known_scraped = t->scraped;
        t->size_known = true;
        if (t->whole != NULL) { /* the proxy counts the whole body, too */
            t->whole->known_series = t->whole->series;
            t->whole->known_scraped = t->whole->scraped;
            t->whole->size_known = true;
        }
    }
}

static void explore(const struct world *w, struct world_target *t)
{
    int64_t needed_ms = w->conf.explore_ms * (t->down ? EXPLORE_ATTEMPTS : 1);
    t->explored = w->now_ms - t->found_ms >= needed_ms;
    if (t->explored && !t->down) {
        t->known_series = t->series;
        t->known_scraped = t->scraped;
        t->size_known = true;
    }
}

/* What of the whole a part forwards. */
static uint64_t share_of(uint64_t size, const struct world_target *t)
{
    return size / t->parts + (t->part < size % t->parts);
}

/* Among those that count: discovered, measured, and not scraped by parts instead; of parts, the running ones. */
static void count_holders(struct world *w, const struct world_target *t, uint32_t holders)
{
    if (t->forgotten || t->vanished_ms != 0 || !world_is_planned(t)) {
        return;
    }
    bool is_coming = t->whole != NULL && t->parts != t->whole->split.running;
    if (is_coming || (t->is_giant && t->split.running != 1)) {
        w->doubled += holders > 0;
    } else if ((t->explored || t->size_known) && t->state != LEDGER_TOO_BIG) {
        w->unowned += holders == 0;
        w->doubled += t->want_replicas != PLAN_EVERY_GROUP && holders > t->want_replicas;
    }
}

static void pass_target(struct world *w, struct world_target *t)
{
    double hours = (double)w->conf.round_ms / 3600000.0;
    if (t->growth_per_hour > 0 || t->growth_per_hour < 0) {
        t->series = (uint64_t)((double)t->series * (1 + t->growth_per_hour * hours) + 0.5);
        t->scraped = t->series;
    }
    if (t->whole != NULL) {
        t->series = share_of(t->whole->series, t);
        t->scraped = share_of(t->whole->scraped, t);
        t->down = t->whole->down;
    }
    tell_dropped(w, t);
    if (t->owners.len == 0 && !t->explored && t->vanished_ms == 0) {
        explore(w, t);
    }
    uint32_t holders = 0;
    vec_foreach(o, &t->owners) {
        scrape(w, t, o);
        struct world_shard *s = world_find_shard(w, o->shard);
        if (is_running(w, s)) {
            uint64_t shared = world_split_shared(w, t, o->shard);
            s->active += t->down || t->series < shared ? 0 : t->series - shared;
            s->in_head += o->in_head > shared ? o->in_head - shared : 0;
            s->scraped += t->down ? 0 : t->scraped;
            holders++;
        }
    }
    count_holders(w, t, holders);
}

static uint64_t sum_left(struct world *w, struct world_shard *s)
{
    uint64_t sum = 0;
    while (s->left.len > 0 && w->now_ms - s->left.items[0].at_ms > w->conf.head_ms) {
        vec_remove(&s->left, 0);
    }
    vec_foreach(l, &s->left) {
        sum += l->series;
    }
    return sum;
}

static void pass_time(struct world *w)
{
    w->now_ms += w->conf.round_ms;
    w->unowned = w->doubled = w->overloaded = 0;
    vec_foreach(s, &w->shards) {
        (*s)->active = (*s)->scraped = (*s)->in_head = 0;
    }
    vec_foreach(t, &w->targets) {
        pass_target(w, *t);
    }
    vec_foreach(p, &w->shards) {
        struct world_shard *s = *p;
        uint64_t limit = s->capacity_series != 0 ? s->capacity_series : w->conf.limits.series;
        w->overloaded += limit != 0 && s->active > limit;
        if (world_is_answering(w, s) && w->now_ms >= w->read_from_ms) {
            s->last_seen_ms = w->now_ms;
            s->read = true;
        }
    }
    double seconds = (double)w->conf.round_ms / 1000;
    w->figures.unowned_seconds += w->unowned * seconds;
    w->figures.double_seconds += w->doubled * seconds;
    w->figures.overload_seconds += w->overloaded * seconds;
}

/* ---- facts ---- */

static enum shard_health health_of(const struct world *w, const struct world_shard *s)
{
    if (world_is_answering(w, s)) {
        return s->read ? SHARD_HEALTH_READY : SHARD_HEALTH_UNKNOWN;
    }
    if (s->mode == WORLD_SHARD_ALIVE) {
        return SHARD_HEALTH_STARTING;
    }
    return s->read ? SHARD_HEALTH_UNREACHABLE : SHARD_HEALTH_UNKNOWN;
}

static void freeze_shard(struct world *w, struct world_shard *s, struct plan_group *ret)
{
    *ret = (struct plan_group){
        .id = s->id,
        .health = health_of(w, s),
        .capacity_series = s->capacity_series,
        .capacity_scraped = s->capacity_scraped,
        .left_series = sum_left(w, s),
        .last_seen_ms = s->last_seen_ms,
        .idle_since_ms = s->idle_since_ms,
        .zone = s->zone,
    };
    ret->head_series = s->in_head + ret->left_series + s->extra_head;
}

static void freeze_target(const struct world *w, struct arena *arena, struct world_target *t, struct plan_target *ret)
{
    *ret = (struct plan_target){
        .job = t->job,
        .hash = t->hash,
        .place_key = t->place_key,
        .series = t->known_series,
        .scraped = t->known_scraped,
        .size_known = t->size_known,
        .explored = t->explored,
        .vanished = t->vanished_ms != 0,
        .gone = t->vanished_ms != 0 && w->now_ms - t->vanished_ms > w->conf.vanish_grace_ms,
        .health = t->down ? TARGET_HEALTH_DOWN : TARGET_HEALTH_UP,
        .interval_ms = t->interval_ms,
        .last_move_ms = t->last_move_ms,
        .want_replicas = t->want_replicas,
        .zone = t->zone,
    };
    world_split_freeze(w, arena, t, ret);
    ret->owners = arena_alloc(arena, (t->owners.len + 1) * sizeof(*ret->owners));
    vec_foreach(o, &t->owners) {
        if (!o->dropped) {
            ret->owners[ret->owner_count++] = (struct plan_owner){
                .group = o->shard,
                .state = o->state,
                .health = o->health,
                .scrapes = o->scrapes,
                .good_scrapes = o->good_scrapes,
                .since_ms = o->since_ms,
            };
        }
    }
}

bool world_is_complete(const struct world *w)
{
    bool complete = w->discovered;
    vec_foreach(s, &w->shards) {
        complete = complete && ((*s)->read || !world_is_answering(w, *s));
    }
    return complete;
}

void world_snapshot(struct world *w, struct arena *arena, struct plan_input *ret)
{
    *ret = (struct plan_input){
        .now_ms = w->now_ms,
        .limits = w->conf.limits,
        .desired_groups = w->desired,
        .complete = world_is_complete(w),
    };
    ret->groups = arena_alloc(arena, (w->shards.len + 1) * sizeof(*ret->groups));
    vec_foreach(s, &w->shards) {
        freeze_shard(w, *s, &ret->groups[ret->group_count++]);
    }
    ret->targets = arena_alloc(arena, (w->targets.len + 1) * sizeof(*ret->targets));
    vec_clear(&w->plan_targets);
    for (size_t i = 0; i < w->targets.len; i++) {
        if (w->targets.items[i]->forgotten || !world_is_planned(w->targets.items[i])) {
            continue;
        }
        freeze_target(w, arena, w->targets.items[i], &ret->targets[ret->target_count++]);
        *vec_push(&w->plan_targets) = i;
    }
}

/* ---- a plan takes effect ---- */

static struct world_owner *find_owner(struct world_target *t, int32_t shard)
{
    vec_foreach(o, &t->owners) {
        if (!o->dropped && (int32_t)o->shard == shard) {
            return o;
        }
    }
    return NULL;
}

static void set_owner(struct world *w, struct world_target *t, int32_t shard, enum owner_state state)
{
    struct world_owner *o = find_owner(t, shard);
    if (o == NULL) {
        o = vec_push(&t->owners);
        o->shard = (uint32_t)shard;
        o->since_ms = w->now_ms;
    }
    o->state = state;
}

void world_forget_target(struct world *w, struct world_target *t)
{
    for (size_t i = t->owners.len; i-- > 0;) {
        drop_owner(w, t, t->owners.items[i].shard);
    }
    t->forgotten = true;
    for (size_t i = 0; t->is_giant && i < w->targets.len; i++) { /* its parts go with it */
        struct world_target *p = w->targets.items[i];
        if (p->whole == t && !p->forgotten) {
            world_forget_target(w, p);
        }
    }
}

static void apply_action(struct world *w, struct world_target *t, const struct plan_action *a)
{
    struct world_figures *f = &w->figures;
    switch (a->type) {
    case PLAN_ASSIGN:
        set_owner(w, t, a->to, OWNER_ASSIGNED);
        f->assigns++;
        break;
    case PLAN_MOVE_START:
        set_owner(w, t, a->from, OWNER_IN_TRANSFER);
        set_owner(w, t, a->to, OWNER_ASSIGNED);
        t->last_move_ms = w->now_ms;
        f->moves++;
        break;
    case PLAN_MOVE_FINISH:
        drop_owner(w, t, (uint32_t)a->from);
        f->finished++;
        break;
    case PLAN_MOVE_UNDO:
        if (a->to >= 0) {
            drop_owner(w, t, (uint32_t)a->to);
        }
        set_owner(w, t, a->from, OWNER_ASSIGNED);
        f->undone++;
        break;
    case PLAN_FORGET:
        world_forget_target(w, t);
        f->forgotten++;
        break;
    }
}

struct by_key {
    const char *job;
    uint64_t hash;
    size_t target;
};

static int by_key_compare(const void *a, const void *b)
{
    const struct by_key *x = a, *y = b;
    int c = x->job == y->job ? 0 : strcmp(x->job, y->job);
    return c != 0 ? c : (x->hash > y->hash) - (x->hash < y->hash);
}

static void apply_actions(struct world *w, const struct plan_input *in)
{
    if (w->plan->action_count == 0) {
        return;
    }
    struct by_key *keys = mem_calloc(in->target_count + 1, sizeof(*keys));
    for (size_t i = 0; i < in->target_count; i++) {
        keys[i] = (struct by_key){in->targets[i].job, in->targets[i].hash, i};
    }
    qsort(keys, in->target_count, sizeof(*keys), by_key_compare);
    for (size_t i = 0; i < w->plan->action_count; i++) {
        const struct plan_action *a = &w->plan->actions[i];
        const struct by_key key = {a->job, a->hash, 0};
        const struct by_key *found = bsearch(&key, keys, in->target_count, sizeof(*keys), by_key_compare);
        invariant(found != NULL);
        apply_action(w, w->targets.items[w->plan_targets.items[found->target]], a);
    }
    free(keys);
}

static void forget_gone(struct world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->targets.len; i++) {
        struct world_target *t = w->targets.items[i];
        if (t->forgotten && t->owners.len == 0) {
            for (size_t k = 0; t->had_parts && k < w->targets.len; k++) {
                struct world_target *p = k < kept || k > i ? w->targets.items[k] : t;
                p->whole = p->whole == t ? NULL : p->whole;
            }
            target_free(t);
        } else {
            w->targets.items[kept++] = t;
        }
    }
    w->targets.len = kept;
}

static void note_idle(struct world *w)
{
    vec_foreach(p, &w->shards) {
        struct world_shard *s = *p;
        if (w->plan->loads[s->id].targets > 0) {
            s->idle_since_ms = 0;
        } else if (s->idle_since_ms == 0) {
            s->idle_since_ms = w->now_ms;
        }
    }
}

void world_step(struct world *w)
{
    struct arena *arena = arena_new();
    struct plan_input in;
    plan_free(&w->plan);
    forget_gone(w);
    pass_time(w);
    world_split(w);
    world_snapshot(w, arena, &in);
    w->plan = plan_build(&in);
    for (size_t i = 0; i < in.target_count; i++) {
        struct world_target *t = w->targets.items[w->plan_targets.items[i]];
        t->state = w->plan->target_states[i];
        t->reason = w->plan->target_reasons[i];
    }
    world_split_states(w);
    note_idle(w);
    apply_actions(w, &in);
    if (w->plan->wanted_groups != w->desired) {
        world_set_shards(w, w->plan->wanted_groups, false);
    }
    w->figures.rounds++;
    arena_free(&arena);
}
