"""org.freedesktop.systemd1 on a private bus, as far as kvass speaks to it: `fake_systemd.py STORE TEMPLATE PROMETHEUS`. Units are real
processes, started as kvass-prometheus@.service would, started again when they die. `<STORE>/deny` makes it refuse like polkit,
`<STORE>/calls` is a list of what was asked. SIGTERM ends it and leaves the units."""
import fnmatch
import os
import shlex
import signal
import subprocess
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

NAME = "org.freedesktop.systemd1"
MANAGER = NAME + ".Manager"
ROOT = "/org/freedesktop/systemd1"


def unit_path(name):
    return ROOT + "/unit/" + "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in name)


class Unit(dbus.service.Object):
    def __init__(self, manager, name):
        super().__init__(manager.bus, unit_path(name))
        self.manager, self.name = manager, name
        self.state, self.child, self.wanted = "inactive", None, False
        self.again, self.restarts = False, 0

    def start(self, automatic=False):
        self.again = False
        self.wanted = True
        if self.child is not None:
            return
        self.restarts = self.restarts + 1 if automatic else 0
        shard = os.path.join(self.manager.store, "shards", self.name.partition("@")[2].rpartition(".")[0])
        with open(os.path.join(shard, "environment")) as f:
            env = dict(word.partition("=")[::2] for word in shlex.split(f.read()))
        log = open(os.path.join(shard, "unit.log"), "ab")
        self.child = subprocess.Popen(
            [self.manager.prometheus, f"--config.file={shard}/prometheus.yml", f"--storage.tsdb.path={shard}/data",
             "--web.enable-lifecycle", f"--web.listen-address={env['KVASS_LISTEN']}", *shlex.split(env["KVASS_ARGS"])],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.state = "active"
        GLib.child_watch_add(GLib.PRIORITY_DEFAULT, self.child.pid, self.ended)

    def ended(self, _pid, status, *_):
        self.child = None
        crashed = self.wanted and not self.again and status != 0
        self.state = "activating" if crashed else "inactive"
        self.manager.removed(self.name)
        if crashed:
            GLib.timeout_add(700, self.start_again)
        elif self.again:
            self.start()

    def start_again(self):
        if self.wanted:
            self.start(automatic=True)
            self.manager.removed(self.name)

    def stop(self, again=False):
        self.wanted = self.again = again
        if self.child is not None:
            self.state = "deactivating"
            os.kill(self.child.pid, signal.SIGTERM)
        elif again:
            self.start()

    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        assert interface == NAME + ".Service"
        return dbus.Dictionary({"Type": "exec", "ExecMainStartTimestamp": dbus.UInt64(1), "NRestarts": dbus.UInt32(self.restarts),
                                "MainPID": dbus.UInt32(self.child.pid if self.child else 0),
                                "ExecStart": dbus.Array([dbus.Struct(("/x", dbus.Array(["a"], signature="s")), signature="sas")],
                                                        signature="(sas)")}, signature="sv")


class Manager(dbus.service.Object):
    def __init__(self, bus, store, template, prometheus):
        super().__init__(bus, ROOT)
        self.bus, self.store, self.prometheus = bus, store, prometheus
        self.prefix = template.partition("@")[0] + "@"
        self.units, self.jobs = {}, 0

    def unit(self, verb, name):
        with open(os.path.join(self.store, "calls"), "a") as f:
            f.write(f"{verb} {name}\n")
        if os.path.exists(os.path.join(self.store, "deny")):
            raise dbus.DBusException("Interactive authentication required.",
                                     name="org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
        assert name.startswith(self.prefix)
        if name not in self.units:
            self.units[name] = Unit(self, name)
        self.jobs += 1
        return self.units[name]

    def removed(self, name):
        self.JobRemoved(self.jobs, f"{ROOT}/job/{self.jobs}", name, "done")

    def answer(self, name):
        GLib.idle_add(self.removed, name)
        return dbus.ObjectPath(f"{ROOT}/job/{self.jobs}")

    @dbus.service.method(MANAGER, in_signature="", out_signature="")
    def Subscribe(self):
        pass

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def StartUnit(self, name, _mode):
        self.unit("start", name).start()
        return self.answer(name)

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def StopUnit(self, name, _mode):
        self.unit("stop", name).stop()
        return self.answer(name)

    @dbus.service.method(MANAGER, in_signature="ss", out_signature="o")
    def RestartUnit(self, name, _mode):
        self.unit("restart", name).stop(again=True)
        return self.answer(name)

    @dbus.service.method(MANAGER, in_signature="asas", out_signature="a(ssssssouso)")
    def ListUnitsByPatterns(self, _states, patterns):
        return dbus.Array([dbus.Struct((n, "shard", "loaded", u.state, u.state, "", dbus.ObjectPath(unit_path(n)), dbus.UInt32(0), "",
                                        dbus.ObjectPath("/")), signature="ssssssouso")
                           for n, u in self.units.items() if any(fnmatch.fnmatch(n, str(p)) for p in patterns)],
                          signature="(ssssssouso)")

    @dbus.service.signal(MANAGER, signature="uoss")
    def JobRemoved(self, _id, _job, _unit, _result):
        pass


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    manager = Manager(bus, *sys.argv[1:4])
    name = dbus.service.BusName(NAME, bus)
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    print("ready", flush=True)
    loop.run()
    del manager, name


main()
