"""A coordinator, and the shards it drives: sidecars with a Prometheus each, on ports that stay the same when they start again."""
import json
import os
import signal

from harness import KVASS, PROMETHEUS, Process, free_ports, get_data, http, query, wait_for, write


class Shard:
    """`kvass sidecar` and the Prometheus beside it; or an agent."""

    def __init__(self, world, name, options=(), binary=PROMETHEUS):
        self.world, self.name, self.options, self.binary = world, name, options, binary
        self.directory = os.path.join(world.directory, name)
        os.makedirs(self.directory, exist_ok=True)
        self.api_port, self.proxy_port, self.prometheus_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.prometheus_url = f"http://127.0.0.1:{self.prometheus_port}"
        self.config = os.path.join(self.directory, "out", "prometheus.yml")
        self.sidecar = self.prometheus = None
        world.started.append(self.stop)

    def start(self):
        self.start_sidecar()
        self.start_prometheus()
        return self

    def sidecar_command(self):
        return [KVASS, "sidecar", "--config.file=", f"--config.output-file={self.config}", f"--store.path={self.directory}/store",
                f"--web.api-addr=127.0.0.1:{self.api_port}", f"--web.proxy-addr=127.0.0.1:{self.proxy_port}",
                f"--inject.proxy=http://127.0.0.1:{self.proxy_port}", f"--prometheus.url={self.prometheus_url}",
                f"--shard.id={self.name}", *self.options]

    def start_sidecar(self):
        self.sidecar = Process(self.sidecar_command(), os.path.join(self.directory, "sidecar.log"))
        wait_for(f"the sidecar of {self.name}", 30, lambda: http(self.url + "/-/healthy")[0] == 200)

    def command(self):
        return [self.binary, f"--config.file={self.config}", f"--storage.tsdb.path={self.directory}/data",
                f"--web.listen-address=127.0.0.1:{self.prometheus_port}", "--web.enable-lifecycle", "--log.level=warn"]

    def start_prometheus(self):
        wait_for("the generated file", 30, lambda: os.path.exists(self.config))
        self.prometheus = Process(self.command(), os.path.join(self.directory, "prometheus.log"))

    def upgrade(self, binary):
        """Another Prometheus on the same data; the sidecar stays."""
        self.prometheus.stop()
        self.binary = binary
        self.start_prometheus()

    def kill(self):
        for p in (self.sidecar, self.prometheus):
            if p is not None:
                p.stop(signal.SIGKILL)

    def stop(self):
        for p in (self.sidecar, self.prometheus):
            if p is not None and p.running():
                p.stop()

    def holds(self):
        """{job: [address]} without what is leaving."""
        targets = get_data(self.url + "/api/v1/shard/targets/?full=true")["Targets"]
        return {j: sorted(t["labels"]["__address__"] for t in ts if t["TargetState"] != "leaving") for j, ts in targets.items()}

    def info(self):
        return get_data(self.url + "/api/v1/shard/runtimeinfo/")

    def info_targets(self):
        """Everything the proxy serves: what is leaving, too."""
        return get_data(self.url + "/api/v1/shard/targets/?full=true")["Targets"]

    def instances(self, expression="up"):
        return {m.get("instance"): v for m, v in query(self.prometheus_url, expression)}


class Coordinator(Process):
    def __init__(self, world, *options, name="coordinator", shard_type="static", config_path=None):
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        args = [KVASS, "coordinator", f"--shard.type={shard_type}", f"--config.file={config_path or world.directory + '/prometheus.yml'}",
                f"--web.address=127.0.0.1:{self.port}", "--coordinator.interval=1s", "--shard.failover-grace=8s",
                "--target.grace=2s", *options]
        if shard_type == "static":
            args.append(f"--shard.static-file={world.directory}/shards.yaml")
        super().__init__(args, os.path.join(world.directory, name + ".log"))
        world.started.append(lambda: self.running() and self.stop())

    def wait_ready(self, seconds=60):
        def ready():
            if not self.running():
                raise RuntimeError(f"kvass ended with {self.child.returncode}: {self.output()[-3000:]}")
            return http(self.url + "/-/ready")[0] == 200

        wait_for("the coordinator to be ready", seconds, ready)
        return self

    def get(self, path):
        return get_data(self.url + path)

    def shards(self):
        return {s["id"]: s for s in self.get("/api/v1/shards")["shards"]}

    def role(self):
        return self.get("/api/v1/shards")["role"]

    def targets(self, job=None):
        found = self.get("/api/v1/targets?state=active")["activeTargets"]
        return [t for t in found if job is None or t["scrapePool"] == job]

    def owners(self):
        return {t["scrapeUrl"]: sorted(t["shards"]) for t in self.targets()}

    def all_up(self, count, owners=1):
        targets = self.targets()
        return (len(targets) == count and
                all(t["health"] == "up" and t["state"] == "assigned" and len(t["shards"]) == owners for t in targets))

    def why(self, **query):
        from urllib.parse import urlencode
        return self.get("/api/v1/why?" + urlencode(query))

    def metric(self, line):
        for got in http(self.url + "/metrics")[1].splitlines():
            if got.startswith(line + " "):
                return float(got.rsplit(" ", 1)[1])
        return 0.0


def write_shards(world, *replicas):
    """Each replica: a list of (id, url) or of dictionaries."""
    lists = [{"shards": [s if isinstance(s, dict) else {"id": s[0], "url": s[1]} for s in shards]} for shards in replicas]
    write(os.path.join(world.directory, "shards.yaml"), json.dumps({"replicas": lists}))
