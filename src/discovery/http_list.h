/* The answer of an http_sd server, to target groups. Pure. */
#ifndef KVASS_DISCOVERY_HTTP_LIST_H
#define KVASS_DISCOVERY_HTTP_LIST_H

#include "discovery/group_list.h"

/* All or nothing. ERR_INVALID for another type than application/json (alone or with charset=utf-8) and for a bad group,
 * ERR_PARSE, ERR_LIMIT. Sources are "<url>:<index>", every group carries __meta_url. */
int http_list_read(const char *url, enum prometheus_major major, struct view content_type, struct view body,
                   struct group_list *ret, struct errctx *err) MUST_CHECK;

#endif
