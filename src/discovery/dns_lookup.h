/* One round of DNS lookups on the loop, by c-ares: several names, one record type, servers and search list of one
 * resolv.conf. Asks as Prometheus does: each candidate of a name at one server after the other (2 s each, over TCP when
 * truncated) until one says yes or no; a name is settled by the first candidate that exists. */
#ifndef KVASS_DISCOVERY_DNS_LOOKUP_H
#define KVASS_DISCOVERY_DNS_LOOKUP_H

#include "base/loop.h"
#include "discovery/dns_message.h"
#include "discovery/resolv_conf.h"

struct dns_lookup;

struct dns_lookup_conf {
    const struct resolv_conf *resolv; /* outlives the lookup, as names do */
    const char *const *names;
    size_t name_count;
    enum dns_type type;
    /* Once per name. message: of the candidate that exists; empty when all of them are known not to exist. err: NULL,
     * or why nobody knows. */
    void (*on_name)(void *data, size_t name, struct view message, const struct errctx *err);
    /* Once, when all names are through; may free the lookup. */
    void (*on_end)(void *data);
    void *data;
};

/* Callbacks come from the loop, never from within. */
int dns_lookup_start(struct loop *loop, const struct dns_lookup_conf *conf, struct dns_lookup **ret,
                     struct errctx *err) MUST_CHECK;
void dns_lookup_free(struct dns_lookup **l); /* no callbacks afterwards; not from on_name */

#endif
