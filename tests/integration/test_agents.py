"""Other agents as shards: Prometheus in agent mode, and vmagent of Debian's package victoria-metrics. They cannot be queried: the global
view is a store they write to, a Prometheus or VictoriaMetrics, and that store is where each sample of each target has to be. The
Prometheus takes samples out of order: two shards write the series of a target that moves (test_staleness has the other kind)."""
import os
import subprocess
import time

from coordinator_harness import Coordinator, Shard, write_shards
from harness import all_up, wait_for, write
from stores import PrometheusStore, Stalls, VictoriaStore, doubles, good_times, lost

INTERVAL_S = 3
TARGETS = 9

CONFIG = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s, external_labels: {{where: here}}}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: [localhost:1]}}]}}]}}
remote_read: [{{url: "http://localhost:1/read"}}]
{remote_write}
scrape_configs:
  - job_name: app
    static_configs:
      - targets: [{targets}]
"""


def agent_flag(version):
    return "--agent" if version.major >= 3 else "--enable-feature=agent"


class AgentShard(Shard):
    """Prometheus in agent mode."""

    def __init__(self, world, name, version):
        super().__init__(world, name, ["--shard.server=agent"], version.prometheus)
        self.flag = agent_flag(version)

    def command(self):
        return [w.replace("--storage.tsdb.path", "--storage.agent.path") for w in super().command()] + [self.flag]


class VmagentShard(Shard):
    def __init__(self, world, name, stores, options=()):
        super().__init__(world, name, ["--shard.server=vmagent", *options])
        self.stores = stores

    def command(self):
        return ["vmagent", f"-promscrape.config={self.config}", f"-httpListenAddr=127.0.0.1:{self.prometheus_port}",
                f"-remoteWrite.tmpDataPath={self.directory}/data", "-promscrape.fileSDCheckInterval=1s", "-loggerLevel=WARN",
                *[f"-remoteWrite.url={s.write_url}" for s in self.stores], "-memory.allowedBytes=64MB"]


def arrange(world, remote_write=()):
    """The targets, and a configuration that has everything agents refuse."""
    exporter, addresses = world.exporter("--series=100", listeners=TARGETS)
    urls = "".join(f"  - {{url: {u}, queue_config: {{batch_send_deadline: 500ms}}}}\n" for u in remote_write)
    write(os.path.join(world.directory, "prometheus.yml"), CONFIG.format(
        interval=INTERVAL_S, targets=", ".join(addresses), remote_write="remote_write:\n" + urls if urls else ""))
    return exporter, sorted(addresses)


def settled(coordinator, shards):
    """Every target has one owner and is up, no move is under way, and no shard is empty."""
    held = [len(s.holds().get("app", [])) for s in shards]
    return coordinator.all_up(TARGETS) and all(held) and sum(held) == TARGETS


def grow_and_judge(world, shards, stores, addresses):
    """One shard has all the targets; two are added, and targets move there. In the end every store has every sample."""
    stalls = Stalls(world)
    listed = [(s.name, s.url) for s in shards]
    write_shards(world, listed[:1])
    c = Coordinator(world, "--shard.max-series=5000", "--move.cool-down=0s", "--balance.even-out=1.05").wait_ready()
    wait_for("all on the first shard", 90, lambda: settled(c, shards[:1]))
    wait_for("a first sample of each", 90, lambda: all(len(good_times(s, time.time() - 60, time.time() + 1)) == TARGETS for s in stores))
    begin = time.time()
    write_shards(world, listed)
    wait_for("some of them on each", 240, lambda: settled(c, shards))
    moves = c.get("/api/v1/moves")
    assert len(moves) >= 4 and all(m["state"] == "finished" for m in moves), moves
    # The sources have forgotten what left them: from here on nothing may come twice.
    wait_for("the sources to forget", 240, lambda: sum(len(t) for s in shards for t in s.info_targets().values()) == TARGETS)
    quiet = time.time()
    time.sleep(5 * INTERVAL_S)
    end = time.time()
    for store in stores:
        assert not lost(store, addresses, begin, end, INTERVAL_S, stalls) or store.has_refused_doubles(), store.url
        assert not doubles(store, addresses, quiet, end, INTERVAL_S), store.url
        assert sorted(good_times(store, begin, end)) == addresses
    return c


def test_prometheus_agents_write_to_both_stores(world, version):
    stores = [PrometheusStore(world, out_of_order="10m"), VictoriaStore(world)]
    _, addresses = arrange(world, [s.write_url for s in stores])
    shards = [AgentShard(world, f"shard-{i}", version).start() for i in range(3)]
    c = grow_and_judge(world, shards, stores, addresses)
    wait_for("a head, told by the agents themselves", 60, lambda: all(s.info()["headSeries"] >= 100 * len(s.holds()["app"]) for s in shards))
    assert all(s["health"] == "ready" and not s["error"] for s in c.shards().values())


def test_vmagents_write_to_both_stores(world):
    stores = [VictoriaStore(world), PrometheusStore(world, out_of_order="10m")]
    _, addresses = arrange(world)
    shards = [VmagentShard(world, f"shard-{i}", stores).start() for i in range(3)]
    c = grow_and_judge(world, shards, stores, addresses)
    assert all(s.info()["headSeries"] == 100 * len(s.holds()["app"]) for s in shards)  # what was counted stands in for it
    assert all(s["health"] == "ready" and not s["error"] for s in c.shards().values())


def test_vmagent_with_static_lists_and_its_own_flags_only(world):
    """vmagent as it comes, no flag about files: an assignment reaches it at once by a reload."""
    stores = [VictoriaStore(world)]
    _, addresses = arrange(world)
    shard = VmagentShard(world, "shard-0", stores, ["--inject.targets=static"])
    shard.command = lambda: [w for w in VmagentShard.command(shard) if "fileSD" not in w]
    shard.start()
    write_shards(world, [(shard.name, shard.url)])
    c = Coordinator(world).wait_ready()
    wait_for("all targets", 90, lambda: c.all_up(TARGETS))
    wait_for("all of them in the store", 60, lambda: sorted(good_times(stores[0], time.time() - 60, time.time() + 1)) == addresses)


def spread(kvass):
    """Targets on the three shards, none of which is empty."""
    held = [s["targets"] for s in kvass.shards()]
    return sum(held) if len(held) == 3 and all(held) and all_up(kvass, TARGETS) else 0


def test_appliance_of_agents(world, version):
    """kvass starts agents by itself, as many as the load needs, and finds them again after its own death."""
    store = PrometheusStore(world, out_of_order="10m")
    _, addresses = arrange(world, [store.write_url])
    options = ["--shard.server=agent", "--shard.max-series=500", f"--shard.prometheus-binary={version.prometheus}"]
    kvass = world.appliance(*options).wait_ready()
    wait_for("three shards", 120, lambda: spread(kvass) == TARGETS)
    wait_for("all of them in the store", 90, lambda: sorted(good_times(store, time.time() - 10, time.time() + 1)) == addresses)
    pids = kvass.child_pids("--storage.agent.path=")
    assert len(pids) == 3
    stalls = Stalls(world)
    begin = time.time()
    kvass.kill()
    kvass.child.wait(20)
    again = world.appliance(*options, base_port=kvass.base_port, ports=kvass.ports).wait_ready()
    wait_for("the three shards again", 60, lambda: spread(again) == TARGETS)
    assert again.child_pids("--storage.agent.path=") == pids
    time.sleep(2 * INTERVAL_S)
    assert not lost(store, addresses, begin + 3 * INTERVAL_S, time.time(), INTERVAL_S, stalls)


def test_what_kvass_does_not_start_is_refused(world):
    arrange(world)
    for options, word in ((["--shard.server=vmagent"], "kvass sidecar"), (["--shard.server=agent", "--shard.type=systemd"], "shard.type")):
        kvass = world.appliance(*options)
        assert kvass.child.wait(30) == 1
        assert "shard.server" in kvass.output() and word in kvass.output()


def test_rendered_for_vmagent_passes_its_own_check(world):
    """No flag about unknown fields is needed."""
    arrange(world)
    out = subprocess.run([os.environ["top_builddir"] + "/kvass", "render", f"--config.file={world.directory}/prometheus.yml",
                          "--shard.server=vmagent"], capture_output=True, text=True, timeout=30, check=True).stdout
    path = os.path.join(world.directory, "rendered.yml")
    write(path, out)
    done = subprocess.run(["vmagent", "-promscrape.config.dryRun", f"-promscrape.config={path}"], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done.stderr
