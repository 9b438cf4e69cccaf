"""Chaos: three shards (sidecar and Prometheus), each on a machine of its own (a network namespace), a coordinator, and two remote stores,
while processes are killed, stopped and started again in every order, networks are cut or lose packets, and disks are full, in an order that
a seed fixes. At the end both stores have every sample of every target at every interval; what may be missing is only what an action takes by
its nature, from the targets of the shard that it hits, until that shard is back or its targets are elsewhere.

Runs in namespaces of its own, where it is root:
    unshare --net --mount --pid --fork --kill-child --mount-proc [--map-root-user] python3 tests/integration/chaos.py SECONDS SEED FOLDER"""
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

from coordinator_harness import Coordinator, Shard, write_shards
from harness import BUILD, PATIENCE, Process, get_data, http, query, wait_for, write
from stores import PrometheusStore, Stalls, VictoriaStore, arrived, doubles, good_times

TARGETS, INTERVAL_S, GRACE_S = 12, 2, 8
HUB = "10.77.0.1"
API_PORT, PROXY_PORT, PROMETHEUS_PORT, TARGET_PORT = 8080, 8008, 9090, 9200
# A sample may come late by so much on a busy machine before it counts as missing: the long run is strict.
LOOSE_S, STRICT_S = 3 * INTERVAL_S * PATIENCE + 1, 2 * INTERVAL_S * PATIENCE - 0.1

CONFIG = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
remote_write:
{writes}
scrape_configs:
  - job_name: chaos
    static_configs:
      - targets: [{targets}]
"""


def run_command(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, timeout=30)


class Machine:
    """A network namespace with one interface, on a bridge that the stores, the targets and the coordinator are on."""

    def __init__(self, world, number):
        self.address = f"10.77.0.{10 + number}"
        self.holder = world.keep(Process(["unshare", "--net", "sleep", "1000000"], f"{world.directory}/machine-{number}.log"))
        outer = os.readlink("/proc/self/ns/net")
        wait_for("a namespace", 20, lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != outer)
        run_command("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        run_command("ip", "link", "set", f"v{number}", "master", "br0", "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "addr", "add", self.address + "/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")

    def command(self, *words):
        return ["nsenter", "-t", str(self.holder.pid), "--net", *words]

    def inside(self, *words):
        run_command(*self.command(*words))

    def drop(self, what, share=None):
        """Packets of both directions that match are dropped, all or a share of them; returns what ends it."""
        chance = ["-m", "statistic", "--mode", "random", "--probability", str(share)] if share else []
        rules = [[chain, *(w for w in words), *chance, "-j", "DROP"] for chain, words in what]
        for rule in rules:
            self.inside("iptables", "-w", "10", "-A", *rule)
        return lambda: [self.inside("iptables", "-w", "10", "-D", *rule) for rule in rules]

    @staticmethod
    def control_plane():
        """What the coordinator and this shard say to each other."""
        return [("INPUT", ["-i", "eth0", "-p", "tcp", "--dport", str(API_PORT)]),
                ("OUTPUT", ["-o", "eth0", "-p", "tcp", "--sport", str(API_PORT)])]

    @staticmethod
    def remote_write(stores):
        ports = [s.url.rsplit(":", 1)[1] for s in stores]
        return [rule for p in ports for rule in (("OUTPUT", ["-o", "eth0", "-p", "tcp", "--dport", p]),
                                                 ("INPUT", ["-i", "eth0", "-p", "tcp", "--sport", p]))]


class Disk:
    """A small file system of its own that can be full."""

    def __init__(self, world, path, megabytes):
        self.path = path
        os.makedirs(path, exist_ok=True)
        run_command("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path)
        world.started.append(lambda: run_command("umount", "-l", path))

    def fill(self):
        try:
            with open(os.path.join(self.path, "filler"), "wb", buffering=0) as f:
                while True:
                    f.write(b"\0" * (1 << 16))
        except OSError:
            pass

    def free(self):
        os.unlink(os.path.join(self.path, "filler"))


class NetShard(Shard):
    """A shard on a machine of its own: everybody else reaches only the API of its sidecar, and Prometheus through that."""

    def __init__(self, world, number):
        self.machine = Machine(world, number)
        super().__init__(world, f"shard-{number}")
        self.api_port, self.proxy_port, self.prometheus_port = API_PORT, PROXY_PORT, PROMETHEUS_PORT
        self.url = self.prometheus_url = f"http://{self.machine.address}:{API_PORT}"
        self.disks = {"sidecar": Disk(world, f"{self.directory}/store", 2), "prometheus": Disk(world, f"{self.directory}/data", 160)}

    def sidecar_command(self):
        own = f"http://127.0.0.1:{PROMETHEUS_PORT}"
        return self.machine.command(*[w.replace(f"--prometheus.url={self.prometheus_url}", f"--prometheus.url={own}")
                                      .replace("--web.api-addr=127.0.0.1:", f"--web.api-addr={self.machine.address}:")
                                      for w in super().sidecar_command()])

    def command(self):
        return self.machine.command(*super().command())

    def wait_prometheus(self):
        wait_for("Prometheus", 90, lambda: get_data(self.url + "/api/v1/status/buildinfo"))


class Chaos:
    def __init__(self, world, seed, stores):
        self.world, self.stores, self.random = world, stores, random.Random(seed)
        self.shards = [NetShard(world, n).start() for n in range(3)]
        write_shards(world, [(s.name, s.url) for s in self.shards])
        self.excused = []  # (begin, end, targets): on the path of their scrapes somebody was away
        self.log = []
        self.orders = itertools.cycle(itertools.permutations(["coordinator", "sidecar", "prometheus"]))
        self.coordinator = None
        self.start_coordinator()

    def start_coordinator(self):
        self.coordinator = Coordinator(self.world, "--shard.max-head-series=3000", "--move.cool-down=0s",
                                       name=f"coordinator-{len(self.log)}").wait_ready()

    # what costs no sample

    def kill_coordinator(self):
        self.coordinator.stop(signal.SIGKILL)
        time.sleep(self.random.uniform(0, 4))
        self.start_coordinator()

    def stop_coordinator_for_a_while(self):
        self.halt(self.coordinator, 5)

    def partition(self):
        mend = self.random.choice(self.shards).machine.drop(Machine.control_plane())
        time.sleep(self.random.choice((3, GRACE_S + 4)))
        mend()

    def lose_control_packets(self):
        mends = [s.machine.drop(Machine.control_plane(), 0.3) for s in self.shards]
        time.sleep(8)
        for mend in mends:
            mend()

    def lose_packets_to_the_stores(self):
        self.store_trouble(self.random.choice(self.shards).machine, 8, 0.2)

    def cut_off_from_the_stores(self):
        self.store_trouble(self.random.choice(self.shards).machine, 5, None)

    def store_trouble(self, machine, seconds, share):
        mend = machine.drop(Machine.remote_write(self.stores), share)
        time.sleep(seconds)
        mend()
        now = time.time()
        for s in self.stores:  # else a kill that follows would take what waits to be sent
            wait_for("the stores to have caught up", 90, lambda store=s: arrived(store, good_times(s, now - 30, now), now))

    def fill_the_disk_of_a_sidecar(self):
        """It cannot store what it is told, so it refuses it, and goes on with what it has."""
        disk = self.random.choice(self.shards).disks["sidecar"]
        disk.fill()
        time.sleep(5)
        disk.free()

    # what costs samples of one shard's targets for a while

    @staticmethod
    def halt(process, seconds):
        os.kill(process.child.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(process.child.pid, signal.SIGCONT)

    def hit(self, action):
        """Its targets, those before and those after, may miss samples until everything is back."""
        shard = self.random.choice(self.shards)
        begin = time.time()
        targets = set(sum(shard.holds().values(), []))
        action(shard)
        shard.wait_prometheus()
        end = time.time() + (4 * INTERVAL_S + 4) * PATIENCE
        targets |= set(sum(shard.holds().values(), []))
        self.excused.append((begin - 2 * INTERVAL_S, end, targets))

    def kill_sidecar(self):
        def act(shard):
            shard.sidecar.stop(signal.SIGKILL)
            time.sleep(self.random.uniform(0, 3))
            shard.start_sidecar()
        self.hit(act)

    def kill_prometheus(self):
        def act(shard):
            shard.prometheus.stop(signal.SIGKILL)
            shard.start_prometheus()
        self.hit(act)

    def stop_prometheus_for_a_while(self):
        self.hit(lambda shard: self.halt(shard.prometheus, 4))

    def kill_a_shard_until_failover(self):
        def act(shard):
            shard.kill()
            time.sleep(GRACE_S + 4)
            shard.start()
        self.hit(act)

    def restart_all_in_some_order(self):
        """Ended in one order, by request or outright, and started in the reverse."""
        order = next(self.orders)

        def act(shard):
            for what in order:
                process = {"coordinator": self.coordinator, "sidecar": shard.sidecar, "prometheus": shard.prometheus}[what]
                process.stop(self.random.choice((signal.SIGTERM, signal.SIGKILL)))
            begin = {"coordinator": self.start_coordinator, "sidecar": shard.start_sidecar, "prometheus": shard.start_prometheus}
            for what in sorted(reversed(order), key=lambda w: w == "coordinator" and order[-1] != w):
                begin[what]()
        self.hit(act)

    def fill_the_disk_of_a_prometheus(self):
        """It stores nothing while the disk is full, and is started again when there is room."""
        def act(shard):
            shard.disks["prometheus"].fill()
            time.sleep(4)
            shard.disks["prometheus"].free()
            shard.prometheus.stop(signal.SIGTERM)
            shard.start_prometheus()
        self.hit(act)

    def run(self, seconds):
        actions = [self.kill_coordinator, self.kill_sidecar, self.partition, self.kill_prometheus, self.stop_coordinator_for_a_while,
                   self.stop_prometheus_for_a_while, self.kill_a_shard_until_failover, self.lose_control_packets,
                   self.lose_packets_to_the_stores, self.cut_off_from_the_stores, self.fill_the_disk_of_a_sidecar,
                   self.restart_all_in_some_order, self.fill_the_disk_of_a_prometheus]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for action in self.random.sample(actions, len(actions)):
                if time.monotonic() >= end:
                    break
                self.log.append((time.time(), action.__name__))
                action()
                time.sleep(self.random.uniform(1, 3))

    def is_settled(self):
        """Every target on exactly one shard, and up there. Only fresh samples count: a Prometheus that was killed shows for five minutes
        what it scraped before."""
        fresh = f'up{{job="chaos"}} == 1 and timestamp(up{{job="chaos"}}) > time() - {3 * INTERVAL_S + 1}'
        seen = [m["instance"] for s in self.shards for m, _ in query(s.prometheus_url, fresh)]
        return len(seen) == TARGETS == len(set(seen))


def missing(times, begin, end, limit_s, excused, stalls):
    """(from, to) in which a target has no sample and nothing excuses it."""
    at = [begin] + [t for t in times if begin < t < end] + [end]
    return [(a, b) for a, b in zip(at, at[1:]) if b - a > limit_s and not stalls.excuse(a, b) and
            not any(w[0] < b and a < w[1] for w in excused)]


def judge(chaos, addresses, begin, end, stalls, limit_s):
    lost = []
    for store in chaos.stores:
        wait_for("the last samples in the store", 90, lambda s=store: arrived(s, addresses, end))
        if store.has_refused_doubles():
            continue
        times = good_times(store, begin - 10, end + 5)
        for address in addresses:
            excused = [w for w in chaos.excused if address in w[2]]
            lost += [f"{store.__class__.__name__}, {address}: nothing from {a - begin:.1f} to {b - begin:.1f} s"
                     for a, b in missing(times.get(address, []), begin, end, limit_s, excused, stalls)]
    return lost


def prepare(world):
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ["XTABLES_LOCKFILE"] = f"{world.directory}/xtables.lock"
    run_command("mount", "--make-rprivate", "/")
    for words in ("link set lo up", "link add br0 type bridge", f"addr add {HUB}/24 dev br0", "link set br0 up"):
        run_command("ip", *words.split())
    addresses = [f"{HUB}:{TARGET_PORT + i}" for i in range(TARGETS)]
    world.keep(Process([os.path.join(BUILD, "tests/tools/kvass-test-exporter"), "--series=200", *[f"--listen={a}" for a in addresses]],
                       f"{world.directory}/exporter.log"))
    stores = [PrometheusStore(world, out_of_order="30m", host=HUB), VictoriaStore(world, host=HUB)]
    writes = "\n".join(f"  - url: {s.write_url}\n    queue_config: {{batch_send_deadline: 500ms, min_backoff: 100ms, max_backoff: 1s}}\n"
                       "    remote_timeout: 5s" for s in stores)
    write(f"{world.directory}/prometheus.yml", CONFIG.format(interval=INTERVAL_S, writes=writes, targets=", ".join(addresses)))
    return stores, addresses


def chaos_run(world, seconds, seed):
    stores, addresses = prepare(world)
    stalls = Stalls(world)
    chaos = Chaos(world, seed, stores)
    wait_for("all targets", 120, chaos.is_settled)
    wait_for("all of them in the stores", 60, lambda: all(arrived(s, addresses, time.time() - 2 * INTERVAL_S) for s in stores))
    begin = time.time()
    chaos.run(seconds)
    wait_for("everything on one shard each again", 240, chaos.is_settled)
    settled = time.time()
    time.sleep(5 * INTERVAL_S)
    end = time.time()
    loose, strict = (judge(chaos, addresses, begin, end, stalls, limit) for limit in (LOOSE_S, STRICT_S))
    excused = sum((min(b, end) - max(a, begin)) * len(targets) for a, b, targets in chaos.excused if min(b, end) > max(a, begin))
    in_all = {s.__class__.__name__: sum(len(missing(t, begin, end, STRICT_S, [], stalls)) for t in good_times(s, begin, end).values())
              for s in stores}
    report = {"seed": seed, "seconds": round(end - begin), "actions": {}, "settled after s": round(settled - begin - seconds, 1),
              "samples": {s.__class__.__name__: sum(len(t) for t in good_times(s, begin, end).values()) for s in stores},
              "intervals": int((end - begin) / INTERVAL_S) * TARGETS, "stalls of the machine": len(stalls.found),
              "refused as doubles": stores[0].has_refused_doubles(), "missing": loose, "late or missing": strict,
              "gaps that an action excuses": in_all, "share of target time excused": round(excused / (end - begin) / TARGETS, 2),
              "doubles": [d for s in stores for d in doubles(s, addresses, settled + INTERVAL_S, end, INTERVAL_S)]}
    for _, name in chaos.log:
        report["actions"][name] = report["actions"].get(name, 0) + 1
    print(json.dumps(report, indent=1))
    if loose or strict:
        print("\n".join(f"{at - begin:.1f} {name}" for at, name in chaos.log))
        print("\n".join(f"excused from {a - begin:.1f} to {b - begin:.1f}: {sorted(t)}" for a, b, t in chaos.excused))
    return not loose and not report["doubles"]


def main():
    seconds, seed, folder = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    class World:
        directory = folder
        started = []

        def keep(self, thing):
            self.started.append(thing.stop)
            return thing

    world = World()
    try:
        good = chaos_run(world, seconds, seed)
    finally:
        for stop in reversed(world.started):
            stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
