/* Any bytes as a DNS message, and as a resolv.conf: records have a text, names end in a dot, candidates are bounded. */
#include "base/invariant.h"
#include "discovery/dns_message.h"
#include "discovery/resolv_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_resolv(struct view text, struct arena *arena)
{
    struct resolv_conf c;
    size_t count = 0;
    resolv_conf_parse(text, arena, &c);
    invariant(c.ndots <= 15);
    while (resolv_conf_candidate(&c, "a.b", count, arena) != NULL) {
        const char *name = resolv_conf_candidate(&c, "a.b", count++, arena);
        invariant(name[strlen(name) - 1] == '.');
    }
    invariant(count == c.search_count + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct dns_records records = {0};
    struct errctx err = ERRCTX_INIT;
    struct view text = view_make((const char *)data, size);
    int rc = dns_message_read(text, arena, &records, &err);
    invariant(rc == err.code && (rc == 0 || records.count == 0));
    for (size_t i = 0; i < records.count; i++) {
        size_t len = strlen(records.items[i].text);
        bool is_address = records.items[i].type == DNS_A || records.items[i].type == DNS_AAAA;
        invariant(len != 0 && (is_address || records.items[i].text[len - 1] == '.'));
    }
    check_resolv(text, arena);
    arena_free(&arena);
    return 0;
}
