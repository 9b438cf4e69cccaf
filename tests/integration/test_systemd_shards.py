"""--shard.type=systemd against the D-Bus interface of systemd, spoken by fake_systemd.py on a private bus; the units are real Prometheus
servers. tests/package.sh does the same on a booted systemd with the installed unit and polkit."""
import os
import re
import signal
import subprocess
import sys

import pytest
from harness import PROMETHEUS, SOURCE, Process, all_up, http, static_job, wait_for

UNIT = "test-prometheus@.service"


class Systemd:
    def __init__(self, directory):
        self.directory, self.store = directory, os.path.join(directory, "store")
        os.makedirs(self.store)
        self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"], stdout=subprocess.PIPE, text=True)
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": self.bus.stdout.readline().strip()}
        self.start()

    def start(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_systemd.py")
        self.manager = Process([sys.executable, script, self.store, UNIT, PROMETHEUS], os.path.join(self.directory, "systemd.log"),
                               env=self.env)
        wait_for("the manager", 20, lambda: "ready" in self.manager.output())

    def calls(self):
        path = os.path.join(self.store, "calls")
        return open(path).read().split("\n")[:-1] if os.path.exists(path) else []

    def deny(self, on):
        path = os.path.join(self.store, "deny")
        if on:
            open(path, "w").close()
        else:
            os.unlink(path)

    def stop(self):
        self.manager.stop()
        self.bus.terminate()
        self.bus.wait(20)
        self.bus.stdout.close()


@pytest.fixture
def systemd(world):
    s = Systemd(world.directory)
    world.started.append(s.stop)
    return s


def ends(kvass):
    """{shard: ends counted}"""
    page = http(kvass.url + "/metrics")[1]
    return {m[0]: int(m[1]) for m in re.findall(r'(?m)^kvass_shard_process_exits_total\{shard="([^"]*)"\} (\d+)$', page)}


def start(world, systemd, *options, **more):
    return world.appliance("--shard.type=systemd", f"--shard.systemd-unit={UNIT}", "--shard.max-series=1000", *options,
                           env=systemd.env, **more)


def two_shards(world, systemd, *options, **more):
    _, addresses = world.exporter("--series=400", listeners=4)
    world.configure([static_job("load", addresses)])
    kvass = start(world, systemd, *options, **more).wait_ready()
    wait_for("four targets on two shards", 90, lambda: all_up(kvass, 4) and len(kvass.shards()) >= 2
             and all(s["health"] == "ready" for s in kvass.shards()))
    return kvass


def test_starts_adopts_restarts_and_ends(world, systemd):
    kvass = two_shards(world, systemd, "--shard.on-exit=keep")
    pids = kvass.child_pids()
    assert len(pids) == len(kvass.shards()) >= 2
    started = [c for c in systemd.calls() if c.startswith("start")]
    assert sorted(set(started)) == sorted(f"start test-prometheus@shard-{i}.service" for i in range(len(pids)))
    Process.stop(kvass, signal.SIGTERM)
    assert kvass.child_pids() == pids and not [c for c in systemd.calls() if c.startswith("stop")]

    again = start(world, systemd, "--shard.on-exit=keep", base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("the shards again", 60, lambda: all_up(again, 4) and all(s["health"] == "ready" for s in again.shards()))
    assert again.child_pids() == pids and [c for c in systemd.calls() if c.startswith("start")] == started

    assert ends(again) == {s: 0 for s in pids}
    os.kill(pids["shard-0"], signal.SIGKILL)
    wait_for("the killed unit to return", 60, lambda: again.child_pids().get("shard-0", pids["shard-0"]) != pids["shard-0"]
             and all(s["health"] == "ready" for s in again.shards()))
    wait_for("its end to be counted", 60, lambda: ends(again) == {s: int(s == "shard-0") for s in pids})
    Process.stop(again, signal.SIGINT)
    assert again.child_pids() == {}


def test_every_end_of_a_unit_is_counted(world, systemd):
    """Ends between two listings too: the manager's count of restarts is read, and a clean end that it does not mend is one as well."""
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("load", addresses)])
    kvass = start(world, systemd).wait_ready()
    wait_for("the shard", 60, lambda: all_up(kvass, 1))
    for count, sig in enumerate((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM), 1):
        pid = kvass.child_pids()["shard-0"]
        os.kill(pid, sig)
        wait_for("another process", 60, lambda: kvass.child_pids().get("shard-0", pid) != pid and kvass.shards()[0]["health"] == "ready")
        wait_for("the end to be counted", 60, lambda: ends(kvass) == {"shard-0": count})
    alert = 'increase(kvass_shard_process_exits_total[30m])'
    with open(os.path.join(SOURCE, "monitoring/kvass.rules.yml")) as f:
        assert alert in f.read()


def test_other_arguments_restart_one_by_one(world, systemd):
    kvass = two_shards(world, systemd, "--shard.on-exit=keep")
    pids = kvass.child_pids()
    Process.stop(kvass, signal.SIGTERM)
    title = 'a "b" \\c $d'
    again = start(world, systemd, "--shard.on-exit=keep", "--shard.prometheus-args='--web.page-title=" + title + "'",
                  base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("every unit to be another process", 90, lambda: len(again.child_pids()) == len(pids) and not (
        set(again.child_pids().values()) & set(pids.values())) and all(s["health"] == "ready" for s in again.shards()))
    for pid in again.child_pids().values():
        with open(f"/proc/{pid}/cmdline") as f:
            assert f"--web.page-title={title}" in f.read().split("\0")
    restarts = [c for c in systemd.calls() if c.startswith("restart")]
    assert sorted(restarts) == sorted(f"restart test-prometheus@{s}.service" for s in pids)


def test_a_refusal_is_told_and_tried_again(world, systemd):
    systemd.deny(True)
    _, addresses = world.exporter("--series=10")
    world.configure([static_job("load", addresses)])
    kvass = start(world, systemd).wait_ready()
    wait_for("the reason", 60, lambda: "60-kvass.rules" in kvass.shards()[0]["error"])
    systemd.deny(False)
    wait_for("the target", 60, lambda: all_up(kvass, 1))
    assert "60-kvass.rules" not in kvass.shards()[0]["error"]


def test_memory_is_kept_for_shards_that_were_just_asked_for(world, systemd):
    """Free memory for two empty shards of 128 MiB, as the kernel would tell it: the third waits, though neither uses any yet."""
    free = os.path.join(world.directory, "meminfo")

    def tell(megabytes):  # in place: the file is mounted
        with open(free, "r+" if os.path.exists(free) else "w") as f:
            f.write(f"MemTotal:       99999999 kB\nMemAvailable:   {megabytes * 1024:8d} kB\n")

    tell(1000 + 250)
    _, addresses = world.exporter("--series=400", listeners=8)
    world.configure([static_job("load", addresses)])
    wrapper = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "bash", "-c",
               'mount --bind "$0" /proc/meminfo && exec "$@"', free]
    kvass = start(world, systemd, "--shard.memory-reserve=1000MB", wrapper=wrapper).wait_ready()
    wait_for("three or more to be wanted", 120, lambda: len(kvass.shards()) >= 3)
    wait_for("two to run", 60, lambda: sum(s["health"] == "ready" for s in kvass.shards()) == 2)
    wait_for("the third to wait", 60, lambda: "waits for memory: 1250 MB are free" in kvass.shards()[2]["error"])
    assert {c for c in systemd.calls() if c.startswith("start")} == {f"start test-prometheus@shard-{i}.service" for i in (0, 1)}
    tell(20000)
    wait_for("the rest", 120, lambda: all_up(kvass, 8) and all(s["health"] == "ready" for s in kvass.shards()))


def test_memory_that_is_not_there_starts_no_further_shard(world, systemd):
    _, addresses = world.exporter("--series=400", listeners=4)
    world.configure([static_job("load", addresses)])
    kvass = start(world, systemd, "--shard.memory-reserve=1TB").wait_ready()
    wait_for("the reason", 90, lambda: any("waits for memory" in s["error"] for s in kvass.shards()))
    assert set(systemd.calls()) == {"start test-prometheus@shard-0.service"}
    wait_for("the first shard to have targets", 60, lambda: any(
        s["id"] == "shard-0" and s["health"] == "ready" and s["targets"] > 0 for s in kvass.shards()))


def test_a_bus_that_goes_away_is_no_end(world, systemd):
    kvass = two_shards(world, systemd)
    pids = kvass.child_pids()
    systemd.bus.terminate()
    systemd.bus.wait(20)
    wait_for("the loss to be told", 30, lambda: "D-Bus" in kvass.output())
    assert http(kvass.url + "/-/healthy")[0] == 200 and all_up(kvass, 4) and kvass.child_pids() == pids
    assert kvass.output().count("ask systemd") < 5


def test_what_cannot_work_is_refused(world):
    world.configure([])
    for options, words in ((["--shard.systemd-unit=plain.service"], "name@.service"), ([], "/var/lib/kvass")):
        kvass = world.appliance("--shard.type=systemd", *options)
        kvass.child.wait(20)
        assert kvass.child.returncode == 1 and words in kvass.output()
