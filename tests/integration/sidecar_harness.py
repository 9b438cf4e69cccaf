"""A sidecar and the Prometheus beside it, for the tests: they know each other's ports before either runs, so that each may start,
end and start again in any order. A coordinator is played by the tests, with plain HTTP."""
import json
import os
import urllib.error
import urllib.request

from harness import KVASS, PROMETHEUS, PATIENCE, Process, free_ports, get_data, http, query, wait_for


def post(url, body, headers=None, timeout=30):
    """(status, answer); body is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return r.status, json.loads(r.read())
    except urllib.error.HTTPError as e:
        text = e.read()
        return e.code, json.loads(text) if text.startswith(b"{") else text.decode(errors="replace")


def target(address, hash, job="a", **labels):
    """A target as a coordinator sends it."""
    return {"hash": hash, "labels": {"__address__": address, "__scheme__": "http", "__metrics_path__": "/metrics", "job": job,
                                     "instance": address, **labels}, "series": 0, "totalSeries": 0, "TargetState": ""}


class Beside:
    """The pair. Files: out/prometheus.yml (generated), store/, prometheus/."""

    def __init__(self, world, options=(), prometheus_options=(), env=None, agent=False, binary=PROMETHEUS):
        self.world, self.options, self.prometheus_options, self.env, self.agent = world, options, prometheus_options, env, agent
        self.directory, self.binary = world.directory, binary
        self.api_port, self.proxy_port, self.prometheus_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.prometheus_url = f"http://127.0.0.1:{self.prometheus_port}"
        self.output = os.path.join(self.directory, "out", "prometheus.yml")
        self.store = os.path.join(self.directory, "store")
        self.kvass = self.prometheus = None
        world.started.append(self.stop)

    def start_kvass(self, *more, wait=True):
        args = [KVASS, "sidecar", f"--config.output-file={self.output}", f"--store.path={self.store}",
                f"--web.api-addr=127.0.0.1:{self.api_port}", f"--web.proxy-addr=127.0.0.1:{self.proxy_port}",
                f"--prometheus.url={self.prometheus_url}", *self.options, *more]
        self.kvass = Process(args, os.path.join(self.directory, "kvass.log"), env=self.env)
        if wait:
            wait_for("the sidecar's API", 30, self.healthy)
        return self

    def healthy(self):
        if not self.kvass.running():
            raise RuntimeError(f"kvass ended with {self.kvass.child.returncode}: {self.kvass.output()[-2000:]}")
        return http(self.url + "/-/healthy")[0] == 200

    def start_prometheus(self, lifecycle=True, wait=True):
        storage = "--storage.agent.path" if self.agent else "--storage.tsdb.path"
        args = [self.binary, f"--config.file={self.output}", f"{storage}={self.directory}/prometheus",
                f"--web.listen-address=127.0.0.1:{self.prometheus_port}", "--log.level=warn",
                *(["--web.enable-lifecycle"] if lifecycle else []), *(["--enable-feature=agent"] if self.agent else []),
                *self.prometheus_options]
        self.prometheus = Process(args, os.path.join(self.directory, "prometheus.log"))
        if wait:
            wait_for("Prometheus", 30, lambda: http(self.prometheus_url + "/-/ready")[0] == 200)
        return self

    def stop(self):
        for process in (self.kvass, self.prometheus):
            if process is not None:
                process.stop()

    # what a coordinator does

    def push_config(self, text, generation=1, epoch=None, headers=None):
        body = {"rawContent": text, "generation": generation}
        if epoch is not None:
            body["epoch"] = epoch
        return post(self.url + "/api/v1/status/config/", body, headers)

    def push_targets(self, targets, generation=1, epoch=None, headers=None):
        body = {"Targets": targets, "generation": generation}
        if epoch is not None:
            body["epoch"] = epoch
        return post(self.url + "/api/v1/shard/targets/", body, headers)

    def info(self):
        return get_data(self.url + "/api/v1/shard/runtimeinfo/")

    def statuses(self):
        return get_data(self.url + "/api/v1/shard/targets/status/")

    def all_up(self, count):
        statuses = self.statuses()
        return len(statuses) == count and all(s["health"] == "up" for s in statuses.values())

    def wait_acknowledged(self, generation=None, config_generation=None, seconds=60):
        def acknowledged():
            info = self.info()
            return ((generation is None or info["generation"] == generation) and
                    (config_generation is None or info["configGeneration"] == config_generation))

        wait_for(f"generation {generation}, configuration {config_generation}", seconds, acknowledged)

    def values(self, expression):
        """{instance: value}, from Prometheus itself"""
        return {m.get("instance"): float(v) for m, v in query(self.prometheus_url, expression)}

    def metric(self, line):
        """A figure of kvass' own, 0 when it is not there."""
        for got in http(self.url + "/metrics")[1].splitlines():
            if got.startswith(line + " "):
                return float(got.rsplit(" ", 1)[1])
        return 0.0


__all__ = ["Beside", "PATIENCE", "post", "target"]
