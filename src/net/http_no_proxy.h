/* Which hosts are not proxied, as Go's httpproxy package decides it: localhost and loopback addresses always; then a
 * comma-separated list of IP, CIDR, domain (with a leading dot: subdomains only), each with an optional port; "*" is
 * everything. */
#ifndef KVASS_NET_HTTP_NO_PROXY_H
#define KVASS_NET_HTTP_NO_PROXY_H

#include <stdbool.h>

bool no_proxy_matches(const char *list, const char *url);

#endif
