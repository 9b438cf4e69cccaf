/* Runs scenarios (tests/replay/scenarios) as tests: every EXPECT line is a result in TAP; a line that is not
 * understood, or a scenario that expects nothing, is a failure. */
#include "balancer/scenario.h"
#include "base/bytes.h"
#include "base/files.h"

#include <stdio.h>

struct results {
    unsigned count, failed;
};

static void on_expect(void *data, unsigned line, struct view text, bool holds, const char *found)
{
    struct results *r = data;
    r->count++;
    r->failed += !holds;
    printf("%s %u - line %u: %.*s\n", holds ? "ok" : "not ok", r->count, line, VIEW_FMT(text));
    if (!holds) {
        printf("# found: %s\n", found);
    }
}

static int replay(const char *path, struct results *r)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes text;
    struct world world;
    const struct scenario_events events = {.on_expect = on_expect, .data = r};
    bytes_init(&text, SCENARIO_BYTES_MAX);
    int rc = files_read(path, &text, &err);
    if (rc == 0) {
        rc = scenario_run(bytes_view(&text), &events, &world, &err);
        world_done(&world);
    }
    bytes_done(&text);
    if (rc != 0) {
        r->count++;
        r->failed++;
        printf("not ok %u - %s: %s\n", r->count, path, err.msg);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct results r = {0};
    for (int i = 1; i < argc; i++) {
        unsigned before = r.count;
        (void)replay(argv[i], &r);
        if (r.count == before) {
            printf("not ok %u - %s: expects nothing\n", ++r.count, argv[i]);
            r.failed++;
        }
    }
    printf("1..%u\n", r.count);
    return argc < 2 || r.failed > 0;
}
