/* Splitting, the decision: see split.h.
 *
 * How many: the fewest parts that all fit below the low mark of the groups there are and may come, taken as empty;
 * where that takes more than is allowed, the fewest that fit below the high mark. More parts when one would be over the
 * high mark, fewer only when they would stay well below the low one for a while: a size that wavers changes nothing.
 * Samples are dealt to parts by a hash, so parts differ; the largest measured one counts, but only up to a quarter
 * above the mean: what is one indivisible lump does not get smaller by more parts, and must not ask for ever more.
 *
 * When: the coming generation is placed as a whole or not at all (plan_gang.c), both run until every entry of the
 * coming one has proved itself, then the running one ends. A take-over that finds no room or no proof for long is given
 * up: nothing may be scraped twice for ever. Nothing waits for a generation that nobody scrapes. */
#include "balancer/split.h"

#include <stdio.h>

#define SHRINK_SHARE    0.5 /* of the low mark: then there is room for them beside those that run */
#define SKEW_MAX        1.25
#define PATIENCE_MS     INT64_C(600000) /* and ten intervals */
#define UNPROVEN_FACTOR 6               /* longer pause after a take-over that was scraped and not proven */

void split_init(struct split *s)
{
    *s = (struct split){.running = 1};
}

/* ---------------------------------------------------------------- how many */

static uint64_t entry_need(const struct split *s, const struct split_facts *f, const struct split_room *room,
                           uint32_t parts, int dim)
{
    double share = (double)f->size.v[dim] / parts, skew = 1;
    if (s != NULL && s->running > 1 && parts > 1 && f->size.v[dim] > 0) {
        skew = (double)f->largest.v[dim] * s->running / (double)f->size.v[dim];
        skew = skew < 1 ? 1 : skew > SKEW_MAX ? SKEW_MAX : skew;
    }
    return (uint64_t)(share * skew + 0.999999) + (dim == DIM_SERIES ? room->overhead : 0);
}

/* How many entries of that need a group holds below the mark, as a share of its limit. */
static uint64_t slots_of(const struct split_room *room, const struct need *limit, const struct need *need, double mark)
{
    uint64_t slots = UINT32_MAX;
    for (int d = 0; d < DIM_COUNT; d++) {
        double room_left = (double)limit->v[d] * mark + 1e-6 - (double)room->base.v[d];
        uint64_t fit = room_left <= 0 ? 0 : need->v[d] == 0 ? UINT32_MAX : (uint64_t)room_left / need->v[d];
        slots = fit < slots ? fit : slots;
    }
    return slots;
}

static bool is_room_for(const struct split *s, const struct split_facts *f, const struct split_room *room,
                        uint32_t parts, double mark)
{
    uint64_t slots = 0;
    struct need need;
    for (int d = 0; d < DIM_COUNT; d++) {
        need.v[d] = entry_need(s, f, room, parts, d);
    }
    for (size_t i = 0; i < room->count && slots < parts; i++) {
        slots += slots_of(room, &room->limits[i], &need, mark);
    }
    if (slots < parts && room->can_add > 0) {
        slots += slots_of(room, &room->fresh, &need, mark) * room->can_add;
    }
    return slots >= parts;
}

bool split_fits_whole(const struct split_room *room, const struct need *size)
{
    const struct split_facts f = {.size = *size};
    return is_room_for(NULL, &f, room, 1, room->high);
}

/* 0 = no number from `least` to the most allowed will do. */
static uint32_t choose(const struct split *s, const struct split_facts *f, const struct split_room *room,
                       uint32_t least)
{
    const double marks[] = {room->low, room->high};
    for (int m = 0; m < 2; m++) {
        for (uint32_t k = least; k <= room->max_parts; k++) {
            if (is_room_for(s, f, room, k, marks[m])) {
                return k;
            }
        }
    }
    return 0;
}

static uint32_t more_parts(struct split *s, const struct split_facts *f, const struct split_room *room)
{
    uint32_t least = s->running < room->max_parts ? s->running + 1 : 2, k;
    s->small_since_ms = 0;
    if (room->why_not != NULL) {
        snprintf(s->reason, sizeof(s->reason), "%s: %.150s", s->running == 1 ? "not split" : "not split further",
                 room->why_not);
        return s->running;
    }
    if ((k = choose(s, f, room, least)) == 0) {
        snprintf(s->reason, sizeof(s->reason),
                 "%s: there is no room for it in %u parts, the most allowed (--split.max-parts)",
                 s->running == 1 ? "not split" : "not split further", room->max_parts);
        return s->running;
    }
    return k;
}

static uint32_t fewer_parts(struct split *s, const struct split_facts *f, const struct split_room *room)
{
    uint32_t k = 1;
    while (k < s->running && !is_room_for(s, f, room, k, room->low * SHRINK_SHARE)) {
        k++;
    }
    if (k == s->running) {
        s->small_since_ms = 0;
        return s->running;
    }
    s->small_since_ms = s->small_since_ms != 0 ? s->small_since_ms : f->now_ms;
    return f->now_ms - s->small_since_ms >= room->calm_ms ? k : s->running;
}

static uint32_t wanted_parts(struct split *s, const struct split_facts *f, const struct split_room *room)
{
    if (s->running > 1 && room->max_parts < 2) {
        return 1;
    }
    if (s->running > room->max_parts || !is_room_for(s, f, room, s->running, room->high)) {
        return more_parts(s, f, room);
    }
    return fewer_parts(s, f, room);
}

/* ---------------------------------------------------------------- when */

static void switch_to(struct split *s, uint32_t generation)
{
    *s = (struct split){.running = generation};
}

static void say_coming(struct split *s)
{
    char from[48] = "the whole target", to[48] = "the whole target";
    if (s->running > 1) {
        snprintf(from, sizeof(from), "%u parts", s->running);
    }
    if (s->coming > 1) {
        snprintf(to, sizeof(to), "%u parts", s->coming);
    }
    snprintf(s->reason, sizeof(s->reason), "%s to take over from %s %s", to, from,
             s->is_placed ? "once proven by good scrapes" : "once there is room for all of it");
}

static void begin(struct split *s, const struct split_facts *f, const struct split_room *room, uint32_t k)
{
    bool is_hopeless = k == 1 && !is_room_for(s, f, room, 1, 1.0); /* splitting was switched off */
    if (!f->running_held || is_hopeless) {
        switch_to(s, k);
    } else if (f->now_ms >= s->retry_ms) {
        s->coming = k;
        s->coming_since_ms = f->now_ms;
        s->is_placed = false;
        say_coming(s);
    }
}

static void give_up(struct split *s, const struct split_facts *f, int64_t patience_ms)
{
    snprintf(s->reason, sizeof(s->reason), "%u %s %s; tried again later", s->coming,
             s->coming == 1 ? "whole target" : "parts", s->is_placed ? "did not prove to be scraped" : "found no room");
    s->retry_ms = f->now_ms + patience_ms * (s->is_placed ? UNPROVEN_FACTOR : 1);
    s->coming = 0;
    s->small_since_ms = 0;
}

static void take_over(struct split *s, const struct split_facts *f, const struct split_room *room)
{
    int64_t patience_ms = PATIENCE_MS + 10 * f->interval_ms;
    if (!f->running_held || f->coming_proven) {
        switch_to(s, s->coming);
        return;
    }
    if (!f->coming_held) { /* nobody has any of it yet: it may still be another one, or none */
        uint32_t k = wanted_parts(s, f, room);
        if (k == s->running) {
            s->coming = 0;
            return;
        }
        s->coming = k;
    }
    if (!is_room_for(s, f, room, s->coming, 1.0)) {
        s->coming = 0; /* it has outgrown this one as well: another one, then */
        return;
    }
    if (f->coming_placed && !s->is_placed) {
        s->is_placed = true;
        s->coming_since_ms = f->now_ms;
    }
    say_coming(s);
    if (f->now_ms - s->coming_since_ms > patience_ms) {
        give_up(s, f, patience_ms);
    }
}

void split_step(struct split *s, const struct split_facts *f, const struct split_room *room)
{
    bool is_pause = s->coming == 0 && f->now_ms < s->retry_ms;
    if (!is_pause) {
        s->reason[0] = '\0'; /* during one, why it was given up stays to be read */
    }
    if (s->coming != 0) {
        take_over(s, f, room);
        return;
    }
    uint32_t k = wanted_parts(s, f, room);
    if (k != s->running) {
        begin(s, f, room, k);
    }
}

/* ---------------------------------------------------------------- after a restart */

static bool is_better(const struct split_found *a, const struct split_found *b)
{
    if (b == NULL || a->complete != b->complete) {
        return b == NULL || a->complete;
    }
    return a->since_ms != b->since_ms ? a->since_ms < b->since_ms : a->parts < b->parts;
}

void split_adopt(struct split *s, const struct split_found *found, size_t count, int64_t now_ms)
{
    const struct split_found *running = NULL, *coming = NULL;
    split_init(s);
    for (size_t i = 0; i < count; i++) {
        running = is_better(&found[i], running) ? &found[i] : running;
    }
    for (size_t i = 0; i < count; i++) {
        if (&found[i] != running && is_better(&found[i], coming)) {
            coming = &found[i];
        }
    }
    s->running = running != NULL ? running->parts : 1;
    if (coming != NULL) {
        s->coming = coming->parts;
        s->coming_since_ms = now_ms;
        say_coming(s);
    }
}

int split_badness(enum ledger_state s)
{
    static const enum ledger_state ORDER[] = {LEDGER_ASSIGNED, LEDGER_IN_TRANSFER, LEDGER_EXPLORING,
                                              LEDGER_PENDING,  LEDGER_UNREACHABLE, LEDGER_TOO_BIG};
    int rank = -1;
    for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++) {
        rank = ORDER[i] == s ? (int)i : rank;
    }
    return rank;
}
