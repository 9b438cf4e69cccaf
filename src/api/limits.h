/* The planner's limits as the options say them. */
#ifndef KVASS_API_LIMITS_H
#define KVASS_API_LIMITS_H

#include "balancer/plan.h"
#include "base/options.h"

void limits_from_options(const struct options *o, struct plan_limits *ret);

#endif
