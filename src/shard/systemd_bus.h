/* The service manager over D-Bus, as far as shards need it: list the instances of one template, start, stop, restart
 * one. Nothing blocks; a lost connection is opened again. Control loop only. */
#ifndef KVASS_SHARD_SYSTEMD_BUS_H
#define KVASS_SHARD_SYSTEMD_BUS_H

#include "base/loop.h"

#include <stddef.h>

#define SYSTEMD_UNITS_MAX 4096 /* instances listed; more are ignored */

enum systemd_unit_state {
    SYSTEMD_UNIT_INACTIVE, /* or failed, or not loaded */
    SYSTEMD_UNIT_STARTING, /* also between two attempts of the unit's own Restart= */
    SYSTEMD_UNIT_ACTIVE,
    SYSTEMD_UNIT_STOPPING,
};

struct systemd_unit {
    char name[128];
    enum systemd_unit_state state;
    bool failed, not_found;
};

struct systemd_bus_events {
    /* Every instance the manager knows; those not named are inactive. Valid during the call. */
    void (*on_units)(void *data, const struct systemd_unit *units, size_t count);
    /* The main process, 0 = none, and how often Restart= has started another since the last start that was asked for.
     * Comes when asked for, and when a job of the unit has ended. */
    void (*on_service)(void *data, const char *unit, int pid, unsigned restarts);
    /* The manager refused or could not be asked. unit is "" when it concerns all. */
    void (*on_error)(void *data, const char *unit, const char *text);
    void *data;
};

struct systemd_bus;

/* pattern: "kvass-prometheus@shard-*.service". Connects when the loop turns. */
struct systemd_bus *systemd_bus_new(struct loop *loop, const char *pattern, const struct systemd_bus_events *events);
void systemd_bus_free(struct systemd_bus **bus);

/* Asks for a listing, unless one is under way. Jobs that end have it asked by themselves. */
void systemd_bus_list(struct systemd_bus *bus);

/* verb: "StartUnit", "StopUnit", "RestartUnit". Idempotent for the manager; errors arrive through on_error. */
void systemd_bus_call(struct systemd_bus *bus, const char *verb, const char *unit);

void systemd_bus_ask_service(struct systemd_bus *bus, const char *unit);

#endif
