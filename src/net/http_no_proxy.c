#include "net/http_no_proxy.h"
#include "base/view.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct ip {
    unsigned char bytes[16]; /* IPv4 as v4-mapped */
};

static bool parse_ip(const char *text, struct ip *ret)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(ret->bytes, 0, 10);
        ret->bytes[10] = ret->bytes[11] = 0xff;
        memcpy(ret->bytes + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static bool is_v4(const struct ip *a)
{
    static const unsigned char PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(a->bytes, PREFIX, sizeof(PREFIX)) == 0;
}

static bool is_loopback(const struct ip *a)
{
    static const unsigned char ONE[16] = {[15] = 1};
    return is_v4(a) ? a->bytes[12] == 127 : memcmp(a->bytes, ONE, sizeof(ONE)) == 0;
}

static bool in_network(const struct ip *a, const struct ip *net, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++) {
        unsigned mask = 0x80u >> (i % 8);
        if ((a->bytes[i / 8] & mask) != (net->bytes[i / 8] & mask)) {
            return false;
        }
    }
    return true;
}

static bool matches_cidr(const char *entry, const struct ip *host)
{
    char text[64];
    struct ip net;
    const char *slash = strchr(entry, '/');
    size_t len = (size_t)(slash - entry);
    if (len >= sizeof(text)) {
        return false;
    }
    memcpy(text, entry, len);
    text[len] = '\0';
    char *end;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end != '\0' || end == slash + 1 || !parse_ip(text, &net) || bits > (is_v4(&net) ? 32u : 128u) ||
        is_v4(&net) != is_v4(host)) {
        return false;
    }
    return in_network(host, &net, (unsigned)bits + (is_v4(&net) ? 96u : 0u));
}

static bool matches_domain(const char *entry, const char *host)
{
    size_t host_len = strlen(host);
    bool only_below = entry[0] == '.';
    const char *name = entry[0] == '*' && entry[1] == '.' ? entry + 2 : entry + only_below;
    only_below = only_below || name == entry + 2;
    size_t len = strlen(name);
    if (len == 0 || len > host_len) {
        return false;
    }
    bool tail = strcasecmp(host + host_len - len, name) == 0;
    return tail && ((len == host_len && !only_below) || (len < host_len && host[host_len - len - 1] == '.'));
}

/* Takes ":port" off an entry; false when the ports differ. */
static bool take_port(char *entry, const char *port)
{
    char *colon = strrchr(entry, ':');
    if (colon == NULL || (strchr(entry, ':') != colon && entry[0] != '[')) {
        return true; /* none, or a bare IPv6 address */
    }
    if (entry[0] == '[') {
        char *close = strchr(entry, ']');
        bool ok = close == NULL || close[1] != ':' || strcmp(close + 2, port) == 0;
        if (close != NULL) {
            *close = '\0';
            memmove(entry, entry + 1, strlen(entry));
        }
        return ok;
    }
    *colon = '\0';
    return strcmp(colon + 1, port) == 0;
}

static bool matches_entry(char *entry, const char *host, const char *port)
{
    struct ip address, other;
    bool host_is_ip = parse_ip(host, &address);
    if (strcmp(entry, "*") == 0) {
        return true;
    }
    if (strchr(entry, '/') != NULL) {
        return host_is_ip && matches_cidr(entry, &address);
    }
    if (!take_port(entry, port)) {
        return false;
    }
    if (parse_ip(entry, &other)) {
        return host_is_ip && memcmp(address.bytes, other.bytes, sizeof(other.bytes)) == 0;
    }
    return matches_domain(entry, host);
}

static bool split_url(const char *url, char host[256], char port[8])
{
    const char *sep = strstr(url, "://");
    if (sep == NULL) {
        return false;
    }
    const char *at = sep + 3;
    size_t len = strcspn(at, "/?#");
    struct view authority = view_make(at, len);
    snprintf(port, 8, "%s", strncmp(url, "https:", 6) == 0 ? "443" : "80");
    const char *end = authority.base + len;
    bool v6 = len > 0 && *at == '[';
    const char *host_end = v6 ? memchr(at, ']', len) : memchr(at, ':', len);
    if (host_end == NULL) {
        host_end = end;
    }
    snprintf(host, 256, "%.*s", (int)(host_end - at - v6), at + v6);
    const char *colon = v6 && host_end < end ? host_end + 1 : host_end;
    if (colon < end && *colon == ':' && colon + 1 < end) {
        snprintf(port, 8, "%.*s", (int)(end - colon - 1), colon + 1);
    }
    return true;
}

bool no_proxy_matches(const char *list, const char *url)
{
    char host[256], port[8], entry[256];
    struct ip address;
    if (!split_url(url, host, port)) {
        return false;
    }
    if (strcasecmp(host, "localhost") == 0 || (parse_ip(host, &address) && is_loopback(&address))) {
        return true;
    }
    while (*list != '\0') {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ",");
        size_t trimmed = len;
        while (trimmed > 0 && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t')) {
            trimmed--;
        }
        if (trimmed > 0 && trimmed < sizeof(entry)) {
            memcpy(entry, list, trimmed);
            entry[trimmed] = '\0';
            if (matches_entry(entry, host, port)) {
                return true;
            }
        }
        list += len;
    }
    return false;
}
