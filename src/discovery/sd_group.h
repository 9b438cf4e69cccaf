/* Building one target group from the objects of a discovery API: labels are put one by one, an object that cannot be
 * used costs its own targets and is counted. */
#ifndef KVASS_DISCOVERY_SD_GROUP_H
#define KVASS_DISCOVERY_SD_GROUP_H

#include "base/vec.h"
#include "discovery/mechanism.h"
#include "discovery/sd_api.h"

#define SD_GROUP_TARGETS_MAX     1000000
#define SD_GROUP_LABELS_MAX      1000                /* of a target, before collisions */
#define SD_GROUP_LABEL_BYTES_MAX ((size_t)64 << 10)  /* of a name or a value */
#define SD_GROUP_BYTES_MAX       ((size_t)256 << 20) /* of all labels: one object may be many targets */

struct sd_group {
    struct arena *arena; /* of the object being read */
    VEC(struct label) items;
    struct label_names *names;
    VEC(struct labels *) targets;
    bool is_bad;  /* the object being read */
    size_t bytes; /* of the labels of all targets */
    size_t skipped;
};

void sd_group_init(struct sd_group *g);
/* Frees; what sd_group_finish has handed over stays. */
void sd_group_done(struct sd_group *g);

/* Begins the next object: no labels, nothing bad. */
void sd_group_begin(struct sd_group *g);
/* Several targets of one object: mark, put, end, rewind, put, ... */
size_t sd_group_mark(const struct sd_group *g);
void sd_group_rewind(struct sd_group *g, size_t mark);

/* name is static or of the arena, value lives until the next begin. A later value of the same name wins. */
void sd_group_put(struct sd_group *g, const char *name, struct view value);
void sd_group_put_uint(struct sd_group *g, const char *name, uint64_t n);
void sd_group_put_bool(struct sd_group *g, const char *name, bool b);
/* A string member; another type makes the object bad. */
void sd_group_put_text(struct sd_group *g, const char *name, const json_t *object, const char *key);
/* prefix + each key with what no label name may hold as '_'; values are strings or null. map NULL puts nothing. */
void sd_group_put_map(struct sd_group *g, const char *prefix, const json_t *map);
/* "host:port", or "[host]:port" when host holds a colon. */
void sd_group_put_address(struct sd_group *g, struct view host, uint64_t port);
/* The object cannot be used. */
void sd_group_bad(struct sd_group *g);

/* A target of what was put, or one more skipped when the object is bad or too large. */
void sd_group_end(struct sd_group *g);

/* The group of all targets; takes over the reference to common (NULL = none). */
struct target_group *sd_group_finish(struct sd_group *g, const char *source, struct labels *common);

/* Every character outside [a-zA-Z0-9_] becomes '_'. */
struct view sd_label_name(struct arena *arena, const char *prefix, struct view key);
/* "host:port" as above. */
struct view sd_host_port(struct arena *arena, struct view host, uint64_t port);

#endif
