/* What is remembered per metric name: its two figures, and the verdict of rules that look at nothing else.
 * Bounded: names beyond FAMILIES_MAX share one entry, "other". */
#ifndef KVASS_EXPFMT_FAMILIES_H
#define KVASS_EXPFMT_FAMILIES_H

#include "base/arena.h"
#include "base/hashmap.h"
#include "base/json_writer.h"

#define FAMILIES_MAX 65536
#define FAMILY_NAME_MAX 1024 /* longer names count as "other" */

enum family_verdict { FAMILY_UNDECIDED, FAMILY_KEPT, FAMILY_DROPPED };

struct family {
    struct view name;
    uint64_t hash;
    uint64_t scraped, total; /* of body `body` */
    uint64_t body;
    enum family_verdict verdict;
};

struct families {
    struct hashmap map;
    struct arena *arena;
    struct family *last; /* lines of one family follow each other */
    struct family other;
    uint64_t body;
};

void families_init(struct families *f);
void families_done(struct families *f);

/* A new body: figures start at zero, names and verdicts stay (unless the table is full: then it starts anew). */
void families_begin(struct families *f);

/* The entry of a name; `other` when there is no room for it. */
struct family *families_find(struct families *f, struct view name);

/* Those of this body, in no order. */
void families_each(const struct families *f,
                   void (*each)(void *data, struct view name, uint64_t scraped, uint64_t total), void *data);

/* Members "name":{"scraped":n,"total":n} of an open object, sorted by name. */
void families_write(const struct families *f, struct json_writer *w);

#endif
