#!/usr/bin/python3
"""kvass' proxy beside nginx (as a true forward proxy, and as a reverse proxy with kept connections), haproxy and h2o: requests a
second, CPU per request, latency, each case through every proxy in turn, round by round, so that a noisy machine hits all alike;
the median of the rounds, and of the ratio to nginx as reverse proxy within a round. One worker each, on one core; the server of
the bodies (nginx) and the load generator on the other.

    bench/proxy.py [--build=build] [--rounds=5] [--seconds=1] [--sizes=5k,100k,1m,10m] [--connections=1,8,32] [--only=gzip|identity]
                   [--proxies=nginx-reverse,kvass-strict,...] [--half-load] [--memory] [--h2o=h2o] [--json=FILE]

Ways: identity; gzip: the client takes what it gets, kvass counts beside (--scrape.pass-compressed) or hands on identity
(kvass-strict-inflate, its default). kvass-opaque passes the same compressed bytes without counting them.

--half-load and --memory judge against the figures to hold: p99 added to that of the server of the bodies itself, asked at the
same rate in turn, under 1 ms; memory constant in body size: peaks with 10 MB bodies above those with 100 kB bodies at most by what
a scrape may have on its way (512 kB, and 64 kB of libcurl's), and equal to those with 1 MB bodies."""
import argparse
import contextlib
import glob
import gzip
import json
import os
import pwd
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"5k": 5000, "100k": 100000, "1m": 1000000, "10m": 10000000}
PEERS = ["nginx-forward", "nginx-reverse", "nginx-tuned", "haproxy", "h2o"]
# name: options of the appliance
ADDED_P99_US = 1000
STREAMING_KB = 512 + 64  # a scrape may have on its way
NOISE_KB = 1024
KVASS = {
    "kvass-strict": ["--scrape.count=strict", "--scrape.pass-compressed"],
    "kvass-fast": ["--scrape.count=fast", "--scrape.pass-compressed"],
    "kvass-strict-inflate": ["--scrape.count=strict"],
    "kvass-opaque": ["--scrape.count=fast", "--scrape.pass-compressed"],
}


def body_of(size):
    """What exporters write, as many lines as make `size` bytes: families of 1 to 40 series with three labels, values of up to ten
    digits; gzip makes it a sixth."""
    dice = random.Random(7)
    text, family = [], 0
    while True:
        family += 1
        name = f"node_{dice.choice(['disk', 'network', 'filesystem', 'cpu', 'memory'])}_field{family}_total"
        lines = [f"# HELP {name} Number of {dice.choice(['bytes', 'packets', 'seconds'])} seen in field {family}.\n", f"# TYPE {name} counter\n"]
        for n in range(dice.choice([1, 1, 1, 4, 16, 40])):
            lines.append(f'{name}{{device="/dev/mapper/vg{n % 3}-lv{n}",mode="{dice.choice(["idle", "user", "iowait", "system"])}",'
                         f'id="{dice.randrange(65536):x}"}} {dice.randrange(10 ** dice.choice([2, 4, 6, 8]))}.{dice.randrange(100)}\n')
        for line in lines:
            size -= len(line)
            if size < 0:
                return "".join(text)
            text.append(line)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def upstream_config(directory, port):
    return f"""worker_processes 1; pid {directory}/up.pid; error_log {directory}/up.log error;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 3600s; types {{}}
  default_type "text/plain; version=0.0.4; charset=utf-8";
  server {{ listen 127.0.0.1:{port}; root {directory}/bodies; location / {{ gzip_static on; }}
    location /opaque/ {{ alias {directory}/opaque/; add_header Content-Encoding br; }} }} }}
"""


def nginx_config(directory, name, port, upstream):
    forward = name == "nginx-forward"
    target = "http://$http_host$request_uri" if forward else "http://up"
    buffers = "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k;" if name == "nginx-tuned" else ""
    return f"""worker_processes 1; pid {directory}/{name}.pid; error_log {directory}/{name}.log error;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; proxy_max_temp_file_size 0;
  {buffers}
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass {target}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Accept-Encoding $http_accept_encoding; proxy_set_header Host $http_host; }} }} }}
"""


def haproxy_config(port, upstream):
    return f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
"""


def h2o_config(directory, port, upstream):
    return f"""num-threads: 1
user: {pwd.getpwuid(os.getuid()).pw_name}
pid-file: {directory}/h2o.pid
error-log: {directory}/h2o.log
listen: {{host: 127.0.0.1, port: {port}}}
http1-request-timeout: 3600
hosts: {{"*": {{paths: {{"/": {{proxy.reverse.url: "http://127.0.0.1:{upstream}/", proxy.timeout.keepalive: 60000}}}}}}}}
"""


def pin(core, args):
    return ["taskset", "-c", str(core), *args]


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for t in os.listdir(f"/proc/{pid}/task") for p in open(f"/proc/{pid}/task/{t}/children").read().split()]
    return []


def cpu_seconds(pids):
    """Of all threads, by the scheduler's own nanoseconds."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(open(path).read().split()[0])
    return total / 1e9


def resident_kb(pids, field="VmRSS"):
    return sum(int(line.split()[1]) for pid in pids for line in open(f"/proc/{pid}/status") if line.startswith(field + ":"))


class Bench:
    def __init__(self, options, harness, directory):
        self.options, self.h, self.directory = options, harness, directory
        self.processes, self.appliances, self.proxies = [], [], {}
        self.ports = harness.free_ports(1 + len(PEERS))
        self.upstream = self.ports.pop()

    def start(self, args, core):
        child = subprocess.Popen(pin(core, args), stdin=subprocess.DEVNULL)
        self.processes.append(child)
        return child.pid

    def open_upstream(self):
        for folder in ("bodies/m", "opaque"):
            os.makedirs(f"{self.directory}/{folder}")
        os.chmod(self.directory, 0o755)
        for size in self.options.sizes:
            text = body_of(SIZES[size])
            write(f"{self.directory}/bodies/m/{size}", text)
            packed = gzip.compress(text.encode(), 6)
            for path in (f"bodies/m/{size}.gz", f"opaque/{size}"):
                with open(f"{self.directory}/{path}", "wb") as f:
                    f.write(packed)
        config = write(f"{self.directory}/up.conf", upstream_config(self.directory, self.upstream))
        self.start(["nginx", "-c", config, "-g", "daemon off;"], 0)

    def open_peer(self, name, port):
        if name.startswith("nginx"):
            config = write(f"{self.directory}/{name}.conf", nginx_config(self.directory, name, port, self.upstream))
            args = ["nginx", "-c", config, "-g", "daemon off;"]
        elif name == "haproxy":
            config = write(f"{self.directory}/haproxy.cfg", haproxy_config(port, self.upstream))
            args = ["haproxy", "-db", "-f", config]
        else:
            config = write(f"{self.directory}/h2o.yaml", h2o_config(self.directory, port, self.upstream))
            args = [self.options.h2o, "-c", config]
        pid = self.start(args, 1)
        base = "" if name != "nginx-forward" else f"http://127.0.0.1:{self.upstream}"
        self.proxies[name] = (port, [pid], lambda size: f"{base}/m/{size}")

    def open_kvass(self, name):
        directory = f"{self.directory}/{name}"
        os.makedirs(directory)
        prefix = "/opaque/" if name == "kvass-opaque" else "/m/"
        jobs = [self.h.static_job(size, [f"127.0.0.1:{self.upstream}"], metrics_path=prefix + size) for size in self.options.sizes]
        config = json.dumps({"global": {"scrape_interval": "1h", "scrape_timeout": "10s"}, "scrape_configs": jobs})
        kvass = self.h.Appliance(directory, write(f"{directory}/prometheus.yml", config),
                                 ["--proxy.threads=1", "--log.level=warn", "--explore.concurrence=1", *KVASS[name]], shards_max=1)
        self.appliances.append(kvass)
        kvass.wait_ready()

        def files():
            return {os.path.basename(p)[:-5]: json.load(open(p)) for p in glob.glob(f"{kvass.store}/shards/*/targets/*.json")}

        found = self.h.wait_for("the targets", 60, lambda: all(files().get(s) for s in self.options.sizes) and files())
        os.sched_setaffinity(kvass.pid, {1})
        for task in os.listdir(f"/proc/{kvass.pid}/task"):
            os.sched_setaffinity(int(task), {1})

        def target(size):
            labels = found[size][0]["labels"]
            return (f"http://127.0.0.1:{self.upstream}{labels['__metrics_path__']}?_hash={labels['__param__hash']}"
                    f"&_jobName={size}&_scheme=http&_shard={labels['__param__shard']}")

        self.proxies[name] = (kvass.ports[1], [kvass.pid], target)

    def measure(self, name, size, connections, encoding, rate=0.0):
        port, pids, target = self.proxies[name]
        pids = pids + [c for p in pids if not name.startswith("kvass") for c in children(p)]
        before = cpu_seconds(pids)
        out = subprocess.run(pin(0, [f"{self.options.build}/bench/bench_load", f"--port={port}", f"--target={target(size)}",
                                     f"--host=127.0.0.1:{self.upstream}", f"--connections={connections}",
                                     f"--seconds={self.options.seconds}", f"--rate={rate}", f"--accept-encoding={encoding}"]),
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        result = json.loads(out)
        result["cpu_us"] = (cpu_seconds(pids) - before) * 1e6 / result["requests"]
        result["rss_kb"] = resident_kb(pids)
        return result

    def close(self):
        for kvass in self.appliances:
            kvass.stop()
        for child in self.processes:
            child.terminate()
        for child in self.processes:
            child.wait()


def cases(options):
    for encoding in ["identity", "gzip"]:
        if options.only not in (None, encoding):
            continue
        for size in options.sizes:
            for connections in options.connections:
                if not (size == "10m" and connections > 8):
                    yield encoding, size, connections


def proxies_for(options, encoding):
    for name in options.proxies:
        if encoding == "gzip" and name == "h2o":
            continue  # drops Accept-Encoding
        if encoding == "identity" and name in ("kvass-strict-inflate", "kvass-opaque"):
            continue
        yield name


def run(bench, options):
    rows = []
    for encoding, size, connections in cases(options):
        rounds = []
        names = list(proxies_for(options, encoding))
        for number in range(options.rounds):
            order = names if number % 2 == 0 else names[::-1]
            rounds.append({name: bench.measure(name, size, connections, encoding) for name in order})
        for name in names:
            row = {"encoding": encoding, "size": size, "connections": connections, "proxy": name}
            for key in ("rps", "cpu_us", "p50_us", "p99_us", "rss_kb"):
                row[key] = statistics.median(r[name][key] for r in rounds)
            for peer in ("nginx-reverse", "nginx-forward", "kvass-opaque"):
                if peer in names:
                    row["cpu_vs_" + peer] = statistics.median(r[name]["cpu_us"] / r[peer]["cpu_us"] for r in rounds)
                    row["rps_vs_" + peer] = statistics.median(r[name]["rps"] / r[peer]["rps"] for r in rounds)
            rows.append(row)
            print_row(row)
    return rows


def print_row(row):
    def ratio(key):
        return f"{row[key]:.2f}" if key in row else ""

    print(f"| {row['encoding']} | {row['size']} | {row['connections']} | {row['proxy']} | {row['rps']:.0f} | {row['cpu_us']:.1f} "
          f"| {ratio('cpu_vs_nginx-reverse')} | {ratio('rps_vs_nginx-forward')} | {row['p50_us']:.0f} | {row['p99_us']:.0f} |", flush=True)


def half_load(bench, options):
    """Latency when each proxy gets half of what it can take at most, by a plan of sending times, beside the server of the bodies asked
    directly at the same rate, in turn. The best of the rounds each: what neighbours on the machine add is no proxy's."""
    bench.proxies["direct"] = (bench.upstream, [], lambda size: f"/m/{size}")
    print("\n| at half load, 5k, 8 connections | requests/s | p50 us | p99 us | added p50 us | added p99 us | under 1 ms |\n|---|---|---|---|---|---|---|")
    good = True
    for name in proxies_for(options, "identity"):
        rps = statistics.median(bench.measure(name, "5k", 8, "identity")["rps"] for _ in range(3))
        pairs = []
        for number in range(3 * options.rounds):
            order = (name, "direct") if number % 2 == 0 else ("direct", name)
            pairs.append({way: bench.measure(way, "5k", 8, "identity", rps / 2) for way in order})
        p50, p99, direct50, direct99 = (min(p[way][key] for p in pairs) for way in (name, "direct") for key in ("p50_us", "p99_us"))
        added50, added99 = p50 - direct50, p99 - direct99
        verdict = "yes" if added99 < ADDED_P99_US else "NO"
        good = good and (verdict == "yes" or not name.startswith("kvass"))
        print(f"| {name} | {rps / 2:.0f} | {p50:.0f} | {p99:.0f} | {added50:.0f} | {added99:.0f} | {verdict} |", flush=True)
    return good


def memory(bench, options):
    """Peaks of resident memory while bodies of one size stream on eight connections, small ones first."""
    connections, good = 8, True
    print("\n| peak RSS, 8 connections | body | 100k kB | 1m kB | 10m kB | a scrape more | constant |\n|---|---|---|---|---|---|---|")
    for name in options.proxies:
        if not name.startswith("kvass"):
            continue
        for encoding in ("identity", "gzip"):
            if name == "kvass-opaque" and encoding == "identity":
                continue
            pids, peaks = bench.proxies[name][1], {}
            for size in ("100k", "1m", "10m"):
                with open(f"/proc/{pids[0]}/clear_refs", "w") as f:
                    f.write("5")
                for _ in range(3):
                    bench.measure(name, size, connections, encoding)
                peaks[size] = resident_kb(pids, "VmHWM")
            more = (peaks["10m"] - peaks["100k"]) / connections
            constant = peaks["10m"] <= peaks["100k"] + connections * STREAMING_KB + NOISE_KB
            if encoding == "identity":  # 1 MB of gzip is less than what may be on its way
                constant = constant and peaks["10m"] <= peaks["1m"] + NOISE_KB
            good = good and constant
            print(f"| {name} | {encoding} | {peaks['100k']} | {peaks['1m']} | {peaks['10m']} | {more:.0f} kB | {'yes' if constant else 'NO'} |", flush=True)
    return good


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--sizes", type=lambda t: t.split(","), default=list(SIZES))
    parser.add_argument("--connections", type=lambda t: [int(n) for n in t.split(",")], default=[1, 8, 32])
    parser.add_argument("--only", choices=["identity", "gzip"])
    parser.add_argument("--proxies", type=lambda t: t.split(","), default=[*PEERS, *KVASS])
    parser.add_argument("--half-load", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--no-table", action="store_true", help="only what --half-load and --memory judge")
    parser.add_argument("--h2o", default="h2o")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if "h2o" in options.proxies and shutil.which(options.h2o) is None:
        print("h2o is not installed: left out", file=sys.stderr)
        options.proxies.remove("h2o")
    return options


def main():
    options = parse_options()
    os.environ["top_builddir"] = options.build
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "integration"))
    import harness
    subprocess.run(["make", "-s", "-C", options.build, "bench/bench_load", "kvass"], check=True)
    with tempfile.TemporaryDirectory(prefix="kvass-bench-") as directory:
        bench = Bench(options, harness, directory)
        try:
            bench.open_upstream()
            for name, port in zip(PEERS, bench.ports):
                if name in options.proxies:
                    bench.open_peer(name, port)
            for name in options.proxies:
                if name in KVASS:
                    bench.open_kvass(name)
            time.sleep(1)
            good = memory(bench, options) if options.memory else True
            if not options.no_table:
                print("| body | size | connections | proxy | requests/s | CPU us/request | CPU / nginx reverse | requests/s / nginx forward "
                      "| p50 us | p99 us |\n|---|---|---|---|---|---|---|---|---|---|")
            rows = [] if options.no_table else run(bench, options)
            if options.half_load:
                good = half_load(bench, options) and good
        finally:
            bench.close()
    if options.json:
        write(options.json, json.dumps(rows, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
