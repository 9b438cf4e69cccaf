/* UTF-8 as Go and Prometheus judge it: shortest form, no surrogates, at most U+10FFFF. */
#ifndef KVASS_BASE_UTF8_H
#define KVASS_BASE_UTF8_H

#include "base/view.h"

/* Bytes of the valid sequence at p (1 to 4), or 0 when it is none or cut short. */
size_t utf8_sequence_len(const char *p, size_t len);

bool utf8_is_valid(struct view v);

#endif
