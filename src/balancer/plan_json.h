/* JSON of the plan, version 1 (docs/plan.md): hashes as strings. */
#ifndef KVASS_BALANCER_PLAN_JSON_H
#define KVASS_BALANCER_PLAN_JSON_H

#include "balancer/plan.h"
#include "base/errctx.h"
#include "base/json_writer.h"

/* ERR_PARSE, ERR_INVALID, ERR_UNSUPPORTED (version), ERR_LIMIT; the message names the place ("targets[3]: owners[0]:
 * ..."). What ret points to lives in the arena; job names are interned. */
int plan_input_read(struct arena *arena, struct view json, struct plan_input *ret, struct errctx *err) MUST_CHECK;
void plan_input_write(struct json_writer *w, const struct plan_input *in);

/* in: the input the plan was made from. */
void plan_write(struct json_writer *w, const struct plan_input *in, const struct plan *p);

#endif
