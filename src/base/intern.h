/* Names that live as long as the process: job names, shard ids. Equal text gives the equal pointer, so a pointer is an
 * identity that may travel between threads. Bounded by what operators configure; never use it for names that targets
 * choose. */
#ifndef KVASS_BASE_INTERN_H
#define KVASS_BASE_INTERN_H

const char *intern(const char *name);

/* The same, or NULL when nobody has interned it yet: for names a stranger chooses, to be counted before they stay. */
const char *intern_find(const char *name);

#endif
