/* Any bytes as the answers of a shard service: up to four, one after the other, with a line "---" between them. What is
 * taken can be worked with (names and URLs once, one shard of a replica in a group, sorted, within bounds), a shard
 * that stays keeps its group, and what is refused changes nothing. */
#include "base/invariant.h"
#include "shard/http_shards.h"

#define ANSWERS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct provider_list *l, unsigned desired)
{
    invariant(l->items.len <= PROVIDER_SHARDS_MAX && desired <= PROVIDER_SHARDS_MAX);
    invariant(provider_list_groups(l) <= PROVIDER_SHARDS_MAX && provider_list_equal(l, l));
    for (size_t i = 0; i < l->items.len; i++) {
        const struct provider_shard *x = &l->items.items[i];
        invariant(x->id[0] != '\0' && x->api_url[0] == 'h' && x->prometheus_url[0] == 'h' && x->zone != NULL);
        invariant(x->health == SHARD_HEALTH_READY || x->health == SHARD_HEALTH_STARTING);
        for (size_t k = 0; k < i; k++) {
            const struct provider_shard *y = &l->items.items[k];
            int c = strcmp(y->replica, x->replica);
            invariant(c < 0 || (c == 0 && y->group < x->group));
            invariant(y->api_url != x->api_url && y->id != x->id);
        }
    }
}

static bool has_one_replica(const struct provider_list *l)
{
    for (size_t i = 1; i < l->items.len; i++) {
        if (l->items.items[i].replica != l->items.items[0].replica) {
            return false;
        }
    }
    return true;
}

/* The same answer twice: nothing moves. */
static void check_again(struct view body, const struct provider_list *l)
{
    struct provider_list again;
    unsigned desired;
    if (has_one_replica(l)) {
        invariant(http_shards_read(body, l, &again, &desired, NULL) == 0 && provider_list_equal(l, &again));
        provider_list_done(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_make((const char *)data, size);
    struct provider_list list = {0};
    for (int i = 0; i < ANSWERS_MAX && (i == 0 || rest.len > 0); i++) {
        const char *end = rest.len > 0 ? memmem(rest.base, rest.len, "\n---\n", 5) : NULL;
        struct view body = end != NULL ? view_make(rest.base, (size_t)(end - rest.base)) : rest;
        rest = end != NULL ? view_make(end + 5, rest.len - body.len - 5) : VIEW("");
        struct provider_list fresh;
        struct errctx err = ERRCTX_INIT;
        unsigned desired;
        int rc = http_shards_read(body, &list, &fresh, &desired, &err);
        invariant(rc == err.code && rc <= 0);
        if (rc == 0) {
            check(&fresh, desired);
            check_again(body, &fresh);
            provider_list_done(&list);
            list = fresh;
        }
    }
    provider_list_done(&list);
    return 0;
}
