/* The two labels that make a target a part: reading and writing them.
 *
 * What is not exactly as part_labels writes it is not a part. A sidecar that took a half-understood pair for one would
 * drop samples; one that takes it for a whole target at worst scrapes too much. */
#include "model/part.h"
#include "base/invariant.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* "0" to "99" without leading zeros. */
static bool small_number(struct view v, unsigned *ret)
{
    unsigned n = 0;
    if (v.len == 0 || v.len > 2 || (v.len == 2 && v.base[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (v.base[i] < '0' || v.base[i] > '9') {
            return false;
        }
        n = n * 10 + (unsigned)(v.base[i] - '0');
    }
    *ret = n;
    return true;
}

bool part_read(const struct labels *labels, unsigned *ret_part, unsigned *ret_parts)
{
    unsigned part, parts;
    if (!small_number(labels_get(labels, VIEW(PART_COUNT_LABEL)), &parts) || parts < 2 || parts > PARTS_MAX ||
        !small_number(labels_get(labels, VIEW(PART_LABEL)), &part) || part >= parts) {
        return false;
    }
    *ret_part = part;
    *ret_parts = parts;
    return true;
}

struct labels *part_labels(const struct labels *whole, unsigned part, unsigned parts)
{
    invariant(parts >= 2 && parts <= PARTS_MAX && part < parts);
    char part_text[16], parts_text[16];
    size_t count = labels_count(whole);
    struct label *items = mem_alloc((count + 2) * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = labels_at(whole, i);
    }
    snprintf(part_text, sizeof(part_text), "%u", part);
    snprintf(parts_text, sizeof(parts_text), "%u", parts);
    items[count] = (struct label){VIEW(PART_LABEL), view_of(part_text)};
    items[count + 1] = (struct label){VIEW(PART_COUNT_LABEL), view_of(parts_text)};
    struct labels *labels = labels_make(items, count + 2);
    free(items);
    return labels;
}
