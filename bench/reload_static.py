#!/usr/bin/python3
"""A reload with many static targets: seconds until POST /-/reload is answered and until the new list counts (kvass_discovery_targets;
prometheus_target_scrape_pool_targets of the peer), and the CPU taken up to then and three seconds on. Peer, in the same run: Prometheus
by itself with the same configuration. Targets refuse connections and intervals are hours, so that scrapes have no part in the figures.

    bench/reload_static.py [--build=build] [--targets=20000] [--rounds=3] [--settle=20] [--prometheus=prometheus]

A round adds one target ("one"), or one and a new label to all of them ("all"). Prints a line of JSON for each of them and peer."""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
METRIC = {"kvass": "kvass_discovery_targets", "prometheus": "prometheus_target_scrape_pool_targets"}


def text(count, label):
    """Two targets a group, with labels as generated configurations carry them."""
    groups = [{"targets": [f"127.{k}.{n // 250}.{1 + n % 250}:1" for k in (1, 2)][:count - 2 * n],
               "labels": {"rack": f"r{n % 40}", "role": "node", "edition": str(label)}} for n in range((count + 1) // 2)]
    return json.dumps({"global": {"scrape_interval": "24h", "scrape_timeout": "1s"},
                       "scrape_configs": [{"job_name": "j", "static_configs": groups}]})


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count_of(harness, name, url):
    for line in harness.http(url + "/metrics", timeout=60)[1].splitlines():
        if line.startswith(METRIC[name] + "{") and 'scrape_job="j"' in line and ("state=" not in line or 'state="good"' in line):
            return float(line.rsplit(" ", 1)[1])
    return 0


def reload(harness, name, server, path, count, label):
    harness.write(path, text(count, label))
    cpu, start = cpu_s(server.pid), time.monotonic()
    status, said = harness.http(server.url + "/-/reload", "POST", "", timeout=120)
    answered = time.monotonic() - start
    assert status == 200, said
    harness.wait_for("the new list", 120, lambda: count_of(harness, name, server.url) == count, 0.05)
    applied = time.monotonic() - start
    time.sleep(3)
    return answered, applied, cpu_s(server.pid) - cpu


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default=os.path.join(TOP, "build"))
    p.add_argument("--targets", type=int, default=20000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--settle", type=float, default=20, help="seconds before the first reload")
    p.add_argument("--prometheus", default="prometheus")
    o = p.parse_args()
    os.environ["top_builddir"] = os.path.abspath(o.build)
    sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
    import harness
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "prometheus.yml")
        harness.write(path, text(o.targets, 0))
        started = []
        try:
            started.append(("prometheus", harness.Prometheus(os.path.join(directory, "peer"), path, binary=o.prometheus)))
            started.append(("kvass", harness.Appliance(directory, path, ["--shard.max-series=10000000"])))
            for name, server in started:
                server.wait_ready()
                harness.wait_for("the first list", 120, lambda: count_of(harness, name, server.url) == o.targets)
            time.sleep(o.settle)  # first scrapes
            count = o.targets
            figures = {}
            for n in range(o.rounds):
                for kind in ("one", "all"):
                    count += 1
                    label = n + (kind == "all")
                    for name, server in started:
                        figures.setdefault((kind, name), []).append(reload(harness, name, server, path, count, label))
        finally:
            for _, server in reversed(started):
                server.stop()
    for (kind, name), runs in figures.items():
        answered, applied, cpu = (round(statistics.median(f), 3) for f in zip(*runs))
        print(json.dumps({"change": kind, "of": name, "answered_s": answered, "applied_s": applied, "cpu_s": cpu}))


main()
