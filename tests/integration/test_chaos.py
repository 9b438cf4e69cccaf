"""Chaos: three shards (sidecar and Prometheus), a coordinator and a remote store, while processes are killed and stopped and the coordinator
is cut off from shards, in an order that a seed fixes. At the end the store has every target at every interval: gaps are allowed only
around the kill or stop of a process that the target's own scrapes go through. KVASS_CHAOS_SECONDS and KVASS_CHAOS_SEED choose another
length (60) and order."""
import os
import random
import signal
import time

import plane
from coordinator_harness import Coordinator, Shard, write_shards
from harness import PATIENCE, PROMETHEUS, Process, free_ports, get_data, http, wait_for, write

SECONDS = int(os.environ.get("KVASS_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("KVASS_CHAOS_SEED", "20261124"))
TARGETS, INTERVAL_S = 12, 2

CONFIG = """
global:
  scrape_interval: {interval}s
  scrape_timeout: {interval}s
remote_write:
  - url: {store}/api/v1/write
    queue_config: {{batch_send_deadline: 500ms, min_backoff: 100ms, max_backoff: 1s}}
scrape_configs:
  - job_name: chaos
    static_configs:
      - targets: [{targets}]
"""


class Store:
    """A Prometheus that takes remote writes: the global view."""

    def __init__(self, world):
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        empty = os.path.join(world.directory, "store.yml")
        write(empty, "scrape_configs: []\n")
        world.keep(Process([PROMETHEUS, f"--config.file={empty}", f"--storage.tsdb.path={world.directory}/store",
                            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver", "--log.level=warn"],
                           os.path.join(world.directory, "store.log")))
        wait_for("the store", 30, lambda: http(self.url + "/-/ready")[0] == 200)

    def good_times(self, begin, end):
        """{instance: times of up == 1}: raw samples."""
        found = get_data(f"{self.url}/api/v1/query?query=up%5B{int(end - begin)}s%5D&time={end:.3f}")["result"]
        return {r["metric"]["instance"]: [t for t, v in r["values"] if v == "1"] for r in found}


class Chaos:
    def __init__(self, world, names):
        self.world, self.random = world, random.Random(SEED)
        self.shards = [Shard(world, name).start() for name in names]
        self.relays = [plane.Relay(("127.0.0.1", s.api_port)) for s in self.shards]
        for relay in self.relays:
            world.started.append(relay.close)
        write_shards(world, [(s.name, f"http://127.0.0.1:{r.port}") for s, r in zip(self.shards, self.relays)])
        self.windows = []  # (begin, end): processes on the path of scrapes were away
        self.log = []
        self.coordinator = None
        self.start_coordinator()

    def start_coordinator(self):
        self.coordinator = Coordinator(self.world, "--shard.max-head-series=3000", name=f"coordinator-{len(self.log)}").wait_ready()

    def kill_coordinator(self):
        self.coordinator.stop(signal.SIGKILL)
        time.sleep(self.random.uniform(0, 4))
        self.start_coordinator()

    def stop_coordinator_for_a_while(self):
        self.halt(self.coordinator, 5)

    @staticmethod
    def halt(process, seconds):
        os.kill(process.child.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(process.child.pid, signal.SIGCONT)

    def scrapes_interrupted(self, action):
        begin = time.time()
        action()
        self.windows.append((begin - 2 * INTERVAL_S, time.time() + (4 * INTERVAL_S + 4) * PATIENCE))

    def kill_sidecar(self):
        shard = self.random.choice(self.shards)

        def act():
            shard.sidecar.stop(signal.SIGKILL)
            time.sleep(self.random.uniform(0, 3))
            shard.start_sidecar()
        self.scrapes_interrupted(act)

    def kill_prometheus(self):
        shard = self.random.choice(self.shards)

        def act():
            shard.prometheus.stop(signal.SIGKILL)
            shard.start_prometheus()
            wait_for("Prometheus", 60, lambda: http(shard.prometheus_url + "/-/ready")[0] == 200)
        self.scrapes_interrupted(act)

    def kill_a_shard_until_failover(self):
        shard = self.random.choice(self.shards)

        def act():
            shard.kill()
            time.sleep(12)  # the grace is 8 s
            shard.start()
            wait_for("Prometheus", 60, lambda: http(shard.prometheus_url + "/-/ready")[0] == 200)
        self.scrapes_interrupted(act)

    def stop_prometheus_for_a_while(self):
        shard = self.random.choice(self.shards)
        self.scrapes_interrupted(lambda: self.halt(shard.prometheus, 4))

    def partition(self):
        relay = self.random.choice(self.relays)
        relay.cut()
        time.sleep(self.random.choice((3, 12)))
        relay.mend()

    def run(self, seconds):
        actions = [self.kill_coordinator, self.kill_sidecar, self.partition, self.kill_prometheus, self.stop_coordinator_for_a_while,
                   self.stop_prometheus_for_a_while, self.kill_a_shard_until_failover]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            order = self.random.sample(actions, len(actions))
            for action in order:
                if time.monotonic() >= end:
                    break
                self.log.append(f"{time.time():.1f} {action.__name__}")
                action()
                time.sleep(self.random.uniform(1, 3))

    def is_settled(self):
        """Every target on exactly one shard, and up there. Only fresh samples count: a Prometheus that was killed shows for five minutes
        what it scraped before."""
        fresh = f'up{{job="chaos"}} == 1 and timestamp(up{{job="chaos"}}) > time() - {3 * INTERVAL_S + 1}'
        seen = [i for s in self.shards for i in s.instances(fresh)]
        return len(seen) == TARGETS == len(set(seen))


def test_nothing_is_lost(world):
    store = Store(world)
    _, addresses = world.exporter("--series=200", listeners=TARGETS)
    write(os.path.join(world.directory, "prometheus.yml"),
          CONFIG.format(interval=INTERVAL_S, store=store.url, targets=", ".join(addresses)))
    chaos = Chaos(world, ["shard-0", "shard-1", "shard-2"])
    wait_for("all targets", 90, chaos.is_settled)
    wait_for("all of them in the store", 30, lambda: len(store.good_times(time.time() - 10, time.time())) == TARGETS)
    begin = time.time()
    chaos.run(SECONDS)
    wait_for("everything on one shard each again", 120, chaos.is_settled)
    time.sleep(2 * INTERVAL_S + 2)  # what is under way to the store
    end = time.time()
    times = store.good_times(begin - 5, end)
    assert sorted(times) == sorted(addresses)
    lost = []
    for instance, at in times.items():
        at = [begin] + [t for t in at if t > begin] + [end]
        for a, b in zip(at, at[1:]):
            excused = any(w[0] < b and a < w[1] for w in chaos.windows)
            if b - a > 3 * INTERVAL_S * PATIENCE + 1 and not excused:
                lost.append(f"{instance}: nothing from {a - begin:.1f} to {b - begin:.1f} s")
    assert not lost, f"seed {SEED}: {lost}\n" + "\n".join(chaos.log)
