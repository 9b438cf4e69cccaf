/* The regular expression library behind a C interface of a few calls: linear time, bounded memory. Only pattern.c uses
 * it. */
#ifndef KVASS_RELABEL_RE2_SHIM_H
#define KVASS_RELABEL_RE2_SHIM_H

#include "base/view.h"

#ifdef __cplusplus
extern "C" {
#endif

struct re2_shim;

/* NULL when the pattern is refused or needs more than memory_max bytes: then *ret_words is Go's wording of the reason
 * (static) and *ret_about the offending part (malloc'd). `.` does not match a line feed unless the pattern says (?s).
 */
struct re2_shim *re2_shim_new(struct view pattern, size_t memory_max, const char **ret_words, char **ret_about);
void re2_shim_free(struct re2_shim *re);

int re2_shim_group_count(const struct re2_shim *re); /* capturing groups */

/* Leftmost-first match anywhere in text at or behind `start`; text must be valid UTF-8. groups[0] is the whole match, a
 * group that took no part is {NULL, 0}. `count` may be 0. One thread at a time per pattern is fastest; any number is
 * correct. */
bool re2_shim_match(const struct re2_shim *re, struct view text, size_t start, struct view *groups, int count);

/* True when text (one UTF-8 character) is a letter or decimal digit of any script. */
bool re2_shim_is_word(struct view text);

#ifdef __cplusplus
}
#endif

#endif
