/* The wanted number of shards on disk: see wanted.h. Written atomically before it is acted on; anything but a number
 * within bounds counts as no file. */
#include "shard/wanted.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <stdio.h>
#include <stdlib.h>

#define WARN_EVERY_MS 60000

int wanted_file_write(const char *data_dir, unsigned wanted)
{
    static struct log_limit limit;
    uint64_t suppressed = 0;
    char text[32];
    struct errctx err = ERRCTX_INIT;
    char *path = mem_printf("%s/shards/wanted", data_dir);
    snprintf(text, sizeof(text), "%u\n", wanted);
    int rc = files_write_if_changed(path, view_of(text), 0640, (gid_t)-1, NULL, &err);
    if (rc != 0 && log_limit_pass(&limit, timebase_monotonic_ms(), WARN_EVERY_MS, &suppressed)) {
        log_warn(NULL, "remember the number of shards", "err", err.msg, "action", "try again");
    }
    free(path);
    return rc;
}

bool wanted_file_read(const char *data_dir, unsigned max, unsigned *ret)
{
    struct bytes text;
    char *path = mem_printf("%s/shards/wanted", data_dir), *end = NULL;
    bytes_init(&text, 64);
    bool ok = files_read(path, &text, NULL) == 0 && text.len > 0;
    unsigned long n = ok ? strtoul(text.base, &end, 10) : 0;
    ok = ok && end != text.base && (*end == '\n' || *end == '\0') && n <= max;
    if (ok) {
        *ret = (unsigned)n;
    }
    bytes_done(&text);
    free(path);
    return ok;
}
