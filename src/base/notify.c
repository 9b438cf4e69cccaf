/* A thin layer over sd_notify(3), so that no other file knows libsystemd's words. Failures are dropped: the daemon
 * serves just as well when nobody listens.
 *
 * A SIGTERM does not say whether a start follows. The job that systemd runs for the unit does, and is there until the
 * stop is over. */
#include "base/notify.h"
#include "base/timebase.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#define SYSTEMD        "org.freedesktop.systemd1"
#define BUS_TIMEOUT_US 1000000

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

/* The unit whose process we are. Asked of the manager: sd_pid_get_unit would read /proc/1, which a sandbox hides. */
static bool read_own_unit(sd_bus *bus, sd_bus_message **ret_answer, const char **ret_path)
{
    return sd_bus_call_method(bus, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager", "GetUnitByPID", NULL,
                              ret_answer, "u", (uint32_t)0) >= 0 &&
           sd_bus_message_read(*ret_answer, "o", ret_path) >= 0;
}

/* "restart", "stop", ...; false when the unit has no job. */
static bool read_job_type(sd_bus *bus, const char *unit_path, char **ret)
{
    sd_bus_message *answer = NULL;
    const char *job_path = NULL;
    uint32_t id = 0;
    bool ok = sd_bus_get_property(bus, SYSTEMD, unit_path, SYSTEMD ".Unit", "Job", NULL, &answer, "(uo)") >= 0 &&
              sd_bus_message_read(answer, "(uo)", &id, &job_path) >= 0 && id != 0 &&
              sd_bus_get_property_string(bus, SYSTEMD, job_path, SYSTEMD ".Job", "JobType", NULL, ret) >= 0;
    sd_bus_message_unref(answer);
    return ok;
}

bool notify_unit_restarts(void)
{
    sd_bus *bus = NULL;
    sd_bus_message *answer = NULL;
    const char *path = NULL;
    char *type = NULL;
    bool restarts = getenv("NOTIFY_SOCKET") != NULL && sd_bus_open_system(&bus) >= 0 &&
                    sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_US) >= 0 && read_own_unit(bus, &answer, &path) &&
                    read_job_type(bus, path, &type) && strcmp(type, "restart") == 0;
    sd_bus_message_unref(answer);
    sd_bus_flush_close_unref(bus);
    free(type);
    return restarts;
}
