/* A thin layer over sd_notify(3), so that no other file knows libsystemd's words. Failures are dropped: the daemon
 * serves just as well when nobody listens. */
#include "base/notify.h"
#include "base/timebase.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

void notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)timebase_monotonic_us());
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at; /* a newline would start another assignment */
    }
    (void)sd_notifyf(0, "STATUS=%s", text);
}

int64_t notify_watchdog_interval_ms(void)
{
    uint64_t allowed_us = 0;
    if (sd_watchdog_enabled(0, &allowed_us) <= 0) {
        return 0;
    }
    int64_t half_ms = (int64_t)(allowed_us / 2000);
    return half_ms > 0 ? half_ms : 1;
}

void notify_watchdog(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}
