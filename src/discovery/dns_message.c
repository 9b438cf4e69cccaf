/* DNS answers: see dns_message.h.
 *
 * The message is a server's, so nothing in it is believed: every read is bounded by its length, a compressed name is
 * followed for a limited number of steps and bytes, a record whose data does not fit its type costs itself. Names are
 * printed as Prometheus' library prints them, since they become labels. */
#include "discovery/dns_message.h"
#include "base/vec.h"

#include <arpa/inet.h>
#include <stdio.h>

#define HEADER_BYTES   12
#define NAME_BYTES_MAX 255
#define HOPS_MAX       126 /* more labels fit in no name */

struct reader {
    const unsigned char *base;
    size_t len, at;
    bool is_broken;
};

static unsigned read_u8(struct reader *r)
{
    if (r->at >= r->len) {
        r->is_broken = true;
        return 0;
    }
    return r->base[r->at++];
}

static unsigned read_u16(struct reader *r)
{
    unsigned high = read_u8(r);
    return high << 8 | read_u8(r);
}

static void skip(struct reader *r, size_t len)
{
    if (len > r->len - r->at) {
        r->is_broken = true;
        r->at = r->len;
    } else {
        r->at += len;
    }
}

static void print_byte(char *out, size_t *len, unsigned char c)
{
    static const char SPECIAL[] = ".' @;()\"\\";
    if (c < ' ' || c > '~') {
        *len += (size_t)snprintf(out + *len, 5, "\\%03u", c);
        return;
    }
    if (strchr(SPECIAL, c) != NULL) {
        out[(*len)++] = '\\';
    }
    out[(*len)++] = (char)c;
}

/* out NULL: only passes the name. Otherwise room for 4 * NAME_BYTES_MAX + 2 bytes. */
static void read_name(struct reader *r, char *out)
{
    size_t len = 0, total = 0, back = 0;
    struct reader at = *r;
    for (int hops = 0;;) {
        unsigned head = read_u8(&at);
        if (at.is_broken || (head & 0xc0) == 0x80 || (head & 0xc0) == 0x40) {
            r->is_broken = true;
            return;
        }
        if (head >= 0xc0) {
            size_t to = (head & 0x3f) << 8 | read_u8(&at);
            back = back != 0 ? back : at.at;
            if (at.is_broken || to >= at.at - 2 || ++hops > HOPS_MAX) { /* backwards only */
                r->is_broken = true;
                return;
            }
            at.at = to;
            continue;
        }
        if (head == 0) {
            break;
        }
        total += head + 1;
        if (total >= NAME_BYTES_MAX || head > at.len - at.at) {
            r->is_broken = true;
            return;
        }
        for (unsigned i = 0; i < head && out != NULL; i++) {
            print_byte(out, &len, at.base[at.at + i]);
        }
        at.at += head;
        if (out != NULL) {
            out[len++] = '.';
        }
    }
    if (out != NULL) {
        out[len != 0 ? len : 1] = '\0';
        out[0] = len != 0 ? out[0] : '.';
    }
    r->at = back != 0 ? back : at.at;
}

static const char *read_address(struct reader *r, size_t len, struct arena *arena)
{
    static const unsigned char MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    const unsigned char *raw = r->base + r->at;
    bool is_mapped = len == 16 && memcmp(raw, MAPPED, sizeof(MAPPED)) == 0;
    inet_ntop(len == 4 || is_mapped ? AF_INET : AF_INET6, is_mapped ? raw + 12 : raw, text, sizeof(text));
    return arena_strdup(arena, text);
}

/* The data of a record, from r->at to r->at + len, which lies inside the message. False: not one of ours, or malformed.
 */
static bool read_data(struct reader *r, unsigned type, size_t len, struct arena *arena, struct dns_record *ret)
{
    char name[4 * NAME_BYTES_MAX + 2];
    size_t end = r->at + len;
    *ret = (struct dns_record){.type = (enum dns_type)type};
    if (type == DNS_A || type == DNS_AAAA) {
        if (len != (type == DNS_A ? 4 : 16)) {
            return false;
        }
        ret->text = read_address(r, len, arena);
        return true;
    }
    struct reader data = {.base = r->base, .len = end, .at = r->at};
    if (type == DNS_SRV) {
        skip(&data, 4);
        ret->port = (uint16_t)read_u16(&data);
    } else if (type == DNS_MX) {
        skip(&data, 2);
    }
    read_name(&data, name);
    if (data.is_broken || data.at != end) {
        return false;
    }
    ret->text = arena_strdup(arena, name);
    return true;
}

static bool is_ours(unsigned type)
{
    return type == DNS_A || type == DNS_NS || type == DNS_MX || type == DNS_AAAA || type == DNS_SRV;
}

int dns_message_read(struct view message, struct arena *arena, struct dns_records *ret, struct errctx *err)
{
    struct reader r = {.base = (const unsigned char *)message.base, .len = message.len};
    VEC(struct dns_record) found = {0};
    size_t skipped = 0;
    skip(&r, 4);
    unsigned questions = read_u16(&r), answers = read_u16(&r);
    skip(&r, HEADER_BYTES - 8);
    for (unsigned i = 0; i < questions && !r.is_broken; i++) {
        read_name(&r, NULL);
        skip(&r, 4);
    }
    for (unsigned i = 0; i < answers && !r.is_broken; i++) {
        read_name(&r, NULL);
        unsigned type = read_u16(&r), class = read_u16(&r);
        skip(&r, 4);
        size_t len = read_u16(&r);
        struct dns_record record;
        if (r.is_broken || len > r.len - r.at) {
            r.is_broken = true;
        } else if (is_ours(type) && class == DNS_CLASS_IN && read_data(&r, type, len, arena, &record)) {
            *vec_push(&found) = record;
        } else {
            skipped += is_ours(type);
        }
        skip(&r, len);
    }
    if (r.is_broken) {
        vec_done(&found);
        return errctx_set(err, ERR_PARSE, "the answer is no DNS message");
    }
    *ret = (struct dns_records){.items = arena_dup(arena, found.items, found.len * sizeof(*found.items)),
                                .count = found.len,
                                .skipped = skipped};
    vec_done(&found);
    return 0;
}
