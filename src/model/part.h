/* Parts of a target that is too large for any shard ("splitting"). A part is an ordinary target with labels of its own:
 * those of the whole, plus the two below. So it has its own identity, and everything that stores, pushes, restores or
 * renders targets handles it unknowingly; only the proxy acts on it, by forwarding the samples of this part alone. */
#ifndef KVASS_MODEL_PART_H
#define KVASS_MODEL_PART_H

#include "model/labels.h"

#define PART_LABEL       "kvass_part"      /* public: tells the parts' up and scrape_* series apart */
#define PART_COUNT_LABEL "__kvass_parts__" /* hidden; never taken from discovery */
#define PARTS_MAX        64                /* at least 2 */

/* Both labels, well-formed: 2 <= parts <= PARTS_MAX, part < parts, plain decimals. False (and nothing written)
 * otherwise: such a target is a whole one. */
bool part_read(const struct labels *labels, unsigned *ret_part, unsigned *ret_parts);

/* The labels of a part: those of the whole with the two set. */
struct labels *part_labels(const struct labels *whole, unsigned part, unsigned parts);

#endif
