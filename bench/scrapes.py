#!/usr/bin/python3
"""A real Prometheus that scrapes many targets, once by itself and once through kvass: CPU and memory of both processes, and scrapes
that are missing or failed. Targets are addresses of 127.0.0.0/8, so that every one has a connection of its own.

    bench/scrapes.py [--build=build] [--targets=10000] [--series=20] [--interval=15] [--measure=45] [--gzip] [--ways=direct,proxied]
                     [--option=...]   (of the appliance; may be repeated)"""
import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WARM_INTERVALS = 2


def body_of(series):
    lines = ["# HELP http_requests_total Requests served.\n# TYPE http_requests_total counter\n"]
    lines += [f'http_requests_total{{method="GET",code="200",path="/api/v1/resources/items/{n}",zone="eu-central-1b"}} {n * 7919 % 999983}\n'
              for n in range(series)]
    return "".join(lines)


def upstream_config(directory, port):
    return f"""worker_processes 1; worker_rlimit_nofile 20000; pid {directory}/up.pid; error_log {directory}/up.log error;
events {{ worker_connections 15000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; types {{}} default_type "text/plain; version=0.0.4";
  server {{ listen 0.0.0.0:{port} backlog=4096; root {directory}/bodies; gzip_static on; }} }}
"""


def addresses(count, port):
    return [f"127.{1 + n // 60000}.{n // 250 % 240}.{1 + n % 250}:{port}" for n in range(count)]


def usage(pid):
    """CPU seconds, resident kB, open sockets."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    sockets = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            pass
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]), sockets


class Way:
    """One of the two ways, from its processes to its row of the table."""

    def __init__(self, name, options, harness, directory, port):
        self.name, self.options, self.h = name, options, harness
        job = harness.static_job("load", addresses(options.targets, port), metrics_path="/metrics")
        os.makedirs(directory)
        config = f"{directory}/prometheus.yml"
        harness.write(config, harness.config([job], f"{options.interval}s"))
        if name == "direct":
            self.kvass = None
            self.prometheus = harness.Prometheus(directory, config).wait_ready()
            self.url, self.pids = self.prometheus.url, {"prometheus": self.prometheus.pid}
        else:
            self.kvass = harness.Appliance(directory, config, ["--log.level=warn", "--proxy.threads=1", *options.option], shards_max=1)
            self.kvass.wait_ready(120)
            shard = harness.wait_for("the shard", 60, lambda: self.kvass.shards()[0]["prometheusUrl"] and self.kvass.shards()[0])
            self.url = shard["prometheusUrl"]
            self.pids = {"kvass": self.kvass.pid, "prometheus": harness.wait_for("the child", 30, self.kvass.child_pids)[shard["id"]]}

    def count(self, expression):
        return int(self.h.scalar(self.url, expression) or 0)

    def measure(self):
        o = self.options
        self.h.wait_for("every target to be up", 300, lambda: self.count("sum(up)") == o.targets, pause=1)
        time.sleep(WARM_INTERVALS * o.interval)
        before, begin = {name: usage(pid) for name, pid in self.pids.items()}, time.time()
        time.sleep(o.measure)
        end = time.time()
        after = {name: usage(pid) for name, pid in self.pids.items()}
        samples = [values for _, values in self.h.query(self.url, f"up[{o.measure}s]", end)]
        gaps = [(b[0] - a[0]) / o.interval for values in samples for a, b in zip(values, values[1:])]
        row = {"way": self.name, "scrapes": sum(map(len, samples)), "failed": sum(v == "0" for values in samples for _, v in values),
               "missed": sum(round(gap) - 1 for gap in gaps if gap > 1.5) + (o.targets - len(samples)) * (o.measure // o.interval)}
        for name in self.pids:
            row[name] = {"cpu_percent": 100 * (after[name][0] - before[name][0]) / (end - begin), "rss_mb": after[name][1] / 1024,
                         "sockets": after[name][2]}
        return row

    def close(self):
        (self.kvass or self.prometheus).stop()


def print_row(row):
    cells = []
    for name in ("kvass", "prometheus"):
        p = row.get(name)
        cells += [f"{p['cpu_percent']:.1f} %", f"{p['rss_mb']:.0f} MB", str(p["sockets"])] if p else ["", "", ""]
    both = sum(row[name]["cpu_percent"] for name in ("kvass", "prometheus") if name in row)
    print(f"| {row['way']} | {' | '.join(cells)} | {both:.1f} % | {row['scrapes']} | {row['failed']} | {row['missed']} |", flush=True)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--targets", type=int, default=10000)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--measure", type=int, default=45)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--ways", type=lambda t: t.split(","), default=["direct", "proxied"])
    parser.add_argument("--option", action="append", default=[])
    return parser.parse_args()


def main():
    options = parse_options()
    os.environ["top_builddir"] = os.path.abspath(options.build)
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "integration"))
    import harness
    port = harness.free_ports(1)[0]
    print("| way | kvass CPU | RSS | sockets | Prometheus CPU | RSS | sockets | both CPU | scrapes | failed | missed |\n" + "|---" * 11 + "|")
    with tempfile.TemporaryDirectory(prefix="kvass-bench-") as directory:
        os.chmod(directory, 0o755)
        os.makedirs(f"{directory}/bodies")
        harness.write(f"{directory}/bodies/metrics", body_of(options.series))
        if options.gzip:
            with open(f"{directory}/bodies/metrics.gz", "wb") as f:
                f.write(gzip.compress(body_of(options.series).encode(), 6))
        harness.write(f"{directory}/up.conf", upstream_config(directory, port))
        upstream = subprocess.Popen(["nginx", "-c", f"{directory}/up.conf", "-g", "daemon off;"])
        try:
            for name in options.ways:
                way = Way(name, options, harness, f"{directory}/{name}", port)
                try:
                    print_row(way.measure())
                finally:
                    way.close()
        finally:
            upstream.terminate()
            upstream.wait()


if __name__ == "__main__":
    main()
