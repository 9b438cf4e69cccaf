/* Every discovered target is in exactly one of these states; the sum is an exported invariant (guarantee 32). */
#ifndef KVASS_MODEL_LEDGER_H
#define KVASS_MODEL_LEDGER_H

#include "base/view.h"

enum ledger_state {
    LEDGER_EXPLORING,   /* first scrape of ours outstanding */
    LEDGER_PENDING,     /* size known or estimated, waits for room */
    LEDGER_ASSIGNED,    /* exactly one group scrapes it */
    LEDGER_IN_TRANSFER, /* a move is under way */
    LEDGER_LEAVING,     /* vanished from discovery, grace running */
    LEDGER_UNREACHABLE, /* its group does not answer; grace or fail-over running */
    LEDGER_TOO_BIG,     /* does not fit an empty shard */
    LEDGER_OVER_LIMIT,  /* target_limit of its job exceeded */
    LEDGER_DUPLICATE,   /* same (job, labels, URL) as another */
    LEDGER_INVALID,     /* no address, bad interval, ...: Prometheus would refuse it */
    LEDGER_DROPPED,     /* dropped by relabelling */
    LEDGER_STATE_COUNT
};

const char *ledger_state_name(enum ledger_state s); /* "exploring", ... as in the plan JSON */
int ledger_state_parse(struct view name);           /* -1 when unknown */

#endif
