/* From Go's regular expression language to libre2's, where the two differ. Private to this room. */
#ifndef KVASS_RELABEL_PATTERN_SYNTAX_H
#define KVASS_RELABEL_PATTERN_SYNTAX_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errctx.h"
#include "relabel/relabel.h"

#define PATTERN_DEPTH_MAX 1000

/* Names of capturing groups in order of their opening parenthesis: names[i] belongs to group i + 1, empty when unnamed.
 */
struct pattern_names {
    struct view *items;
    size_t count;
};

/* Appends to out the anchored form, ^(?:RE)$ or ^(?s:RE)$ by version, in libre2's language; named groups are renamed by
 * number (Go allows a name twice, libre2 does not), their names are in *ret, whose memory is arena's. The result is at
 * most three times as long. ERR_INVALID in Go's words. */
int pattern_translate(struct arena *arena, struct view re, enum prometheus_major major, struct bytes *out,
                      struct pattern_names *ret, struct errctx *err) MUST_CHECK;

/* "error parsing regexp: words: `about`" */
int pattern_error(struct errctx *err, const char *words, struct view about);

/* The anchored form as Prometheus has it, for messages; arena's. */
struct view pattern_wrapped(struct arena *arena, struct view re, enum prometheus_major major);

#endif
