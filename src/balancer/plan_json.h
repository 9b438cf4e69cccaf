/* JSON of the plan, version 1 (DESIGN.md 9; docs/plan.md): hashes as strings. */
#ifndef KVASS_BALANCER_PLAN_JSON_H
#define KVASS_BALANCER_PLAN_JSON_H

#include "balancer/plan.h"
#include "base/json_writer.h"

int plan_input_read(struct arena *arena, struct view json, struct plan_input *ret, struct errctx *err) MUST_CHECK;
void plan_input_write(struct json_writer *w, const struct plan_input *in);
void plan_write(struct json_writer *w, const struct plan *p);

#endif
