"""The demo of scripts/demo: starts exporters, kvass with its Prometheus children and a querier Prometheus, shows a live table, checks
every promise with Prometheus' own figures, and says what was checked."""
import json
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["top_srcdir"], "tests", "integration"))
from harness import Appliance, Exporter, Prometheus, http, query, scalar, wait_for  # noqa: E402

TARGETS, SERIES, LIMIT = 6, 10045, 30000
INTERVAL_S = 2
TOTAL = TARGETS * SERIES

CONFIG = """\
global:
  scrape_interval: {interval}s
  external_labels: {{}}
scrape_configs:
  - job_name: demo
    static_configs:
      - targets: [{static}]
        labels: {{rack: a}}
    file_sd_configs:
      - files: [{directory}/targets/*.json]
    relabel_configs:
      - source_labels: [__meta_filepath]
        regex: .*/([^/]+)\\.json
        target_label: list
      - source_labels: [ignore]
        regex: "yes"
        action: drop
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: unwanted_.*
        action: drop
      - regex: scratch
        action: labeldrop
"""


class Screen:
    """A table that is redrawn in place on a terminal, and printed on change elsewhere."""

    def __init__(self):
        self.tty = sys.stdout.isatty()
        self.lines = 0
        self.last = None
        self.begin = time.monotonic()

    def say(self, text):
        self.lines = 0
        print(text, flush=True)

    def table(self, rows):
        if not self.tty and rows == self.last:
            return
        self.last = rows
        if self.tty and self.lines:
            sys.stdout.write(f"\033[{self.lines}A\033[J")
        text = "\n".join(rows)
        print(text if self.tty else f"[{time.monotonic() - self.begin:5.0f} s]\n{text}", flush=True)
        self.lines = len(rows)


def bar(share, width=24):
    filled = max(0, min(width, round(share * width)))
    return "#" * filled + "." * (width - filled)


class Demo:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="kvass-demo-")
        self.screen = Screen()
        self.checks = []
        self.processes = []
        self.exporters = []

    # ------------------------------------------------------------------ parts

    def start(self):
        os.makedirs(os.path.join(self.directory, "targets"))
        self.exporter = Exporter(f"--series={SERIES}", listeners=TARGETS)
        self.small = Exporter("--series=500")
        self.exporters += [self.exporter, self.small]
        addresses = [f"127.0.0.1:{port}" for port in self.exporter.ports]
        self.write_targets("first", addresses[3:])
        config = os.path.join(self.directory, "prometheus.yml")
        with open(config, "w") as f:
            f.write(CONFIG.format(interval=INTERVAL_S, directory=self.directory,
                                  static=", ".join(f'"{a}"' for a in addresses[:3])))
        # The high mark is set a little lower than the default so that 20,090 + 5,000 series pass it.
        self.kvass = Appliance(self.directory, config, [f"--shard.max-series={LIMIT}", "--balance.high-mark=0.83",
                                                        "--coordinator.interval=1s"])
        self.processes.append(self.kvass)
        self.kvass.wait_ready()
        self.screen.say(f"kvass      {self.kvass.url}   (kvass get shards --server={self.kvass.url})")
        self.screen.say(f"files      {self.directory}\n")

    def write_targets(self, name, addresses):
        path = os.path.join(self.directory, "targets", name + ".json")
        with open(path + ".new", "w") as f:
            json.dump([{"targets": addresses, "labels": {"rack": "b"}}], f)
        os.rename(path + ".new", path)

    def start_querier(self):
        self.querier_config = os.path.join(self.directory, "querier.yml")
        self.fetch_querier_config()
        self.querier = Prometheus(os.path.join(self.directory, "querier"), self.querier_config)
        self.processes.append(self.querier)
        self.querier.wait_ready()
        self.screen.say(f"\none view   {self.querier.url}   (a Prometheus that reads from every shard)")

    def fetch_querier_config(self):
        """True when it changed."""
        _, text = http(self.kvass.url + "/api/v1/querier/config")
        old = open(self.querier_config).read() if os.path.exists(self.querier_config) else None
        if text != old:
            with open(self.querier_config, "w") as f:
                f.write(text)
        return text != old

    def refresh_querier(self):
        if self.fetch_querier_config():
            http(self.querier.url + "/-/reload", "POST", "")

    # ------------------------------------------------------------------ showing

    def show(self):
        shards, targets = self.kvass.shards(), self.kvass.targets()
        moves = self.kvass.moves()
        rows = [f"  {'shard':9} {'health':12} {'series / limit':>16}  {'':24}  {'head':>7}  targets"]
        for s in shards:
            owned = [t for t in targets if s["id"] in t["shards"]]
            names = " ".join(f"{t['labels'].get('instance', '?').split(':')[-1]}({t['series']})" for t in owned)
            share = s["loadSeries"] / max(1, s["limitSeries"])
            rows.append(f"  {s['id']:9} {s['health']:12} {s['loadSeries']:>7} / {s['limitSeries']:<6}  {bar(share)}  "
                        f"{s['headSeries']:>7}  {len(owned)}: {names}")
        waiting = [t for t in targets if not t["shards"]]
        running = [m for m in moves if m["state"] == "running"]
        rows.append(f"  targets {len(targets)}, waiting {len(waiting)}; moves: {len(moves) - len(running)} done, "
                    f"{len(running)} running")
        self.screen.table(rows)
        return shards, targets

    def wait(self, what, seconds, condition):
        def look():
            shards, targets = self.show()
            if hasattr(self, "querier"):
                self.refresh_querier()
            return condition(shards, targets)
        try:
            return wait_for(what, seconds, look, 0.5)
        except TimeoutError as e:
            self.check(what, False, str(e))
            raise

    def check(self, what, ok, seen=""):
        self.checks.append((what, bool(ok), seen))
        self.screen.say(f"  {'ok  ' if ok else 'FAIL'} {what}" + (f": {seen}" if seen != "" else ""))

    # ------------------------------------------------------------------ acts

    def act_spread(self):
        self.screen.say("1. One Prometheus is running. kvass measures the targets, and finds that it needs more.\n")
        self.wait("three shards with two targets each", 120, lambda shards, targets:
                  len(shards) == 3 and all(s["health"] == "ready" for s in shards) and len(targets) == TARGETS
                  and sorted(s["targets"] for s in shards) == [2, 2, 2])
        self.check("three shards, two targets each", True)
        self.start_querier()
        self.refresh_querier()
        post = 'sum(scrape_samples_post_metric_relabeling{job="demo"})'
        self.wait("one query to see every series", 60, lambda *_: scalar(self.querier.url, post) == TOTAL)
        self.check(f"{post} = {TOTAL}", True)
        count = scalar(self.querier.url, 'count({job="demo",__name__!~"up|scrape_.*"})')
        self.check(f"count over the demo's own series = {TOTAL}", count == TOTAL, f"{count:.0f}" if count else "none")
        self.check_counts()
        self.wait("head figures", 40, lambda shards, _: all(s["headSeries"] >= 2 * SERIES for s in shards))
        for s in self.kvass.shards():
            own = s["headSeries"] - 2 * SERIES
            self.check(f"head of {s['id']} near {2 * SERIES}", 0 <= own <= 2 * 8,
                       f"{s['headSeries']}, {own} of them Prometheus' own for 2 targets")

    def check_counts(self):
        """kvass' figures of each target against Prometheus' own."""
        for name, key in (("scrape_samples_scraped", "totalSeries"), ("scrape_samples_post_metric_relabeling", "series")):
            theirs = {m["instance"]: int(v) for m, v in query(self.querier.url, name + '{job="demo"}')}
            ours = {t["labels"]["instance"]: t[key] for t in self.kvass.targets("demo")}
            self.check(f"every target counted as Prometheus counts it ({name})", ours == theirs and len(ours) >= TARGETS,
                       f"{len(ours)} targets")

    def reload_times(self):
        found = {}
        for s in self.kvass.shards():
            _, text = http(s["prometheusUrl"] + "/metrics")
            found[s["id"]] = [line.split()[1] for line in text.splitlines()
                              if line.startswith("prometheus_config_last_reload_success_timestamp_seconds ")]
        return found

    def act_new_file(self):
        self.screen.say("\n2. A new target file appears, with a target of 500 series.\n")
        before = self.reload_times()
        self.instance = f"127.0.0.1:{self.small.ports[0]}"
        self.write_targets("second", [self.instance])
        self.wait("the new target to be scraped", 60, lambda _, targets: any(
            t["labels"]["instance"] == self.instance and t["shards"] and t["health"] == "up" for t in targets))
        self.wait("its samples in the one view", 40, lambda *_: scalar(
            self.querier.url, f'up{{instance="{self.instance}"}}') == 1)
        self.check("picked up without any Prometheus reload", self.reload_times() == before)

    def act_move(self):
        self.screen.say("\n3. It grows to 5,000 series: its shard passes the high mark, so one target moves to where there is room.\n")
        started = time.time()
        self.small.control("series=5000")
        self.wait("a finished move", 180, lambda *_: any(m["state"] == "finished" for m in self.kvass.moves()))
        move = next(m for m in self.kvass.moves() if m["state"] == "finished")
        self.check("moved on proof", True, f"{move['url']} from {move['from']} to {move['to']}: {move['reason']}")
        self.wait("every shard within its limit again", 90, lambda shards, targets: all(
            s["loadSeries"] <= 0.83 * LIMIT for s in shards) and all(len(t["shards"]) == 1 for t in targets))
        self.refresh_querier()
        time.sleep(3 * INTERVAL_S)
        instance = move["url"].split("/")[2]
        self.check_no_gap(instance, started)

    def check_no_gap(self, instance, started):
        """Prometheus' own up and its sample timestamps, all shards merged: none missed, none zero."""
        window = int(time.time() - started) + 10
        [(_, samples)] = query(self.querier.url, f'up{{instance="{instance}"}}[{window}s]')
        times = sorted(float(t) for t, _ in samples)
        gaps = [b - a for a, b in zip(times, times[1:])]
        self.check("no scrape missed in the move: up was 1 throughout", all(v == "1" for _, v in samples),
                   f"{len(samples)} samples in {window} s")
        self.check("no scrape missed in the move: no gap between samples", max(gaps) <= INTERVAL_S * 1.1 + 0.1,
                   f"largest {max(gaps):.2f} s at an interval of {INTERVAL_S} s")

    def act_kill(self):
        self.screen.say("\n4. The Prometheus of shard-0 is killed (kill -9).\n")
        before = self.kvass.owners()
        pid = self.kvass.child_pids()["shard-0"]
        os.kill(pid, signal.SIGKILL)
        self.wait("a new Prometheus for shard-0", 60, lambda shards, _: self.kvass.child_pids().get("shard-0", pid) != pid
                  and next(s for s in shards if s["id"] == "shard-0")["health"] == "ready")
        began = time.time()
        self.check("a killed shard comes back with its targets", self.kvass.owners() == before)
        mine = [url.split("/")[2] for url, shards in before.items() if shards == ["shard-0"]]
        self.wait("its targets to be scraped again", 40, lambda *_: all(any(
            float(t) > began for t, _ in samples) for i in mine
            for _, samples in query(self.kvass.shards()[0]["prometheusUrl"], f'up{{instance="{i}"}}[20s]')))
        total = TOTAL + 5000
        self.wait("one query to see every series again", 60, lambda *_: scalar(
            self.querier.url, 'sum(scrape_samples_post_metric_relabeling{job="demo"})') == total)
        self.check(f"one query sees all {total} series again", True)

    # ------------------------------------------------------------------ life

    def run(self):
        self.start()
        self.act_spread()
        self.act_new_file()
        self.act_move()
        self.act_kill()

    def summary(self):
        failed = [c for c in self.checks if not c[1]]
        self.screen.say("\nsummary")
        for what, ok, seen in self.checks:
            print(f"  {'ok  ' if ok else 'FAIL'} {what}" + (f": {seen}" if seen != "" else ""))
        print(f"{len(self.checks) - len(failed)} checks passed, {len(failed)} failed", flush=True)
        return not failed and len(self.checks) >= 14

    def stop(self, keep_files):
        for p in reversed(self.processes):
            p.stop(signal.SIGINT)
        for e in self.exporters:
            e.__exit__()
        if keep_files:
            print(f"logs and state are in {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def main():
    keep = "--keep" in sys.argv[1:]
    demo = Demo()
    ok = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        try:
            demo.run()
        except (TimeoutError, RuntimeError, OSError, ValueError) as e:
            demo.check("the demo ran to its end", False, str(e))
        ok = demo.summary()
        if keep:
            print("\nleft running; end it with Ctrl-C")
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        print("\nending")
    finally:
        demo.stop(keep_files=not ok)
    sys.exit(0 if ok else 1)


main()
