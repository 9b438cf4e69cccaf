#!/usr/bin/python3
"""A target of many series through the proxy of a sidecar, whole and in parts: CPU seconds of the proxy for one scrape (median of rounds, the
kinds in turn), what it forwards, and its largest resident memory.

    bench/parts.py [--build=build] [--series=1000000] [--parts=4] [--rounds=5]"""
import argparse
import os
import statistics
import sys
import tempfile
import types
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--series", type=int, default=1000000)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def peak_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def fetch(address, proxy_port, hash):
    request = urllib.request.Request(f"http://{address}/metrics?_hash={hash}&_jobName=j&_scheme=http",
                                     headers={"X-Prometheus-Scrape-Timeout-Seconds": "60"})
    request.set_proxy(f"127.0.0.1:{proxy_port}", "http")
    size = 0
    with urllib.request.urlopen(request, timeout=60) as answer:
        while block := answer.read(1 << 20):
            size += len(block)
    return size


def measure(a, pair, address):
    cost, size = {}, {}
    for _ in range(a.rounds):
        for kind, hash in (("whole", 1), ("part", 2)):
            before = cpu(pair.kvass.pid)
            size[kind] = fetch(address, pair.proxy_port, hash)
            cost.setdefault(kind, []).append(cpu(pair.kvass.pid) - before)
    for kind, seconds in cost.items():
        print(f"{kind:6} {statistics.median(seconds):6.2f} s of CPU, {size[kind] / 1e6:7.1f} MB forwarded")
    print(f"largest resident memory {peak_kb(pair.kvass.pid) / 1024:.0f} MB")


def main():
    a = arguments()
    os.environ["top_builddir"] = os.path.abspath(a.build)
    sys.path.insert(0, os.path.join(HERE, "../tests/integration"))
    from harness import Exporter, wait_for
    from sidecar_harness import Beside, target
    with tempfile.TemporaryDirectory() as directory, Exporter(f"--series={a.series}") as exporter:
        world = types.SimpleNamespace(directory=directory, started=[])
        pair = Beside(world, ["--config.file=", "--split.max-parts=64"]).start_kvass()
        try:
            address = f"127.0.0.1:{exporter.port}"
            pair.push_config('{"scrape_configs": [{"job_name": "j"}]}')
            pair.push_targets({"j": [target(address, 1, "j"),
                                     target(address, 2, "j", kvass_part="0", __kvass_parts__=str(a.parts))]})
            wait_for("the targets", 30, lambda: len(pair.statuses()) == 2)
            measure(a, pair, address)
        finally:
            pair.stop()


if __name__ == "__main__":
    main()
