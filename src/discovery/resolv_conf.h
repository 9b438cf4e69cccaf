/* resolv.conf, and the names a name stands for, as Prometheus' DNS library reads them. Pure but for resolv_conf_load.
 */
#ifndef KVASS_DISCOVERY_RESOLV_CONF_H
#define KVASS_DISCOVERY_RESOLV_CONF_H

#include "base/arena.h"
#include "base/errctx.h"

#define RESOLV_SERVERS_MAX 32
#define RESOLV_SEARCH_MAX  32

struct resolv_conf {
    const char *servers[RESOLV_SERVERS_MAX]; /* addresses; strings live in the arena */
    const char *search[RESOLV_SEARCH_MAX];
    size_t server_count, search_count;
    unsigned ndots;
};

/* Never fails: lines that mean nothing are passed over. */
void resolv_conf_parse(struct view text, struct arena *arena, struct resolv_conf *ret);
int resolv_conf_load(const char *path, struct arena *arena, struct resolv_conf *ret, struct errctx *err) MUST_CHECK;

/* The i-th fully qualified name to ask for, in the arena; NULL behind the last. A name with a final dot is the only
 * one; otherwise the name itself comes before those with a search domain when it has more than ndots labels, else
 * after. */
const char *resolv_conf_candidate(const struct resolv_conf *c, const char *name, size_t i, struct arena *arena);

#endif
