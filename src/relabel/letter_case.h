/* Letter case as Go's strings.ToLower and ToUpper see it. Private to this room. */
#ifndef KVASS_RELABEL_LETTER_CASE_H
#define KVASS_RELABEL_LETTER_CASE_H

#include "base/arena.h"
#include "base/errctx.h"

struct letter_case;

int letter_case_new(struct letter_case **ret, struct errctx *err) MUST_CHECK;
void letter_case_free(struct letter_case **c);

/* v itself when nothing changes, else made in arena. Bytes that are no UTF-8 become U+FFFD when v is not plain ASCII.
 */
struct view letter_case_lower(const struct letter_case *c, struct view v, struct arena *arena);
struct view letter_case_upper(const struct letter_case *c, struct view v, struct arena *arena);

#endif
