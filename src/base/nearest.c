/* The word that was probably meant: see nearest.h. The distance counts edits, and a swap of neighbours as one, for that
 * is how fingers fail. */
#include "base/nearest.h"

#define NAME_MAX_BYTES 64

/* Edits (insert, delete, replace, swap of neighbours) between two names of at most NAME_MAX bytes. */
static unsigned edit_distance(struct view a, struct view b)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (unsigned j = 0; j <= b.len; j++) {
        last[j] = before[j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        now[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = last[j - 1] + (a.base[i - 1] != b.base[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.base[i - 1] == b.base[j - 2] && a.base[i - 2] == b.base[j - 1] &&
                before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

void nearest_begin(struct nearest *n, struct view name)
{
    *n = (struct nearest){.name = name, .distance = (unsigned)(name.len / 3) + 2}; /* farther ones are no help */
}

void nearest_consider(struct nearest *n, const char *candidate)
{
    if (n->name.len == 0 || n->name.len > NAME_MAX_BYTES || strlen(candidate) > NAME_MAX_BYTES) {
        return;
    }
    unsigned distance = edit_distance(n->name, view_of(candidate));
    if (distance < n->distance) {
        n->distance = distance;
        n->best = candidate;
    }
}
