/* Talking to systemd: readiness, reload, status and watchdog. Every call is harmless when no service manager
 * listens. */
#ifndef KVASS_BASE_NOTIFY_H
#define KVASS_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); /* followed by notify_ready when the reload is over */
void notify_stopping(void);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* one line for `systemctl status` */

/* How often notify_watchdog must be called at most: half of what the unit allows. 0 = no watchdog for this process. */
int64_t notify_watchdog_interval_ms(void);
void notify_watchdog(void);

/* Whether our unit is being stopped only to be started again (`systemctl restart`), as the job that the service manager
 * runs for it says. False when it cannot be asked. Blocks for a second at most. */
bool notify_unit_restarts(void);

#endif
