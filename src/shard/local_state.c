/* A local shard from durable state: the read form of a shard as the arrays local_shard_restore takes. */
#include "base/mem.h"
#include "shard/local.h"
#include "shard/state.h"

#include <stdlib.h>

void local_shard_restore_state(struct shard *s, const struct state_shard *from, uint64_t generation, uint64_t epoch)
{
    size_t count = from != NULL ? from->target_count : 0;
    struct assignment *items = mem_calloc(count + 1, sizeof(*items));
    struct target_status *statuses = mem_calloc(count + 1, sizeof(*statuses));
    for (size_t i = 0; i < count; i++) {
        items[i] = from->targets[i].a;
        statuses[i] = from->targets[i].status;
    }
    local_shard_restore(s, items, statuses, count, generation, epoch);
    free(items);
    free(statuses);
}
