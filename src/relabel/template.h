/* A replacement in Go's Expand language ($1, ${1}, $name, $$), resolved once against a pattern's groups. Private to
 * this room. */
#ifndef KVASS_RELABEL_TEMPLATE_H
#define KVASS_RELABEL_TEMPLATE_H

#include "base/arena.h"
#include "relabel/pattern.h"

struct template;

/* Never fails: what is no reference is literal text. Copies text into arena. */
struct template *template_compile(struct arena *arena, struct view text, const struct pattern *p);

bool template_is_literal(const struct template *t);      /* then template_expand needs no groups */
size_t template_groups_needed(const struct template *t); /* length of the groups array it reads; 0 for a literal */

/* Borrowed from the template or a group, or made in arena; never a NULL base but when it is longer than max_bytes. */
struct view template_expand(const struct template *t, const struct view *groups, struct arena *arena, size_t max_bytes);

#endif
