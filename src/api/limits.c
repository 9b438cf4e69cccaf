/* The planner's limits as the options say them: see limits.h. */
#include "api/limits.h"

void limits_from_options(const struct options *o, struct plan_limits *ret)
{
    plan_limits_default(ret);
    ret->series = (uint64_t)o->shard_max_head_series;
    ret->scraped = (uint64_t)o->shard_max_process_series;
    ret->low = o->balance_low_mark;
    ret->high = o->balance_high_mark;
    ret->even_out_threshold = o->balance_even_out;
    ret->zone_imbalance = o->balance_zone_imbalance;
    ret->moves_per_round = (uint32_t)o->move_budget;
    ret->move_scrapes = (uint32_t)o->move_scrapes;
    ret->move_cool_down_ms = o->move_cool_down_ms;
    ret->min_groups = (uint32_t)o->shard_min_shard;
    if (o->role == ROLE_APPLIANCE && ret->min_groups == 0) {
        ret->min_groups = 1; /* its first shard need not wait for the first plan */
    }
    ret->max_groups = (uint32_t)o->shard_max_shard;
    ret->max_idle_ms = o->shard_max_idle_time_ms;
    ret->failover_grace_ms = o->shard_failover_grace_ms;
    ret->relieve = !o->shard_disable_alleviate;
    ret->max_parts = (uint32_t)o->split_max_parts;
}
