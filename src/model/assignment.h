/* One target on one shard. */
#ifndef KVASS_MODEL_ASSIGNMENT_H
#define KVASS_MODEL_ASSIGNMENT_H

#include "model/target.h"

enum assignment_state {
    ASSIGNMENT_ASSIGNED,
    ASSIGNMENT_IN_TRANSFER, /* the source of a move: still scraped until the destination has proved itself */
    ASSIGNMENT_LEAVING,     /* out of the target file, still served by the proxy for a while */
};

const char *assignment_state_wire(enum assignment_state s); /* "", "in_transfer", "leaving" */

struct assignment {
    struct target *target;
    enum assignment_state state;
    int64_t since_ms; /* realtime of entering the state */
};

#endif
