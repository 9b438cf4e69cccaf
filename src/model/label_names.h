/* The inside of a name dictionary, for labels.c alone; everybody else sees labels.h. */
#ifndef KVASS_MODEL_LABEL_NAMES_H
#define KVASS_MODEL_LABEL_NAMES_H

#include "model/labels.h"

struct label_names *label_names_ref(struct label_names *names);
uint32_t label_names_add(struct label_names *names, struct view name);        /* its number, new or known */
struct view label_names_at(const struct label_names *names, uint32_t number); /* NUL behind it */

#endif
