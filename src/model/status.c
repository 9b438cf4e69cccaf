/* Target status and the words of the small enums.
 *
 * The load the balancer plans with is the mean of the last three good scrapes: one odd scrape must not move a target,
 * and a failed scrape says nothing about size. What a failed scrape must never do is forget the last known size. */
#include "model/status.h"
#include "base/invariant.h"
#include "model/assignment.h"
#include "model/ledger.h"
#include "model/scrape_record.h"
#include "model/shard_info.h"

#include <string.h>

#define HISTORY_MAX (sizeof(((struct target_status *)0)->history) / sizeof(uint64_t))

static uint64_t history_mean(const struct target_status *s)
{
    uint64_t mean = 0, rest = 0;
    for (uint32_t i = 0; i < s->history_len; i++) {
        mean += s->history[i] / s->history_len;
        rest += s->history[i] % s->history_len;
    }
    return mean + rest / s->history_len;
}

static void apply_good(struct target_status *s, const struct scrape_record *r)
{
    memmove(&s->history[1], &s->history[0], (HISTORY_MAX - 1) * sizeof(s->history[0]));
    s->history[0] = r->series;
    s->history_len += s->history_len < HISTORY_MAX;
    s->series = history_mean(s);
    s->scraped = r->scraped;
    s->whole_series = r->whole_series;
    s->whole_scraped = r->whole_scraped;
    s->good_scrapes += s->good_scrapes < UINT32_MAX;
    s->error[0] = '\0';
}

void target_status_apply(struct target_status *s, const struct scrape_record *r)
{
    s->health = r->health;
    s->last_scrape_ms = r->started_ms;
    s->last_duration_us = r->duration_us;
    s->scrapes += s->scrapes < UINT32_MAX;
    if (r->health == TARGET_HEALTH_UP) {
        apply_good(s, r);
        return;
    }
    memcpy(s->error, r->error, sizeof(s->error));
    s->error[sizeof(s->error) - 1] = '\0';
}

const char *target_health_name(enum target_health health)
{
    static const char *const NAMES[] = {"unknown", "up", "down"};
    invariant((size_t)health < sizeof(NAMES) / sizeof(NAMES[0]));
    return NAMES[health];
}

const char *assignment_state_wire(enum assignment_state s)
{
    static const char *const NAMES[] = {"", "in_transfer", "leaving"};
    invariant((size_t)s < sizeof(NAMES) / sizeof(NAMES[0]));
    return NAMES[s];
}

const char *shard_health_name(enum shard_health h)
{
    static const char *const NAMES[] = {"unknown", "starting", "ready", "unreachable"};
    invariant((size_t)h < sizeof(NAMES) / sizeof(NAMES[0]));
    return NAMES[h];
}

static const char *const LEDGER_NAMES[LEDGER_STATE_COUNT] = {
    [LEDGER_EXPLORING] = "exploring",     [LEDGER_PENDING] = "pending",       [LEDGER_ASSIGNED] = "assigned",
    [LEDGER_IN_TRANSFER] = "in_transfer", [LEDGER_LEAVING] = "leaving",       [LEDGER_UNREACHABLE] = "unreachable",
    [LEDGER_TOO_BIG] = "too_big",         [LEDGER_OVER_LIMIT] = "over_limit", [LEDGER_DUPLICATE] = "duplicate",
    [LEDGER_INVALID] = "invalid",         [LEDGER_DROPPED] = "dropped",
};

const char *ledger_state_name(enum ledger_state s)
{
    invariant((size_t)s < LEDGER_STATE_COUNT);
    return LEDGER_NAMES[s];
}

int ledger_state_parse(struct view name)
{
    for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
        if (view_is(name, LEDGER_NAMES[i])) {
            return i;
        }
    }
    return -1;
}
