/* The answers of a DNS message, as far as discovery uses them. Pure. */
#ifndef KVASS_DISCOVERY_DNS_MESSAGE_H
#define KVASS_DISCOVERY_DNS_MESSAGE_H

#include "base/arena.h"
#include "base/errctx.h"

#include <stdint.h>

#define DNS_CLASS_IN 1

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_MX = 15, DNS_AAAA = 28, DNS_SRV = 33 };

struct dns_record {
    enum dns_type type;
    const char
        *text;     /* A, AAAA: the address; others: the name in presentation form, with its final dot. In the arena */
    uint16_t port; /* SRV */
};

struct dns_records {
    struct dns_record *items;
    size_t count;
    size_t skipped; /* of these types, but malformed */
};

/* Records of other types are passed over. ERR_PARSE when the message ends too early or its names make no sense. */
int dns_message_read(struct view message, struct arena *arena, struct dns_records *ret, struct errctx *err) MUST_CHECK;

#endif
