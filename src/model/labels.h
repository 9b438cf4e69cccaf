/* Label sets: sorted by name (byte order), no empty values (an empty value is an absent label, as in Prometheus).
 *
 * `struct labels` is immutable and refcounted; it may be shared between threads. `struct labels_builder` is the mutable
 * form that relabelling works on. */
#ifndef KVASS_MODEL_LABELS_H
#define KVASS_MODEL_LABELS_H

#include "base/arena.h"
#include "base/view.h"

#include <stdint.h>

struct labels;

struct label {
    struct view name, value;
};

size_t labels_count(const struct labels *l);
struct label labels_at(const struct labels *l, size_t i);         /* views live as long as l */
struct view labels_get(const struct labels *l, struct view name); /* {NULL, 0} when absent */
bool labels_equal(const struct labels *a, const struct labels *b);
struct labels *labels_ref(const struct labels *l);
void labels_unref(const struct labels *l); /* NULL is fine */

/* Builds from any list; later entries win over earlier of the same name; empty values are dropped. */
struct labels *labels_make(const struct label *items, size_t count);

/* A dictionary of label names that the sets made with it share: half the memory of a discovered target is the names of
 * its labels. Sets hold a reference. One thread fills it; sets may go to other threads once nothing more is added. */
struct label_names;

struct label_names *label_names_new(void);
void label_names_unref(struct label_names *names); /* NULL is fine */

/* As labels_make, names from the dictionary (NULL: the set has its own). */
struct labels *labels_make_shared(struct label_names *names, const struct label *items, size_t count);

/* The label hash of the identity rule: XXH64, seed 0, over name 0xff value 0xff of every label for which keep(name,
 * data) holds (keep NULL = all). */
uint64_t labels_hash(const struct labels *l, bool (*keep)(struct view name, void *data), void *data);

/* Sorted array of borrowed strings: whoever sets a label keeps its bytes alive (or dups them into `arena`) until the
 * builder is reset. */
struct labels_builder {
    struct label *items;
    size_t len, cap;
    struct arena *arena;       /* for values made by relabelling */
    struct label_names *names; /* borrowed; sets built share it. NULL (the default): each has its own names */
};

void labels_builder_init(struct labels_builder *b, struct arena *arena);
void labels_builder_done(struct labels_builder *b);
void labels_builder_reset(struct labels_builder *b);                        /* empties; the caller resets the arena */
void labels_builder_load(struct labels_builder *b, const struct labels *l); /* replaces the content; borrows from l */
struct view labels_builder_get(const struct labels_builder *b, struct view name);       /* {NULL, 0} when absent */
void labels_builder_set(struct labels_builder *b, struct view name, struct view value); /* empty value deletes */
void labels_builder_delete(struct labels_builder *b, struct view name);
struct labels *labels_builder_build(const struct labels_builder *b);

#endif
