/* A page of metrics (/metrics, text format) as JSON in the form of our API, and as a table. */
#ifndef KVASS_CLI_METRICS_PAGE_H
#define KVASS_CLI_METRICS_PAGE_H

#include "base/errctx.h"
#include "base/view.h"

#include <jansson.h>
#include <stdio.h>

/* {"status": "success", "data": [{"name", "labels": {}, "value": "1"}]}; values as text, for JSON has no NaN. NULL: err
 * names the line. */
json_t *metrics_page_parse(struct view page, struct errctx *err);

void metrics_page_print(const json_t *data, FILE *to, bool colour); /* `data` of it */

#endif
