/* The writing half of the plan's JSON (plan_json.h): inputs, for replaying a round of a running daemon, and plans.
 * Every value that plan_input_read would not take for granted is written, so that reading gives the same input back.
 */
#include "balancer/plan_json.h"

#include <stdio.h>

static void write_hash(struct json_writer *w, const char *key, uint64_t hash)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)hash);
    json_kv_str(w, key, text);
}

static void write_limits(struct json_writer *w, const struct plan_limits *l)
{
    json_key(w, "limits");
    json_object_begin(w);
    json_kv_u64(w, "series", l->series);
    json_kv_u64(w, "scraped", l->scraped);
    json_kv_double(w, "low", l->low);
    json_kv_double(w, "high", l->high);
    json_kv_u64(w, "per_target_overhead", l->per_target_overhead);
    json_kv_u64(w, "moves_per_round", l->moves_per_round);
    json_kv_u64(w, "min", l->min_groups);
    json_kv_u64(w, "max", l->max_groups);
    json_kv_u64(w, "move_scrapes", l->move_scrapes);
    json_kv_i64(w, "failover_grace_ms", l->failover_grace_ms);
    json_kv_i64(w, "max_idle_ms", l->max_idle_ms);
    json_kv_i64(w, "move_cool_down_ms", l->move_cool_down_ms);
    json_kv_u64(w, "failover_per_round", l->failover_per_round);
    json_kv_double(w, "even_out_threshold", l->even_out_threshold);
    json_kv_double(w, "zone_imbalance", l->zone_imbalance);
    json_kv_bool(w, "relieve", l->relieve);
    json_object_end(w);
}

static void write_group(struct json_writer *w, const struct plan_group *g)
{
    json_object_begin(w);
    json_kv_u64(w, "id", g->id);
    json_kv_str(w, "health", shard_health_name(g->health));
    json_kv_u64(w, "capacity", g->capacity_series);
    json_kv_u64(w, "capacity_scraped", g->capacity_scraped);
    json_kv_u64(w, "head_series", g->head_series);
    json_kv_u64(w, "left_series", g->left_series);
    json_kv_i64(w, "last_seen_ms", g->last_seen_ms);
    json_kv_i64(w, "idle_since_ms", g->idle_since_ms);
    json_kv_str(w, "zone", g->zone != NULL ? g->zone : "");
    json_object_end(w);
}

static void write_owner(struct json_writer *w, const struct plan_owner *o)
{
    static const char *const states[] = {"assigned", "in_transfer", "leaving"};
    json_object_begin(w);
    json_kv_u64(w, "group", o->group);
    json_kv_str(w, "state", states[o->state]);
    json_kv_str(w, "health", target_health_name(o->health));
    json_kv_u64(w, "scrapes", o->scrapes);
    json_kv_u64(w, "good_scrapes", o->good_scrapes);
    json_kv_i64(w, "since_ms", o->since_ms);
    json_object_end(w);
}

static void write_target(struct json_writer *w, const struct plan_target *t)
{
    json_object_begin(w);
    json_kv_str(w, "job", t->job);
    write_hash(w, "hash", t->hash);
    write_hash(w, "place_key", t->place_key);
    json_kv_u64(w, "series", t->series);
    json_kv_u64(w, "scraped", t->scraped);
    json_kv_bool(w, "size_known", t->size_known);
    json_kv_bool(w, "explored", t->explored);
    json_kv_bool(w, "gone", t->gone);
    json_kv_bool(w, "vanished", t->vanished);
    json_kv_str(w, "health", target_health_name(t->health));
    json_kv_i64(w, "interval_ms", t->interval_ms);
    json_kv_i64(w, "last_move_ms", t->last_move_ms);
    if (t->want_replicas == PLAN_EVERY_GROUP) {
        json_kv_str(w, "replicas", "every");
    } else {
        json_kv_u64(w, "replicas", t->want_replicas);
    }
    json_kv_str(w, "zone", t->zone != NULL ? t->zone : "");
    json_key(w, "owners");
    json_array_begin(w);
    for (uint32_t i = 0; i < t->owner_count; i++) {
        write_owner(w, &t->owners[i]);
    }
    json_array_end(w);
    json_object_end(w);
}

void plan_input_write(struct json_writer *w, const struct plan_input *in)
{
    json_object_begin(w);
    json_kv_u64(w, "version", 1);
    json_kv_i64(w, "now_ms", in->now_ms);
    write_limits(w, &in->limits);
    json_kv_u64(w, "desired_groups", in->desired_groups);
    json_kv_bool(w, "complete", in->complete);
    json_key(w, "groups");
    json_array_begin(w);
    for (size_t i = 0; i < in->group_count; i++) {
        write_group(w, &in->groups[i]);
    }
    json_array_end(w);
    json_key(w, "targets");
    json_array_begin(w);
    for (size_t i = 0; i < in->target_count; i++) {
        write_target(w, &in->targets[i]);
    }
    json_array_end(w);
    json_object_end(w);
}

/* ---- plans ---- */

static void write_place(struct json_writer *w, const char *key, int32_t group)
{
    json_key(w, key);
    if (group >= 0) {
        json_i64(w, group);
    } else {
        json_null_value(w);
    }
}

static void write_action(struct json_writer *w, const struct plan_action *a)
{
    json_object_begin(w);
    json_kv_str(w, "type", plan_action_name(a->type));
    json_kv_str(w, "job", a->job);
    write_hash(w, "hash", a->hash);
    write_place(w, "from", a->from);
    write_place(w, "to", a->to);
    json_kv_str(w, "reason", a->reason);
    json_object_end(w);
}

void plan_write(struct json_writer *w, const struct plan_input *in, const struct plan *p)
{
    json_object_begin(w);
    json_kv_u64(w, "version", 1);
    json_key(w, "actions");
    json_array_begin(w);
    for (size_t i = 0; i < p->action_count; i++) {
        write_action(w, &p->actions[i]);
    }
    json_array_end(w);
    json_kv_u64(w, "wanted_shards", p->wanted_groups);
    json_kv_str(w, "wanted_reason", p->wanted_reason);
    json_key(w, "ledger");
    json_object_begin(w);
    for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
        json_kv_u64(w, ledger_state_name((enum ledger_state)s), p->ledger[s]);
    }
    json_object_end(w);
    json_key(w, "loads");
    json_array_begin(w);
    for (size_t i = 0; i < in->group_count; i++) {
        json_object_begin(w);
        json_kv_u64(w, "group", p->loads[i].id);
        json_kv_u64(w, "series", p->loads[i].series);
        json_kv_u64(w, "scraped", p->loads[i].scraped);
        json_kv_u64(w, "targets", p->loads[i].targets);
        json_object_end(w);
    }
    json_array_end(w);
    json_key(w, "targets");
    json_array_begin(w);
    for (size_t i = 0; i < in->target_count; i++) {
        json_object_begin(w);
        json_kv_str(w, "job", in->targets[i].job);
        write_hash(w, "hash", in->targets[i].hash);
        json_kv_str(w, "state", ledger_state_name(p->target_states[i]));
        json_key(w, "reason");
        if (p->target_reasons[i] != NULL) {
            json_str(w, p->target_reasons[i]);
        } else {
            json_null_value(w);
        }
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}
