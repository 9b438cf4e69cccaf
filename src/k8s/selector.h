/* Label and field selectors as the API server parses them, to be refused with a place in the file rather than by a 400
 * later. */
#ifndef KVASS_K8S_SELECTOR_H
#define KVASS_K8S_SELECTOR_H

#include "base/errctx.h"
#include "base/view.h"

/* NULL when it is one, else what is wrong with it. "" selects everything. */
const char *selector_label_fault(struct view text);
const char *selector_field_fault(struct view text);

#endif
