/* kvass count --parts: the same figures for each part of a target that is split, to see how evenly it falls. */
#ifndef KVASS_CLI_COUNT_PARTS_H
#define KVASS_CLI_COUNT_PARTS_H

#include "expfmt/counter.h"

struct count_parts;

bool count_parts_parse(const char *text, unsigned *ret); /* 2 to PARTS_MAX */

struct count_parts *count_parts_new(const struct counter_conf *conf, unsigned parts, enum exposition_format format,
                                    const struct labels *target);
void count_parts_free(struct count_parts **p); /* NULL is fine */

/* Bytes that a counter of the whole has accepted. */
void count_parts_feed(struct count_parts *p, const char *base, size_t len);

/* Ends the body: a list of objects, one a part. */
void count_parts_write(struct count_parts *p, struct json_writer *w);

#endif
