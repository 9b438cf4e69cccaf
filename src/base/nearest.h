/* "did you mean": of several words the one nearest to a misspelt one. */
#ifndef KVASS_BASE_NEAREST_H
#define KVASS_BASE_NEAREST_H

#include "base/view.h"

struct nearest {
    struct view name;
    unsigned distance;
    const char *best; /* NULL: none is near. One of those considered */
};

void nearest_begin(struct nearest *n, struct view name);
void nearest_consider(struct nearest *n, const char *candidate);

#endif
