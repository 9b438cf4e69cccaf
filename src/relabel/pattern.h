/* One anchored regular expression of a relabel rule, with fast forms for the simple ones that make up most
 * configurations. Private to this room; also the place where replacement templates are expanded. */
#ifndef KVASS_RELABEL_PATTERN_H
#define KVASS_RELABEL_PATTERN_H

#include "base/arena.h"
#include "base/errctx.h"
#include "relabel/relabel.h"

#define PATTERN_BYTES_MAX  ((size_t)1 << 20)  /* text of one pattern */
#define PATTERN_MEMORY_MAX ((size_t)16 << 20) /* its program and caches */

struct pattern;

/* Strings and fast forms live in arena; pattern_free releases the rest. allow_fast false forces the engine (tests). */
int pattern_compile(struct arena *arena, struct view re, enum prometheus_major major, bool allow_fast,
                    struct pattern **ret, struct errctx *err) MUST_CHECK;
void pattern_free(struct pattern *p); /* NULL is fine */

bool pattern_is_fast(const struct pattern *p);
size_t pattern_group_count(const struct pattern *p); /* capturing groups */

/* Does it match text (all of it, by its anchors)? groups[0..count) as in re2_shim.h, of no meaning when it does not;
 * count may be 0. Invalid UTF-8 in text counts as U+FFFD. */
bool pattern_match(const struct pattern *p, struct view text, struct view *groups, size_t count);

/* Name of capturing group `group` (from 1); empty when it has none. */
struct view pattern_group_name(const struct pattern *p, size_t group);

struct template;

/* Go's ReplaceAllString on text; {NULL, 0} when it does not match at all or the result is longer than max_bytes. */
struct view pattern_replace_all(const struct pattern *p, const struct template *t, struct view text,
                                struct arena *arena, size_t max_bytes);

#endif
