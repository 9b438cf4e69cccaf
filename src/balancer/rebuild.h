/* Who scrapes what, learnt from the shards themselves: a balancer that kept nothing of its own, or was not the acting
 * one until now, takes over what it finds. */
#ifndef KVASS_BALANCER_REBUILD_H
#define KVASS_BALANCER_REBUILD_H

#include "balancer/groups.h"

/* Forgets all owners and takes over what every shard that has been read holds. Shards not read yet stay unread. With
 * keep_unread all of them do: for looking only. */
void rebuild_owners(struct registry *r, struct groups *g, bool keep_unread, int64_t now_ms);

/* Takes over one shard that was read late, beside what the others own; its group becomes dirty. What two have now is
 * a double that the plan resolves on proof. How many targets it holds. */
size_t rebuild_adopt(struct registry *r, struct reconcile_group *group, struct reconcile_shard *rep, int64_t now_ms);

bool rebuild_is_read(const struct reconcile_shard *rep); /* it has told what it holds */

/* Ledger states of the entries by their owners alone, for a balancer that does not act. */
void rebuild_states(struct registry *r, const char *why);

#endif
