/* How many calls to shards may be under way at once, over all remote shards: whoever wants to make one asks, waits its
 * turn, and leaves afterwards. Shards that failed last time share a quarter of the lanes, so that hung ones, each of
 * which takes its whole time limit, never keep the healthy ones waiting. Control loop only. */
#ifndef KVASS_SHARD_REMOTE_LANES_H
#define KVASS_SHARD_REMOTE_LANES_H

#include <stdbool.h>

struct remote_lanes;

/* Lives in its owner, zeroed but for granted and data. */
struct remote_ticket {
    void (*granted)(void *data);
    void *data;
    struct remote_ticket *next;
    bool is_waiting, is_holding, is_suspect;
};

struct remote_lanes *remote_lanes_new(unsigned calls_max); /* 0 = 64 */
void remote_lanes_free(struct remote_lanes **l);           /* all tickets have left */

/* granted runs at once when there is room. No effect while waiting or holding. */
void remote_lanes_ask(struct remote_lanes *l, struct remote_ticket *t, bool is_suspect);

/* Gives the lane back, or stops waiting for one; others may be granted from here. */
void remote_lanes_leave(struct remote_lanes *l, struct remote_ticket *t);

unsigned remote_lanes_running(const struct remote_lanes *l);

#endif
